//! Journal: what the framework heard and did, a line of JSON each, in `tests/chaos/keeper.py`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Line {
    /// Seconds since 1970.
    pub(super) at: f64,
    #[serde(flatten)]
    pub(super) what: What,
}

/// What was heard or done.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum What {
    /// A first subscription.
    Registered { framework: String },
    /// A later one.
    Reregistered,
    /// The stream of events ended.
    Disconnected,
    /// Offers came.
    Offers { number: usize },
    /// A task is about to be launched.
    Launch { task: String, agent: String },
    /// A status came.
    Status {
        task: String,
        state: String,
        uuid: Option<String>,
        agent: Option<String>,
        message: Option<String>,
    },
    /// No master has heard of the task, so often that it counts as never launched.
    GivenUp { task: String },
    /// A call did not reach the master.
    Failed { call: String },
    /// The master said that something is wrong.
    Error { message: String },
}

/// Reads a journal as it grows.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// The bytes that were read.
    read: u64,
    /// Every line until now.
    pub(super) lines: Vec<Line>,
}

impl Journal {
    /// Of a file that may not be there yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: 0,
            lines: Vec::new(),
        }
    }

    /// Reads what was written since.
    ///
    /// # Errors
    /// A line is none of those.
    pub(super) fn read_on(&mut self) -> Result<()> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(());
        };
        let failed = || format!("read {}", self.path.display());
        file.seek(SeekFrom::Start(self.read)).with_context(failed)?;
        let mut file = BufReader::new(file);
        let mut text = String::new();
        loop {
            text.clear();
            let length = file.read_line(&mut text).with_context(failed)?;
            // A line that has no end yet is read again.
            if !text.ends_with('\n') {
                return Ok(());
            }
            self.read += length as u64;
            let line = serde_json::from_str(&text);
            self.lines.push(line.with_context(|| text.clone())?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn lines_are_read_once_and_only_when_they_are_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut journal = Journal::new(file.path());
        let offers = "{\"at\": 1.5, \"event\": \"offers\", \"number\": 2}\n";
        let half = "{\"at\": 2, \"event\": \"launch\", \"task\": \"a\",";
        write!(file, "{offers}{half}").unwrap();
        journal.read_on().unwrap();
        assert_eq!(journal.lines.len(), 1);
        assert_eq!(journal.lines[0].what, What::Offers { number: 2 });
        writeln!(file, " \"slot\": 0, \"agent\": \"S1\"}}").unwrap();
        journal.read_on().unwrap();
        journal.read_on().unwrap();
        let launch = What::Launch {
            task: "a".to_owned(),
            agent: "S1".to_owned(),
        };
        assert_eq!(journal.lines[1].what, launch);
        assert_eq!(journal.lines.len(), 2);
        writeln!(file, "nonsense").unwrap();
        journal.read_on().unwrap_err();
    }
}
