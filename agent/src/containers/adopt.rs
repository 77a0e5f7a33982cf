//! Adopt: containers of an earlier process of this agent, taken as those that run.
//!
//! As PID 1 that was executed again they are still children, and their statuses come as ever. An
//! ordinary process that was started again is not their parent: a thread waits for their ends, and the
//! status is what its init wrote down.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use agent_core::event::{Event, Exit, Limit};
use agent_core::sandbox;
use agent_kernel::clock;
use agent_kernel::process::{self, Pid};
use agent_kernel::procview;
use model::sandbox::Lacks;
use model::{Blob, ContainerId};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::prepare::Prepared;
use super::record::Record;
use super::survivors::{Ended, Survivor, Survivors};
use super::{Containers, Running};
use crate::init::chain;
use crate::networks::Attachment;
use crate::node::Input;
use crate::processors;

/// Of `starttime` in `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);

impl Containers {
    /// Takes the survivors over, each with its own end on a network; gives what agent-core is to be told
    /// at the end of its recovery. From then on sandboxes are collected.
    pub fn adopt(
        &mut self,
        survivors: Survivors,
        mut attachments: BTreeMap<ContainerId, Attachment>,
        expected: &BTreeSet<ContainerId>,
    ) -> Vec<Event> {
        let Survivors {
            living,
            ended,
            left,
        } = survivors;
        self.lingering.extend(left);
        let mut events = Vec::new();
        let mut alive = BTreeMap::new();
        let mut viewers = Vec::new();
        let mut watched = Vec::new();
        for survivor in living {
            if let Ok(pidfd) = survivor.pidfd.try_clone() {
                watched.push((survivor.container.clone(), pidfd));
            }
            let (container, pid) = (survivor.container.clone(), survivor.record.pid());
            let pid = u32::try_from(pid).unwrap_or(0);
            viewers.extend(self.viewer(&survivor));
            match &survivor.record.requested {
                Some(call) => events.push(Event::RequestedRecovered {
                    container: container.clone(),
                    pid,
                    launch: Blob::new(call),
                }),
                None => {
                    alive.insert(container.clone(), pid);
                }
            }
            let own = attachments.remove(&container);
            self.take(survivor, own.map(Arc::new));
            info!(%container, pid, "container goes on");
        }
        if let Some(cpus) = &self.ground.cpus {
            cpus.settle();
        }
        self.ground.host.view_again(viewers);
        if let Err(error) = self.watch(watched) {
            warn!(
                error = chain(&error),
                "nobody waits for the ends of containers"
            );
        }
        let mut exits = Vec::new();
        for one in ended {
            let pid = u32::try_from(one.record.pid()).unwrap_or(0);
            if one.record.requested.is_none() {
                alive.insert(one.container.clone(), pid);
                exits.push(self.over(one));
            }
        }
        let gone = expected.iter().filter(|one| !self.pids.contains_key(one));
        let gone: Vec<ContainerId> = gone.cloned().collect();
        self.remove_lingering();
        self.ground.housekeeping.start(&gone);
        events.push(Event::RecoveryEnded { alive });
        events.extend(exits);
        events
    }

    /// One goes on.
    fn take(&mut self, survivor: Survivor, own: Option<Arc<Attachment>>) {
        let Survivor {
            container,
            record,
            pidfd,
        } = survivor;
        let pid = record.pid();
        let above = container.parent().and_then(|parent| {
            let (_, parent) = self.find(&parent)?;
            parent.attachment.clone()
        });
        if container.depth() == 1 {
            self.ranges.insert(container.clone(), record.index);
        }
        let prepared = self.hold(&container, &record);
        self.keep_house(&container, &record, &prepared);
        if let Some(ids) = sandbox::id_range(record.index) {
            self.explained
                .begun(container.clone(), ids, record.report(), None);
        }
        let cgroups = self.ground.host.cgroups();
        let cgroup = cgroups.map(|tree| tree.container(&container));
        match (&self.ground.cpus, &record.cpus, &cgroup) {
            (Some(cpus), own, _) if container.depth() == 1 => {
                let own = own.as_ref().map_or(&[][..], |cpus| &cpus.own);
                cpus.adopt(&container, own);
            }
            (None, Some(_), Some(cgroup)) => processors::free(cgroup),
            (Some(_) | None, ..) => {}
        }
        self.pids.insert(container.clone(), pid);
        self.running.insert(
            pid,
            Running {
                cgroup,
                sandbox: record.sandbox(),
                has_limits: record.has_limits,
                disk: None,
                network: record.network(),
                process: record.process().map(Arc::new),
                unseen: Some(record.status_unseen()),
                container,
                pidfd: Arc::new(pidfd),
                prepared,
                attachment: own.or(above),
            },
        );
    }

