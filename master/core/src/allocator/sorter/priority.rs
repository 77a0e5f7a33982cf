//! Strict priority: the greatest weight first, and of equal weights the least share.
//!
//! Who has a lesser weight gets what the others decline, and nothing where they take everything.

use super::{Rank, Standing, bits};

pub(super) fn rank(standing: Standing) -> Rank {
    Rank(u64::MAX - bits(standing.weight), bits(standing.share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greater_weight_outranks_any_share_and_a_lesser_share_an_equal_weight() {
        let rank = |weight, share| {
            rank(Standing {
                share,
                weight,
                allocations: 0,
            })
        };
        assert!(rank(2.0, 0.9) < rank(1.5, 0.0));
        assert!(rank(2.0, 0.1) < rank(2.0, 0.2));
    }
}
