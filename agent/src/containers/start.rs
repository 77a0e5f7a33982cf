//! Start: from an order with everything at hand to a running process.
//!
//! The last stage of a launch. It blocks for some milliseconds and waits for nobody outside of this
//! node; what takes longer was done by `prepare`. A start that fails leaves no process and no cgroup.

use agent_core::sandbox::{
    self, Accounts, Cfs, Class, Demand, NodeFacts, Policy, RootSpec, VolumeSource, Wishes,
};
use agent_kernel::launch::{self, Launched};
use model::sandbox::Io;

use super::prepare::Prepared;
use super::{Ground, Order};
use crate::init::chain;

/// Starts the container of an order, with a range of ids of its own.
///
/// # Errors
/// The first step that went wrong, in words.
pub(super) fn start(
    ground: &Ground,
    order: &Order,
    prepared: &Prepared,
    index: u32,
) -> Result<Launched, String> {
    let Prepared {} = prepared;
    let root = ground
        .root
        .as_deref()
        .ok_or("this host was given no root for tasks (--default_rootfs)")?;
    let sandbox = ground
        .sandboxes
        .make(&order.sandbox)
        .map_err(|error| chain(&error))?;
    let own = order.launch.environment.iter();
    ground
        .housekeeping
        .rotate(&order.sandbox, own.map(|(name, value)| (&**name, &**value)))
        .map_err(|error| chain(&error))?;
    let ids = sandbox::id_range(index).ok_or("this node has no more ids for containers")?;
    let mut environment = order.environment.clone();
    environment.extend(order.launch.environment.iter().cloned());
    let accounts = (
        launch::root_file(root, "etc/passwd"),
        launch::root_file(root, "etc/group"),
    );
    let volumes = volumes(ground, order)?;
    let task = sandbox::TaskSpec {
        container: &order.container,
        class: Class::Task,
        command: Some(&order.launch.command),
        environment: &environment,
        user: Some(order.launch.user.as_str()).filter(|user| !user.is_empty()),
        demand: Demand {
            cpus_milli: order.launch.cpus_milli,
            memory_bytes: order.launch.memory_bytes,
            ..Demand::default()
        },
        root: RootSpec::Default,
        directory: None,
        sandbox: Some(&sandbox.to_string_lossy()),
        io: Io::Files,
        volumes: &volumes,
        wishes: &Wishes::default(),
    };
    let node = NodeFacts {
        root: &root.to_string_lossy(),
        hostname: &ground.hostname,
        etc: &ground.etc.to_string_lossy(),
        ids,
        switch_user: ground.switch_user,
        accounts: Accounts {
            passwd: &accounts.0,
            group: &accounts.1,
        },
        cfs: Cfs::Off,
        policy: &Policy::default(),
    };
    let plan = sandbox::plan(&task, &node).map_err(|error| chain(&error))?;
    for volume in &volumes {
        ground
            .sandboxes
            .make_place(&order.sandbox, &volume.container_path)
            .map_err(|error| chain(&error))?;
    }
    launch::spawn(&ground.host, &plan, None).map_err(|error| chain(&error))
}

/// The volumes of a task, each with its directory on the node.
fn volumes(ground: &Ground, order: &Order) -> Result<Vec<sandbox::Volume>, String> {
    let all = order.launch.volumes.iter().map(|volume| {
        let source = ground.volumes.ensure(&volume.name);
        let source = source.map_err(|error| chain(&error))?;
        Ok(sandbox::Volume {
            source: VolumeSource::Persistent {
                directory: source.to_string_lossy().into_owned(),
                handover: volume.handover,
            },
            container_path: volume.container_path.clone(),
            access: volume.access,
        })
    });
    all.collect()
}
