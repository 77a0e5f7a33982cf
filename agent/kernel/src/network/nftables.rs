//! nftables: what passes between the networks of containers and everything else.
//!
//! Two tables are the agent's, one for packets and one for the frames of its bridges, since the kernel
//! keeps these apart. They are made whole, and what a container adds to them are elements of two
//! sets: a packet costs the same however many containers there are. Every change is one batch, of
//! which the kernel takes all or nothing.

mod batch;
mod rules;

use std::io;

use model::sandbox::{Endpoint, Firewall};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::network::attributes::Attributes;

use batch::{Batch, Family};

/// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_DELETE` of linux/netfilter.
const FORGET_CONNECTIONS: u16 = (1 << 8) | 2;
const CTA_MARK: u16 = 8;
const CTA_MARK_MASK: u16 = 21;

/// A change that the kernel did not take, or did not hear of.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// There is no socket.
    #[error("open netfilter's netlink")]
    Open(#[source] io::Error),
    /// It was not sent, or its answer not received.
    #[error("{act}: ask nftables")]
    Ask {
        /// What was to be done.
        act: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a message of the batch, and so all of it.
    #[error("{act}: {what}")]
    Refused {
        /// What was to be done.
        act: &'static str,
        /// The message.
        what: &'static str,
        /// What the kernel said.
        source: Errno,
    },
}

impl FirewallError {
    /// What the kernel said.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self {
            Self::Open(source) | Self::Ask { source, .. } => crate::files::errno(source),
            Self::Refused { source, .. } => *source,
        }
    }
}

/// The agent's tables.
#[derive(Debug)]
pub struct Tables {
    socket: Socket,
    sequence: u32,
    name: String,
}

impl Tables {
    /// Opens a socket for the tables of this name, which are there or not.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn open(name: &str) -> Result<Self, FirewallError> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(FirewallError::Open)?;
        socket.bind_auto().map_err(FirewallError::Open)?;
        // Answers name the message by its number; they need not repeat it.
        socket.set_cap_ack(true).map_err(FirewallError::Open)?;
        Ok(Self {
            socket,
            sequence: 0,
            name: name.to_owned(),
        })
    }

    /// Makes the tables, in place of what there was of this name.
    ///
    /// # Errors
    /// The kernel lacks a part that they need.
    pub fn install(&mut self, firewall: &Firewall) -> Result<(), FirewallError> {
        self.install_with(firewall, &[])
    }

    /// The same, with containers that are let in already, each by its device's number: what they send
    /// meanwhile passes as before.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn install_with(
        &mut self,
        firewall: &Firewall,
        admitted: &[(Endpoint, u32)],
    ) -> Result<(), FirewallError> {
        let mut batch = Batch::new(&self.name);
        for family in [Family::Ip, Family::Bridge] {
            batch.table_anew(family);
        }
        rules::packets(&mut batch, firewall);
        rules::frames(&mut batch, firewall);
        for (endpoint, device) in admitted {
            rules::admit(&mut batch, endpoint, *device);
        }
        self.send("make the tables", batch)
    }

    /// Removes the tables, whether they are there or not.
    ///
    /// # Errors
    /// The kernel has no nftables.
    pub fn remove(&mut self) -> Result<(), FirewallError> {
        let mut batch = Batch::new(&self.name);
        for family in [Family::Ip, Family::Bridge] {
            batch.table_away(family);
        }
        self.send("remove the tables", batch)
    }

    /// Lets a container in: its frames by its device's number, and its mapped ports.
    ///
    /// # Errors
    /// EEXIST: a port is mapped already.
    pub fn admit(&mut self, endpoint: &Endpoint, device: u32) -> Result<(), FirewallError> {
        let mut batch = Batch::new(&self.name);
        rules::admit(&mut batch, endpoint, device);
        self.send("let a container in", batch)
    }

    /// Takes back what [`Self::admit`] did; connections that are made are forgotten.
    ///
    /// # Errors
    /// ENOENT: it is not there.
    pub fn withdraw(&mut self, endpoint: &Endpoint, device: u32) -> Result<(), FirewallError> {
        let mut batch = Batch::new(&self.name);
        rules::withdraw(&mut batch, endpoint, device);
        self.send("shut a container out", batch)?;
        self.forget_connections(endpoint)
    }

    /// How many elements the sets of the tables have, of all containers together; none where there are no
    /// tables.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn elements(&mut self) -> Result<usize, FirewallError> {
        let mut count = 0;
        for (family, set) in rules::SETS {
            let mut batch = Batch::new(&self.name);
            batch.list(family, set);
            match self.count(batch) {
                Err(error) if error.errno() == Errno::ENOENT => {}
                counted => count += counted?,
            }
        }
        Ok(count)
    }

    /// Sends a question whose answer is a list, and counts what is in it.
    fn count(&mut self, batch: Batch) -> Result<usize, FirewallError> {
        const ACT: &str = "count elements";
        let asked = |source| FirewallError::Ask { act: ACT, source };
        self.sequence = self.sequence.wrapping_add(1);
        let (bytes, _) = batch.finish(self.sequence);
        self.socket.send(&bytes, 0).map_err(asked)?;
        let mut count = 0;
        loop {
            let (bytes, _) = self.socket.recv_from_full().map_err(asked)?;
            let part = batch::listed(&bytes, self.sequence);
            if let Some(code) = part.error {
                return Err(FirewallError::Refused {
                    act: ACT,
                    what: "list a set",
                    source: Errno::from_raw(-code),
                });
            }
            count += part.elements;
            if part.is_last {
                return Ok(count);
            }
        }
    }

    /// A flow that goes on, of UDP above all, would lead to the container for as long as it does,
    /// whoever has the port or the address next. The rules mark each with the container's address.
    fn forget_connections(&mut self, endpoint: &Endpoint) -> Result<(), FirewallError> {
        let mark = u32::from_ne_bytes(endpoint.address.octets());
        let mut attributes = Attributes::default();
        attributes.number(CTA_MARK, mark);
        attributes.number(CTA_MARK_MASK, u32::MAX);
        let mut batch = Batch::new(&self.name);
        batch.alone(FORGET_CONNECTIONS, attributes);
        match self.send("forget connections", batch) {
            // There were none; or the kernel cannot be told, and they end by themselves in time.
            Err(error)
                if matches!(
                    error.errno(),
                    Errno::ENOENT | Errno::EINVAL | Errno::EOPNOTSUPP
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Sends a batch, and takes an answer for each of its messages: the kernel has them all ready when
    /// it has taken the batch.
    fn send(&mut self, act: &'static str, batch: Batch) -> Result<(), FirewallError> {
        let asked = |source| FirewallError::Ask { act, source };
        let first = self.sequence.wrapping_add(1);
        let (bytes, whats) = batch.finish(first);
        self.sequence = first.wrapping_add(u32::try_from(whats.len()).unwrap_or(0) + 1);
        self.socket.send(&bytes, 0).map_err(asked)?;
        let mut waiting = whats.iter().filter(|what| what.is_some()).count();
        while waiting > 0 {
            let (bytes, _) = self.socket.recv_from_full().map_err(asked)?;
            for (sequence, code) in batch::answers(&bytes) {
                let what = whats.get(sequence.wrapping_sub(first) as usize);
                let Some(what) = what else {
                    continue;
                };
                if code != 0 {
                    // The others' answers are told apart by their numbers, should they be read later.
                    return Err(FirewallError::Refused {
                        act,
                        what: what.unwrap_or("the batch"),
                        source: Errno::from_raw(-code),
                    });
                }
                waiting = waiting.saturating_sub(1);
            }
        }
        Ok(())
    }
}
