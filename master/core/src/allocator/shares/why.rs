//! Why somebody is ranked, as the policies are told it.

use super::super::order::Order;
use super::super::sorter::{Occasion, Rank};
use super::Place;

/// Why somebody is ranked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// It joins those who want something, or its weight is another.
    Joins,
    /// It was allocated something.
    Got,
    /// It gave something back, or the cluster changed.
    Changed,
}

impl Why {
    /// What a policy is told of it.
    pub(super) fn of(self, before: Rank, order: &Order<Place>) -> Occasion {
        match self {
            Self::Joins => Occasion::Joins {
                first: order.first().map_or(Rank::default(), |place| place.rank),
            },
            Self::Got => Occasion::Got { before },
            Self::Changed => Occasion::Changed { before },
        }
    }
}
