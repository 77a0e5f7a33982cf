//! A cpio archive in the "newc" format, as the kernel unpacks it (initramfs buffer format).
//!
//! Entries are written in the order of their paths, so that a folder comes before what is in it.
//! Hard links are left out: the kernel takes symbolic ones as gladly, and they need no bookkeeping.

use std::collections::BTreeMap;

/// Ends an archive, as the name of an empty entry.
const TRAILER: &str = "TRAILER!!!";

/// One entry, without its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder with these permissions.
    Folder {
        /// Permission bits, as in 0o755.
        permissions: u32,
    },
    /// A regular file.
    File {
        /// Permission bits, as in 0o644.
        permissions: u32,
        /// What is in it.
        data: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
    /// A character device.
    Character {
        /// Permission bits, as in 0o666.
        permissions: u32,
        /// Major and minor number.
        device: (u32, u32),
    },
}

impl Entry {
    /// The mode with the type bits of stat(2).
    fn mode(&self) -> u32 {
        match self {
            Entry::Folder { permissions } => 0o040_000 | permissions,
            Entry::File { permissions, .. } => 0o100_000 | permissions,
            Entry::Link { .. } => 0o120_777,
            Entry::Character { permissions, .. } => 0o020_000 | permissions,
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Entry::File { data, .. } => data,
            Entry::Link { target } => target.as_bytes(),
            Entry::Folder { .. } | Entry::Character { .. } => &[],
        }
    }
}

/// Why a path or a file cannot be put into an archive.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The path is absolute, empty, or climbs.
    #[error("{0:?} is not a plain relative path")]
    Path(String),
    /// The path is there already, as something else.
    #[error("{0:?} is in the archive already")]
    Twice(String),
    /// A parent of the path is not a folder.
    #[error("{0:?} is not a folder")]
    NotFolder(String),
    /// The format counts sizes in 32 bits.
    #[error("{0:?} is larger than 4 GiB")]
    Size(String),
}

/// An archive being put together: paths, each with its entry.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// An archive with nothing in it.
    #[must_use]
    pub fn new() -> Archive {
        Archive::default()
    }

    /// Puts `entry` at `path` (relative, without `.` and `..`); missing parents become folders with
    /// mode 0755.
    ///
    /// # Errors
    /// The path is not plain, taken, or beneath something that is not a folder.
    pub fn insert(&mut self, path: &str, entry: Entry) -> Result<(), ArchiveError> {
        if path
            .split('/')
            .any(|part| matches!(part, "" | "." | "..") || part.contains('\0'))
        {
            return Err(ArchiveError::Path(path.to_owned()));
        }
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            match self.entries.get(parent) {
                Some(Entry::Folder { .. }) => {}
                Some(_) => return Err(ArchiveError::NotFolder(parent.to_owned())),
                None => {
                    let folder = Entry::Folder { permissions: 0o755 };
                    self.entries.insert(parent.to_owned(), folder);
                }
            }
        }
        if u32::try_from(entry.data().len()).is_err() {
            return Err(ArchiveError::Size(path.to_owned()));
        }
        match self.entries.insert(path.to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(ArchiveError::Twice(path.to_owned())),
        }
    }

    /// The paths and entries, in the order of the archive.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// The archive's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (path, entry)) in (1u32..).zip(&self.entries) {
            let (major, minor) = match entry {
                Entry::Character { device, .. } => *device,
                Entry::Folder { .. } | Entry::File { .. } | Entry::Link { .. } => (0, 0),
            };
            let links = match entry {
                Entry::Folder { .. } => 2,
                Entry::File { .. } | Entry::Link { .. } | Entry::Character { .. } => 1,
            };
            let head = Head {
                number,
                mode: entry.mode(),
                links,
                major,
                minor,
            };
            write_entry(&mut out, &head, path, entry.data());
        }
        let head = Head {
            number: 0,
            mode: 0,
            links: 1,
            major: 0,
            minor: 0,
        };
        write_entry(&mut out, &head, TRAILER, &[]);
        out
    }
}

/// The fields of an entry's header that differ between entries.
struct Head {
    number: u32,
    mode: u32,
    links: u32,
    major: u32,
    minor: u32,
}

fn write_entry(out: &mut Vec<u8>, head: &Head, path: &str, data: &[u8]) {
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let name_size = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
    let (uid, gid, time, device, check) = (0, 0, 0, 0, 0);
    let fields = [
        head.number,
        head.mode,
        uid,
        gid,
        head.links,
        time,
        size,
        device,
        device,
        head.major,
        head.minor,
        name_size,
        check,
    ];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(data);
    pad(out);
}

/// Header with name, and data, each end on a multiple of four bytes.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn file(text: &str) -> Entry {
        Entry::File {
            permissions: 0o644,
            data: text.as_bytes().to_vec(),
        }
    }

    /// An entry a line, NUL as `~`.
    fn check(archive: &Archive, expected: expect_test::Expect) {
        let text = String::from_utf8(archive.to_bytes()).unwrap();
        let lines: Vec<String> = text
            .split("070701")
            .skip(1)
            .map(|part| part.replace('\0', "~").replace('\n', "$") + "\n")
            .collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn the_bytes_are_those_of_the_newc_format() {
        let mut archive = Archive::new();
        let console = Entry::Character {
            permissions: 0o600,
            device: (5, 1),
        };
        let link = Entry::Link {
            target: "busybox".to_owned(),
        };
        archive.insert("etc/hostname", file("node\n")).unwrap();
        archive.insert("dev/console", console).unwrap();
        archive.insert("bin/sh", link).unwrap();
        check(
            &archive,
            expect![[r#"
            00000001000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000bin~~~
            000000020000a1ff0000000000000000000000010000000000000007000000000000000000000000000000000000000700000000bin/sh~~~~busybox~
            00000003000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000dev~~~
            00000004000021800000000000000000000000010000000000000000000000000000000000000005000000010000000c00000000dev/console~~~
            00000005000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000etc~~~
            00000006000081a40000000000000000000000010000000000000005000000000000000000000000000000000000000d00000000etc/hostname~~node$~~~
            00000000000000000000000000000000000000010000000000000000000000000000000000000000000000000000000b00000000TRAILER!!!~~~~
        "#]],
        );
    }

    #[test]
    fn the_order_of_insertion_leaves_no_trace() {
        let names = ["init", "etc/passwd", "etc/group", "etc-d/x"];
        let mut forwards = Archive::new();
        let mut backwards = Archive::new();
        for name in names {
            forwards.insert(name, file(name)).unwrap();
        }
        for name in names.iter().rev() {
            backwards.insert(name, file(name)).unwrap();
        }
        assert_eq!(forwards.to_bytes(), backwards.to_bytes());
    }

    #[test]
    fn paths_that_climb_or_collide_are_refused() {
        let mut archive = Archive::new();
        archive.insert("init", file("")).unwrap();
        for path in ["/init", "", "a//b", "a/../b", "./a", "a/"] {
            let refused = archive.insert(path, file(""));
            assert_eq!(refused, Err(ArchiveError::Path(path.to_owned())));
        }
        assert_eq!(
            archive.insert("init", file("")),
            Err(ArchiveError::Twice("init".to_owned()))
        );
        assert_eq!(
            archive.insert("init/x", file("")),
            Err(ArchiveError::NotFolder("init".to_owned()))
        );
    }
}
