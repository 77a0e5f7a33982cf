//! Parts: the descriptors that the agent makes for a container before it is cloned.
//!
//! Every mount that needs the node's rights is made here, detached; the launcher only moves it.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use model::sandbox::{Access, Content, LaunchPlan, Namespace, Network, Overlay, Root, Sandbox};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::filters::Filters;
use super::host::Host;
use super::orders::{Order, Orders, What};
use super::spawn::{LaunchError, step};
use super::streams::{Ends, OutputFiles, Terminals};
use super::volumes::Maker;
use crate::cgroup::Cgroup;
use crate::files::{self, above_stdio};
use crate::mounts::{self, Attributes, Detached, PlaceKind};
use crate::network::Space;
use crate::procview::Binds;
use crate::{namespaces, overlay};

/// The descriptors of a container, made before the clone.
pub(super) struct Parts {
    root: Option<OwnedFd>,
    made: Vec<(usize, OwnedFd)>,
    sandbox: Option<OwnedFd>,
    exit: Option<OwnedFd>,
    mount_namespace: Option<OwnedFd>,
    inner_group: Option<OwnedFd>,
    pub(super) ends: Ends,
}

impl Parts {
    /// Makes them all; what was made is gone again where one cannot be.
    pub(super) fn make(
        host: &Host,
        plan: &LaunchPlan,
        parent: Option<&OwnedFd>,
        cgroup: Option<&Cgroup>,
        space: Option<&Space>,
        view: Binds,
    ) -> Result<Self, LaunchError> {
        let owner = owner(plan)?;
        let (sandbox, files) = match &plan.sandbox {
            Some(sandbox) => {
                let mount = make_sandbox(sandbox, owner)?;
                let names = [sandbox.stdout.as_str(), sandbox.stderr.as_str()];
                let files = OutputFiles::open(&mount, names, owner)?;
                (Some(mount), Some(files))
            }
            None => (None, None),
        };
        let mut made = make_mounts(host, plan, parent, owner, space)?;
        made.extend(view);
        let own = plan
            .mounts
            .iter()
            .position(|mount| matches!(mount.content, Content::Terminals { .. }));
        let own = made.iter().find(|(index, _)| Some(*index) == own);
        let terminals = match (own, parent) {
            (Some((_, filesystem)), _) => Terminals::Own(filesystem),
            (None, Some(parent)) => Terminals::Parents(parent),
            (None, None) => Terminals::Unseen,
        };
        let inner_group = cgroup.map(Cgroup::open_own).transpose();
        let inner_group = inner_group.map_err(LaunchError::Cgroup)?.flatten();
        Ok(Self {
            root: make_root(host, plan, parent, &made)?,
            ends: Ends::make(host, plan.io, files, &terminals, owner)?,
            made,
            sandbox,
            exit: match has_init(plan) {
                true => Some(make_exit_file(host, plan)?),
                false => None,
            },
            mount_namespace: match (plan.joined.contains(&Namespace::Mount), parent) {
                (true, Some(parent)) => Some(
                    namespaces::mounts_of(parent)
                        .and_then(above_stdio)
                        .map_err(step("open the parent's mount namespace"))?,
                ),
                _ => None,
            },
            inner_group: inner_group
                .map(above_stdio)
                .transpose()
                .map_err(step("dup"))?,
        })
    }

