//! Tree: where and how entries of an archive are written.
//!
//! Every entry is a single name in a folder that openat2(2) has found beneath the root: in an image
//! links are followed as a process with this root would follow them, in a sandbox none may lead out.
//! Nobody else writes here meanwhile, and if somebody did, the kernel would still not leave the root.
//! What stands in the way of an image's entry is replaced, as later entries win.

mod empty;
mod whiteouts;

use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use agent_kernel::Errno;
use agent_kernel::files::{self, set_attribute};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{
    FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{
    LinkatFlags, UnlinkatFlags, Whence, fchown, fchownat, ftruncate, linkat, lseek, symlinkat,
    unlinkat, write,
};
use serde::{Deserialize, Serialize};

use super::Bounds;
use super::decode::Meter;
use super::fault::Fault;
use super::layout::{Place, shown};

use empty::empty;

/// A link's target is a path.
const TARGET_BYTES_MAX: usize = 4095;
/// Of a file's content, at once.
const BUFFER_BYTES: usize = 128 << 10;

/// What is made of ids, modes and whiteouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rules {
    /// All kept; whiteouts become overlayfs'.
    Layer,
    /// All kept.
    Image,
    /// Everything belongs to whoever writes.
    Files,
}

/// What is known of an entry beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meta {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    /// Seconds and nanoseconds since 1970.
    pub(super) modified: Option<(i64, i64)>,
    /// Extended attributes.
    pub(super) attributes: Vec<(CString, Vec<u8>)>,
}

impl Meta {
    /// Only a mode.
    pub(super) fn plain(mode: u32) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    fn times(&self) -> [TimeSpec; 2] {
        let time = self.modified.map_or(TimeSpec::UTIME_NOW, |(secs, nanos)| {
            TimeSpec::new(secs, nanos)
        });
        [time, time]
    }
}

/// What was made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Made {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) skipped: u64,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    file: OwnedFd,
    name: String,
    meta: Meta,
    /// Ends in a hole: its length has to be said.
    hole: Option<u64>,
    length: u64,
}

/// The folder that is written to.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    rules: Rules,
    bounds: Bounds,
    meter: Meter,
    made: Made,
    /// What folders get when nothing is put into them any more.
    folders: Vec<(Place, Meta)>,
    /// The folder of the entry before, which is that of the next one most often.
    last: Option<(PathBuf, OwnedFd)>,
    buffer: Vec<u8>,
}

impl Tree {
    pub(super) fn new(root: OwnedFd, rules: Rules, bounds: Bounds, meter: Meter) -> Self {
        Self {
            root,
            rules,
            bounds,
            meter,
            made: Made::default(),
            folders: Vec::new(),
            last: None,
            buffer: Vec::new(),
        }
    }

    /// Gives folders their modes and times; says what was made.
    pub(super) fn finish(mut self) -> Result<Made, Fault> {
        // The inner ones first, as long as the outer ones can be entered.
        while let Some((place, meta)) = self.folders.pop() {
            let folder = self.folder(place.path(), OFlag::O_RDONLY);
            let Ok(folder) = folder else {
                // A later entry took its place.
                continue;
            };
            let name = place.path().display();
            if self.rules == Rules::Files {
                let mode = Mode::from_bits_truncate(self.mode(&meta) | 0o700);
                fchmod(&folder, mode).map_err(Fault::file("chmod", &name))?;
            }
            let [accessed, modified] = meta.times();
            futimens(&folder, &accessed, &modified)
                .map_err(Fault::file("set the times of", &name))?;
        }
        Ok(self.made)
    }

