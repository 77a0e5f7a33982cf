//! Clients: a framework in a role.

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::FrameworkId;
use model::resources::Role;

use super::super::amounts::Amounts;
use super::super::sorter::Rank;
use super::{NodeId, Turn, Usage};
use crate::constraints::Constraints;
use crate::event::Capabilities;

/// The number of a client.
pub(in super::super) type ClientId = u32;

/// What a client can take.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Taker {
    pub(in super::super) capabilities: Capabilities,
    pub(in super::super) constraints: Arc<Constraints>,
    /// The amounts any one of which makes an offer worth while; none: the master's own.
    pub(in super::super) minimum: Option<Vec<Amounts>>,
}

/// A framework in a role.
#[derive(Debug)]
pub(in super::super) struct Client {
    pub(in super::super) framework_id: FrameworkId,
    pub(in super::super) role: Role,
    pub(in super::super) taker: Taker,
    /// What it is charged to: the account of the role at the top.
    pub(in super::super) account: u32,
    pub(super) node: NodeId,
    /// Where its framework stands among those of its role.
    pub(super) label: u64,
    pub(super) is_subscribed: bool,
    pub(super) wants: bool,
    pub(super) usage: Usage,
    /// On how many agents it holds something.
    pub(super) holdings: usize,
    pub(super) rank: Rank,
}

impl Client {
    pub(super) fn new(id: &FrameworkId, role: &Role, node: NodeId, label: u64) -> Self {
        Self {
            framework_id: id.clone(),
            role: role.clone(),
            taker: Taker::default(),
            account: u32::MAX,
            node,
            label,
            is_subscribed: false,
            wants: false,
            usage: Usage::default(),
            holdings: 0,
            rank: Rank::default(),
        }
    }

    /// Where it stands in the order of its role; it is the one with this number.
    pub(super) const fn turn(&self, id: ClientId) -> Turn {
        Turn {
            rank: self.rank,
            label: self.label,
            client: id,
        }
    }

    /// Whether its framework is subscribed to its role.
    pub(in super::super) const fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }
}
