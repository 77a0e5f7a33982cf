//! Files: the directories and files of the tree, read and written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::CgroupError;
use crate::process::Pid;

pub(super) fn make(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(CgroupError::Create {
            path: path.to_path_buf(),
            source,
        }),
        _ => Ok(()),
    }
}

pub(super) fn processes(path: &Path, depth: usize, found: &mut Vec<Pid>) {
    let own = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    found.extend(own.lines().filter_map(|pid| pid.parse::<Pid>().ok()));
    if depth == 0 {
        return;
    }
    for beneath in groups_in(path) {
        processes(&beneath, depth - 1, found);
    }
}

pub(super) fn groups_in(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path())
}

/// Files of a group go with it; only groups stand in the way of its end.
pub(super) fn remove(path: &Path) -> Result<(), CgroupError> {
    for beneath in groups_in(path) {
        remove(&beneath)?;
    }
    match fs::remove_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CgroupError::Remove {
            path: path.to_path_buf(),
            source,
        }),
        _ => Ok(()),
    }
}

pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|source| CgroupError::Write {
        path: path.to_path_buf(),
        value: value.to_owned(),
        source,
    })
}

pub(super) fn read(path: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| CgroupError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// The number behind a key in a file of lines `key number`.
pub(super) fn value(table: &str, key: &str) -> Option<u64> {
    table.lines().find_map(|line| {
        let (name, number) = line.split_once(' ')?;
        (name == key).then(|| number.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_whole_name() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(value(events, "oom"), Some(3));
        assert_eq!(value(events, "oom_kill"), Some(2));
        assert_eq!(value(events, "kill"), None);
        assert_eq!(value("", "oom"), None);
    }
}
