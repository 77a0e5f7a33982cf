//! Tidy: what every file of the repository keeps, beyond what rustfmt and clippy look at.
//!
//! The files are those that git knows or would add. A rule with exceptions lists them with their
//! reasons; an exception that is no longer needed is a fault too.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The longest file that is written by hand, in lines.
const LINES_MAX: usize = 600;

/// Files that a rule does not hold for: the rule, the path, the reason.
const EXCEPTIONS: &[(Rule, &str, &str)] = &[(
    Rule::Unsafe,
    "tests/probe/src/raw.rs",
    "the attack suite's program makes the calls that no task is to make",
)];

/// Written by tools, or word for word somebody else's.
const NOT_OURS: [&str; 3] = ["crates/api/src/generated/", "Cargo.lock", "LICENSE"];

/// What a file keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Lines,
    Purpose,
    Allow,
    Unfinished,
    NoStd,
    Unsafe,
    Place,
    Source,
    Blank,
    End,
    Mode,
}

/// A file as git lists it.
struct File<'a> {
    path: &'a str,
    text: &'a str,
    executable: Executable,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Executable {
    Yes,
    No,
}

/// What is untidy, as `path:line: what`.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for path in paths(root)? {
        let full = root.join(&path);
        // A file that was removed and not yet committed so, or a link, has no text to look at.
        let Ok(metadata) = std::fs::symlink_metadata(&full) else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("read {path}"))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let file = File {
            path: &path,
            text: &text,
            executable: executable(&metadata),
        };
        for (rule, fault) in look(&file) {
            let exception = EXCEPTIONS
                .iter()
                .position(|(except, at, _)| *except == rule && *at == path);
            match exception {
                Some(index) => used[index] = true,
                None => faults.push(fault),
            }
        }
    }
    for ((rule, path, _), used) in EXCEPTIONS.iter().zip(used) {
        if !used {
            faults.push(format!("{path}: needs no exception from {rule:?} any more"));
        }
    }
    Ok(faults)
}

fn paths(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout).context("read the names of files")?;
    let paths = text.split('\0').filter(|path| !path.is_empty());
    Ok(paths.map(str::to_owned).collect())
}

fn executable(metadata: &std::fs::Metadata) -> Executable {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o111 == 0 {
        Executable::No
    } else {
        Executable::Yes
    }
}

/// Everything a file does not keep.
fn look(file: &File<'_>) -> Vec<(Rule, String)> {
    if NOT_OURS.iter().any(|start| file.path.starts_with(start)) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    whole(file, &mut |rule, what| {
        faults.push((rule, format!("{}: {what}", file.path)));
    });
    let rust = file.path.ends_with(".rs");
    for (index, line) in file.text.lines().enumerate() {
        let mut fault = |rule, what: &str| {
            faults.push((rule, format!("{}:{}: {what}", file.path, index + 1)));
        };
        any_line(line, &mut fault);
        if rust {
            rust_line(file.path, line, &mut fault);
        }
    }
    faults
}

fn whole(file: &File<'_>, fault: &mut dyn FnMut(Rule, String)) {
    let (path, text) = (file.path, file.text);
    let lines = text.lines().count();
    let code = [".rs", ".py", ".sh"].iter().any(|end| path.ends_with(end));
    if code && lines > LINES_MAX {
        fault(
            Rule::Lines,
            format!("{lines} lines; more than {LINES_MAX} are two files"),
        );
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        fault(Rule::End, "must end with one newline".to_owned());
    }
    if text.starts_with("#!/") && file.executable == Executable::No {
        fault(Rule::Mode, "a script that is not executable".to_owned());
    }
    if path.ends_with(".rs") && path.contains("src/") && !text.starts_with("//!") {
        fault(
            Rule::Purpose,
            "must begin with its purpose, in `//!`".to_owned(),
        );
    }
    let pure = ["crates/model", "agent/core", "master/core"];
    let root = path.strip_suffix("/src/lib.rs").unwrap_or_default();
    if pure.contains(&root) {
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            if !text.lines().any(|line| line == attribute) {
                fault(Rule::NoStd, format!("a core needs {attribute}"));
            }
        }
    }
}

