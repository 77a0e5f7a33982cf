//! Clocks: time since the machine's start, those of a container, and the wall clock set and slewed.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

/// The time since the kernel's start.
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Why this kernel has no clocks of a container's own (time namespaces, since Linux 5.6).
///
/// # Errors
/// In words.
pub(crate) fn namespaces() -> Result<(), String> {
    match Path::new("/proc/self/ns/time_for_children").exists() {
        true => Ok(()),
        false => Err("the kernel has no time namespaces".into()),
    }
}

/// What the clocks of a container are set back by: the node's when it was made, so that its own begin
/// at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// `CLOCK_MONOTONIC`.
    pub(crate) monotonic: Duration,
    /// `CLOCK_BOOTTIME`.
    pub(crate) boot: Duration,
}

impl Beginning {
    /// Now. Taken before the container's first process is there, none of its processes started before
    /// zero.
    pub(crate) fn now() -> Self {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC);
        Self {
            monotonic: monotonic.map_or(Duration::ZERO, Duration::from),
            boot: since_boot(),
        }
    }

    /// Makes a time namespace for what the caller starts from now on. A clone(2) into one would be too
    /// late: the offsets of a namespace stay as they are from its first process on
    /// (time_namespaces(7)).
    ///
    /// # Errors
    /// ENOSPC: there are too many.
    pub(crate) fn for_children(self) -> Result<(), Errno> {
        unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME))?;
        let path = "/proc/self/timens_offsets";
        std::fs::write(path, self.offsets()).map_err(|error| crate::files::errno(&error))
    }

    /// Both lines at once: the kernel takes one write only in its whole, and a part of a second is
    /// never negative.
    fn offsets(self) -> String {
        let line = |clock: &str, time: Duration| {
            let (seconds, nanoseconds) = match time.subsec_nanos() {
                0 => (time.as_secs(), 0),
                part => (time.as_secs() + 1, 1_000_000_000 - part),
            };
            format!("{clock} -{seconds} {nanoseconds}\n")
        };
        line("monotonic", self.monotonic) + &line("boottime", self.boot)
    }
}

/// Sets the wall clock to so much after the Unix epoch.
///
/// # Errors
/// The caller may not.
pub fn step(since_epoch: Duration) -> Result<(), Errno> {
    clock_settime(
        ClockId::CLOCK_REALTIME,
        TimeSpec::from_duration(since_epoch),
    )
}

/// Lets the wall clock run faster or slower until it has made up for `micros`: half a millisecond
/// each second, and never back.
///
/// # Errors
/// The caller may not, or more than half a second is asked for.
pub fn slew(micros: i64) -> Result<(), Errno> {
    // SAFETY: `timex` holds integers only, for which all bits zero is a value.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    request.offset = micros;
    // SAFETY: `request` is a live `timex`, which the kernel reads and writes during the call only.
    let state = unsafe { libc::adjtimex(&raw mut request) };
    Errno::result(state).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_set_back_to_zero_and_no_part_of_a_second_is_negative() {
        let beginning = Beginning {
            monotonic: Duration::new(12, 250_000_000),
            boot: Duration::from_secs(90),
        };
        let offsets = "monotonic -13 750000000\nboottime -90 0\n";
        assert_eq!(beginning.offsets(), offsets);
    }
}
