//! Sockets: made in the network of a container, used by the agent.
//!
//! A socket belongs to the network namespace in which it was made, whoever holds it.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::namespaces;

/// Which addresses a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
}

/// A TCP socket in the network of the process that a pidfd names; it is not connected, and does not
/// block.
///
/// Waits for a thread, some tens of microseconds.
///
/// # Errors
/// ESRCH: the process is gone. As in setns(2) and socket(2) otherwise.
pub fn tcp_within(process: BorrowedFd<'_>, family: Family) -> Result<OwnedFd, Errno> {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    namespaces::in_network(process, || {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(family, SockType::Stream, flags, None)
    })
}
