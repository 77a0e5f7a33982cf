//! Limits: the values of a plan, written into the files of a group.
//!
//! Each controller is enabled above first, and a limit that cannot be set is told and no error. What
//! a container has to give back is asked for before less is allowed: `memory.low` last.

use std::path::PathBuf;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use model::sandbox::{CgroupLimits, IoMax};

use super::disks::Sharing;
use super::files::write;
use super::{Cgroup, text};

impl Cgroup {
    pub(super) fn limit_cpu(&self, limits: &CgroupLimits) -> Result<(), String> {
        let controller = CpuController::new(self.path.clone(), PathBuf::new(), true);
        controller.set_shares(limits.cpu_weight).map_err(text)?;
        match limits.cpu_quota {
            // It may have had one, when it runs already.
            None => write(&self.path.join("cpu.max"), "max").map_err(text),
            Some(cpu) => controller
                .set_cfs_quota_and_period(i64::try_from(cpu.quota_us).ok(), Some(cpu.period_us))
                .map_err(text),
        }
    }

    pub(super) fn limit_memory(&self, limits: &CgroupLimits) -> Result<(), String> {
        let controller = MemController::new(self.path.clone(), PathBuf::new(), true);
        // The crate writes a negative number as "max".
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let max = limits.memory_bytes_max.map_or(-1, bytes);
        controller.set_limit(max).map_err(text)?;
        // Both have the kernel's own value where the plan says nothing, and a container that runs may have
        // had another.
        let high = limits.memory_bytes_high;
        self.set_unless(
            "memory.high",
            &high.map_or("max".to_string(), |bytes| bytes.to_string()),
            "max",
        )?;
        self.set_unless("memory.min", &limits.memory_bytes_min.to_string(), "0")?;
        controller
            .set_soft_limit(bytes(limits.memory_bytes_low))
            .map_err(text)?;
        // A kernel without swap has no such file, and then nothing to limit.
        if self.path.join("memory.swap.max").exists() {
            let swap = limits.swap_bytes_max.map_or(-1, bytes);
            controller.set_memswap_limit(swap).map_err(text)?;
        }
        // The whole container goes, not the one process that the kernel picks.
        write(&self.path.join("memory.oom.group"), "1").map_err(text)
    }

    /// Writes a value; one that is the kernel's own only where another stands there.
    fn set_unless(&self, file: &str, value: &str, usual: &str) -> Result<(), String> {
        if value == usual && self.table(file).trim() == usual {
            return Ok(());
        }
        write(&self.path.join(file), value).map_err(text)
    }

    pub(super) fn limit_pids(&self, limits: &CgroupLimits) -> Result<(), String> {
        let max = i64::try_from(limits.pids_max).map_or(MaxValue::Max, MaxValue::Value);
        PidController::new(self.path.clone(), PathBuf::new(), true)
            .set_pid_max(max)
            .map_err(text)
    }

    /// A weight counts where a disk goes by it; a limit everywhere.
    pub(super) fn limit_io(&self, limits: &CgroupLimits, disks: Sharing) -> Result<(), String> {
        if let Some(most) = &limits.io_max {
            write(&self.path.join("io.max"), &io_max(most)).map_err(text)?;
        }
        match (disks.file(), limits.io_max) {
            (Some((file, most)), _) => {
                let weight = limits.io_weight.clamp(1, most);
                write(&self.path.join(file), &format!("default {weight}")).map_err(text)
            }
            (None, Some(_)) => Ok(()),
            (None, None) => Err(
                "no disk of this machine goes by weights: neither has it the scheduler BFQ, nor is iocost \
                 enabled for it"
                    .to_owned(),
            ),
        }
    }
}

fn io_max(most: &IoMax) -> String {
    let rate = |rate: Option<u64>| rate.map_or("max".to_string(), |rate| rate.to_string());
    format!(
        "{}:{} rbps={} wbps={}",
        most.major,
        most.minor,
        rate(most.read_bytes_s),
        rate(most.write_bytes_s)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_limit_names_its_disk_and_both_ways() {
        let most = IoMax {
            major: 254,
            minor: 16,
            read_bytes_s: None,
            write_bytes_s: Some(1 << 20),
        };
        assert_eq!(io_max(&most), "254:16 rbps=max wbps=1048576");
    }
}
