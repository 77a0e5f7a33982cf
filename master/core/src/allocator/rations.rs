//! Rations: what quota leaves of that which a role could be offered.
//!
//! Quota has a say in scalars that are neither reserved nor revocable; the rest goes along.

use model::Resources;
use model::resources::{Resource, Value};

use super::accounts::{AccountId, Accounts, is_chargeable};
use super::amounts::Names;
use super::shrink;
use crate::random::Random;

/// Whether quota has a say in who gets a resource.
pub(super) fn is_rationed(resource: &Resource) -> bool {
    is_chargeable(resource) && matches!(resource.value, Value::Scalar(_))
}

/// What a role may have towards its guarantees, and with it what limits and the guarantees of others
/// leave; nothing where that brings it no nearer to its guarantees.
pub(super) fn guaranteed(
    accounts: &Accounts,
    (random, names): (&mut Random, &mut Names),
    left: &Resources,
    account: AccountId,
) -> Option<Resources> {
    let rationed = left.filter(is_rationed);
    // What is owed goes out even where guarantees are more than there is.
    let owed = shrink::to_amounts(random, names, &rationed, &accounts.shortfall(account));
    if owed.is_empty() {
        return None;
    }
    let mut more = rationed.minus(&owed);
    if let Some(mut allowance) = accounts.allowance(account) {
        let owed = names.scalars(&owed);
        for (name, bound) in &mut allowance {
            *bound = bound.saturating_sub(owed.get(*name)).max(0);
        }
        more = shrink::to_limits(random, names, &more, &allowance);
    }
    if let Some(surplus) = accounts.surplus() {
        more = shrink::to_amounts(random, names, &more, &surplus);
    }
    let mut offer = left.filter(|resource| !is_rationed(resource));
    offer.add_all(&owed);
    offer.add_all(&more);
    Some(offer)
}

/// What a role may have by its limits and the guarantees that are not met.
pub(super) fn fair(
    accounts: &Accounts,
    (random, names): (&mut Random, &mut Names),
    left: Resources,
    account: AccountId,
) -> Resources {
    let (allowance, surplus) = (accounts.allowance(account), accounts.surplus());
    if allowance.is_none() && surplus.is_none() {
        return left;
    }
    let mut rationed = left.filter(is_rationed);
    if let Some(allowance) = allowance {
        rationed = shrink::to_limits(random, names, &rationed, &allowance);
    }
    if let Some(surplus) = surplus {
        rationed = shrink::to_amounts(random, names, &rationed, &surplus);
    }
    let mut offer = left.filter(|resource| !is_rationed(resource));
    offer.add_all(&rationed);
    offer
}