    /// Leaves an entry out.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.count()?;
        self.made.entries -= 1;
        self.made.skipped += 1;
        Ok(())
    }

    /// Begins a regular file.
    pub(super) fn file(&mut self, name: &[u8], meta: Meta) -> Result<Writing, Fault> {
        let place = self.place(name)?;
        let parent = self.parent(&place, name)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let mode = Mode::from_bits_truncate(0o600);
        let file = self.put(&place, parent, name, |parent, leaf| {
            files::beneath(parent, leaf, flags, mode)
        })?;
        Ok(Writing {
            file,
            name: shown(name),
            meta,
            hole: None,
            length: 0,
        })
    }

    /// Writes a piece of it.
    pub(super) fn write(&mut self, to: &mut Writing, mut bytes: &[u8]) -> Result<(), Fault> {
        to.length += bytes.len() as u64;
        self.made.bytes += bytes.len() as u64;
        to.hole = None;
        while !bytes.is_empty() {
            match write(&to.file, bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Fault::file("write", &to.name)(errno)),
            }
        }
        Ok(())
    }

    /// Leaves a hole up to an offset.
    pub(super) fn hole(&mut self, to: &mut Writing, up_to: u64) -> Result<(), Fault> {
        let backwards = || Fault::archive(format_args!("{}: a hole ends before it", to.name));
        let more = up_to.checked_sub(to.length).ok_or_else(backwards)?;
        self.meter.take(more)?;
        self.made.bytes += more;
        let offset = i64::try_from(up_to).map_err(|_| backwards())?;
        lseek(&to.file, offset, Whence::SeekSet).map_err(Fault::file("write", &to.name))?;
        to.length = up_to;
        to.hole = Some(up_to);
        Ok(())
    }

    /// Writes all that a reader has.
    pub(super) fn fill(&mut self, to: &mut Writing, from: &mut impl Read) -> Result<(), Fault> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER_BYTES, 0);
        loop {
            let length = from.read(&mut buffer).map_err(Fault::read)?;
            if length == 0 {
                break;
            }
            self.write(to, &buffer[..length])?;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Gives a file that is whole its owner, mode, attributes and time.
    pub(super) fn close(&mut self, written: Writing) -> Result<(), Fault> {
        let Writing {
            file,
            name,
            meta,
            hole,
            length: _,
        } = written;
        if let Some(length) = hole {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            ftruncate(&file, length).map_err(Fault::file("write", &name))?;
        }
        self.dress(&file, &name, &meta)?;
        let [accessed, modified] = meta.times();
        futimens(&file, &accessed, &modified).map_err(Fault::file("set the times of", &name))
    }

    /// Makes a folder, or gives one that is there its owner and mode.
    pub(super) fn directory(&mut self, name: &[u8], meta: Meta) -> Result<(), Fault> {
        let place = self.place(name)?;
        if let Some((_, leaf)) = place.split() {
            let parent = self.parent(&place, name)?;
            match mkdirat(&parent, leaf, Mode::S_IRWXU) {
                Ok(()) => self.keep(&place, parent),
                Err(Errno::EEXIST) => self.directory_over(&place, parent, leaf, name)?,
                Err(errno) => return Err(Fault::file("make", shown(name))(errno)),
            }
        }
        let folder = self
            .folder(place.path(), OFlag::O_RDONLY)
            .map_err(Fault::file("open", shown(name)))?;
        self.dress(&folder, &shown(name), &meta)?;
        self.folders.push((place, meta));
        Ok(())
    }

    fn directory_over(
        &mut self,
        place: &Place,
        parent: OwnedFd,
        leaf: &Path,
        name: &[u8],
    ) -> Result<(), Fault> {
        let there = self.stat(&parent, leaf, name)?;
        if kind(&there) == SFlag::S_IFDIR {
            self.keep(place, parent);
            return Ok(());
        }
        let was_whiteout = kind(&there) == SFlag::S_IFCHR;
        self.put(place, parent, name, |parent, leaf| {
            mkdirat(parent, leaf, Mode::S_IRWXU)
        })?;
        if was_whiteout {
            // What lower layers have of this name stays gone.
            self.opaque(place.path(), name)?;
        }
        Ok(())
    }

    /// Makes a symbolic link; it may point anywhere, since nothing is ever written through it.
    pub(super) fn symlink(&mut self, name: &[u8], target: &[u8], meta: Meta) -> Result<(), Fault> {
        let place = self.place(name)?;
        if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) {
            let text = format_args!("{:?} is a link to no path", shown(name));
            return Err(Fault::archive(text));
        }
        let parent = self.parent(&place, name)?;
        let target = OsStr::from_bytes(target);
        let rules = self.rules;
        self.put(&place, parent, name, |parent, leaf| {
            symlinkat(target, parent, leaf)?;
            if rules != Rules::Files {
                let (uid, gid) = (meta.uid.into(), meta.gid.into());
                let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                fchownat(parent, leaf, Some(uid), Some(gid), flags)?;
            }
            let [accessed, modified] = meta.times();
            let flags = UtimensatFlags::NoFollowSymlink;
            utimensat(parent, leaf, &accessed, &modified, flags)
        })
    }

    /// Makes another name of a file that is in this archive.
    pub(super) fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<(), Fault> {
        let place = self.place(name)?;
        let to = Place::of(target, self.bounds.depth)?;
        let missing = || {
            let (name, target) = (shown(name), shown(target));
            Fault::archive(format_args!(
                "{name:?} is a hard link to {target:?}, which is no file of it"
            ))
        };
        let (folder, file) = to.split().ok_or_else(missing)?;
        let folder = self.folder(folder, OFlag::O_PATH).map_err(|_| missing())?;
        let there = fstatat(&folder, file, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        // A whiteout is a device to the kernel, and would be one for both names.
        if matches!(kind(&there), SFlag::S_IFDIR | SFlag::S_IFCHR) {
            return Err(missing());
        }
        if to == place {
            return Ok(());
        }
        let parent = self.parent(&place, name)?;
        self.put(&place, parent, name, |parent, leaf| {
            linkat(&folder, file, parent, leaf, LinkatFlags::empty())
        })
    }

    /// Makes a named pipe; a sandbox gets none.
    pub(super) fn pipe(&mut self, name: &[u8], meta: &Meta) -> Result<(), Fault> {
        if self.rules == Rules::Files {
            return self.skip();
        }
        let place = self.place(name)?;
        let parent = self.parent(&place, name)?;
        let mode = Mode::from_bits_truncate(self.mode(meta));
        let (uid, gid) = (meta.uid.into(), meta.gid.into());
        self.put(&place, parent, name, |parent, leaf| {
            mknodat(parent, leaf, SFlag::S_IFIFO, mode, 0)?;
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            fchownat(parent, leaf, Some(uid), Some(gid), flags)
        })
    }

    /// The place of the next entry.
    fn place(&mut self, name: &[u8]) -> Result<Place, Fault> {
        let place = Place::of(name, self.bounds.depth)?;
        self.count()?;
        Ok(place)
    }

    fn count(&mut self) -> Result<(), Fault> {
        if self.made.entries + self.made.skipped >= self.bounds.entries {
            let text = format!("more than {} entries", self.bounds.entries);
            return Err(Fault::Bound(text));
        }
        self.made.entries += 1;
        Ok(())
    }

    /// The folder of a place, made where it is missing. Who is done with it gives it back by
    /// [`Self::keep`].
    fn parent(&mut self, place: &Place, name: &[u8]) -> Result<OwnedFd, Fault> {
        let root = || Fault::archive(format_args!("{:?} is the folder itself", shown(name)));
        let (folder, _) = place.split().ok_or_else(root)?;
        if let Some((_, open)) = self.last.take_if(|(path, _)| path == folder) {
            return Ok(open);
        }
        match self.folder(folder, OFlag::O_PATH) {
            Err(Errno::ENOENT) => self.make_folders(folder, name),
            result => result.map_err(Fault::file("open the folder of", shown(name))),
        }
    }

    /// Makes the folders of a path that have no entry of their own, or not yet.
    fn make_folders(&mut self, path: &Path, name: &[u8]) -> Result<OwnedFd, Fault> {
        let fault = || {
            let of = Fault::file("make the folder of", shown(name));
            |errno| match errno {
                // There is a name, and it led to nothing.
                Errno::EEXIST => {
                    let text = format_args!("{:?} is in a link that leads nowhere", shown(name));
                    Fault::archive(text)
                }
                errno => of(errno),
            }
        };
        let mut so_far = PathBuf::new();
        let mut folder = self.folder(&so_far, OFlag::O_PATH).map_err(fault())?;
        for part in path.components() {
            so_far.push(part);
            folder = match self.folder(&so_far, OFlag::O_PATH) {
                Err(Errno::ENOENT) => {
                    self.count()?;
                    let part = Path::new(part.as_os_str());
                    mkdirat(&folder, part, Mode::from_bits_truncate(0o755)).map_err(fault())?;
                    let folder = self.folder(&so_far, OFlag::O_RDONLY).map_err(fault())?;
                    self.dress(&folder, &shown(name), &Meta::plain(0o755))?;
                    folder
                }
                result => result.map_err(fault())?,
            };
        }
        Ok(folder)
    }

    /// Opens a folder beneath the root.
    fn folder(&self, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        let flags = flags | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match self.rules {
            Rules::Layer | Rules::Image => files::in_root(&self.root, path, flags),
            Rules::Files => files::beneath(&self.root, path, flags, Mode::empty()),
        }
    }

    /// Keeps an open folder for the next entry.
    fn keep(&mut self, place: &Place, folder: OwnedFd) {
        self.last = place.path().parent().map(|path| (path.to_owned(), folder));
    }

    /// Makes something of a name, over what is there.
    fn put<T>(
        &mut self,
        place: &Place,
        parent: OwnedFd,
        name: &[u8],
        mut make: impl FnMut(&OwnedFd, &Path) -> Result<T, Errno>,
    ) -> Result<T, Fault> {
        let leaf = place.split().map_or(Path::new(""), |(_, leaf)| leaf);
        let result = match make(&parent, leaf) {
            Err(Errno::EEXIST) => {
                self.remove(&parent, leaf, name)?;
                make(&parent, leaf)
            }
            result => result,
        };
        self.keep(place, parent);
        result.map_err(Fault::file("make", shown(name)))
    }

    /// Removes what is in the way; in a sandbox a folder stays.
    fn remove(&self, parent: &OwnedFd, leaf: &Path, name: &[u8]) -> Result<(), Fault> {
        let there = self.stat(parent, leaf, name)?;
        if kind(&there) != SFlag::S_IFDIR {
            return unlinkat(parent, leaf, UnlinkatFlags::NoRemoveDir)
                .map_err(Fault::file("replace", shown(name)));
        }
        if self.rules == Rules::Files {
            let text = format_args!("{:?} is a folder there already", shown(name));
            return Err(Fault::archive(text));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        files::beneath(parent, leaf, flags, Mode::empty())
            .and_then(empty)
            .and_then(|()| unlinkat(parent, leaf, UnlinkatFlags::RemoveDir))
            .map_err(Fault::file("replace", shown(name)))
    }

    fn stat(&self, parent: &OwnedFd, leaf: &Path, name: &[u8]) -> Result<FileStat, Fault> {
        fstatat(parent, leaf, AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(Fault::file("look at", shown(name)))
    }

    /// Owner, mode and attributes, in the order in which none takes another away again: a new owner
    /// clears set-user-id bits and capabilities.
    fn dress(&self, file: &OwnedFd, name: &str, meta: &Meta) -> Result<(), Fault> {
        let mut mode = self.mode(meta);
        if self.rules == Rules::Files {
            // A folder has to be entered until all is written; `finish` gives it its own.
            if kind(&fstat(file).map_err(Fault::file("look at", name))?) == SFlag::S_IFDIR {
                mode |= 0o700;
            }
        } else {
            let (uid, gid) = (meta.uid.into(), meta.gid.into());
            fchown(file, Some(uid), Some(gid)).map_err(|errno| match errno {
                Errno::EINVAL => {
                    let (uid, gid) = (meta.uid, meta.gid);
                    let text = format_args!("{name:?} is of {uid}:{gid}, which no container has");
                    Fault::archive(text)
                }
                errno => Fault::file("chown", name)(errno),
            })?;
        }
        fchmod(file, Mode::from_bits_truncate(mode)).map_err(Fault::file("chmod", name))?;
        if self.rules == Rules::Files {
            return Ok(());
        }
        for (attribute, value) in &meta.attributes {
            match set_attribute(file, attribute, value) {
                // The disk has no room for it in the inode, or knows no such attributes.
                Ok(()) | Err(Errno::EOPNOTSUPP) => {}
                Err(errno) => return Err(Fault::file("set an attribute of", name)(errno)),
            }
        }
        Ok(())
    }

    /// In a sandbox as tar(1) has it for users that are not root, with the usual mask.
    fn mode(&self, meta: &Meta) -> u32 {
        match self.rules {
            Rules::Layer | Rules::Image => meta.mode & 0o7777,
            Rules::Files => meta.mode & 0o755,
        }
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Whether an attribute of an archive is one to keep: capabilities, and what is the user's, but
/// nothing that overlayfs would take for its own.
pub(super) fn is_kept(attribute: &[u8]) -> bool {
    attribute == b"security.capability"
        || (attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay."))
}
