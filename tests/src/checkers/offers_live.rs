//! An offer that a framework holds is one that its master would take, or it is taken back.

use std::time::Duration;

use master_core::Master;
use model::OfferId;

/// How long it may take until the framework is told: longer than any event is on its way.
pub const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Whether the master knows an offer.
#[must_use]
pub fn is_known(master: &Master, offer_id: &OfferId) -> bool {
    master.view().offers().any(|offer| offer.id == *offer_id)
}

/// The violation of an offer that was not known before, and that the framework still holds.
#[must_use]
pub fn still_held(scheduler: usize, offer_id: &OfferId) -> String {
    format!("scheduler{scheduler} holds offer {offer_id}, which is void and was not rescinded")
}
