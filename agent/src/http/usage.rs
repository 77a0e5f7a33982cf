//! Usage: what a container takes, as Mesos reports it.
//!
//! Figures come from its cgroup. Where a kernel keeps no account of memory, what its processes have
//! resident is summed up instead, as Mesos does without cgroups.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use agent_kernel::cgroup::{Cgroup, DiskIo};
use agent_kernel::process::Pid;
use api::v1;
use api::v1::cgroup_info::blkio::{self, Operation, throttling};
use api::v1::device::Number;
use model::Resources;

use crate::disk::DiskUsage;

/// Mesos' unit of memory.
const MEGABYTE: u64 = 1 << 20;

/// What a container takes that was given these resources.
pub(super) fn statistics(
    resources: &Resources,
    cgroup: Option<&Cgroup>,
    disk: Option<DiskUsage>,
) -> v1::ResourceStatistics {
    let usage = cgroup.map(Cgroup::usage).unwrap_or_default();
    let resident = usage.memory_anonymous_bytes.or_else(|| {
        let all = cgroup.filter(|cgroup| cgroup.path().exists())?.processes();
        Some(all.into_iter().map(resident_bytes_of).sum())
    });
    let threads = usage.pids.and_then(|pids| u32::try_from(pids).ok());
    let counted = cgroup.filter(|_| threads.is_some());
    let processes = counted.map(|cgroup| cgroup.processes().len());
    let cut = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
    let cpus = cgroup.and_then(Cgroup::cpu_quota);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
    let cpus = cpus.map(|cpu| cpu.quota_us as f64 / cpu.period_us.max(1) as f64);
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
        mem_rss_bytes: resident,
        mem_total_bytes: usage.memory_bytes,
        mem_anon_bytes: usage.memory_anonymous_bytes,
        mem_file_bytes: usage.memory_file_bytes,
        mem_cache_bytes: usage.memory_file_bytes,
        mem_mapped_file_bytes: usage.memory_mapped_bytes,
        mem_unevictable_bytes: usage.memory_unevictable_bytes,
        mem_swap_bytes: usage.swap_bytes,
        mem_total_memsw_bytes: usage
            .memory_bytes
            .zip(usage.swap_bytes)
            .map(|(memory, swap)| memory + swap),
        cpus_limit: cpus,
        cpus_nr_periods: cut(usage.cpu_periods),
        cpus_nr_throttled: cut(usage.cpu_periods_throttled),
        cpus_throttled_time_secs: usage.cpu_throttled.map(|time| time.as_secs_f64()),
        disk_limit_bytes: disk.and_then(|disk| disk.limit_bytes),
        disk_used_bytes: disk.and_then(|disk| disk.used_bytes),
        blkio_statistics: cgroup.map(Cgroup::io).and_then(|disks| io(&disks)),
        processes: processes.and_then(|number| u32::try_from(number).ok()),
        threads,
        ..v1::ResourceStatistics::default()
    }
}

/// What was read and written, as Mesos tells of version 1's throttling policy: by disk, and of all
/// together. None where nothing is told.
fn io(disks: &[DiskIo]) -> Option<blkio::Statistics> {
    if disks.is_empty() {
        return None;
    }
    let all = disks.iter().map(|disk| {
        let device = Number {
            major_number: disk.major.into(),
            minor_number: disk.minor.into(),
        };
        throttling::Statistics {
            device: Some(device),
            io_serviced: values([disk.reads, disk.writes, disk.discards]),
            io_service_bytes: values([disk.read_bytes, disk.written_bytes, disk.discarded_bytes]),
        }
    });
    let sum =
        |one: fn(&DiskIo) -> u64| Vec::from([value(Operation::Total, disks.iter().map(one).sum())]);
    let together = throttling::Statistics {
        device: None,
        io_serviced: sum(|disk| disk.reads + disk.writes + disk.discards),
        io_service_bytes: sum(|disk| disk.read_bytes + disk.written_bytes + disk.discarded_bytes),
    };
    Some(blkio::Statistics {
        throttling: all.chain([together]).collect(),
        ..blkio::Statistics::default()
    })
}

fn values([read, written, discarded]: [u64; 3]) -> Vec<blkio::Value> {
    Vec::from([
        value(Operation::Read, read),
        value(Operation::Write, written),
        value(Operation::Discard, discarded),
        value(Operation::Total, read + written + discarded),
    ])
}

fn value(operation: Operation, value: u64) -> blkio::Value {
    blkio::Value {
        op: Some(operation.into()),
        value: Some(value),
    }
}

/// 0 for one that is gone.
fn resident_bytes_of(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    super::metrics::kilobytes(&status, "VmRSS:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_and_written_is_told_by_disk_and_of_all_together() {
        let disk = |minor, read_bytes, writes| DiskIo {
            major: 254,
            minor,
            read_bytes,
            writes,
            ..DiskIo::default()
        };
        let told = io(&[disk(0, 4096, 1), disk(16, 8192, 2)]).expect("statistics");
        let value = |values: &[blkio::Value], operation: Operation| {
            let mut found = values.iter().filter(|one| one.op() == operation);
            found.next().and_then(|one| one.value)
        };
        let minors: Vec<_> = told
            .throttling
            .iter()
            .map(|one| one.device.map(|device| device.minor_number))
            .collect();
        assert_eq!(minors, [Some(0), Some(16), None]);
        let first = &told.throttling[0];
        assert_eq!(value(&first.io_service_bytes, Operation::Read), Some(4096));
        assert_eq!(value(&first.io_serviced, Operation::Write), Some(1));
        let all = &told.throttling[2];
        assert_eq!(value(&all.io_service_bytes, Operation::Total), Some(12_288));
        assert_eq!(value(&all.io_serviced, Operation::Total), Some(3));
        assert_eq!(io(&[]), None);
    }
}
