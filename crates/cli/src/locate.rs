//! Locate: which master to ask, where none is named.
//!
//! `./qemu/up` leaves `target/cluster/cluster.json` with the master's address. It is looked for
//! from the current directory upwards, then beside this program (`target/bin/tepui`).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::client::master::{Master, MasterError};

/// Why no master is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocateError {
    #[error(
        "no master is named: give --master HOST:PORT or zk://HOST:PORT/PATH, set TEPUI_MASTER, or start a cluster with ./qemu/up"
    )]
    None,
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not the state of a cluster", path.display())]
    Form {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the master named in {}", path.display())]
    Master { path: PathBuf, source: MasterError },
}

/// A master, and whether it was found rather than named.
pub(crate) struct Located {
    pub(crate) master: Master,
    /// The file that named it.
    pub(crate) file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Cluster {
    master: String,
}

/// The master to ask.
pub(crate) fn locate(named: Option<Master>) -> Result<Located, LocateError> {
    if let Some(master) = named {
        return Ok(Located { master, file: None });
    }
    let here = std::env::current_dir().unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_default();
    let path = find(&here, &program).ok_or(LocateError::None)?;
    let text = std::fs::read(&path).map_err(|source| LocateError::Read {
        path: path.clone(),
        source,
    })?;
    let cluster: Cluster = serde_json::from_slice(&text).map_err(|source| LocateError::Form {
        path: path.clone(),
        source,
    })?;
    match cluster.master.parse() {
        Ok(master) => Ok(Located {
            master,
            file: Some(path),
        }),
        Err(source) => Err(LocateError::Master { path, source }),
    }
}

fn find(here: &Path, program: &Path) -> Option<PathBuf> {
    let upwards = here
        .ancestors()
        .map(|folder| folder.join("target/cluster/cluster.json"));
    let beside = program
        .ancestors()
        .nth(2)
        .map(|target| target.join("cluster/cluster.json"));
    upwards.chain(beside).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_found_upwards_and_beside_the_program() {
        let folder =
            std::env::temp_dir().join(format!("tepui-locate-{}", uuid::Uuid::new_v4().simple()));
        let deep = folder.join("a/b");
        let cluster = folder.join("target/cluster");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(&cluster).unwrap();
        let program = folder.join("target/bin/tepui");
        assert_eq!(find(&deep, &program), None);
        let file = cluster.join("cluster.json");
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(find(&deep, Path::new("/x/y")), Some(file.clone()));
        assert_eq!(find(Path::new("/"), &program), Some(file));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
