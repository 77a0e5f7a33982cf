//! Subscriptions: whether a FrameworkInfo is one that a framework may subscribe with.
//!
//! The messages are Mesos'; frameworks and their users look for them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::FpCategory;
use core::time::Duration;

use model::resources::{Quantities, Role, Scalar};

use crate::event::{Capability, FrameworkInfo, Subscription, Text};

/// The greatest failover timeout, and the least: what Mesos' nanoseconds in 64 bits can hold.
const FAILOVER_TIMEOUT_SECS_MAX: f64 = 9_223_372_036.854_776;

/// Checks what can be checked of a FrameworkInfo by itself.
pub(crate) fn check(info: &FrameworkInfo) -> Result<(), String> {
    check_roles(info)?;
    if let Some(fault) = &info.id_fault {
        return Err(fault.to_string());
    }
    info.min_allocatable
        .values()
        .flatten()
        .try_for_each(check_minimum)
}

/// Checks what a framework says about its roles beside them.
pub(crate) fn check_suppressed(subscription: &Subscription) -> Result<(), String> {
    let roles = roles(&subscription.framework);
    let unknown = |text: &&Text| !Role::new(text).is_ok_and(|role: Role| roles.contains(&role));
    match subscription.suppressed_roles.iter().find(unknown) {
        Some(role) => Err(format!(
            "Suppressed role '{role}' is not contained in the list of roles"
        )),
        None => Ok(()),
    }
}

/// Checks the failover timeout.
pub(crate) fn check_failover_timeout(info: &FrameworkInfo) -> Result<(), String> {
    if failover_timeout(info).is_some() {
        return Ok(());
    }
    let given = Double(info.failover_timeout_secs);
    Err(format!(
        "The framework failover_timeout ({given}) is invalid"
    ))
}

/// Checks one alternative of the least that an offer must hold.
fn check_minimum(quantities: &BTreeMap<Text, f64>) -> Result<(), String> {
    if quantities.is_empty() {
        return Err("Resource quantities must contain at least one quantity".into());
    }
    for (name, amount) in quantities {
        let fault = match amount.classify() {
            FpCategory::Infinite => "Infinite values not supported",
            FpCategory::Nan => "NaN not supported",
            FpCategory::Subnormal => "Subnormal values not supported",
            FpCategory::Normal if *amount < 0.0 => "Negative values not supported",
            FpCategory::Normal | FpCategory::Zero => continue,
        };
        return Err(format!("Invalid resource quantity for '{name}': {fault}"));
    }
    Ok(())
}

/// One alternative of the least that an offer must hold.
pub(crate) fn minimum(quantities: &BTreeMap<Text, f64>) -> Quantities {
    quantities
        .iter()
        .filter_map(|(name, amount)| Some((name.clone(), Scalar::from_f64(*amount)?)))
        .collect()
}

fn check_roles(info: &FrameworkInfo) -> Result<(), String> {
    if !info.capabilities.has(Capability::MultiRole) {
        if !info.roles.is_empty() {
            return Err(
                "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE \
                 capable"
                    .into(),
            );
        }
        return info.role.iter().try_for_each(|role| match Role::new(role) {
            Ok(_) => Ok(()),
            Err(fault) => Err(format!("'FrameworkInfo.role' is not a valid role: {fault}")),
        });
    }
    if info.role.is_some() {
        return Err(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".into(),
        );
    }
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> = info
        .roles
        .iter()
        .map(|role| &**role)
        .filter(|role| !seen.insert(*role))
        .collect();
    if !twice.is_empty() {
        let twice = twice.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!(
            "'FrameworkInfo.roles' contains duplicate items: {{ {twice} }}"
        ));
    }
    info.roles
        .iter()
        .try_for_each(|role| match Role::new(role) {
            Ok(_) => Ok(()),
            Err(fault) => Err(format!(
                "'FrameworkInfo.roles' contains invalid role: {fault}"
            )),
        })
}

/// Checks that a framework that comes back has not changed what it cannot change.
pub(crate) fn check_update(old: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), String> {
    let fault = |field: &str, old: &str, new: &str| {
        Err(format!(
            "Updating 'FrameworkInfo.{field}' is unsupported; attempted to update from '{old}' to \
             '{new}'"
        ))
    };
    if old.principal != new.principal {
        // Whose it is is not told to whoever asks.
        return Err("Changing framework's principal is not allowed.".into());
    }
    if old.user != new.user {
        return fault("user", &old.user, &new.user);
    }
    if old.checkpoint != new.checkpoint {
        let text = |info: &FrameworkInfo| if info.checkpoint { "true" } else { "false" };
        return fault("checkpoint", text(old), text(new));
    }
    Ok(())
}

/// The roles of a framework; those of its texts that are none are left out.
#[must_use]
pub(crate) fn roles(info: &FrameworkInfo) -> BTreeSet<Role> {
    if info.capabilities.has(Capability::MultiRole) {
        return info
            .roles
            .iter()
            .filter_map(|r| Role::new(r).ok())
            .collect();
    }
    let role = info.role.as_ref().and_then(|role| Role::new(role).ok());
    BTreeSet::from([role.unwrap_or_else(Role::star)])
}

/// The failover timeout, zero where it is negative; `None` where it is no time that can be waited.
pub(crate) fn failover_timeout(info: &FrameworkInfo) -> Option<Duration> {
    let secs = info.failover_timeout_secs;
    (secs.abs() <= FAILOVER_TIMEOUT_SECS_MAX)
        .then(|| Duration::try_from_secs_f64(secs.max(0.0)).ok())
        .flatten()
}

/// Prints a double with up to six digits, as C++ streams do: `1e+300`, `1.5e+10`.
struct Double(f64);

impl core::fmt::Display for Double {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if !self.0.is_finite() {
            let sign = if self.0 < 0.0 { "-" } else { "" };
            let name = if self.0.is_nan() { "nan" } else { "inf" };
            return write!(f, "{sign}{name}");
        }
        // What is printed here is out of range, and so beyond what is written without exponent.
        let text = format!("{:.5e}", self.0);
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{digits}e+{exponent:0>2}")
    }
}
