//! Usage: what a container takes, as Mesos reports it.
//!
//! Figures come from its cgroup. Where a kernel keeps no account of memory, what its processes have
//! resident is summed up instead, as Mesos does without cgroups.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use agent_kernel::cgroup::Cgroup;
use api::v1;
use model::Resources;

/// Mesos' unit of memory.
const MEGABYTE: u64 = 1 << 20;
/// Levels of cgroups that are looked into: of a container, those nested in it, and their payloads.
const DEPTH_MAX: usize = 8;

/// What a container takes that was given these resources.
pub(super) fn statistics(resources: &Resources, cgroup: Option<&Cgroup>) -> v1::ResourceStatistics {
    let usage = cgroup.map(Cgroup::usage).unwrap_or_default();
    let memory_bytes = usage.memory_bytes.or_else(|| {
        let path = cgroup?.path();
        path.exists().then(|| resident_bytes(path, DEPTH_MAX))
    });
    let mem = u64::try_from(resources.scalar("mem").thousandths()).unwrap_or(0);
    let mem = (mem > 0).then_some(mem * MEGABYTE / 1000);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    v1::ResourceStatistics {
        timestamp: now.map_or(0.0, |now| now.as_secs_f64()),
        cpus_soft_limit: Some(resources.scalar("cpus").to_f64()),
        cpus_user_time_secs: usage.cpu_user.map(|time| time.as_secs_f64()),
        cpus_system_time_secs: usage.cpu_system.map(|time| time.as_secs_f64()),
        mem_limit_bytes: cgroup.and_then(Cgroup::memory_bytes_max).or(mem),
        mem_soft_limit_bytes: mem,
        mem_rss_bytes: memory_bytes,
        processes: usage.pids.and_then(|pids| u32::try_from(pids).ok()),
        ..v1::ResourceStatistics::default()
    }
}

/// What the processes of a cgroup, and of those beneath it, have in memory.
fn resident_bytes(group: &Path, depth: usize) -> u64 {
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let own: u64 = processes.lines().map(resident_bytes_of).sum();
    let inner = match depth {
        0 => None,
        _ => fs::read_dir(group).ok(),
    };
    let inner = inner.into_iter().flatten().flatten();
    let inner = inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    own + inner
        .map(|entry| resident_bytes(&entry.path(), depth.saturating_sub(1)))
        .sum::<u64>()
}

/// 0 for one that is gone.
fn resident_bytes_of(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    super::metrics::kilobytes(&status, "VmRSS:")
}
