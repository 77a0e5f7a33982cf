//! The hardware's watchdog: a clock that starts the machine again where nobody feeds it.
//!
//! Its device is open once, in the table of what is kept over execve(2), so that no program in between
//! stops it. It is stopped by [`disarm`] alone (the "magic close" of Documentation/watchdog): whatever else
//! becomes of the machine, the clock goes on.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::write;

use crate::kept::{self, Kept};

/// `WDIOC_SETTIMEOUT` of `linux/watchdog.h`: seconds, in and out.
const WDIOC_SETTIMEOUT: libc::Ioctl = 0xc004_5706_u32 as libc::Ioctl;
/// `WDIOC_GETTIMEOUT`: seconds.
const WDIOC_GETTIMEOUT: libc::Ioctl = 0x8004_5707_u32 as libc::Ioctl;
/// What the device takes as food, and as the wish to stop.
const FOOD: &[u8] = b"\0";
const STOP: &[u8] = b"V";

/// Opens the first watchdog, or goes on with the one that an earlier program opened, and has it wait so
/// long; how long it does wait. `None` where there is none.
///
/// # Errors
/// It is somebody else's (EBUSY), or does not work.
pub fn arm(time: Duration) -> Result<Option<Duration>, Errno> {
    if kept::number(Kept::Watchdog).is_none() {
        const DEVICE: &str = "/dev/watchdog";
        if !Path::new(DEVICE).exists() {
            return Ok(None);
        }
        // From here on it runs.
        let device = open(DEVICE, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        kept::keep(Kept::Watchdog, &device)?;
    }
    let mut seconds = libc::c_int::try_from(time.as_secs()).map_err(|_| Errno::EINVAL)?;
    // One that cannot be told waits as long as it does.
    if tell(WDIOC_SETTIMEOUT, &mut seconds).is_err() {
        tell(WDIOC_GETTIMEOUT, &mut seconds)?;
    }
    feed()?;
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Has it wait from now on.
///
/// # Errors
/// As in write(2).
pub fn feed() -> Result<(), Errno> {
    kept::borrowed(Kept::Watchdog, |device| write(device, FOOD).map(drop)).unwrap_or(Ok(()))
}

/// Stops it: the machine is to be off, and to stay so. Nothing happens where there is none.
///
/// # Errors
/// As in write(2): it goes on.
pub fn disarm() -> Result<(), Errno> {
    let said = kept::borrowed(Kept::Watchdog, |device| write(device, STOP).map(drop));
    // It stops at the last close.
    kept::forget(Kept::Watchdog);
    said.unwrap_or(Ok(()))
}

fn tell(request: libc::Ioctl, seconds: &mut libc::c_int) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let told = kept::borrowed(Kept::Watchdog, |device| {
        // SAFETY: the descriptor is open, and both requests read and write one int, which outlives the
        // call.
        let rc = unsafe { libc::ioctl(device.as_raw_fd(), request, &raw mut *seconds) };
        Errno::result(rc).map(drop)
    });
    told.unwrap_or(Err(Errno::ENODEV))
}
