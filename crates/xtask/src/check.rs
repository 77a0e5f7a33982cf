//! Check: what must hold before a commit, each thing with a name and a result.
//!
//! Tools that others wrote (rustfmt, clippy, cargo-deny) are run; what only this repository knows
//! is looked at here: `arrows` (who imports whom) and `tidy` (files and their text).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

mod arrows;
mod tidy;

/// Which checks.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these.
    #[arg(value_name = "CHECK", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    only: Vec<String>,
}

/// What became of one check.
enum Verdict {
    Passed,
    /// What is wrong, one line each; nothing where a tool has said it already.
    Failed(Vec<String>),
    /// Why it was not run.
    Skipped(String),
}

const NAMES: [&str; 6] = ["fmt", "clippy", "deny", "codegen", "arrows", "tidy"];

/// Runs the checks and says how many passed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let (mut passed, mut failed) = (0, 0);
    for name in NAMES {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        let start = Instant::now();
        let verdict = one(name, &root).unwrap_or_else(|error| {
            // A check that could not look has found nothing in order.
            Verdict::Failed(vec![format!("{error:#}")])
        });
        let took = start.elapsed().as_secs_f64();
        match verdict {
            Verdict::Passed => {
                passed += 1;
                println!("ok    {name:8} {took:5.1} s");
            }
            Verdict::Skipped(why) => println!("skip  {name:8} {why}"),
            Verdict::Failed(faults) => {
                failed += 1;
                println!("FAIL  {name:8} {took:5.1} s");
                for fault in faults {
                    println!("      {fault}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("the repository is not as it should be");
    }
    Ok(())
}

fn one(name: &str, root: &Path) -> Result<Verdict> {
    match name {
        "fmt" => tool(root, "cargo", &["fmt", "--all", "--check"]),
        "clippy" => tool(
            root,
            "cargo",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        "deny" => deny(root),
        "codegen" => {
            crate::codegen::run(&crate::codegen::Args { check: true })?;
            Ok(Verdict::Passed)
        }
        "arrows" => Ok(verdict(arrows::check(root)?)),
        "tidy" => Ok(verdict(tidy::check(root)?)),
        other => bail!("no check is called {other}"),
    }
}

fn verdict(faults: Vec<String>) -> Verdict {
    if faults.is_empty() {
        Verdict::Passed
    } else {
        Verdict::Failed(faults)
    }
}

/// Runs a tool that says itself what it does not like.
fn tool(root: &Path, program: &str, arguments: &[&str]) -> Result<Verdict> {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .status()
        .with_context(|| format!("run {program} {}", arguments.join(" ")))?;
    Ok(if status.success() {
        Verdict::Passed
    } else {
        Verdict::Failed(Vec::new())
    })
}

fn deny(root: &Path) -> Result<Verdict> {
    let installed = Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        let how = "cargo-deny is not installed: cargo install --locked cargo-deny";
        return Ok(Verdict::Skipped(how.to_owned()));
    }
    // Advisories come from a data base on the network; what is checked here needs none.
    let arguments = ["deny", "--offline", "check", "licenses", "bans", "sources"];
    tool(root, "cargo", &arguments)
}

/// The repository's top folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("xtask has moved")?;
    Ok(root.to_owned())
}
