//! Randomness from a seed: ids and back-off, the same in every run with the same seed.
//!
//! xoshiro256**, seeded through splitmix64 (Blackman and Vigna). Nothing here is a secret.

use alloc::format;
use core::time::Duration;

use model::{ContainerId, StatusUuid};

/// A source of random values.
#[derive(Debug, Clone)]
pub struct Random([u64; 4]);

impl Random {
    /// A source that gives the same values for the same seed.
    #[must_use]
    pub fn new(seed: [u64; 2]) -> Self {
        let mut state = seed[0];
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        // The second half of the seed enters as it is; a state of zeros only is the one that must
        // not be, and `| 1` excludes it.
        Self([next(), next(), next() ^ seed[1], next() | 1])
    }

    fn next(&mut self) -> u64 {
        let Self(s) = self;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// 16 bytes with the version and variant bits of RFC 4122, version 4.
    pub fn uuid(&mut self) -> StatusUuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        StatusUuid(bytes)
    }

    /// The id of a new container; `None` never happens, since a UUID is always a valid id.
    pub fn container(&mut self) -> Option<ContainerId> {
        ContainerId::new(&format!("{}", self.uuid())).ok()
    }

    /// The id of a new container within another; `None` where that is as deep as can be.
    pub fn child_of(&mut self, parent: &ContainerId) -> Option<ContainerId> {
        parent.child(&format!("{}", self.uuid())).ok()
    }

    /// The id of a new container for a command that checks what runs in another; `None` as above.
    pub fn check_of(&mut self, task: &ContainerId) -> Option<ContainerId> {
        task.child(&format!("check-{}", self.uuid())).ok()
    }

    /// A duration of less than `bound`, each equally likely.
    pub fn below(&mut self, bound: Duration) -> Duration {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        // The high half of the product; the bias is below 2^-30 for every bound used here.
        let high = (u128::from(self.next()) * u128::from(nanos)) >> 64;
        Duration::from_nanos(u64::try_from(high).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_a_uuid_has_its_bits() {
        let (mut a, mut b) = (Random::new([1, 2]), Random::new([1, 2]));
        let mut c = Random::new([1, 3]);
        let first = a.uuid();
        assert_eq!(first, b.uuid());
        assert_ne!(first, c.uuid());
        for _ in 0..100 {
            let StatusUuid(bytes) = a.uuid();
            assert_eq!((bytes[6] >> 4, bytes[8] >> 6), (4, 2));
            assert!(a.below(Duration::from_secs(2)) < Duration::from_secs(2));
        }
        assert_eq!(a.below(Duration::ZERO), Duration::ZERO);
    }
}
