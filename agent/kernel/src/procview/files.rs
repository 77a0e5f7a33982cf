//! The files: what the kernel's requests are answered with.
//!
//! ```text
//! /          nobody gets here but the door
//! /7         the view with the number 7
//! /7/meminfo
//! ```
//!
//! A file is read past the page cache: each read is a request. A reading from the start takes the text of
//! that moment, and goes on in it however many calls it takes, until it starts anew.
//!
//! sendfile(2) and splice(2) go by the page cache since Linux 6.5, whatever a file says of it: a size of 0,
//! as files of proc have, would be the end of the file to them, and `cat /proc/meminfo | …` empty. So
//! files have a size, as those of sysfs do, and what asks for a page is told EINVAL; programs read then.

use std::ffi::OsStr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use fuser::{
    FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyOpen, ReplyStatfs, Request,
};
use model::sandbox::ViewFile;
use nix::errno::Errno;

use super::{Container, Shared};

/// Attributes never change.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A name is looked up once, by the door, and forgotten with the last bind.
const ONCE: Duration = Duration::ZERO;

/// The inodes of a view: its directory, then its files.
const INODES: u64 = 16;

const _: () = assert!(
    ViewFile::ALL.len() < INODES as usize,
    "a view has an inode for each file"
);

/// What a file says that it has.
const FILE_BYTES: u64 = 4096;

/// The most that the kernel writes at once, were there anything to write to.
const WRITE_BYTES_MAX: u32 = 4096;

/// The name of a file in the directory of a view.
pub(super) fn name(file: ViewFile) -> &'static str {
    let path = file.path();
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The file system.
#[derive(Debug)]
pub(super) struct Files {
    shared: Weak<Shared>,
    since: SystemTime,
}

/// What an inode is.
enum Inode {
    Root,
    View(u64),
    File(u64, ViewFile),
}

impl Inode {
    fn of(number: INodeNo) -> Option<Self> {
        if number == INodeNo::ROOT {
            return Some(Self::Root);
        }
        let (view, file) = (number.0 / INODES, number.0 % INODES);
        match (view, file.checked_sub(1)) {
            (0, _) => None,
            (view, None) => Some(Self::View(view)),
            (view, Some(file)) => {
                let file = ViewFile::ALL.get(usize::try_from(file).ok()?)?;
                Some(Self::File(view, *file))
            }
        }
    }

    fn number(&self) -> INodeNo {
        match self {
            Self::Root => INodeNo::ROOT,
            Self::View(view) => INodeNo(view * INODES),
            Self::File(view, file) => {
                let index = ViewFile::ALL.iter().position(|other| other == file);
                let index = index.and_then(|index| u64::try_from(index).ok());
                INodeNo(view * INODES + index.unwrap_or(0) + 1)
            }
        }
    }
}

