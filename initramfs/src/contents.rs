//! What goes into a node's initramfs: the agent as `/init`, the kernel modules it loads, the root
//! that tasks get by default, CA certificates, and the template of the work disk. Nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cpio::{Archive, ArchiveError, Entry};

/// Empty folders of the node's own root, for mounts and for what PID 1 writes.
const FOLDERS: [&str; 9] = [
    "dev",
    "etc",
    "nr",
    "proc",
    "run",
    "sys",
    "usr/share",
    "var/lib/mesos",
    "var/log",
];

/// The root that a task gets when it brings none.
const TASK_ROOT: &str = "usr/share/tepui/rootfs";

/// Folders of the task's root, with their permissions.
const TASK_FOLDERS: [(&str, u32); 14] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/ssl/certs", 0o755),
    ("home", 0o755),
    ("mnt/mesos/sandbox", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("var/lib", 0o755),
    ("var/run", 0o755),
    ("var/tmp", 0o1777),
];

/// Files of the task's root; the agent writes `hosts`, `hostname` and `resolv.conf` anew at boot.
const TASK_FILES: [(&str, &str); 7] = [
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hostname", "localhost\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/nsswitch.conf", "hosts: files dns\n"),
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ),
    (
        "etc/profile",
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    ),
    ("etc/resolv.conf", ""),
];

/// The built files that an initramfs is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The program that becomes PID 1.
    pub init: PathBuf,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel_release: String,
    /// A folder of kernel modules with `modules.load`; its whole content goes to
    /// `/lib/modules/<release>`.
    pub modules: PathBuf,
    /// Folders of more modules, which go to the same place.
    pub more_modules: Vec<PathBuf>,
    /// A static busybox.
    pub busybox: PathBuf,
    /// What the busybox answers to: a path a line, as in `bin/sh`.
    pub applets: PathBuf,
    /// Certificates of the authorities to trust, in one PEM file.
    pub ca_certificates: PathBuf,
    /// The file system that is written to a blank work disk, as a sparse image.
    pub template: PathBuf,
}

/// Why the archive cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// A file that was to go in cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Names of the files that go in are not in Unicode.
    #[error("the name of {0} is not UTF-8")]
    Name(PathBuf),
    /// Two things want the same place.
    #[error("put a file into the archive")]
    Archive(#[from] ArchiveError),
}

impl Contents {
    /// The parts at their places in the folder `parts`, and a program to become PID 1.
    #[must_use]
    pub fn of_parts(parts: &Path, kernel_release: &str, init: &Path) -> Contents {
        Contents {
            init: init.to_owned(),
            kernel_release: kernel_release.to_owned(),
            modules: parts.join("modules"),
            more_modules: Vec::new(),
            busybox: parts.join("busybox"),
            applets: parts.join("applets"),
            ca_certificates: parts.join("ca-certificates.crt"),
            template: parts.join("work.ext4.sparse"),
        }
    }

    /// The same with what mounts a work disk that is XFS.
    #[must_use]
    pub fn with_xfs(mut self, parts: &Path) -> Contents {
        self.more_modules.push(parts.join("xfs"));
        self
    }

    /// Reads the files and puts them into an archive.
    ///
    /// # Errors
    /// A file cannot be read, or two files want the same place.
    pub fn archive(&self) -> Result<Archive, ContentsError> {
        let mut archive = Archive::new();
        for folder in FOLDERS {
            archive.insert(folder, Entry::Folder { permissions: 0o755 })?;
        }
        archive.insert("root", Entry::Folder { permissions: 0o700 })?;
        archive.insert(
            "tmp",
            Entry::Folder {
                permissions: 0o1777,
            },
        )?;
        // Rust's runtime opens /dev/null where one of the first three descriptors is closed.
        archive.insert("dev/console", character(0o600, 5, 1))?;
        archive.insert("dev/null", character(0o666, 1, 3))?;
        archive.insert("init", program(&self.init)?)?;
        let modules = format!("lib/modules/{}", self.kernel_release);
        for folder in [&self.modules].into_iter().chain(&self.more_modules) {
            insert_folder(&mut archive, folder, &modules)?;
        }
        let certificates = read(&self.ca_certificates)?;
        archive.insert(
            "etc/ssl/certs/ca-certificates.crt",
            file(certificates.clone()),
        )?;
        archive.insert(
            "usr/share/tepui/work.ext4.sparse",
            file(read(&self.template)?),
        )?;
        self.insert_task_root(&mut archive, certificates)?;
        Ok(archive)
    }

    fn insert_task_root(
        &self,
        archive: &mut Archive,
        certificates: Vec<u8>,
    ) -> Result<(), ContentsError> {
        let at = |path: &str| format!("{TASK_ROOT}/{path}");
        for (path, permissions) in TASK_FOLDERS {
            archive.insert(&at(path), Entry::Folder { permissions })?;
        }
        for (path, text) in TASK_FILES {
            archive.insert(&at(path), file(text.as_bytes().to_vec()))?;
        }
        archive.insert(&at("etc/ssl/certs/ca-certificates.crt"), file(certificates))?;
        archive.insert(&at("bin/busybox"), program(&self.busybox)?)?;
        let applets = String::from_utf8_lossy(&read(&self.applets)?).into_owned();
        for applet in applets.lines().filter(|line| *line != "bin/busybox") {
            let up = "../".repeat(applet.matches('/').count());
            let target = match applet.strip_prefix("bin/") {
                Some(_) => "busybox".to_owned(),
                None => format!("{up}bin/busybox"),
            };
            archive.insert(&at(applet), Entry::Link { target })?;
        }
        Ok(())
    }
}

fn character(permissions: u32, major: u32, minor: u32) -> Entry {
    Entry::Character {
        permissions,
        device: (major, minor),
    }
}

fn file(data: Vec<u8>) -> Entry {
    Entry::File {
        permissions: 0o644,
        data,
    }
}

fn program(path: &Path) -> Result<Entry, ContentsError> {
    Ok(Entry::File {
        permissions: 0o755,
        data: read(path)?,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, ContentsError> {
    fs::read(path).map_err(|source| ContentsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Puts everything beneath `folder` into the archive at `place`.
fn insert_folder(archive: &mut Archive, folder: &Path, place: &str) -> Result<(), ContentsError> {
    let failed = |source| ContentsError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| ContentsError::Name(path.clone()))?;
        let place = format!("{place}/{name}");
        if path.is_dir() {
            insert_folder(archive, &path, &place)?;
        } else {
            archive.insert(&place, file(read(&path)?))?;
        }
    }
    Ok(())
}
