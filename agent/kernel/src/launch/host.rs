//! Host: what all launches of an agent share, and what they leave behind.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::ContainerId;
use model::sandbox::{Access, Content, ExitStatus, IdRange, LaunchPlan, Overlay, Scratch};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::spawn::{LaunchError, step};
use crate::cgroup::Tree;
use crate::clock;
use crate::files::{self, above_stdio};
use crate::landlock::Abi;
use crate::overlay;
use crate::procview::{Binds, ProcView};
use crate::seccomp::{self, Programs, Refusals};

/// The most that is read of a file of a task's root, such as `etc/passwd`.
const ROOT_FILE_BYTES_MAX: u64 = 1 << 20;
/// What the name of a file that tells an exit status ends with.
const EXIT: &str = "exit";
/// And that of one that tells of a container that was started; until it is whole.
const NOTE: &str = "run";
const NEW: &str = "new";
/// The most that is read of such a file: it holds a task's environment, which execve(2) bounds.
const NOTE_BYTES_MAX: u64 = 8 << 20;
/// What an image that is only read needs to be mounted.
const SCRATCH_BYTES_MAX: u64 = 1 << 20;

/// What all launches of this agent share.
#[derive(Debug)]
pub struct Host {
    pub(super) program: OwnedFd,
    pub(super) null: OwnedFd,
    /// Whether this kernel filters system calls.
    pub(super) has_seccomp: bool,
    pub(super) programs: Programs,
    /// Whether the kernel tells of the calls that they stop.
    pub(super) refusals: Refusals,
    /// Whether it has clocks for containers, or why not.
    pub(super) clocks: Result<(), String>,
    /// What this kernel has of landlock.
    pub(super) landlock: Abi,
    cgroups: Option<Tree>,
    runtime: PathBuf,
    view: Result<ProcView, String>,
}

impl Host {
    /// Gets ready to launch: opens the agent's own program, and makes the runtime directory.
    ///
    /// # Errors
    /// The program or the directory is out of reach.
    pub fn open(cgroups: Option<Tree>, runtime: &Path) -> Result<Self, LaunchError> {
        Self::with_program(cgroups, runtime, Path::new("/proc/self/exe"))
    }

