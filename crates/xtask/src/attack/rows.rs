//! Rows: the attacks as data. `tests/attack/*.toml` has the suite's own; a folder of shell scripts is a list,
//! too.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One attack, in one or several shapes of container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    /// What it tries, as a phrase after "tries".
    pub(super) tries: String,
    /// Lines for the shell: exit 0 where the forbidden thing worked, 1 where it was refused, more where it
    /// could not be tried.
    pub(super) script: String,
    /// The containers that it is tried in.
    #[serde(default = "tasks_only", rename = "in")]
    pub(super) shapes: Vec<Shape>,
    #[serde(default)]
    pub(super) expect: Expect,
    /// Whether nothing else but the neighbour runs meanwhile.
    #[serde(default)]
    pub(super) alone: bool,
    /// How long it may run; then it is killed.
    #[serde(default = "seconds_max")]
    pub(super) seconds: u64,
    /// Why it is known to work here: such a row is counted apart as long as it does.
    #[serde(default)]
    pub(super) known: Option<String>,
    /// Why it may be that it cannot be tried on this kernel.
    #[serde(default)]
    pub(super) untried: Option<String>,
    /// More of the task's `ContainerInfo`, as JSON.
    #[serde(default)]
    pub(super) container: Option<String>,
    /// More files that are fetched, by their names on the suite's server; an archive is extracted.
    #[serde(default)]
    pub(super) uris: Vec<String>,
    /// The image, where it is not the usual one.
    #[serde(default)]
    pub(super) image: Option<String>,
    #[serde(default = "memory_mb")]
    pub(super) memory_mb: u32,
    #[serde(default)]
    pub(super) disk_mb: u32,
    /// Paths of the sandbox that the agent must not give out, while it answers.
    #[serde(default)]
    pub(super) reads: Vec<String>,
    /// Paths of the sandbox that the agent may give out, and has to answer for in time.
    #[serde(default)]
    pub(super) answers: Vec<String>,
    /// The most that `stdout` and its older files may take.
    #[serde(default)]
    pub(super) output_mb_max: Option<u64>,
}

/// What kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shape {
    /// A command task in the node's default root.
    Task,
    /// In an image, run by Mesos' containerizer.
    Image,
    /// In an image, as `docker run` runs it, with its usual capabilities.
    Docker,
    /// A task of a pod.
    Pod,
    /// A command task with a terminal.
    Terminal,
}

impl Shape {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Image => "image",
            Self::Docker => "docker",
            Self::Pod => "pod",
            Self::Terminal => "terminal",
        }
    }
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    /// The script says that it was refused, or a filter of system calls killed it.
    #[default]
    Refused,
    /// The same, or a limit ended the container, or it was killed after its time.
    Bounded,
    /// The task fails before it runs, with words; or it runs and is refused.
    Unlaunched,
    /// Anything but success: an unknown script's own words are not known.
    Anything,
}

fn tasks_only() -> Vec<Shape> {
    vec![Shape::Task]
}

const fn seconds_max() -> u64 {
    60
}

const fn memory_mb() -> u32 {
    16
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    attack: Vec<Row>,
}

/// Every row of the TOML files in a folder, by the files' names.
///
/// # Errors
/// A file cannot be read, or a row is none; the text names it.
pub(super) fn read(folder: &Path) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for path in files(folder)? {
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        rows.extend(parse(&text).with_context(|| format!("in {}", path.display()))?);
    }
    for (place, row) in rows.iter().enumerate() {
        let again = rows[..place].iter().any(|other| other.name == row.name);
        ensure!(!again, "two attacks are called {}", row.name);
    }
    ensure!(!rows.is_empty(), "no attack in {}", folder.display());
    Ok(rows)
}

fn parse(text: &str) -> Result<Vec<Row>> {
    let table: Table = toml::from_str(text)?;
    for row in &table.attack {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        ensure!(
            !row.name.is_empty() && row.name.chars().all(ok),
            "the name {:?} is not of a-z, 0-9 and _",
            row.name
        );
        ensure!(!row.shapes.is_empty(), "{}: in no container", row.name);
        row.container()
            .with_context(|| format!("{}: its container", row.name))?;
    }
    Ok(table.attack)
}

/// Every shell script of a folder: what it never saw, it runs alone, and takes every failure for a refusal.
///
/// # Errors
/// There is no script, or one cannot be read.
pub(super) fn of_scripts(folder: &Path, shapes: &[Shape], seconds: u64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for path in files(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_text = [".md", ".txt", ".toml", ".json"];
        if name.starts_with('.') || is_text.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let Ok(script) = String::from_utf8(bytes) else {
            bail!("{} is no shell script: it is not text", path.display());
        };
        rows.push(Row {
            name: name.trim_end_matches(".sh").to_owned(),
            tries: format!("what {name} does"),
            script,
            shapes: shapes.to_vec(),
            expect: Expect::Anything,
            alone: true,
            seconds,
            known: None,
            untried: None,
            container: None,
            uris: Vec::new(),
            image: None,
            memory_mb: memory_mb() * 2,
            disk_mb: 64,
            reads: Vec::new(),
            answers: Vec::new(),
            output_mb_max: None,
        });
    }
    ensure!(!rows.is_empty(), "no script in {}", folder.display());
    Ok(rows)
}

/// The files of a folder in the order of their names.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in listed {
        let path = entry.context("list the folder")?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl Row {
    /// More of its `ContainerInfo`.
    pub(super) fn container(&self) -> Result<Value> {
        match &self.container {
            Some(text) => serde_json::from_str(text).context("read JSON"),
            None => Ok(Value::Null),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_suite_is_one() {
        let root = crate::image::root().expect("the checkout");
        let rows = read(&root.join("tests/attack")).expect("the suite");
        assert!(rows.len() >= 60, "{} rows", rows.len());
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        for (text, said) in [
            ("[[attack]]\nname = \"a\"\n", "tries"),
            (
                "[[attack]]\nname = \"A b\"\ntries = \"\"\nscript = \"\"\n",
                "\"A b\"",
            ),
            (
                "[[attack]]\nname = \"a\"\ntries = \"\"\nscript = \"\"\nin = []\n",
                "in no container",
            ),
            (
                "[[attack]]\nname = \"a\"\ntries = \"\"\nscript = \"\"\nallone = true\n",
                "allone",
            ),
            (
                "[[attack]]\nname = \"a\"\ntries = \"\"\nscript = \"\"\ncontainer = \"{\"\n",
                "its container",
            ),
        ] {
            let fault = parse(text).expect_err(text);
            assert!(format!("{fault:#}").contains(said), "{fault:#}");
        }
    }
}
