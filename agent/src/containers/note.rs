//! Note: how a container is written down for the next process of this agent, as it starts.

use std::cell::Cell;
use std::io;

use agent_core::sandbox::ParentsNetwork;
use agent_core::sandbox::explain::Report;
use agent_kernel::process::{self, Pid};
use agent_kernel::procview::Time;
use model::sandbox::{Content, LaunchPlan, Namespace, Run};
use prost::Message;
use tracing::warn;

use super::prepare::Prepared;
use super::record::{Record, Seen};
use super::{Ground, Order};
use crate::init::chain;
use crate::networks::Attachment;

/// What is written down of one container.
pub(super) struct Note<'a> {
    ground: &'a Ground,
    order: &'a Order,
    record: Record,
    /// When its process began, once it is there; it may have ended when that is wanted again.
    born: Cell<u64>,
}

impl<'a> Note<'a> {
    /// All that is known before it is started.
    pub(super) fn of(
        ground: &'a Ground,
        order: &'a Order,
        prepared: &Prepared,
        plan: &LaunchPlan,
        index: u32,
    ) -> Self {
        let images = prepared.image.iter().flat_map(|image| image.layers.clone());
        let mut record = Record::begin();
        record.boot.clone_from(&ground.boot);
        record.has_init = plan.namespaces.contains(&Namespace::Pid);
        record.requested = order.call.as_ref().map(|call| call.as_bytes().to_vec());
        record.sandbox = order.sandbox.to_string_lossy().into_owned();
        record.index = index;
        record.has_limits = plan.cgroup.limits.is_some();
        record.layers = images.chain(prepared.volumes().flatten()).collect();
        record.has_scratch = prepared.image.is_some();
        record.set_class(order.class);
        record.set_time(Time::of(plan));
        record.set_demand(order.launch.demand);
        if let Some(cpus) = &plan.cgroup.cpus {
            record.set_cpus(cpus);
        }
        if let Run::Process(process) = &plan.run {
            record.set_process(process);
        }
        let files = plan.mounts.iter().filter_map(|mount| match mount.content {
            Content::View(file) => Some(file),
            _ => None,
        });
        let seen = Seen {
            files: files.collect(),
            own: plan.view.map(|view| (view, plan.cgroup.limits)),
        };
        if !seen.files.is_empty() {
            record.set_seen(&seen);
            if seen.own.is_some() {
                record.view_number = ground.host.view_number(&plan.container);
            }
        }
        Self {
            ground,
            order,
            record,
            born: Cell::new(0),
        }
    }

    /// How its output is rotated.
    pub(super) fn rotation(&mut self, rules: agent_core::rotation::Rules) {
        self.record.set_rotation(rules);
    }

    /// Its network, and its own end of it.
    pub(super) fn network(&mut self, network: ParentsNetwork, own: Option<&Attachment>) {
        self.record.set_network(network);
        if let Some(connected) = own.and_then(|own| own.connected(&self.order.container)) {
            self.record.set_connected(connected);
        }
    }

    /// Writes it down with its process, which does nothing before.
    ///
    /// # Errors
    /// The file system.
    pub(super) fn write(&self, pid: Pid) -> io::Result<()> {
        self.born.set(process::start_time(pid)?);
        self.keep(pid, self.record.clone())
    }

    /// Writes down that its task runs, and what it runs under. Where that fails it is still found again.
    pub(super) fn write_running(&self, pid: Pid, report: &Report) {
        let mut record = self.record.clone();
        record.runs = true;
        record.set_report(report);
        if let Err(error) = self.keep(pid, record) {
            let container = &self.order.container;
            warn!(%container, error = chain(&error), "it is not written down that a container runs");
        }
    }

    fn keep(&self, pid: Pid, mut record: Record) -> io::Result<()> {
        record.pid = pid;
        record.born = self.born.get();
        let host = &self.ground.host;
        host.note(&self.order.container, &record.encode_to_vec())
    }
}