    /// The same with a program that is another one than the caller's: a launcher all the same.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_program(
        cgroups: Option<Tree>,
        runtime: &Path,
        program: &Path,
    ) -> Result<Self, LaunchError> {
        let open = |path: &Path, flags| {
            open(path, flags | OFlag::O_CLOEXEC, Mode::empty())
                .and_then(above_stdio)
                .map_err(step(format!("open {}", path.display())))
        };
        fs::create_dir_all(runtime)
            .map_err(|error| step(format!("make {}", runtime.display()))(files::errno(&error)))?;
        Ok(Self {
            program: open(program, OFlag::O_PATH)?,
            null: open(Path::new("/dev/null"), OFlag::O_RDWR)?,
            has_seccomp: seccomp::is_supported(),
            programs: Programs::default(),
            refusals: Refusals::Untold,
            clocks: clock::namespaces(),
            landlock: Abi::current(),
            cgroups,
            runtime: runtime.to_path_buf(),
            view: Err("it was not started".to_string()),
        })
    }

    /// Has the kernel tell of the system calls that filters of containers stop, or not, which is how it is
    /// at first.
    #[must_use]
    pub fn with_refusals(self, refusals: Refusals) -> Self {
        Self { refusals, ..self }
    }

    /// Gives containers a view of `/proc`, or says why they have none.
    #[must_use]
    pub fn with_view(self, view: Result<ProcView, String>) -> Self {
        Self { view, ..self }
    }

    /// The files of a container's view, and whether it has one; `None` where it wants none.
    pub(super) fn view(&self, plan: &LaunchPlan) -> (Binds, Option<Result<(), String>>) {
        let mut mounts = plan.mounts.iter();
        if !mounts.any(|mount| matches!(mount.content, Content::View(_))) {
            return (Binds::new(), None);
        }
        let opened = self.view.as_ref().map_err(Clone::clone).and_then(|view| {
            let tree = self.cgroups.as_ref();
            let groups = tree.map(|tree| tree.groups_of(&plan.container));
            let opened = view.open(plan, groups.unwrap_or_default());
            opened.map_err(|error| match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            })
        });
        match opened {
            Ok(binds) => (binds, Some(Ok(()))),
            Err(reason) => (Binds::new(), Some(Err(reason))),
        }
    }

    /// A container with these files of its view runs.
    pub(super) fn viewed(&self, plan: &LaunchPlan, init: &OwnedFd, files: &[usize]) {
        if let (Ok(view), false) = (&self.view, files.is_empty()) {
            view.opened(plan, init, files);
        }
    }

    /// The cgroups of the containers.
    #[must_use]
    pub fn cgroups(&self) -> Option<&Tree> {
        self.cgroups.as_ref()
    }

    /// The status of a container's task, as its init left it.
    ///
    /// The init cannot die of the signal that ended the task (a pid namespace's init ignores what it
    /// sends itself), so it leaves the exact status in a file. Without one the init was itself
    /// killed, and the task with it.
    #[must_use]
    pub fn recorded_exit(&self, container: &ContainerId) -> Option<ExitStatus> {
        let record = fs::read_to_string(self.exit_file(container)).ok()?;
        // The line's end marks that it is whole.
        let status = record.strip_suffix('\n')?.parse().ok()?;
        ExitStatus::from_wait_status(status)
    }

    /// Keeps what is to be known of a container when this program starts again on this machine; in
    /// place of what was kept before. It is not durable: no container outlives the machine.
    ///
    /// # Errors
    /// The file system.
    pub fn note(&self, container: &ContainerId, note: &[u8]) -> io::Result<()> {
        let path = self.file(container, NOTE);
        let new = self.file(container, NEW);
        // There may be secrets in the task's environment.
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new);
        file.and_then(|mut file| file.write_all(note))?;
        fs::rename(new, path)
    }

    /// All that is kept.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn notes(&self) -> io::Result<Vec<(ContainerId, Vec<u8>)>> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.runtime)? {
            let path = entry?.path();
            if path.extension().is_none_or(|kind| kind != NOTE) {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str());
            if let Some(Ok(container)) = name.map(ContainerId::new) {
                let file = fs::File::open(&path)?;
                notes.push((container, files::read_bounded(file.into(), NOTE_BYTES_MAX)?));
            }
        }
        Ok(notes)
    }

    /// Forgets a container that has ended: what is kept of it goes.
    pub fn forget(&self, container: &ContainerId) {
        // Already gone is as good; a directory out of reach shows at the next launch.
        let _ = fs::remove_file(self.file(container, NOTE));
        let _ = fs::remove_file(self.exit_file(container));
        if let Ok(view) = &self.view {
            view.close(container);
        }
    }

    /// Forgets the containers of an earlier agent process, but for those that are still of interest.
    pub fn forget_others(&self, wanted: impl Fn(&ContainerId) -> bool) {
        let Ok(entries) = fs::read_dir(&self.runtime) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let kind = path.extension().and_then(|kind| kind.to_str());
            if !matches!(kind, Some(EXIT | NOTE | NEW)) {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str());
            let container = name.and_then(|name| ContainerId::new(name).ok());
            if !container.is_some_and(|container| wanted(&container)) || kind == Some(NEW) {
                // As above.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The number of the view of `/proc` that a container has, or will have; 0 where there are no views.
    #[must_use]
    pub fn view_number(&self, container: &ContainerId) -> u64 {
        let view = self.view.as_ref();
        view.map_or(0, |view| view.reserve(container))
    }

    /// Gives containers that were launched by an earlier process of this agent their view of `/proc`
    /// again.
    pub fn view_again(&self, viewers: Vec<crate::procview::Adopted>) {
        if let Ok(view) = &self.view {
            view.adopt(viewers);
        }
    }

    /// A directory of the node that mounts may hide for a moment, from nobody but their maker.
    pub(super) fn stage(&self) -> &Path {
        &self.runtime
    }

    /// Reads small text files of an image as its layers show them together; empty where there are none.
    ///
    /// # Errors
    /// The layers cannot be mounted.
    pub fn image_files<const N: usize>(
        &self,
        layers: &[String],
        paths: [&str; N],
    ) -> Result<[String; N], LaunchError> {
        let overlay = Overlay {
            layers: layers.to_vec(),
            ids: None,
            scratch: Scratch::Memory {
                bytes_max: SCRATCH_BYTES_MAX,
            },
            access: Access::ReadOnly,
        };
        // The ids are as they are on the disk.
        let ids = IdRange {
            first: 0,
            length: u32::MAX,
        };
        let root = overlay::make(&overlay, ids, self.stage());
        let root = root.map_err(|overlay::Failed(what, errno)| {
            step(format!("read the image: {what}"))(errno)
        })?;
        Ok(paths.map(|path| text(&root, path).unwrap_or_default()))
    }

    /// Where the container's init leaves the status of the task.
    pub(super) fn exit_file(&self, container: &ContainerId) -> PathBuf {
        self.file(container, EXIT)
    }

    fn file(&self, container: &ContainerId, kind: &str) -> PathBuf {
        self.runtime.join(format!("{container}.{kind}"))
    }
}

/// Reads a small text file of a root, such as `etc/passwd`; empty where there is none, and no link
/// in the root leads to a file of the node.
#[must_use]
pub fn root_file(root: &Path, path: &str) -> String {
    let root = fs::File::open(root);
    root.and_then(|root| text(root, path)).unwrap_or_default()
}

fn text(root: impl AsFd, path: &str) -> io::Result<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = files::in_root(root, Path::new(path), flags)?;
    let content = files::read_bounded(file, ROOT_FILE_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}