impl Files {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            since: SystemTime::now(),
        }
    }

    fn attributes(&self, inode: &Inode) -> FileAttr {
        let (kind, perm, size) = match inode {
            // The root of the node passes everywhere.
            Inode::Root | Inode::View(_) => (FileType::Directory, 0o500, 0),
            Inode::File(..) => (FileType::RegularFile, 0o444, FILE_BYTES),
        };
        FileAttr {
            ino: inode.number(),
            size,
            blocks: 0,
            atime: self.since,
            mtime: self.since,
            ctime: self.since,
            crtime: self.since,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn child(&self, parent: INodeNo, wanted: &OsStr) -> Option<Inode> {
        let wanted = wanted.to_str()?;
        match Inode::of(parent)? {
            Inode::Root => {
                let number = wanted.parse().ok()?;
                self.shared.upgrade()?.view(number)?;
                Some(Inode::View(number))
            }
            Inode::View(view) => {
                let file = ViewFile::ALL.iter().find(|file| name(**file) == wanted)?;
                Some(Inode::File(view, *file))
            }
            Inode::File(..) => None,
        }
    }

    /// A file, as long as its container has not ended.
    fn file(&self, inode: INodeNo) -> Option<(Arc<Shared>, Arc<Container>, ViewFile)> {
        let Inode::File(view, file) = Inode::of(inode)? else {
            return None;
        };
        let shared = self.shared.upgrade()?;
        let container = shared.view(view)?;
        Some((shared, container, file))
    }

    /// Answers for a file at its container's pace.
    fn paced(
        &self,
        inode: INodeNo,
        answer: impl FnOnce(Result<(), fuser::Errno>) + Send + 'static,
    ) {
        match self.file(inode) {
            Some((shared, container, _)) => {
                let answer = |may: Result<(), Errno>| answer(may.map_err(code));
                shared.clock.answer(&container, answer);
            }
            None => answer(Ok(())),
        }
    }
}

fn code(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

impl Filesystem for Files {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // What the kernel takes less is as good.
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.child(parent, name) {
            Some(inode) => {
                let attributes = self.attributes(&inode);
                reply.entry_with_ttls(&FOREVER, &ONCE, &attributes, Generation(0));
            }
            None => reply.error(fuser::Errno::ENOENT),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let Some(known) = Inode::of(inode) else {
            return reply.error(fuser::Errno::ENOENT);
        };
        let attributes = self.attributes(&known);
        self.paced(inode, move |may| match may {
            Ok(()) => reply.attr(&FOREVER, &attributes),
            Err(errno) => reply.error(errno),
        });
    }

    fn open(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let Some((shared, container, _)) = self.file(inode) else {
            return reply.error(fuser::Errno::ENOENT);
        };
        let handle = FileHandle(container.handle());
        shared.clock.answer(&container, move |may| match may {
            Ok(()) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(code(errno)),
        });
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        // The kernel names whoever reads by read(2), and nobody where it fills a page.
        if owner.is_none() {
            return self.paced(inode, |_| reply.error(fuser::Errno::EINVAL));
        }
        let Some((shared, container, file)) = self.file(inode) else {
            return reply.error(fuser::Errno::ENOENT);
        };
        let Some(text) = container.read(&shared, file, handle.0, offset == 0) else {
            return reply.error(fuser::Errno::EIO);
        };
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let end = start.saturating_add(size).min(text.len());
        shared.clock.answer(&container, move |may| match may {
            Ok(()) => reply.data(&text[start..end]),
            Err(errno) => reply.error(code(errno)),
        });
    }

    fn release(
        &self,
        _request: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if let Some((_, container, _)) = self.file(inode) {
            container.released(handle.0);
        }
        reply.ok();
    }

    fn statfs(&self, _request: &Request, inode: INodeNo, reply: ReplyStatfs) {
        self.paced(inode, move |may| match may {
            Ok(()) => reply.statfs(0, 0, 0, 0, 0, 4096, 255, 0),
            Err(errno) => reply.error(errno),
        });
    }

    fn ioctl(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _input: &[u8],
        _output_size: u32,
        reply: ReplyIoctl,
    ) {
        self.paced(inode, move |may| {
            reply.error(may.err().unwrap_or(fuser::Errno::ENOTTY));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_every_view_has_an_inode_of_its_own() {
        for view in [1, 2, 1 << 40] {
            for file in ViewFile::ALL {
                let number = Inode::File(view, file).number();
                assert!(
                    matches!(Inode::of(number), Some(Inode::File(of, found)) if of == view && found == file)
                );
            }
            let directory = Inode::View(view).number();
            assert!(matches!(Inode::of(directory), Some(Inode::View(of)) if of == view));
        }
        assert!(matches!(Inode::of(INodeNo::ROOT), Some(Inode::Root)));
        for none in [0, 2, 15, 16 + 9, 16 + 15] {
            assert!(Inode::of(INodeNo(none)).is_none(), "{none}");
        }
    }
}