    /// Those that the launcher needs.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let own = [
            &self.root,
            &self.sandbox,
            &self.exit,
            &self.mount_namespace,
            &self.inner_group,
        ];
        let own = own.into_iter().flatten();
        let all = own.chain(self.made.iter().map(|(_, fd)| fd));
        all.map(AsRawFd::as_raw_fd).collect()
    }

    /// The orders that go with them.
    pub(super) fn orders(&self, plan: &LaunchPlan, filters: &Filters, report: RawFd) -> Orders {
        let made = |fd: &OwnedFd| What::Made(fd.as_raw_fd());
        let order = |(index, mount): (usize, &model::sandbox::Mount)| {
            let what = match &mount.content {
                Content::Proc => Some(What::Proc),
                Content::Queues => Some(What::Queues),
                Content::Cgroup => Some(What::Cgroup),
                Content::Mask => Some(What::Mask),
                Content::ReadOnly => Some(What::ReadOnly),
                Content::Sandbox => self.sandbox.as_ref().map(made),
                Content::Bind { .. }
                | Content::Host { .. }
                | Content::Beneath { .. }
                | Content::Volume { .. }
                | Content::Image(_)
                | Content::File { .. }
                | Content::OfParent
                | Content::Sysfs
                | Content::View(_)
                | Content::Tmpfs { .. }
                | Content::Devices(_)
                | Content::Terminals { .. } => {
                    let mine = self.made.iter().find(|(of, _)| *of == index);
                    mine.map(|(_, fd)| made(fd))
                }
            };
            what.map(|what| Order {
                target: mount.target.clone(),
                what,
            })
        };
        Orders {
            report,
            exit: self.exit.as_ref().map(AsRawFd::as_raw_fd),
            root: self.root.as_ref().map(AsRawFd::as_raw_fd),
            mount_namespace: self.mount_namespace.as_ref().map(AsRawFd::as_raw_fd),
            inner_group: self.inner_group.as_ref().map(AsRawFd::as_raw_fd),
            hostname: plan.hostname.clone(),
            cgroup_namespace: plan.namespaces.contains(&Namespace::Cgroup),
            network: plan.network == Network::Own,
            beginning: None,
            is_init: has_init(plan),
            terminal: self.ends.terminal,
            mounts: plan.mounts.iter().enumerate().filter_map(order).collect(),
            run: plan.run.clone(),
            capabilities: plan.capabilities.clone(),
            landlock: plan.landlock.clone(),
            seccomp: filters.task.as_deref().cloned(),
            refusals: filters.refusals,
            init_seccomp: filters.init.as_deref().cloned(),
        }
    }
}

/// The launcher is the first process of a pid namespace, and stays.
fn has_init(plan: &LaunchPlan) -> bool {
    plan.namespaces.contains(&Namespace::Pid)
}

/// The node's ids of the container's user.
fn owner(plan: &LaunchPlan) -> Result<(u32, u32), LaunchError> {
    let user = plan.run.user();
    let owner = plan.ids.on_node(user.uid).zip(plan.ids.on_node(user.gid));
    owner.ok_or(Errno::EINVAL).map_err(step(format!(
        "user {}:{} is outside the container's ids",
        user.uid, user.gid
    )))
}

/// The sandbox as a detached mount. Its files are opened through it, so that /proc/PID/fd names them
/// as the task knows them and tells nothing of the node.
fn make_sandbox(sandbox: &Sandbox, (uid, gid): (u32, u32)) -> Result<OwnedFd, LaunchError> {
    let source = sandbox.source.as_str();
    let failed = |what: &str| step(format!("{what} sandbox {source}"));
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = open(source, flags, Mode::empty()).map_err(failed("open"))?;
    mounts::give(&directory, uid, gid).map_err(failed("chown"))?;
    let attributes = Attributes::NO_DEVICES.with(Access::ReadWrite);
    Detached::bind_open(&directory, attributes)
        .and_then(|mount| above_stdio(mount.into_fd()))
        .map_err(failed("clone"))
}

