//! Start: from an order with everything at hand to a running process.
//!
//! The last stage of a launch. It blocks for some milliseconds and waits for nobody outside of this
//! node; what takes longer was done by `prepare`. A start that fails leaves no process and no cgroup.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_core::sandbox::explain::{self, Report};
use agent_core::sandbox::{
    self, Accounts, Class, Connection, NodeFacts, ParentsNetwork, VolumeSource,
};
use agent_kernel::launch::{self, Launched};
use agent_kernel::network::Space;
use agent_kernel::process::Pid;
use model::sandbox::{IdRange, Isolation, Namespace, Network, Process, Run, Seccomp};

use super::note::Note;
use super::prepare::Prepared;
use super::root::Root;
use super::{Ground, Order};
use crate::init::chain;
use crate::networks::{Attachment, Wanted as WantedNetwork};
use crate::wire::container_info::Wanted;

/// Every range of ids has a container.
pub(super) const NO_IDS: &str = "this node has no more ids for containers";

/// Where a container starts.
#[derive(Debug)]
pub(super) struct Place {
    /// The range of ids that it has, or the outermost container that it is in.
    pub(super) index: u32,
    /// What it is nested in.
    pub(super) parent: Option<Parent>,
}

/// A container that another one is nested in.
#[derive(Debug)]
pub(super) struct Parent {
    /// Its init.
    pub(super) pid: Pid,
    /// The same.
    pub(super) pidfd: Arc<OwnedFd>,
    /// What runs in it, where anything does.
    pub(super) process: Option<Arc<Process>>,
    /// Whose network it has.
    pub(super) network: ParentsNetwork,
    /// Its end on a network.
    pub(super) attachment: Option<Arc<Attachment>>,
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct Started {
    /// What the kernel's side knows of it.
    pub(super) launched: Launched,
    /// Its sandbox, beneath the work directory.
    pub(super) sandbox: PathBuf,
    /// Whether its group has limits of its own.
    pub(super) has_limits: bool,
    /// What runs in it, where anything does.
    pub(super) process: Option<Process>,
    /// Whose network it has, for what will be nested in it.
    pub(super) network: ParentsNetwork,
    /// Its ids on the node.
    pub(super) ids: IdRange,
    /// What it runs under.
    pub(super) report: Report,
    /// What it may call.
    pub(super) seccomp: Seccomp,
    /// What the node does not give of its plan, where that is told.
    pub(super) degraded: Option<String>,
    /// Its end on a network, or that of the one that it is nested in.
    pub(super) attachment: Option<Arc<Attachment>>,
}

/// Starts the container of an order.
///
/// # Errors
/// The first step that went wrong, in words.
pub(super) fn start(
    ground: &Ground,
    order: &Order,
    prepared: &Prepared,
    place: &Place,
) -> Result<Started, String> {
    let sandbox = match order.is_session() {
        true => None,
        false => Some(ground.make_sandbox(order)?),
    };
    let sandbox = sandbox.map(|path| path.to_string_lossy().into_owned());
    if let Some((link, target)) = &order.link {
        let linked = ground.sandboxes.link(link, target);
        linked.map_err(|error| chain(&error))?;
    }
    let rotation = match order.class {
        Class::Debug => None,
        Class::Task | Class::Executor | Class::Pod | Class::Nested => {
            let own = order.launch.environment.iter();
            let own = own.map(|(name, value)| (&**name, &**value));
            let rules = ground.housekeeping.rules(own);
            Some(rules.map_err(|error| chain(&error))?)
        }
    };
    if let Some(rules) = rotation {
        ground.housekeeping.rotate(&order.sandbox, rules);
    }
    let ids = sandbox::id_range(place.index).ok_or(NO_IDS)?;
    let debugged = place.parent.as_ref();
    let debugged = debugged.filter(|_| order.class == Class::Debug);
    let root = match (debugged, &prepared.image) {
        (Some(parent), _) => Root::of_parent(ground, order, parent),
        (None, Some(image)) => Root::of_image(ground, order, image)?,
        (None, None) => Root::default(ground, order)?,
    };
    let (space, attachment) = network(ground, order)?;
    let connection = match (&attachment, &place.parent) {
        (Some(own), _) => Some(&own.connection),
        (None, Some(parent)) => parent.attachment.as_deref().map(|above| &above.connection),
        (None, None) => None,
    };
    let environment = connection.map(|connection| own_address(&root.environment, connection));
    let environment = environment.as_ref().unwrap_or(&root.environment);
    let inside = Path::new(sandbox.as_deref().unwrap_or_default());
    let volumes = volumes(ground, order, prepared, inside)?;
    let launch = &order.launch;
    let task = sandbox::TaskSpec {
        container: &order.container,
        class: order.class,
        command: Some(&root.command),
        environment,
        user: root.user,
        demand: launch.demand,
        ports: &launch.ports,
        root: root.spec,
        directory: launch.container.directory.as_deref().or(root.directory),
        sandbox: sandbox.as_deref(),
        io: order.io,
        volumes: &volumes,
        wishes: &launch.container.wishes,
        parents_network: parents_network(place),
    };
    let profile = ground.profiles.of(&launch.container.wishes.seccomp);
    let profile = profile.map_err(|error| chain(&error))?;
    let cpus = match order.container.depth() {
        1 => ground
            .cpus
            .as_ref()
            .map(|cpus| cpus.begin(&order.container, order.class, launch.demand)),
        _ => None,
    };
    let node = NodeFacts {
        root: &root.default.to_string_lossy(),
        hostname: &ground.hostname,
        etc: &ground.etc.to_string_lossy(),
        connection,
        ids,
        switch_user: root.switch_user,
        accounts: Accounts {
            passwd: &root.accounts[0],
            group: &root.accounts[1],
        },
        rules: ground.rules,
        cpus,
        disk: ground.disks.facts(),
        policy: &ground.isolation.policy,
        seccomp: &profile,
        usual_seccomp: ground.profiles.usual(),
        view: ground.isolation.view,
    };
    let mut plan = sandbox::plan(&task, &node).map_err(|error| chain(&error))?;
    let above = place.parent.as_ref();
    let above = above.and_then(|parent| parent.process.as_deref());
    if let (Some(above), Run::Process(process)) = (above, &mut plan.run) {
        inherit(above, order, root.user, process);
        // What a check says is for whoever looks into the sandbox, and no part of the task's output.
        if let Some(sandbox) = &mut plan.sandbox
            && order.class == Class::Debug
        {
            sandbox.stdout.clone_from(&sandbox.stderr);
        }
    }
    let parent = place.parent.as_ref().map(|parent| parent.pidfd.as_ref());
    let space = match (&plan.network, space) {
        (Network::Ready { endpoint: None }, None) => {
            Some(ground.networks.alone().map_err(|error| chain(&error))?)
        }
        (_, space) => space,
    };
    let network = match plan.namespaces.contains(&Namespace::Network) {
        true => ParentsNetwork::Own,
        false => parents_network(place),
    };
    let mut note = Note::of(ground, order, prepared, &plan, place.index);
    note.network(network, attachment.as_ref());
    if let Some(rules) = rotation {
        note.rotation(rules);
    }
    let write = |pid| note.write(pid);
    let launched = launch::spawn_noted(&ground.host, &plan, parent, space.as_ref(), &write);
    let mut launched = launched.map_err(|error| chain(&error))?;
    if let (Some(cpus), Some(given)) = (&ground.cpus, &plan.cgroup.cpus) {
        cpus.started(&order.container, given);
    }
    if plan.disk.is_some() {
        let bounds = ground.disks.bounds(&order.container);
        launched.enforcement.note(Isolation::Disk, bounds);
    }
    let report = explain::explain(&plan, &launched.enforcement);
    note.write_running(launched.pid, &report);
    let degraded = match ground.isolation.is_told {
        true => explain::degraded(&plan, &launched.enforcement),
        false => None,
    };
    Ok(Started {
        report,
        degraded,
        ids: plan.ids,
        launched,
        sandbox: order.sandbox.clone(),
        network,
        attachment: inherited(attachment, place),
        has_limits: plan.cgroup.limits.is_some(),
        seccomp: plan.seccomp,
        process: match plan.run {
            Run::Process(process) => Some(process),
            Run::Hold(_) => None,
        },
    })
}

fn parents_network(place: &Place) -> ParentsNetwork {
    let parent = place.parent.as_ref();
    parent.map_or(ParentsNetwork::Nodes, |parent| parent.network)
}

/// The network that a container asks for by name, connected.
fn network(ground: &Ground, order: &Order) -> Result<(Option<Space>, Option<Attachment>), String> {
    let wishes = &order.launch.container.wishes;
    let sandbox::Network::Named(network) = &wishes.network else {
        return Ok((None, None));
    };
    let wanted = WantedNetwork {
        container: &order.container,
        network,
        hostname: wishes.hostname.as_deref(),
        ports: &order.launch.ports,
    };
    let attached = ground.networks.attach(wanted);
    let (space, attachment) = attached.map_err(|error| chain(&error))?;
    Ok((Some(space), Some(attachment)))
}

/// What is nested holds the end of what it is in.
fn inherited(own: Option<Attachment>, place: &Place) -> Option<Arc<Attachment>> {
    let above = place.parent.as_ref();
    own.map(Arc::new)
        .or_else(|| above.and_then(|parent| parent.attachment.clone()))
}

/// The environment with the container's own address, as Mesos' CNI isolator has it: executors by
/// libprocess listen on all that they see.
fn own_address(environment: &[(String, String)], connection: &Connection) -> Vec<(String, String)> {
    let address = connection.endpoint.address.to_string();
    let own = [
        ("LIBPROCESS_IP", "0.0.0.0"),
        ("MESOS_CONTAINER_IP", &*address),
    ];
    let own = own.map(|(name, value)| (name.to_string(), value.to_string()));
    // What the task sets itself comes later, and wins.
    own.into_iter().chain(environment.iter().cloned()).collect()
}

/// What is nested has the user of its parent where nobody names another; what runs beside it, its
/// place as well.
fn inherit(parent: &Process, order: &Order, user: Option<&str>, process: &mut Process) {
    if order.class == Class::Debug {
        process.directory.clone_from(&parent.directory);
    }
    if user.is_none() {
        process.user = parent.user.clone();
    }
}

/// The volumes of a container, each with its directory on the node; the persistent ones first.
fn volumes(
    ground: &Ground,
    order: &Order,
    prepared: &Prepared,
    sandbox: &Path,
) -> Result<Vec<sandbox::Volume>, String> {
    let persistent = order.launch.volumes.iter().map(|volume| {
        let source = ground.volumes.ensure(&volume.name);
        let source = source.map_err(|error| chain(&error))?;
        ground.disks.volume(&source, volume.bytes);
        Ok(sandbox::Volume {
            source: VolumeSource::Persistent {
                directory: source.to_string_lossy().into_owned(),
                handover: volume.handover,
            },
            container_path: volume.container_path.clone(),
            access: volume.access,
        })
    });
    let mut images = prepared.volumes();
    let others = order.launch.container.volumes.iter().map(|volume| {
        let beneath = |directory: &Path, path: &str| VolumeSource::Sandbox {
            directory: directory.to_string_lossy().into_owned(),
            path: path.to_string(),
        };
        Ok(sandbox::Volume {
            source: match &volume.source {
                Wanted::Host(path, beneath) => VolumeSource::Host {
                    path: path.clone(),
                    beneath: *beneath,
                },
                Wanted::OwnSandbox(path) => beneath(sandbox, path),
                Wanted::ParentSandbox(path) => beneath(parent_of(sandbox)?, path),
                Wanted::Image(_) => VolumeSource::Image {
                    layers: images.next().ok_or("an image of a volume is missing")?,
                },
                Wanted::Secret(secret) => VolumeSource::Secret(secret.clone()),
            },
            container_path: volume.container_path.clone(),
            access: volume.access,
        })
    });
    persistent.chain(others).collect()
}

/// A nested container's sandbox is `containers/<name>` in that of its parent.
fn parent_of(sandbox: &Path) -> Result<&Path, String> {
    let containers = sandbox.parent();
    let parent = containers.and_then(Path::parent);
    parent.ok_or_else(|| "the sandbox has no parent".to_string())
}