fn any_line(line: &str, fault: &mut dyn FnMut(Rule, &str)) {
    if line.trim_end() != line {
        fault(Rule::Blank, "blanks at the end of the line");
    }
    // In parts, so that this file keeps its own rule.
    let machine = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    for place in machine {
        let begins = |at: usize| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && !"/._-}>".contains(c))
        };
        if line.match_indices(place).any(|(at, _)| begins(at)) {
            fault(Rule::Place, &format!("{place} is a place of one machine"));
        }
    }
    // Where packages come from is the business of whoever builds.
    let sources = [
        concat!("--index", "-url"),
        concat!("--extra", "-index-url"),
        concat!("replace", "-with"),
        concat!("registry", "-index"),
    ];
    for source in sources {
        if line.contains(source) {
            fault(Rule::Source, &format!("{source} names a registry"));
        }
    }
}

fn rust_line(path: &str, line: &str, fault: &mut dyn FnMut(Rule, &str)) {
    let code = line.split("//").next().unwrap_or_default().trim();
    for allow in [concat!("#[al", "low"), concat!("#![al", "low")] {
        if code.starts_with(allow) {
            fault(
                Rule::Allow,
                "an exception is `#[expect(…, reason = \"…\")]`",
            );
        }
    }
    for macro_name in [concat!("to", "do!("), concat!("unim", "plemented!(")] {
        if code.contains(macro_name) {
            fault(Rule::Unfinished, &format!("{macro_name}…) is unfinished"));
        }
    }
    let marks = [
        concat!("uns", "afe {"),
        concat!("uns", "afe fn"),
        concat!("uns", "afe impl"),
        concat!("uns", "afe extern"),
        concat!("uns", "afe("),
    ];
    let quoted = code.contains('"');
    if !quoted && !path.starts_with("agent/kernel/") && marks.iter().any(|m| code.contains(m)) {
        fault(Rule::Unsafe, "only agent/kernel has unsafe code");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<Rule> {
        let file = File {
            path,
            text,
            executable: Executable::No,
        };
        look(&file).into_iter().map(|(rule, _)| rule).collect()
    }

    #[test]
    fn a_rule_finds_what_breaks_it_and_nothing_else() {
        let long = format!("//! A.\n{}", "//\n".repeat(LINES_MAX));
        let machine = format!("//! In {}x.\n", concat!("/wo", "rk/"));
        let work_dir = format!("//! In <dir>{}x.\n", concat!("/wo", "rk/"));
        let allow = format!("//! A.\n{}(dead_code)]\n", concat!("#[al", "low"));
        let danger = format!("//! A.\nlet x = {} f() }};\n", concat!("uns", "afe {"));
        for (path, text, found) in [
            ("a/src/lib.rs", "//! A.\n", &[][..]),
            ("a/src/lib.rs", "fn a() {}\n", &[Rule::Purpose]),
            ("a/src/lib.rs", &long, &[Rule::Lines]),
            ("a/src/lib.rs", &machine, &[Rule::Place]),
            ("a/src/lib.rs", &work_dir, &[]),
            ("a/src/lib.rs", &allow, &[Rule::Allow]),
            ("a/src/lib.rs", &danger, &[Rule::Unsafe]),
            ("agent/kernel/src/lib.rs", &danger, &[]),
            ("agent/core/src/lib.rs", "//! A.\n", &[Rule::NoStd; 2]),
            ("a.md", "x \n", &[Rule::Blank]),
            ("a.md", "x", &[Rule::End]),
            ("run", "#!/bin/sh\n", &[Rule::Mode]),
            ("Cargo.lock", "x", &[]),
        ] {
            assert_eq!(rules(path, text), found, "{path} {text:.40}");
        }
    }
}
