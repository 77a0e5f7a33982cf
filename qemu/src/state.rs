//! What a cluster consists of, kept in `cluster.json` in its folder; `tepui` reads it too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::Process;

/// The file's name.
pub const FILE: &str = "cluster.json";

/// A cluster, while it is starting or running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The master's address on the host, as in `127.0.0.1:5050`; of several, with commas between.
    pub master: String,
    /// Masters and ZooKeeper servers, the latter first, where the masters are elected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<NodeState>,
    /// The nodes, in the order of their numbers.
    pub nodes: Vec<NodeState>,
    /// What runs the nodes' instructions: `kvm` or `tcg`.
    pub accel: String,
    /// The master's process, once started.
    pub master_process: Option<Process>,
    /// The LAN's process, once started.
    pub switch_process: Option<Process>,
    /// The process that forwards ports of tasks, once started.
    #[serde(default)]
    pub forwarder_process: Option<Process>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name, and its host name.
    pub name: String,
    /// Where the agent is reached on the host, as in `127.0.1.1:5051`.
    pub address: String,
    /// QEMU's process id.
    pub pid: i32,
    /// The argument that QEMU's process is known by.
    pub mark: String,
    /// QEMU's arguments, to start it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

impl NodeState {
    /// QEMU's process.
    #[must_use]
    pub fn process(&self) -> Process {
        Process {
            pid: self.pid,
            mark: self.mark.clone(),
        }
    }
}

/// Why the state cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("keep {path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no state.
    #[error("understand {path} (if no node runs, remove the file)")]
    Parse {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl State {
    /// The state of the cluster in `folder`; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn load(folder: &Path) -> Result<Option<State>, StateError> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(state) => Ok(Some(state)),
                Err(source) => Err(StateError::Parse { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// No space, no permission.
    pub fn save(&self, folder: &Path) -> Result<(), StateError> {
        let path = folder.join(FILE);
        let fresh = folder.join("cluster.json.new");
        let text = serde_json::to_vec_pretty(self).map_err(|source| StateError::Parse {
            path: path.clone(),
            source,
        })?;
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|source| StateError::Io { path, source })
    }

    /// Removes it: the cluster is no more.
    ///
    /// # Errors
    /// No permission.
    pub fn remove(folder: &Path) -> Result<(), StateError> {
        let path = folder.join(FILE);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StateError::Io { path, source }),
        }
    }

    /// All processes, each with the name of its part.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, Process)> {
        let part = |name: &str, process: &Option<Process>| {
            process.clone().map(|process| (name.to_owned(), process))
        };
        let mut all: Vec<(String, Process)> = part("master", &self.master_process)
            .into_iter()
            .chain(part("switch", &self.switch_process))
            .chain(part("forwarder", &self.forwarder_process))
            .collect();
        let nodes = self.parts.iter().chain(&self.nodes);
        all.extend(nodes.map(|node| (node.name.clone(), node.process())));
        all
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_file_has_what_the_operators_command_looks_for() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), None);
        let state = State {
            master: "127.0.0.1:5050".to_owned(),
            parts: Vec::new(),
            nodes: vec![NodeState {
                name: "node1".to_owned(),
                address: "127.0.1.1:5051".to_owned(),
                pid: 12,
                mark: "/c/node1.pid".to_owned(),
                arguments: Vec::new(),
            }],
            accel: "tcg".to_owned(),
            master_process: Some(Process {
                pid: 11,
                mark: "--work_dir=/c/master".to_owned(),
            }),
            switch_process: None,
            forwarder_process: None,
        };
        state.save(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        expect![[r#"
            {
              "master": "127.0.0.1:5050",
              "nodes": [
                {
                  "name": "node1",
                  "address": "127.0.1.1:5051",
                  "pid": 12,
                  "mark": "/c/node1.pid"
                }
              ],
              "accel": "tcg",
              "master_process": {
                "pid": 11,
                "mark": "--work_dir=/c/master"
              },
              "switch_process": null,
              "forwarder_process": null
            }"#]]
        .assert_eq(&text);
        assert_eq!(State::load(folder.path()).unwrap().unwrap(), state);
        let names: Vec<String> = state
            .processes()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["master", "node1"]);
        State::remove(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        let error = State::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cluster.json"), "{error}");
    }
}
