//! The machine under the master: processors, load, memory.

use serde_json::{Value, json};

/// What the machine says of itself; zeros where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct System {
    /// Processors.
    pub(super) cpus: usize,
    /// Load over 1, 5 and 15 minutes.
    pub(super) load: [f64; 3],
    /// Memory in bytes.
    pub(super) mem_total: u64,
    /// Memory in bytes that nobody uses.
    pub(super) mem_free: u64,
}

impl System {
    /// Reads `/proc`.
    pub(super) fn read() -> Self {
        let file = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
        Self::parse(
            std::thread::available_parallelism().map_or(0, usize::from),
            &file("/proc/loadavg"),
            &file("/proc/meminfo"),
        )
    }

    fn parse(cpus: usize, loadavg: &str, meminfo: &str) -> Self {
        let mut load = [0.0; 3];
        for (slot, text) in load.iter_mut().zip(loadavg.split_whitespace()) {
            *slot = text.parse().unwrap_or(0.0);
        }
        // Both values are in kibibytes, "kB" in proc(5).
        let memory = |key: &str| {
            meminfo
                .lines()
                .find_map(|line| line.strip_prefix(key)?.split_whitespace().next())
                .and_then(|text| text.parse::<u64>().ok())
                .map_or(0, |kib| kib * 1024)
        };
        Self {
            cpus,
            load,
            mem_total: memory("MemTotal:"),
            mem_free: memory("MemFree:"),
        }
    }
}

/// `/system/stats.json`.
pub(super) fn document() -> Value {
    let system = System::read();
    json!({
        "avg_load_15min": system.load[2],
        "avg_load_1min": system.load[0],
        "avg_load_5min": system.load[1],
        "cpus_total": system.cpus,
        "mem_free_bytes": system.mem_free,
        "mem_total_bytes": system.mem_total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let system = System::parse(
            2,
            "0.50 1.25 2.00 1/99 1234\n",
            "MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable: 7 kB\n",
        );
        assert_eq!(
            system,
            System {
                cpus: 2,
                load: [0.5, 1.25, 2.0],
                mem_total: 1_024_000,
                mem_free: 10_240,
            }
        );
        assert_eq!(
            System::parse(1, "", ""),
            System {
                cpus: 1,
                ..System::default()
            }
        );
    }
}
