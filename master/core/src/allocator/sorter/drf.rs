//! Dominant resource fairness: the least share by weight first, then the one with fewer allocations.

use super::{Rank, Standing, bits};

pub(super) fn rank(standing: Standing) -> Rank {
    Rank(bits(standing.share / standing.weight), standing.allocations)
}
