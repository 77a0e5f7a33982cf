//! Usage: what the processes of a group take, and how much they wait for what is not there.

use std::time::Duration;

use super::Cgroup;
use super::files::value;

/// What a container uses; `None` where its controller is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time in user mode.
    pub cpu_user: Option<Duration>,
    /// Processor time in kernel mode.
    pub cpu_system: Option<Duration>,
    /// Periods of the quota.
    pub cpu_periods: Option<u64>,
    /// Periods in which the quota ran out.
    pub cpu_periods_throttled: Option<u64>,
    /// How long processes waited for the next period.
    pub cpu_throttled: Option<Duration>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// What of it is of no file.
    pub memory_anonymous_bytes: Option<u64>,
    /// What of it is of files.
    pub memory_file_bytes: Option<u64>,
    /// What of that is mapped.
    pub memory_mapped_bytes: Option<u64>,
    /// What cannot be given back.
    pub memory_unevictable_bytes: Option<u64>,
    /// What the kernel has for its processes.
    pub memory_kernel_bytes: Option<u64>,
    /// Of that what sockets hold.
    pub memory_socket_bytes: Option<u64>,
    /// What of its memory is in the swap.
    pub swap_bytes: Option<u64>,
    /// The most memory that was in use, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Processes, their threads counted apart.
    pub pids: Option<u64>,
}

/// How much of the time processes waited for something (PSI, the kernel's accounting/psi.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// In hundredths of a percent of the last 10 s: some of them waited.
    pub some_10s: u32,
    /// The same of the last 60 s.
    pub some_60s: u32,
    /// In hundredths of a percent of the last 10 s: none of them could do anything else.
    pub full_10s: u32,
    /// The same of the last 60 s.
    pub full_60s: u32,
    /// How long some of them waited altogether.
    pub some: Duration,
    /// How long all of them waited altogether.
    pub full: Duration,
}

/// What processes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Processors.
    Cpu,
    /// Memory that has to be taken from something else.
    Memory,
    /// Disks.
    Io,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// Its name, as the kernel's files begin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

impl Cgroup {
    /// How much its processes wait; `None` on a kernel that does not tell.
    #[must_use]
    pub fn pressure(&self, resource: Resource) -> Option<Pressure> {
        pressure(&self.table(&format!("{}.pressure", resource.name())))
    }

    /// What its processes use, and used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (cpu, memory) = (self.table("cpu.stat"), self.table("memory.stat"));
        let micros = |key| value(&cpu, key).map(Duration::from_micros);
        Usage {
            cpu_user: micros("user_usec"),
            cpu_system: micros("system_usec"),
            cpu_periods: value(&cpu, "nr_periods"),
            cpu_periods_throttled: value(&cpu, "nr_throttled"),
            cpu_throttled: micros("throttled_usec"),
            memory_bytes: self.number("memory.current"),
            memory_anonymous_bytes: value(&memory, "anon"),
            memory_file_bytes: value(&memory, "file"),
            memory_mapped_bytes: value(&memory, "file_mapped"),
            memory_unevictable_bytes: value(&memory, "unevictable"),
            memory_kernel_bytes: value(&memory, "kernel"),
            memory_socket_bytes: value(&memory, "sock"),
            swap_bytes: self.number("memory.swap.current"),
            memory_peak_bytes: self.number("memory.peak"),
            pids: self.number("pids.current"),
        }
    }
}

/// Reads two lines such as `some avg10=0.12 avg60=0.05 avg300=0.00 total=12345`.
fn pressure(text: &str) -> Option<Pressure> {
    let line = |kind: &str| text.lines().find_map(|line| line.strip_prefix(kind));
    let field = |line: &str, name: &str| -> Option<String> {
        let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(key, _)| *key == name)?;
        Some(value.to_string())
    };
    let hundredths = |line: &str, name: &str| -> Option<u32> {
        let value = field(line, name)?;
        let (whole, part) = value.split_once('.')?;
        Some(whole.parse::<u32>().ok()? * 100 + part.parse::<u32>().ok()?)
    };
    let total = |line: &str| -> Option<Duration> {
        let micros = field(line, "total")?.parse().ok()?;
        Some(Duration::from_micros(micros))
    };
    let some = line("some ")?;
    // Processors have no such line before Linux 5.13.
    let full = line("full ").unwrap_or_default();
    Some(Pressure {
        some_10s: hundredths(some, "avg10")?,
        some_60s: hundredths(some, "avg60")?,
        full_10s: hundredths(full, "avg10").unwrap_or(0),
        full_60s: hundredths(full, "avg60").unwrap_or(0),
        some: total(some)?,
        full: total(full).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_in_hundredths_of_a_percent() {
        let text = "some avg10=12.34 avg60=1.05 avg300=0.00 total=1500\n\
                    full avg10=0.07 avg60=0.00 avg300=0.00 total=12\n";
        let read = pressure(text).expect("two lines");
        assert_eq!((read.some_10s, read.some_60s), (1234, 105));
        assert_eq!((read.full_10s, read.full_60s), (7, 0));
        assert_eq!(read.some, Duration::from_micros(1500));
        assert_eq!(read.full, Duration::from_micros(12));
        assert_eq!(pressure(""), None);
        let half = pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
        assert_eq!(half, Some(Pressure::default()));
    }
}
