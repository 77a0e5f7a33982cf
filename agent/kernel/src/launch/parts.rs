//! Parts: the descriptors that the agent makes for a container before it is cloned.
//!
//! Every mount that needs the node's rights is made here, detached; the launcher only moves it.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use model::ContainerId;
use model::sandbox::{Access, Content, Handover, LaunchPlan, Missing, Mount, Namespace};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};

use super::host::Host;
use super::orders::{Order, Orders, What};
use super::spawn::{LaunchError, step};
use crate::files::{self, above_stdio};
use crate::mounts::{self, Attributes, Detached, PlaceKind};
use crate::namespaces::IdMap;

/// The descriptors of a container, made before the clone.
pub(super) struct Parts {
    root: OwnedFd,
    made: Vec<(usize, OwnedFd)>,
    sandbox: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    exit: OwnedFd,
}

impl Parts {
    /// Makes them all; what was made is gone again where one cannot be.
    pub(super) fn make(host: &Host, plan: &LaunchPlan) -> Result<Self, LaunchError> {
        let sandbox = plan.sandbox.source.as_str();
        let in_sandbox = |what: &str| step(format!("{what} sandbox {sandbox}"));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(sandbox, flags, Mode::empty()).map_err(in_sandbox("open"))?;
        let user = &plan.process.user;
        let owner = plan.ids.on_node(user.uid).zip(plan.ids.on_node(user.gid));
        let (uid, gid) = owner.ok_or(Errno::EINVAL).map_err(step(format!(
            "user {}:{} is outside the container's ids",
            user.uid, user.gid
        )))?;
        mounts::give(&directory, uid, gid).map_err(in_sandbox("chown"))?;
        // The files are opened through the container's own mount, so that /proc/PID/fd names them as
        // the task knows them and tells nothing of the node.
        let attributes = Attributes::NO_DEVICES.with(Access::ReadWrite);
        let directory = Detached::bind_open(&directory, attributes)
            .and_then(|mount| above_stdio(mount.into_fd()))
            .map_err(in_sandbox("clone"))?;
        let output = |name: &str| {
            let file = files::append(&directory, Path::new(name)).and_then(above_stdio);
            let file = file.map_err(step(format!("open {name} in the sandbox")))?;
            mounts::give(&file, uid, gid).map_err(step(format!("chown {name}")))?;
            Ok(file)
        };
        let (stdout, stderr) = (output(&plan.sandbox.stdout)?, output(&plan.sandbox.stderr)?);
        Ok(Self {
            root: make_root(plan)?,
            made: make_mounts(plan)?,
            sandbox: directory,
            stdout,
            stderr,
            exit: make_exit_file(host, &plan.container)?,
        })
    }

    /// Those that the launcher needs.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let own = [&self.root, &self.sandbox, &self.exit];
        let mut all: Vec<RawFd> = own.map(AsRawFd::as_raw_fd).to_vec();
        all.extend(self.made.iter().map(|(_, fd)| fd.as_raw_fd()));
        all
    }

    /// The orders that go with them.
    pub(super) fn orders(&self, plan: &LaunchPlan, report: RawFd) -> Orders {
        let order = |(index, mount): (usize, &Mount)| {
            let made = self.made.iter().find(|(of, _)| *of == index);
            let what = match &mount.content {
                Content::Proc => Some(What::Proc),
                Content::Cgroup => Some(What::Cgroup),
                Content::Mask => Some(What::Mask),
                Content::ReadOnly => Some(What::ReadOnly),
                Content::Sandbox => Some(What::Made(self.sandbox.as_raw_fd())),
                Content::Bind { .. }
                | Content::Volume { .. }
                | Content::Tmpfs { .. }
                | Content::Devices(_)
                | Content::Terminals { .. } => made.map(|(_, fd)| What::Made(fd.as_raw_fd())),
            };
            what.map(|what| Order {
                target: mount.target.clone(),
                what,
            })
        };
        Orders {
            report,
            exit: self.exit.as_raw_fd(),
            root: self.root.as_raw_fd(),
            hostname: plan.hostname.clone(),
            cgroup_namespace: plan.namespaces.contains(&Namespace::Cgroup),
            mounts: plan.mounts.iter().enumerate().filter_map(order).collect(),
            process: plan.process.clone(),
            capabilities: plan.capabilities.clone(),
        }
    }
}

