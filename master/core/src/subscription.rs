//! Subscriptions: whether a FrameworkInfo is one that a framework may subscribe with.
//!
//! The messages are Mesos'; frameworks and their users look for them.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Role;

use crate::event::{Capability, FrameworkInfo, Subscription};

/// The greatest failover timeout: what Mesos' nanoseconds in 64 bits can hold.
const FAILOVER_TIMEOUT_SECS_MAX: f64 = 9_223_372_036.0;

/// Checks what can be checked of a subscription by itself.
pub(crate) fn check(subscription: &Subscription) -> Result<(), String> {
    let info = &subscription.framework;
    check_roles(info)?;
    if failover_timeout(info).is_none() {
        let given = Double(info.failover_timeout_secs);
        return Err(format!(
            "The framework failover_timeout ({given}) is invalid"
        ));
    }
    let roles = roles(info);
    for suppressed in &subscription.suppressed_roles {
        if !Role::new(suppressed).is_ok_and(|role| roles.contains(&role)) {
            return Err(format!(
                "Suppressed role '{suppressed}' is not contained in the list of roles"
            ));
        }
    }
    Ok(())
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
    let principal = |info: &FrameworkInfo| info.principal.clone().unwrap_or_default();
    if old.principal != new.principal {
        return fault("principal", &principal(old), &principal(new));
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
    (secs <= FAILOVER_TIMEOUT_SECS_MAX)
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
