//! The clock: set once after the start by a time server, and kept by it, in the background.
//!
//! Nothing waits for it: a node registers and runs tasks with the clock that the machine came with.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::{InitError, chain, sntp};
use crate::config::HostPort;

/// How often the server is asked: at first ever less often until it answers, then to keep in step.
const TRY_FIRST: Duration = Duration::from_secs(1);
const KEEP: Duration = Duration::from_secs(3600);
const ANSWER: Duration = Duration::from_secs(3);
/// What is further off is set at once; the kernel slews no more than this.
const SLEW_NANOS_MAX: i128 = 500_000_000;

/// Why the server did not tell the time.
#[derive(Debug, thiserror::Error)]
enum ClockError {
    #[error("ask")]
    Ask(#[source] std::io::Error),
    #[error("no answer in {} s", ANSWER.as_secs())]
    Silent,
    #[error("read the answer")]
    Answer(#[source] sntp::Refusal),
    #[error("set the clock")]
    Set(#[source] agent_kernel::Errno),
}

/// Keeps the clock by the server that was named, or else the network's.
pub(super) fn keep(named: Option<HostPort>, offered: Option<Ipv4Addr>) -> Result<(), InitError> {
    let offered = offered.map(|address| HostPort {
        host: address.to_string(),
        port: 123,
    });
    let Some(server) = named.or(offered) else {
        info!("no time server is known: the clock stays as the machine has it");
        return Ok(());
    };
    thread::Builder::new()
        .name("clock".to_owned())
        .spawn(move || keep_by(&server))
        .map(drop)
        .map_err(InitError::Thread)
}

fn keep_by(server: &HostPort) {
    let mut wait = TRY_FIRST;
    loop {
        match set(server) {
            Ok(offset) => {
                info!(%server, offset_ms = offset / 1_000_000, "clock is kept");
                wait = KEEP;
            }
            Err(error) => {
                warn!(%server, error = chain(&error), "time server does not help");
                wait = (wait * 2).min(KEEP);
            }
        }
        thread::sleep(wait);
    }
}

/// Asks once and follows the answer; tells how far the clock was off.
fn set(server: &HostPort) -> Result<i128, ClockError> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(ClockError::Ask)?;
    socket
        .connect((server.host.as_str(), server.port))
        .and_then(|()| socket.set_read_timeout(Some(ANSWER)))
        .map_err(ClockError::Ask)?;
    let asked = now();
    // Nobody who does not see the question can guess its nanoseconds.
    let cookie = u64::try_from(asked.as_nanos() & u128::from(u64::MAX)).unwrap_or_default();
    socket
        .send(&sntp::question(cookie))
        .map_err(ClockError::Ask)?;
    let mut bytes = [0; sntp::LENGTH * 2];
    let length = socket
        .recv(&mut bytes)
        .map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClockError::Silent,
            _ => ClockError::Ask(error),
        })?;
    let answered = now();
    let offset =
        sntp::offset(&bytes[..length], cookie, asked, answered).map_err(ClockError::Answer)?;
    if offset.abs() < SLEW_NANOS_MAX {
        let micros = i64::try_from(offset / 1000).unwrap_or_default();
        agent_kernel::clock::slew(micros).map_err(ClockError::Set)?;
    } else {
        let right = i128::try_from(now().as_nanos()).unwrap_or_default() + offset;
        let right = u64::try_from(right).unwrap_or_default();
        agent_kernel::clock::step(Duration::from_nanos(right)).map_err(ClockError::Set)?;
    }
    Ok(offset)
}

/// The wall clock; before 1970 it is as wrong as at 1970.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
