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

/// What a container has read from a disk and written to it since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskIo {
    /// The number of the disk's driver.
    pub major: u32,
    /// The number within it.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes that were said to be of no use any more.
    pub discarded_bytes: u64,
    /// How often something was read.
    pub reads: u64,
    /// How often something was written.
    pub writes: u64,
    /// How often something was said to be of no use.
    pub discards: u64,
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

    /// What its processes read and wrote, by disk; nothing on a kernel that does not tell.
    #[must_use]
    pub fn io(&self) -> Vec<DiskIo> {
        self.table("io.stat").lines().filter_map(disk_io).collect()
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

/// Reads a line such as `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`. A disk of which
/// nothing is told has no fields.
fn disk_io(line: &str) -> Option<DiskIo> {
    let (device, fields) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let mut io = DiskIo {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        ..DiskIo::default()
    };
    for (key, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
        let place = match key {
            "rbytes" => &mut io.read_bytes,
            "wbytes" => &mut io.written_bytes,
            "dbytes" => &mut io.discarded_bytes,
            "rios" => &mut io.reads,
            "wios" => &mut io.writes,
            "dios" => &mut io.discards,
            // What a policy adds (iocost, iolatency).
            _ => continue,
        };
        *place = value.parse().ok()?;
    }
    Some(io)
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
    fn what_was_read_and_written_is_told_by_disk() {
        let line = "254:16 rbytes=8192 wbytes=4096 rios=2 wios=1 dbytes=0 dios=0 cost.usage=7";
        let expected = DiskIo {
            major: 254,
            minor: 16,
            read_bytes: 8192,
            written_bytes: 4096,
            reads: 2,
            writes: 1,
            ..DiskIo::default()
        };
        assert_eq!(disk_io(line), Some(expected));
        for line in ["", "254:0", "x:0 rbytes=1", "254:0 rbytes=x"] {
            assert_eq!(disk_io(line), None, "{line}");
        }
    }

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
