//! What runs a guest's instructions: the processor (KVM) or software emulation (TCG).
//!
//! That `/dev/kvm` opens and makes a virtual machine proves little: there are hosts where a guest
//! then stands still for ever, or runs slower than emulated. So the very kernel that is to be booted
//! is started under KVM, without a root, and has to come as far as to panic about that.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::guest::QEMU;

/// How long the kernel may take under KVM; under emulation it takes about three seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor, by `/dev/kvm`.
    Kvm,
    /// Software.
    Tcg,
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccelChoice {
    /// KVM where it works, else emulation.
    #[default]
    Auto,
    /// This one.
    Only(Accel),
}

/// Not the name of an accelerator.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an accelerator: auto, kvm or tcg")]
pub struct UnknownAccel(String);

impl FromStr for AccelChoice {
    type Err = UnknownAccel;

    fn from_str(text: &str) -> Result<AccelChoice, UnknownAccel> {
        match text {
            "auto" => Ok(AccelChoice::Auto),
            "kvm" => Ok(AccelChoice::Only(Accel::Kvm)),
            "tcg" => Ok(AccelChoice::Only(Accel::Tcg)),
            _ => Err(UnknownAccel(text.to_owned())),
        }
    }
}

impl fmt::Display for AccelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccelChoice::Auto => f.write_str("auto"),
            AccelChoice::Only(accel) => accel.fmt(f),
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        })
    }
}

/// Why KVM is no use here.
#[derive(Debug, thiserror::Error)]
pub enum NoKvm {
    /// No device, or not ours to open.
    #[error("open /dev/kvm")]
    Device(#[source] io::Error),
    /// QEMU does not start.
    #[error("run {QEMU}")]
    Run(#[source] io::Error),
    /// The guest did nothing, or little.
    #[error("a guest got nowhere within {} s", PATIENCE.as_secs())]
    Stuck,
    /// QEMU gave up.
    #[error("QEMU gave up on a guest: {0}")]
    GaveUp(String),
}

impl AccelChoice {
    /// Settles what to use, trying KVM with `kernel`; the text says what was found out.
    ///
    /// # Errors
    /// KVM is demanded, and does not work.
    pub fn settle(self, kernel: &Path) -> Result<(Accel, String), NoKvm> {
        match self {
            AccelChoice::Only(Accel::Tcg) => Ok((Accel::Tcg, "software emulation".to_owned())),
            AccelChoice::Only(Accel::Kvm) => {
                try_kvm(kernel).map(|taken| (Accel::Kvm, worked(taken)))
            }
            AccelChoice::Auto => Ok(match try_kvm(kernel) {
                Ok(taken) => (Accel::Kvm, worked(taken)),
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    let said = format!(
                        "software emulation, since KVM does not work here ({error}{cause})"
                    );
                    (Accel::Tcg, said)
                }
            }),
        }
    }
}

fn worked(taken: Duration) -> String {
    format!("KVM (a kernel ran in {:.1} s)", taken.as_secs_f64())
}

/// Runs `kernel` under KVM without a root until it panics; returns how long that took.
fn try_kvm(kernel: &Path) -> Result<Duration, NoKvm> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(NoKvm::Device)?;
    let started = Instant::now();
    let mut guest = Command::new(QEMU)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args([
            "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "128M",
        ])
        .args(["-serial", "stdio", "-append", "console=ttyS0 panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NoKvm::Run)?;
    let console = guest.stdout.take().map(reader);
    let complaints = guest.stderr.take().map(reader);
    let ended = ended_in_time(&mut guest, started + PATIENCE).map_err(NoKvm::Run)?;
    if !ended {
        guest.kill().map_err(NoKvm::Run)?;
        guest.wait().map_err(NoKvm::Run)?;
        return Err(NoKvm::Stuck);
    }
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    // QEMU also ends, with no fault, when the guest resets itself before it has said anything.
    if text(console).contains("Kernel panic") {
        return Ok(started.elapsed());
    }
    let complaints = text(complaints);
    let last = complaints
        .lines()
        .last()
        .unwrap_or("the guest reset itself");
    Err(NoKvm::GaveUp(last.to_owned()))
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut data = Vec::new();
        // What was read before an error is what there is to judge by.
        let _read = from.read_to_end(&mut data);
        String::from_utf8_lossy(&data).into_owned()
    })
}

fn ended_in_time(child: &mut Child, deadline: Instant) -> io::Result<bool> {
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in ["auto", "kvm", "tcg"] {
            assert_eq!(text.parse::<AccelChoice>().unwrap().to_string(), text);
        }
        let error = "xen".parse::<AccelChoice>().unwrap_err().to_string();
        assert_eq!(error, "\"xen\" is not an accelerator: auto, kvm or tcg");
    }
}
