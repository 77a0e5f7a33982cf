//! What an operator may set as quota, and how Mesos says why not.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::resources::{InvalidResource, Resource, Role, Scalar, Value};

use super::Quota;
use crate::event::{QuotaConfig, Text};
use crate::numbers;

/// The most of anything but memory and disk: a trillion.
const AMOUNT_MAX: f64 = 1_000_000_000_000.0;
/// The most of memory and disk: an exabyte in megabytes.
const MEGABYTES_MAX: f64 = 1_099_511_627_776.0;

/// A config of UPDATE_QUOTA in itself.
pub(super) fn config(config: &QuotaConfig) -> Result<(Role, Quota), String> {
    let QuotaConfig {
        role,
        guarantees,
        limits,
    } = config;
    if role.contains('/') {
        return Err(format!(
            "Updating quota on nested role '{role}' is not supported yet"
        ));
    }
    let invalid = |fault: String| format!("Invalid QuotaConfig: {fault}");
    let role =
        Role::new(role).map_err(|fault| invalid(format!("Invalid 'QuotaConfig.role': {fault}")))?;
    for (what, amounts) in [("guarantees", guarantees), ("limits", limits)] {
        if let Some(fault) = amounts.iter().find_map(too_large) {
            return Err(invalid(format!("Invalid 'QuotaConfig.{what}': {fault}")));
        }
    }
    for (what, amounts) in [("guarantee", guarantees), ("limit", limits)] {
        for (name, value) in amounts {
            if let Some(fault) = not_supported(*value) {
                let value = numbers::scalar(*value);
                return Err(invalid(format!(
                    "Invalid {what} configuration {{'{name}': {value}}}: {fault}"
                )));
            }
        }
    }
    let amount = |(name, value): &(Text, f64)| Some((name.clone(), Scalar::from_f64(*value)?));
    let quota = Quota {
        guarantees: guarantees.iter().filter_map(amount).collect(),
        limits: limits.iter().filter_map(amount).collect(),
    };
    if quota.limits.contains(&quota.guarantees) {
        return Ok((role, quota));
    }
    Err(invalid(format!(
        "'QuotaConfig.guarantees' {} is not contained within the 'QuotaConfig.limits' {}",
        listed(guarantees),
        listed(limits)
    )))
}

/// A request of SET_QUOTA in itself, for a role that has no quota.
pub(super) fn request(
    role: Option<&Text>,
    guarantee: &Result<Vec<Resource>, InvalidResource>,
    has_quota: impl Fn(&Role) -> bool,
) -> Result<(Role, Quota), String> {
    let failed = |fault: String| format!("Failed to validate set quota request: {fault}");
    let resource_fault =
        |fault: &InvalidResource| failed(format!("QuotaInfo with invalid resource: {fault}"));
    let guarantee = guarantee.as_ref().map_err(resource_fault)?;
    model::Resources::validate(guarantee).map_err(|fault| resource_fault(&fault))?;
    let role = role.ok_or_else(|| failed("QuotaInfo must specify a role".into()))?;
    let role =
        Role::new(role).map_err(|fault| failed(format!("QuotaInfo with invalid role: {fault}")))?;
    if guarantee.is_empty() {
        return Err(failed("QuotaInfo with empty 'guarantee'".into()));
    }
    for (index, resource) in guarantee.iter().enumerate() {
        let is_scalar = matches!(resource.value, Value::Scalar(_));
        let mut before = guarantee.iter().take(index);
        let fault = if !resource.reservations.is_empty() {
            "QuotaInfo must not contain any ReservationInfo".into()
        } else if resource.disk.is_some() {
            "QuotaInfo must not contain DiskInfo".into()
        } else if resource.revocable {
            "QuotaInfo must not contain RevocableInfo".into()
        } else if !is_scalar {
            "QuotaInfo must not include non-scalar resources".into()
        } else if before.any(|other| other.name == resource.name) {
            format!(
                "QuotaInfo contains duplicate resource name '{}'",
                resource.name
            )
        } else {
            continue;
        };
        return Err(failed(fault));
    }
    if has_quota(&role) {
        return Err(failed(format!(
            "Cannot set quota for role '{role}' which already has quota"
        )));
    }
    if role.as_str().contains('/') {
        return Err(format!(
            "Setting quota on nested role '{role}' is not supported yet"
        ));
    }
    Ok((role, Quota::of_guarantee(guarantee)))
}

fn too_large((name, value): &(Text, f64)) -> Option<String> {
    let (most, words) = match &**name {
        "mem" | "disk" => (MEGABYTES_MAX, "1 exabyte (1099511627776)"),
        _ => (AMOUNT_MAX, "1 trillion (1000000000000)"),
    };
    (*value > most).then(|| {
        let value = numbers::scalar(*value);
        format!("{{'{name}': {value}}} is invalid: values greater than {words} are not supported")
    })
}

fn not_supported(value: f64) -> Option<&'static str> {
    if value.is_infinite() {
        Some("Infinite values not supported")
    } else if value.is_nan() {
        Some("NaN not supported")
    } else if value.is_subnormal() {
        Some("Subnormal values not supported")
    } else if value < 0.0 {
        Some("Negative values not supported")
    } else {
        None
    }
}

fn listed(amounts: &[(Text, f64)]) -> String {
    let each = |(name, value): &(Text, f64)| format!("{name}: {}", numbers::scalar(*value));
    let parts: Vec<String> = amounts.iter().map(each).collect();
    format!("{{ {} }}", parts.join(", "))
}
