//! Weighted chance, as Mesos' random sorter: what one holds has no part in it.
//!
//! Mesos puts everyone into a new random order for every agent, which costs all of them each time. Here
//! everyone waits for an event of its own, and events come at random as often as the weight says (a
//! Poisson process); whoever got something waits for its next one. Of such processes the next event is
//! anyone's with the chance of its part of all weights, whatever came before, which is what a new
//! shuffle gives; and an allocation moves only the one that got it. At each level of the tree siblings
//! wait among themselves, so that a role's chance is the product of those on its way.

use super::{Occasion, Rank, Standing, bits};
use crate::random::Random;

pub(super) fn rank(standing: Standing, occasion: Occasion, random: &mut Random) -> Rank {
    let before = match occasion {
        Occasion::Changed { before } => return before,
        Occasion::Got { before } => before,
        // Who comes later has missed nothing.
        Occasion::Joins { first } => first,
    };
    let event = f64::from_bits(before.0) + exponential(random) / standing.weight;
    Rank(bits(event), 0)
}

/// How long one waits for an event that comes once in a unit of time: von Neumann's method, which
/// needs comparisons only.
fn exponential(random: &mut Random) -> f64 {
    let mut whole = 0.0;
    loop {
        let first = random.unit();
        let mut last = first;
        let mut is_odd = true;
        loop {
            let next = random.unit();
            if next >= last {
                break;
            }
            last = next;
            is_odd = !is_odd;
        }
        if is_odd {
            return whole + first;
        }
        whole += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponential_number_has_its_mean_and_its_median() {
        let mut random = Random::new(7);
        let mut all: alloc::vec::Vec<f64> = (0..20_000).map(|_| exponential(&mut random)).collect();
        let mean = all.iter().sum::<f64>() / 20_000.0;
        all.sort_by(f64::total_cmp);
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        let median = all[10_000];
        assert!((median - core::f64::consts::LN_2).abs() < 0.03, "{median}");
    }
}