/// The root as a detached mount, with a place for every mount that stands on it; none where the
/// container has the mounts of its parent.
fn make_root(
    host: &Host,
    plan: &LaunchPlan,
    parent: Option<&OwnedFd>,
    made: &[(usize, OwnedFd)],
) -> Result<Option<OwnedFd>, LaunchError> {
    let mount = match (&plan.root, parent) {
        (Root::Directory { source, access }, _) => {
            let failed = |what: &str| step(format!("{what} root {source}"));
            let directory = fs::File::open(source).map_err(|error| files::errno(&error));
            let directory = directory.map_err(failed("open"))?;
            make_places(plan, &directory, made, None)?;
            let attributes = Attributes::NO_DEVICES.with(*access);
            Detached::bind(Path::new(source), attributes).map_err(failed("clone"))?
        }
        (Root::Overlay(overlay), _) => {
            let mount = make_overlay(host, plan, overlay)?;
            let owner = plan.ids.on_node(0).zip(plan.ids.on_node(0));
            make_places(plan, &mount, made, owner)?;
            mount
                .restrict(overlay.access)
                .map_err(step("restrict the root"))?;
            mount
        }
        (Root::Parent, _) if plan.joined.contains(&Namespace::Mount) => return Ok(None),
        (Root::Parent, Some(parent)) => namespaces::in_mounts_of(parent, || Detached::tree(c"/"))
            .map_err(step("take the parent's root"))?,
        (Root::Parent, None) => return Err(step("take the parent's root")(Errno::ESRCH)),
    };
    above_stdio(mount.into_fd()).map(Some).map_err(step("dup"))
}

/// An overlay of the container's ids, still to be restricted.
fn make_overlay(
    host: &Host,
    plan: &LaunchPlan,
    overlay: &Overlay,
) -> Result<Detached, LaunchError> {
    let made = overlay::make(overlay, plan.ids, host.stage());
    made.map_err(|overlay::Failed(what, errno)| step(format!("overlay: {what}"))(errno))
}

/// Makes the places of all mounts that stand on the root itself.
fn make_places(
    plan: &LaunchPlan,
    root: impl AsFd,
    made: &[(usize, OwnedFd)],
    owner: Option<(u32, u32)>,
) -> Result<(), LaunchError> {
    for (index, mount) in plan.mounts.iter().enumerate() {
        let failed = || step(format!("make {} in the root", mount.target));
        let made = made.iter().find(|(of, _)| *of == index);
        let kind = match (&mount.content, made) {
            (Content::Mask | Content::ReadOnly, _) => continue,
            (Content::Sandbox | Content::Proc | Content::Queues | Content::Cgroup, _) => {
                PlaceKind::Directory
            }
            (_, Some((_, fd))) => PlaceKind::of(fd).map_err(failed())?,
            // Left out, since the node lacks it.
            (_, None) => continue,
        };
        let earlier = &plan.mounts[..index];
        let stands_on_another = |other: &model::sandbox::Mount| {
            !matches!(other.content, Content::Mask | Content::ReadOnly)
                && Path::new(&mount.target).starts_with(&other.target)
        };
        if !earlier.iter().any(stands_on_another) {
            mounts::make_place(root.as_fd(), &mount.target, kind, owner).map_err(failed())?;
        }
    }
    Ok(())
}

/// All mounts that are the agent's to make, each with its index in the plan.
fn make_mounts(
    host: &Host,
    plan: &LaunchPlan,
    parent: Option<&OwnedFd>,
    owner: (u32, u32),
    space: Option<&Space>,
) -> Result<Vec<(usize, OwnedFd)>, LaunchError> {
    let maker = Maker {
        host,
        plan,
        parent,
        owner,
        space,
    };
    let mut made = Vec::new();
    for (index, mount) in plan.mounts.iter().enumerate() {
        let failed = || step(format!("make mount {}", mount.target));
        let detached = match &mount.content {
            Content::Image(overlay) => {
                let mount = make_overlay(host, plan, overlay)?;
                mount.restrict(overlay.access).map_err(failed())?;
                Some(mount)
            }
            _ => maker.make(mount).map_err(failed())?,
        };
        if let Some(detached) = detached {
            let fd = above_stdio(detached.into_fd()).map_err(step("dup"))?;
            made.push((index, fd));
        }
    }
    Ok(made)
}

fn make_exit_file(host: &Host, plan: &LaunchPlan) -> Result<OwnedFd, LaunchError> {
    let path = host.exit_file(&plan.container);
    fs::File::create(&path)
        .map_err(|error| files::errno(&error))
        .and_then(|file| above_stdio(file.into()))
        .map_err(step(format!("make {}", path.display())))
}
