//! Weights: how much roles count among their siblings.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::OfferId;
use model::resources::Role;

use crate::Master;
use crate::allocator::Allocator;
use crate::event::{Answer, ClusterEntry, RequestId, Text};
use crate::numbers;
use crate::registry::Rescind;

/// The weights that operators set, by role; the others count 1.
pub type Weights = Arc<BTreeMap<Role, f64>>;

fn check((role, weight): &(Text, f64)) -> Result<(Role, f64), String> {
    let failed = "Failed to validate update weights request JSON";
    let text = role.trim();
    let role =
        Role::new(text).map_err(|fault| format!("{failed}: Invalid role '{text}': {fault}"))?;
    if *weight > 0.0 && weight.is_finite() {
        return Ok((role, *weight));
    }
    let weight = numbers::double(*weight);
    Err(format!(
        "{failed} for role '{role}': Invalid weight '{weight}': Weights must be positive"
    ))
}

impl Master {
    pub(crate) fn update_weights(&mut self, request: RequestId, weights: &[(Text, f64)]) {
        match weights.iter().map(check).collect::<Result<Vec<_>, _>>() {
            Ok(weights) => {
                let roles = weights.iter().map(|(role, _)| role.clone()).collect();
                let entries = weights
                    .into_iter()
                    .map(|(role, weight)| ClusterEntry::Weight { role, weight })
                    .collect();
                self.store_cluster_then(entries, Some(request), Rescind::ForWeights(roles));
            }
            Err(fault) => self.answer(request, Answer::BadRequest(fault)),
        }
    }

    /// Puts a weight in force that is durable.
    pub(crate) fn apply_weight(&mut self, role: &Role, weight: f64) {
        self.allocator.set_weight(self.now, role, weight);
        Arc::make_mut(&mut self.weights).insert(role.clone(), weight);
    }

    /// Where one of these roles has frameworks or holds something, all offers are taken back: they
    /// are given out anew by the new weights.
    pub(crate) fn rescind_for_weights(&mut self, roles: &[Role]) {
        if !roles.iter().any(|role| self.allocator.is_known(role)) {
            return;
        }
        let offers: Vec<OfferId> = self.offers.keys().cloned().collect();
        for offer_id in offers {
            self.rescind(&offer_id);
        }
    }
}
