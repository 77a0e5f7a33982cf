//! Connections: a container's network put on a bridge of the node, and taken off again.

use std::fs;
use std::io;

use model::sandbox::{Bridge, Endpoint};
use nix::errno::Errno;

use super::nftables::{FirewallError, Tables};
use super::space::Space;
use crate::netlink::{Netlink, NetlinkError};

/// Why a container is not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A device, an address or a route.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The tables.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    /// A setting of the node.
    #[error("write {path}")]
    Setting {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl ConnectError {
    /// What the kernel said.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Netlink(error) => error.errno(),
            Self::Firewall(error) => error.errno(),
            Self::Setting { source, .. } => crate::files::errno(source),
        }
    }
}

/// What connects a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The number of its device on the node.
    pub device: u32,
}

/// Makes a bridge, in place of one of the same name, and has the node pass packets on.
///
/// # Errors
/// The kernel knows no bridges, or the agent may not.
pub fn make_bridge(netlink: &mut Netlink, bridge: &Bridge) -> Result<(), ConnectError> {
    for name in netlink.names()? {
        if name.starts_with(&bridge.device) {
            netlink.remove_link(&name)?;
        }
    }
    netlink.add_bridge(bridge)?;
    let ipv4 = "/proc/sys/net/ipv4";
    // What the node passes on to the bridge that it came from is no advice to ask the neighbour.
    let redirects = format!("{ipv4}/conf/{}/send_redirects", bridge.device);
    for (path, value) in [(format!("{ipv4}/ip_forward"), "1"), (redirects, "0")] {
        fs::write(&path, value).map_err(|source| ConnectError::Setting { path, source })?;
    }
    Ok(())
}

/// Whether a bridge is there, with its ports.
#[must_use]
pub fn has_bridge(netlink: &mut Netlink, bridge: &Bridge) -> bool {
    netlink.index(&bridge.device).is_ok()
}

/// Connects a space. What was done is undone where a step goes wrong.
///
/// # Errors
/// The first step that went wrong.
pub fn connect(
    netlink: &mut Netlink,
    tables: &mut Tables,
    space: &mut Space,
    endpoint: &Endpoint,
) -> Result<Connection, ConnectError> {
    let device = netlink.add_pair(endpoint, &*space);
    let connected = device.map_err(ConnectError::from).and_then(|device| {
        space.configure(endpoint)?;
        if let Some(rate) = endpoint.rates.ingress {
            netlink.limit_rate(device, rate)?;
        }
        tables.admit(endpoint, device)?;
        Ok(Connection { device })
    });
    if connected.is_err() {
        // The error that is being returned says more than one of tidying up.
        let _ = netlink.remove_link(&endpoint.device);
    }
    connected
}

impl Connection {
    /// Takes a container off its bridge; both are tried.
    ///
    /// # Errors
    /// The last that went wrong.
    pub fn end(
        self,
        netlink: &mut Netlink,
        tables: &mut Tables,
        endpoint: &Endpoint,
    ) -> Result<(), ConnectError> {
        let withdrawn = tables.withdraw(endpoint, self.device);
        let removed = netlink.remove_link(&endpoint.device);
        withdrawn?;
        Ok(removed?)
    }
}