    /// Its images, and what it wrote beside its sandbox.
    fn hold(&self, container: &ContainerId, record: &Record) -> Prepared {
        let lease = match record.layers.is_empty() {
            true => None,
            false => {
                let lease = self.ground.images.hold(&record.layers);
                if lease.is_none() {
                    warn!(%container, "the layers of a container's image are not in the store");
                }
                lease
            }
        };
        let scratch = record
            .has_scratch
            .then(|| self.ground.scratches.adopt(container));
        Prepared::again(lease, scratch)
    }

    /// Its sandbox, with its bounds and its output.
    fn keep_house(&self, container: &ContainerId, record: &Record, prepared: &Prepared) {
        let sandbox = record.sandbox();
        let path = self.ground.sandboxes.work_dir().join(&sandbox);
        let disks = &self.ground.disks;
        let begun = disks.begun(container, &path, record.demand());
        let also = prepared
            .scratch()
            .map_or(Ok(()), |path| disks.also(container, path));
        if let Err(why) = begun.and(also) {
            warn!(%container, why, "what a container keeps is not bounded");
        }
        self.ground.housekeeping.begun(container, &sandbox);
        if let Some(rules) = record.rotation() {
            self.ground.housekeeping.rotate(&sandbox, rules);
        }
    }

    /// Its view of `/proc`, which was that of a mount that is gone.
    fn viewer(&self, survivor: &Survivor) -> Option<procview::Adopted> {
        let seen = survivor.record.seen()?;
        let tree = self.ground.host.cgroups();
        let groups = tree.map(|tree| tree.groups_of(&survivor.container));
        let ticks = u32::try_from(survivor.record.born).unwrap_or(u32::MAX);
        Some(procview::Adopted {
            container: survivor.container.clone(),
            own: seen.own,
            number: survivor.record.view_number,
            groups: groups.unwrap_or_default(),
            age: clock::since_boot().saturating_sub(TICK.saturating_mul(ticks)),
            time: survivor.record.time(),
            init: survivor.pidfd.try_clone().ok()?,
            files: seen.files,
        })
    }

    /// One that ended while there was no agent.
    fn over(&mut self, ended: Ended) -> Event {
        let Ended {
            container,
            record,
            status,
        } = ended;
        let tree = self.ground.host.cgroups();
        let cgroup = tree.map(|tree| tree.container(&container));
        let memory = self.memory_limit(&container, cgroup.as_ref(), record.has_limits);
        self.lingering.extend(cgroup);
        info!(%container, ?status, "container ended while there was no agent");
        Event::Exited {
            container,
            exit: Exit {
                status,
                limit: memory.map(Limit::Memory),
                lacks: Lacks::NONE,
            },
        }
    }

    /// Tells the main loop of the ends of processes, from a thread that waits for all of them.
    fn watch(&self, mut watched: Vec<(ContainerId, OwnedFd)>) -> std::io::Result<()> {
        let inputs: mpsc::Sender<Input> = self.inputs.clone();
        let run = move || {
            while !watched.is_empty() {
                let ended = process::await_any(watched.iter().map(|(_, pidfd)| pidfd));
                for index in ended.into_iter().rev() {
                    let (container, _) = watched.swap_remove(index);
                    // The main loop is gone where nobody listens.
                    let _ = inputs.blocking_send(Input::Gone(container));
                }
            }
        };
        let thread = std::thread::Builder::new().name("survivors".to_string());
        thread.spawn(run).map(drop)
    }

    /// A container that an earlier process launched may have ended: its status was taken by whoever is
    /// its parent now.
    pub fn gone(&mut self, container: &ContainerId) -> Vec<Event> {
        let mut events = self.reap();
        let unseen = self.find(container).and_then(|(pid, running)| {
            let status = running.unseen?;
            process::has_ended(&running.pidfd).then_some((pid, status))
        });
        if let Some((pid, status)) = unseen {
            events.extend(self.ended(pid, status));
            self.remove_lingering();
        }
        events
    }

    /// The number of a container that just started may have been that of one whose end is not told yet.
    pub(super) fn before(&mut self, pid: Pid) -> Vec<Event> {
        let same = self.running.get(&pid).map(|one| one.container.clone());
        same.map_or(Vec::new(), |container| self.gone(&container))
    }
}
