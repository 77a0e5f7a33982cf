//! Limits: what bounds containers that run, what gives them others, and which one they passed.

use std::path::Path;

use agent_core::Signal;
use agent_core::event::{DiskLimit, MemoryLimit};
use agent_core::sandbox::{self, Demand, PortRanges};
use agent_kernel::cgroup::{self, Cgroup};
use model::ContainerId;
use tracing::info;

use super::{Containers, report};
use crate::disk;

/// The most that is read of `memory.stat`.
const STATISTICS_BYTES_MAX: usize = 4096;

impl Containers {
    /// Ends a container that keeps too much on the disk.
    pub fn passed(&mut self, passed: &disk::Passed) {
        let mut all = self.running.values_mut();
        let Some(running) = all.find(|one| one.container == passed.container) else {
            return;
        };
        running.disk = Some(DiskLimit {
            limit_bytes: passed.limit_bytes,
            used_bytes: passed.used_bytes,
        });
        info!(
            container = %passed.container,
            used_bytes = passed.used_bytes,
            limit_bytes = passed.limit_bytes,
            "container keeps too much on the disk and is ended"
        );
        self.kill(&passed.container, Signal::Kill);
    }

    /// A persistent volume has another size.
    pub fn resize_volume(&self, path: &Path, bytes: u64) {
        self.ground.disks.resize_volume(path, bytes);
    }

    /// Gives a container that runs other limits, and other ports where they are bounded.
    pub fn resize(&self, container: &ContainerId, demand: Demand, ports: &PortRanges) {
        self.ground.disks.resize(container, demand);
        if let Some(tree) = self.ground.host.cgroups() {
            let limits = sandbox::limits(demand, self.ground.rules);
            let mut made = cgroup::update(tree, container, &limits);
            let bound = cgroup::update_ports(tree, container, ports);
            made.enforced.extend(bound.enforced);
            made.missing.extend(bound.missing);
            report(container, &made);
            self.explained.resized(container, &limits, ports, &made);
        }
    }

    /// What the kernel says of the limit that a container had, or shared with the one that it was
    /// nested in.
    pub(super) fn memory_limit(
        &self,
        container: &ContainerId,
        own: Option<&Cgroup>,
        has_limits: bool,
    ) -> Option<MemoryLimit> {
        if has_limits {
            return own.and_then(memory_limit);
        }
        let parent = container.parent()?;
        let (_, found) = self.find(&parent)?;
        self.memory_limit(&parent, found.cgroup.as_ref(), found.has_limits)
    }
}

/// What the kernel says of a limit that was reached; `None` where it was not.
fn memory_limit(cgroup: &Cgroup) -> Option<MemoryLimit> {
    if !cgroup.oom_killed() {
        return None;
    }
    let limit_bytes = cgroup.memory_bytes_max().unwrap_or(0);
    let all = std::fs::read_to_string(cgroup.path().join("memory.stat")).unwrap_or_default();
    // Most are zero, and say nothing.
    let mut statistics = String::new();
    for line in all.lines().filter(|line| !line.ends_with(" 0")) {
        statistics.push_str(line);
        statistics.push('\n');
    }
    statistics.truncate(statistics.floor_char_boundary(STATISTICS_BYTES_MAX));
    Some(MemoryLimit {
        limit_bytes,
        used_bytes_max: cgroup.usage().memory_peak_bytes.unwrap_or(limit_bytes),
        statistics,
    })
}
