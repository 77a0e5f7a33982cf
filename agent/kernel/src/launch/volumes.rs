//! Volumes: the mounts that the agent makes for a container, each detached.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use model::sandbox::{Access, Content, Handover, LaunchPlan, Missing, Mount, MountsBeneath};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fchmod, fstat};

use super::host::Host;
use crate::files;
use crate::mounts::{self, Attributes, Detached};
use crate::namespaces::{self, IdMap};
use crate::network::{self, Space};
use crate::stage;

/// What directories of a sandbox are made with.
const DIRECTORY: Mode = Mode::from_bits_truncate(0o755);

/// What all mounts of a container are made from.
pub(super) struct Maker<'a> {
    pub(super) host: &'a Host,
    pub(super) plan: &'a LaunchPlan,
    pub(super) parent: Option<&'a OwnedFd>,
    /// The node's ids of the container's user.
    pub(super) owner: (u32, u32),
    /// The ready network that the container gets.
    pub(super) space: Option<&'a Space>,
}

impl Maker<'_> {
    /// A mount; none where the launcher makes it, or where the node lacks what it would show.
    pub(super) fn make(&self, mount: &Mount) -> Result<Option<Detached>, Errno> {
        let detached = match &mount.content {
            Content::Bind {
                source,
                access,
                missing,
            } => match Detached::bind(Path::new(source), Attributes::NO_DEVICES.with(*access)) {
                Err(Errno::ENOENT) if *missing == Missing::IsLeftOut => return Ok(None),
                result => result?,
            },
            Content::Host {
                source,
                access,
                beneath,
            } => self.host_path(Path::new(source), *access, *beneath)?,
            Content::Beneath {
                directory,
                path,
                access,
            } => self.beneath(Path::new(directory), Path::new(path), *access)?,
            Content::Volume {
                source,
                access,
                handover,
            } => self.volume(Path::new(source), *access, *handover)?,
            Content::File { content, mode } => self.file(&content.0, *mode)?,
            Content::OfParent => self.of_parent(&mount.target)?,
            Content::Tmpfs {
                bytes_max,
                inodes_max,
                mode,
            } => Detached::tmpfs_of(*bytes_max, *inodes_max, *mode, Attributes::NO_DEVICES)?,
            Content::Devices(devices) => Detached::devices(devices)?,
            Content::Terminals { group } => {
                let gid = self.plan.ids.on_node(*group).ok_or(Errno::EINVAL)?;
                let options = [
                    (c"gid", gid.to_string()),
                    (c"mode", "620".to_string()),
                    (c"ptmxmode", "666".to_string()),
                ];
                let options = options
                    .each_ref()
                    .map(|(key, value)| (*key, value.as_str()));
                Detached::filesystem(c"devpts", &options, Attributes::NO_EXEC)?
            }
            Content::Sysfs => self.sysfs()?,
            Content::Sandbox
            | Content::Image(_)
            | Content::Proc
            | Content::Queues
            | Content::View(_)
            | Content::Cgroup
            | Content::Mask
            | Content::ReadOnly => return Ok(None),
        };
        Ok(Some(detached))
    }

    /// A directory or file of the node, with the owners that it has. No link on the way is followed:
    /// a container that may write to a part of the node could lead the next one elsewhere.
    fn host_path(
        &self,
        source: &Path,
        access: Access,
        beneath: MountsBeneath,
    ) -> Result<Detached, Errno> {
        let top = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        let inside = source.strip_prefix("/").map_err(|_| Errno::EINVAL)?;
        let found = files::without_links(top, inside, OFlag::O_PATH)?;
        let attributes = Attributes::NO_DEVICES.with(access);
        let ids = IdMap::of(self.plan.ids)?;
        let mount = match beneath {
            MountsBeneath::Hidden => Detached::bind_open(&found, attributes)?,
            MountsBeneath::Followed => Detached::follow(&found, attributes)?,
        };
        match mount.map(&ids) {
            // A file system that maps no ids: its owners are strangers inside, who share nothing but
            // what is everyone's. So are those of mounts beneath.
            Ok(()) | Err(Errno::EINVAL) => Ok(mount),
            Err(errno) => Err(errno),
        }
    }

    /// A part of a sandbox, made where it is missing.
    fn beneath(&self, directory: &Path, path: &Path, access: Access) -> Result<Detached, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let sandbox = open(directory, flags, Mode::empty())?;
        let found = match files::without_links(&sandbox, path, OFlag::O_PATH) {
            Err(Errno::ENOENT) => {
                let made = files::make_directories(&sandbox, path, DIRECTORY)?;
                mounts::give(&made, self.owner.0, self.owner.1)?;
                made
            }
            result => result?,
        };
        Detached::bind_open(&found, Attributes::NO_DEVICES.with(access))
    }

    /// A volume under the container's ids, given to the container's user.
    fn volume(&self, source: &Path, access: Access, handover: Handover) -> Result<Detached, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(source, flags, Mode::empty())?;
        let is_new = fstat(&directory)?.st_uid == 0;
        if handover == Handover::Always || is_new {
            let user = self.plan.run.user();
            mounts::give(&directory, user.uid, user.gid)?;
        }
        let ids = IdMap::of(self.plan.ids)?;
        Detached::bind_mapped(&directory, Attributes::NO_DEVICES.with(access), &ids)
    }

    /// A file of a file system of its own, in memory.
    fn file(&self, content: &[u8], mode: u32) -> Result<Detached, Errno> {
        const NAME: &str = "file";
        let length = u64::try_from(content.len()).map_err(|_| Errno::EFBIG)?;
        let owner = self.owner;
        stage::on(|| {
            // A page for the directory, and what does not fill its last page.
            let memory = Detached::tmpfs(length.saturating_add(1 << 14), 0o755, Attributes::DATA)?;
            stage::enter(&memory, self.host.stage())?;
            let mut file = File::create_new(NAME).map_err(|error| files::errno(&error))?;
            file.write_all(content)
                .map_err(|error| files::errno(&error))?;
            mounts::give(&file, owner.0, owner.1)?;
            fchmod(&file, Mode::from_bits_truncate(mode))?;
            Detached::bind(Path::new(NAME), Attributes::DATA.with(Access::ReadOnly))
        })
    }

    /// A file system of the kernel shows the devices of the network that it was mounted in.
    fn sysfs(&self) -> Result<Detached, Errno> {
        match (self.space, self.parent) {
            (Some(space), _) => space.sysfs(),
            (None, Some(parent)) => namespaces::in_network(parent, network::sysfs),
            (None, None) => Err(Errno::ESRCH),
        }
    }

    fn of_parent(&self, target: &str) -> Result<Detached, Errno> {
        let parent = self.parent.ok_or(Errno::ESRCH)?;
        let target = std::ffi::CString::new(target).map_err(|_| Errno::EINVAL)?;
        namespaces::in_mounts_of(parent, || Detached::tree(&target))
    }
}
