//! Sorters: the policies by which those who want something are put in order.
//!
//! A policy makes a rank of what is known of a role among its siblings, or of a framework among those
//! of its role; the least rank comes first, and of equal ones the first by name. It is a file of its
//! own, and a line in each of the tables here. That an agent goes round before one who declined it has
//! it again holds with all of them (`run`).

mod drf;
mod priority;
mod random;

use crate::random::Random;

/// A policy, by the name that `--role_sorter` and `--framework_sorter` have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sorter {
    /// `drf`: dominant resource fairness by weight.
    #[default]
    Drf,
    /// `random`: each in turn by chance, as often as its weight says.
    Random,
    /// `priority`: the greatest weight comes first, whatever it has already.
    Priority,
}

/// What the policies for roles and for the frameworks of a role are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sorters {
    /// For roles among their siblings.
    pub roles: Sorter,
    /// For the frameworks of a role; they have no weights.
    pub frameworks: Sorter,
}

/// The place in an order: the less, the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank(u64, u64);

/// What a policy looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The greatest part of any resource of the cluster that it holds.
    pub(super) share: f64,
    pub(super) weight: f64,
    /// How often something was allocated to it.
    pub(super) allocations: u64,
}

/// Why somebody is ranked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Occasion {
    /// It joins those who want something, of whom the first has this rank.
    Joins { first: Rank },
    /// It had this rank and was allocated something.
    Got { before: Rank },
    /// It had this rank, and gave something back, or the cluster changed.
    Changed { before: Rank },
}

impl Sorter {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 3] = [
        ("drf", Self::Drf),
        ("random", Self::Random),
        ("priority", Self::Priority),
    ];

    pub(super) fn rank(self, standing: Standing, occasion: Occasion, random: &mut Random) -> Rank {
        match self {
            Self::Drf => drf::rank(standing),
            Self::Random => random::rank(standing, occasion, random),
            Self::Priority => priority::rank(standing),
        }
    }
}

/// A number that is not negative as bits, which are ordered as such numbers are.
const fn bits(number: f64) -> u64 {
    number.to_bits()
}
