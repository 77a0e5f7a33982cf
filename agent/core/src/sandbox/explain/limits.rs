//! The cgroup and its limits.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{CgroupLimits, CpuSet, DiskQuota, HugePages, Isolation, Nesting};

use super::names::bytes;
use super::{Area, Judged, Writer};

pub(super) fn placement(nesting: Nesting, writer: &mut Writer<'_>) {
    let what = match nesting {
        Nesting::Shared => "a cgroup of its own",
        Nesting::Limited => "a cgroup of its own, with one inside for each nested container",
    };
    let outcome = writer.outcome(Isolation::Placement);
    writer.row(Area::Placement, what, outcome);
}

/// The processors that it runs on, where they are shared out.
pub(super) fn cpus(set: Option<&CpuSet>, writer: &mut Writer<'_>) {
    let Some(set) = set else { return };
    let outcome = writer.outcome(Isolation::Cpuset);
    let what = match set {
        CpuSet::Own(own) => format!("processors {own} of its own"),
        CpuSet::Shared(shared) | CpuSet::Lacking { shared, .. } => {
            format!("processors {shared}, with others, and none that are others' own")
        }
    };
    writer.note(Area::Placement, what, outcome);
}

/// Where it stands when the kernel looks for memory.
pub(super) fn rank(oom_score_adj: i16, writer: &mut Writer<'_>) {
    if oom_score_adj > 0 {
        let what =
            format!("killed before others where memory runs out (oom_score_adj {oom_score_adj})");
        // The container is not started where that cannot be set.
        writer.note(Area::Memory, what, Judged::enforced());
    }
}

pub(super) fn of(limits: Option<&CgroupLimits>, writer: &mut Writer<'_>) {
    let Some(limits) = limits else {
        for area in [Area::Cpu, Area::Memory, Area::Pids, Area::Io] {
            let judged = Judged::shared("within those of the container it is nested in");
            writer.row(area, "no limit of its own", judged);
        }
        return;
    };
    // Without `..`: a limit that is not explained does not compile.
    let CgroupLimits {
        cpu_weight,
        cpu_quota,
        memory_bytes_min,
        memory_bytes_low,
        memory_bytes_high,
        memory_bytes_max,
        swap_bytes_max,
        huge_pages,
        pids_max,
        io_weight,
        io_max,
    } = limits;
    let outcome = writer.outcome(Isolation::Cpu);
    match cpu_quota {
        Some(quota) => writer.row(
            Area::Cpu,
            format!(
                "weight {cpu_weight}, at most {} of {} us",
                quota.quota_us, quota.period_us
            ),
            outcome,
        ),
        None => writer.row(
            Area::Cpu,
            format!("weight {cpu_weight}"),
            // A weight keeps the neighbours' shares; what is idle may be taken.
            outcome.but(1, "a share and no limit"),
        ),
    }
    let outcome = writer.outcome(Isolation::Memory);
    match memory_bytes_max {
        Some(most) => writer.row(
            Area::Memory,
            format!("at most {}, {}", bytes(*most), swap(*swap_bytes_max)),
            outcome,
        ),
        None => writer.row(
            Area::Memory,
            "no limit".to_string(),
            outcome.but(10, "the task asked for none"),
        ),
    }
    for (kept, how) in [
        (Some(*memory_bytes_min), "are never taken from it"),
        (Some(*memory_bytes_low), "are taken from it last"),
        (*memory_bytes_high, "are what it is slowed down at"),
    ] {
        if let Some(kept) = kept.filter(|kept| *kept > 0) {
            let outcome = writer.outcome(Isolation::Memory);
            writer.note(Area::Memory, format!("{} {how}", bytes(kept)), outcome);
        }
    }
    self::huge_pages(*huge_pages, writer);
    let outcome = writer.outcome(Isolation::Pids);
    writer.row(
        Area::Pids,
        format!("at most {pids_max} processes and threads"),
        outcome,
    );
    let outcome = writer.outcome(Isolation::Io);
    let rate = |rate: Option<u64>| rate.map_or("all".to_string(), |rate| bytes(rate) + "/s");
    match io_max {
        Some(most) => writer.row(
            Area::Io,
            format!(
                "weight {io_weight}, reads {} and writes {} of disk {}:{}",
                rate(most.read_bytes_s),
                rate(most.write_bytes_s),
                most.major,
                most.minor
            ),
            outcome,
        ),
        None => writer.row(
            Area::Io,
            format!("weight {io_weight}"),
            outcome.but(1, "a share and no limit"),
        ),
    }
}

/// Only where they cannot be kept from it do they count: most nodes have none.
fn huge_pages(most: HugePages, writer: &mut Writer<'_>) {
    let some = most.iter().filter(|(_, bytes)| *bytes > 0);
    let some: Vec<_> = some
        .map(|(size, most)| format!("{} in pages of {size}", bytes(most)))
        .collect();
    let what = match some.is_empty() {
        true => "no huge pages".to_string(),
        false => format!("at most {}", some.join(", ")),
    };
    let outcome = writer.outcome(Isolation::HugePages);
    writer.note(Area::Memory, what, outcome);
}

fn swap(most: Option<u64>) -> String {
    match most {
        Some(0) => "no swap".to_string(),
        Some(most) => format!("swap of {}", bytes(most)),
        None => "and swap".to_string(),
    }
}

/// What it may keep on the disk.
pub(super) fn disk(quota: Option<&DiskQuota>, writer: &mut Writer<'_>) {
    let Some(quota) = quota else {
        let judged = Judged::shared("within that of the container it is nested in");
        return writer.row(Area::Disk, "no quota of its own", judged);
    };
    let DiskQuota {
        bytes_max,
        inodes_max,
    } = quota;
    let outcome = writer.outcome(Isolation::Disk);
    let files = inodes_max.map_or(String::new(), |inodes| format!(" in {inodes} files"));
    match bytes_max {
        Some(most) => writer.row(
            Area::Disk,
            format!("at most {}{files}", bytes(*most)),
            outcome,
        ),
        None => writer.row(
            Area::Disk,
            "no quota",
            outcome.but(10, "the operator set none"),
        ),
    }
}
