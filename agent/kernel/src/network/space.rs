//! Spaces: network namespaces made before there is a container for them.
//!
//! A namespace is most of what a launch costs, so that one is made ahead. It belongs to the node's
//! user namespace: from inside nothing of it can be changed, whatever capabilities a container has
//! in its own. What a container would have had the right to is therefore done here: sysfs is
//! mounted, and ports below 1024 and ICMP echo sockets are given to everyone.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::sandbox::{Access, Endpoint};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;

use crate::files::{self, above_stdio};
use crate::mounts::{Attributes, Detached};
use crate::namespaces;
use crate::netlink::{Netlink, NetlinkError};
use crate::process::owned;

/// Settings of the namespace below `/proc/sys/net/ipv4`, each with what it is set to.
const SETTINGS: [(&str, &str); 4] = [
    // CAP_NET_BIND_SERVICE is of the node's user namespace here, which no container has.
    ("ip_unprivileged_port_start", "0"),
    // Likewise CAP_NET_RAW, without which `ping` asks for such a socket. The numbers are groups of
    // the node, and every container's are below 2^31.
    ("ping_group_range", "0 2147483647"),
    // The way to neighbours is what the node says it is, whoever sends other advice.
    ("conf/all/accept_redirects", "0"),
    ("conf/default/accept_redirects", "0"),
];

/// Why there is no space.
#[derive(Debug, thiserror::Error)]
#[error("make a network namespace: {step}")]
pub struct SpaceError {
    /// The act and its object.
    step: String,
    /// What the kernel said.
    source: Errno,
}

/// A network namespace with a loopback device that is up, and nothing else.
///
/// It is gone when this is dropped and the last process in it has ended.
#[derive(Debug)]
pub struct Space {
    namespace: OwnedFd,
    sysfs: OwnedFd,
    /// Made inside, and so of that network wherever it is used.
    netlink: Netlink,
}

impl AsFd for Space {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

impl Space {
    /// Makes one. Waits for a thread and for the kernel, some hundred microseconds.
    ///
    /// # Errors
    /// The first step that went wrong; nothing is left then.
    pub fn make() -> Result<Self, SpaceError> {
        // The step is told apart from the error, which crosses the thread as a number.
        let mut step = "unshare".to_string();
        let made = namespaces::in_new_network(|| {
            let at = &mut step;
            let mut begin = |name: &str| name.clone_into(at);
            begin("bring the loopback device up");
            let mut netlink = Netlink::open().map_err(|error| error.errno())?;
            netlink.loopback_up().map_err(|error| error.errno())?;
            for (name, value) in SETTINGS {
                begin(name);
                let path = format!("/proc/sys/net/ipv4/{name}");
                fs::write(path, value).map_err(|error| files::errno(&error))?;
            }
            begin("mount sysfs");
            let sysfs = above_stdio(sysfs()?.into_fd())?;
            begin("open it");
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let namespace = open("/proc/thread-self/ns/net", flags, Mode::empty())?;
            let namespace = above_stdio(namespace)?;
            Ok(Self {
                namespace,
                sysfs,
                netlink,
            })
        });
        made.map_err(|source| SpaceError { step, source })
    }

    /// Gives the device that [`Netlink::add_pair`] put into it its address and its way out.
    pub(super) fn configure(&mut self, endpoint: &Endpoint) -> Result<(), NetlinkError> {
        let gateway = endpoint.bridge.gateway.address;
        let device = self.netlink.configure_inside(endpoint, gateway)?;
        match endpoint.rates.egress {
            Some(rate) => self.netlink.limit_rate(device, rate),
            None => Ok(()),
        }
    }

    /// Its sysfs, which can be put into one place once.
    pub(crate) fn sysfs(&self) -> Result<Detached, Errno> {
        let copy = fcntl(&self.sysfs, FcntlArg::F_DUPFD_CLOEXEC(3))?;
        owned(copy.into()).map(Detached::from)
    }
}

/// The sysfs of the network of this thread, read-only.
pub(crate) fn sysfs() -> Result<Detached, Errno> {
    Detached::filesystem(c"sysfs", &[], Attributes::DATA.with(Access::ReadOnly))
}