/// The root as a detached mount, with a place for every mount that stands on it.
fn make_root(plan: &LaunchPlan) -> Result<OwnedFd, LaunchError> {
    let source = Path::new(&plan.root.source);
    let failed = |what: &str| step(format!("{what} root {}", source.display()));
    let directory = fs::File::open(source).map_err(|error| failed("open")(files::errno(&error)))?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        let kind = match &mount.content {
            Content::Mask | Content::ReadOnly => continue,
            Content::Bind {
                source,
                missing: Missing::IsLeftOut,
                ..
            } if !Path::new(source).exists() => continue,
            Content::Bind { source, .. } if !Path::new(source).is_dir() => PlaceKind::File,
            Content::Bind { .. }
            | Content::Volume { .. }
            | Content::Sandbox
            | Content::Tmpfs { .. }
            | Content::Devices(_)
            | Content::Terminals { .. }
            | Content::Proc
            | Content::Cgroup => PlaceKind::Directory,
        };
        let stands_on_another = plan.mounts[..index]
            .iter()
            .any(|other| Path::new(&mount.target).starts_with(&other.target));
        if !stands_on_another {
            mounts::make_place(directory.as_fd(), &mount.target, kind)
                .map_err(step(format!("make {} in the root", mount.target)))?;
        }
    }
    Detached::bind(source, Attributes::NO_DEVICES.with(plan.root.access))
        .and_then(|mount| above_stdio(mount.into_fd()))
        .map_err(failed("clone"))
}

/// All mounts that are the agent's to make, each with its index in the plan.
fn make_mounts(plan: &LaunchPlan) -> Result<Vec<(usize, OwnedFd)>, LaunchError> {
    let mut made = Vec::new();
    for (index, mount) in plan.mounts.iter().enumerate() {
        if let Some(detached) =
            make_mount(plan, mount).map_err(step(format!("make mount {}", mount.target)))?
        {
            let fd = above_stdio(detached.into_fd()).map_err(step("dup"))?;
            made.push((index, fd));
        }
    }
    Ok(made)
}

fn make_mount(plan: &LaunchPlan, mount: &Mount) -> Result<Option<Detached>, Errno> {
    let detached = match &mount.content {
        Content::Bind {
            source,
            access,
            missing,
        } => match Detached::bind(Path::new(source), Attributes::NO_DEVICES.with(*access)) {
            Err(Errno::ENOENT) if *missing == Missing::IsLeftOut => return Ok(None),
            result => result?,
        },
        Content::Volume {
            source,
            access,
            handover,
        } => make_volume(plan, Path::new(source), *access, *handover)?,
        Content::Tmpfs { bytes_max, mode } => {
            Detached::tmpfs(*bytes_max, *mode, Attributes::NO_DEVICES)?
        }
        Content::Devices(devices) => Detached::devices(devices)?,
        Content::Terminals { group } => {
            let gid = plan.ids.on_node(*group).ok_or(Errno::EINVAL)?.to_string();
            let options = [
                (c"gid", gid.as_str()),
                (c"mode", "620"),
                (c"ptmxmode", "666"),
            ];
            Detached::filesystem(c"devpts", &options, Attributes::NO_EXEC)?
        }
        Content::Sandbox | Content::Proc | Content::Cgroup | Content::Mask | Content::ReadOnly => {
            return Ok(None);
        }
    };
    Ok(Some(detached))
}

/// A volume under the container's ids, given to the container's user.
fn make_volume(
    plan: &LaunchPlan,
    source: &Path,
    access: Access,
    handover: Handover,
) -> Result<Detached, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = open(source, flags, Mode::empty())?;
    let is_new = fstat(&directory)?.st_uid == 0;
    if handover == Handover::Always || is_new {
        let user = &plan.process.user;
        mounts::give(&directory, user.uid, user.gid)?;
    }
    let ids = IdMap::new(plan.ids)?;
    Detached::bind_mapped(&directory, Attributes::NO_DEVICES.with(access), &ids)
}

fn make_exit_file(host: &Host, container: &ContainerId) -> Result<OwnedFd, LaunchError> {
    let path = host.exit_file(container);
    fs::File::create(&path)
        .map_err(|error| files::errno(&error))
        .and_then(|file| above_stdio(file.into()))
        .map_err(step(format!("make {}", path.display())))
}
