//! Clocks: time since the machine's start, and the wall clock set and slewed.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};

/// The time since the kernel's start.
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
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
