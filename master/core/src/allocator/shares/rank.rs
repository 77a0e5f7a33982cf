//! What is held, and what part of the cluster that is.

use super::super::amounts::Amounts;
use super::super::bits::Bits;
use super::super::sorter::Standing;

/// What shares are parts of.
#[derive(Debug, Default)]
pub(super) struct Scale {
    pub(super) total: Amounts,
    excluded: Bits,
}

/// What one of them holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    pub(super) amounts: Amounts,
    /// How often something was allocated to it.
    allocations: u64,
}

impl Usage {
    pub(super) fn add(&mut self, amounts: &Amounts) {
        self.amounts.add_all(amounts);
        self.allocations = self.allocations.saturating_add(1);
    }
}

impl Scale {
    pub(super) fn new(excluded: Bits) -> Self {
        Self {
            total: Amounts::default(),
            excluded,
        }
    }

    /// The greatest part of any resource of the cluster.
    #[expect(
        clippy::cast_precision_loss,
        reason = "amounts past 2^53 thousandths do not come from the wire"
    )]
    fn share(&self, held: &Amounts) -> f64 {
        let counts = |number: usize| {
            !u32::try_from(number).is_ok_and(|number| self.excluded.contains(number))
        };
        let parts = held.iter().filter(|(number, _)| counts(*number));
        let parts = parts.map(|(number, amount)| match self.total.get(number) {
            0 => 0.0,
            total => amount as f64 / total as f64,
        });
        parts.fold(0.0, f64::max)
    }

    pub(super) fn standing(&self, usage: &Usage, weight: f64) -> Standing {
        Standing {
            share: self.share(&usage.amounts),
            weight,
            allocations: usage.allocations,
        }
    }
}
