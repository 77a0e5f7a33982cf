//! DHCP: an address asked for, and kept for as long as the machine runs.
//!
//! The socket is an ordinary one, bound to the device: answers are asked for by broadcast, which
//! reaches a device without an address too.

mod message;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use agent_kernel::netlink::Link;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use message::{Answer, Ask};
pub(super) use message::{Lease, Times};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// The first question may be lost to a switch that still learns; the last wait is for networks
/// that are down.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_LAST: Duration = Duration::from_secs(16);
/// How often a renewal is asked for in the time that is left: half of it, at least this
/// (RFC 2131 4.4.5).
const RENEWAL_STEP_MIN: Duration = Duration::from_secs(60);
/// How long a server that answers at all takes for it.
const ANSWER: Duration = Duration::from_secs(5);

/// A client on one device.
pub(super) struct Client {
    socket: UdpSocket,
    link: Link,
    hostname: Option<String>,
    transaction: u32,
}

/// How a renewal ended.
#[derive(Debug)]
pub(super) enum Renewal {
    /// The lease goes on, perhaps with other names.
    Kept(Lease),
    /// The address is not ours any more.
    Lost,
}

impl Client {
    /// Opens a socket on the device.
    ///
    /// # Errors
    /// The port is taken, or the device is gone.
    pub(super) fn open(link: Link, hostname: Option<String>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(link.name.as_bytes()))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).into())?;
        // Numbers that differ between machines that start together: their devices' do.
        let [_, _, a, b, c, d] = link.mac;
        let transaction = u32::from_be_bytes([a, b, c, d]) ^ std::process::id().rotate_left(16);
        Ok(Self {
            socket: socket.into(),
            link,
            hostname,
            transaction,
        })
    }

    /// Asks until somebody grants an address: without one a node is none, so there is no last try.
    pub(super) fn acquire(&mut self) -> Lease {
        let mut wait = WAIT_FIRST;
        loop {
            match self.try_acquire(wait) {
                Ok(Some(lease)) => return lease,
                Ok(None) => {
                    warn!(link = self.link.name, after = ?wait, "no DHCP server answers; asking again");
                }
                Err(error) => {
                    warn!(link = self.link.name, %error, "DHCP cannot be asked; trying again");
                    std::thread::sleep(wait);
                }
            }
            wait = (wait * 2).min(WAIT_LAST);
        }
    }

    fn try_acquire(&mut self, wait: Duration) -> io::Result<Option<Lease>> {
        let all = Ipv4Addr::BROADCAST;
        let Some(Answer::Offer(offer)) = self.exchange(Ask::Discover, all, wait)? else {
            return Ok(None);
        };
        let request = Ask::Request {
            address: offer.address,
            server: offer.server,
        };
        match self.exchange(request, all, wait)? {
            Some(Answer::Granted(lease)) => Ok(Some(lease)),
            Some(Answer::Refused | Answer::Offer(_)) | None => Ok(None),
        }
    }

    /// Sleeps until a lease has to be renewed, and has it renewed.
    pub(super) fn renew(&mut self, lease: &Lease, times: Times) -> Renewal {
        // Sleep does not count the time that a machine is suspended; a node is not.
        let start = Instant::now();
        let ask = Ask::Renew {
            address: lease.address,
        };
        let mut next = times.renew;
        loop {
            std::thread::sleep(next.saturating_sub(start.elapsed()));
            let now = start.elapsed();
            if now >= times.end {
                return Renewal::Lost;
            }
            let (to, until) = if now < times.rebind {
                (lease.server, times.rebind)
            } else {
                (Ipv4Addr::BROADCAST, times.end)
            };
            match self.exchange(ask, to, ANSWER) {
                Ok(Some(Answer::Granted(lease))) => return Renewal::Kept(lease),
                Ok(Some(Answer::Refused)) => return Renewal::Lost,
                Ok(Some(Answer::Offer(_)) | None) => {
                    info!(link = self.link.name, %to, "lease was not renewed yet");
                }
                Err(error) => {
                    warn!(link = self.link.name, %to, %error, "lease was not renewed yet")
                }
            }
            let now = start.elapsed();
            next = now + (until.saturating_sub(now) / 2).max(RENEWAL_STEP_MIN);
        }
    }

    /// Asks, and waits for the first answer that is one; an offer is no answer to a request.
    fn exchange(&mut self, ask: Ask, to: Ipv4Addr, wait: Duration) -> io::Result<Option<Answer>> {
        self.transaction = self.transaction.wrapping_add(1);
        let bytes = message::write(
            ask,
            self.transaction,
            self.link.mac,
            self.hostname.as_deref(),
        );
        self.socket
            .send_to(&bytes, SocketAddrV4::new(to, SERVER_PORT))?;
        let start = Instant::now();
        let mut buffer = [0; 1500];
        loop {
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            match (
                ask,
                message::read(&buffer[..length], self.transaction, self.link.mac),
            ) {
                (Ask::Discover, Some(answer @ Answer::Offer(_)))
                | (
                    Ask::Request { .. } | Ask::Renew { .. },
                    Some(answer @ (Answer::Granted(_) | Answer::Refused)),
                ) => return Ok(Some(answer)),
                (_, Some(Answer::Offer(_) | Answer::Granted(_) | Answer::Refused) | None) => {}
            }
        }
    }
}
