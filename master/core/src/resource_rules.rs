//! Rules of Mesos about lists of resources in tasks, executors and operations, in Mesos' words.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::resources::{Resource, Role, Value, VolumeMode};
use model::{Resources, id};

/// Checks each resource of a message, and their disks and reservations.
pub(crate) fn check(resources: &[Resource]) -> Result<(), String> {
    Resources::validate(resources).map_err(|fault| format!("Invalid resources: {fault}"))?;
    check_gpus(resources).map_err(|fault| format!("Invalid 'gpus' resource: {fault}"))?;
    resources
        .iter()
        .try_for_each(check_disk)
        .map_err(|fault| format!("Invalid DiskInfo: {fault}"))?;
    resources
        .iter()
        .try_for_each(check_reservation)
        .map_err(|fault| format!("Invalid ReservationInfo: {fault}"))
}

fn check_gpus(resources: &[Resource]) -> Result<(), &'static str> {
    let gpus = resources.iter().filter(|r| &*r.name == "gpus");
    let thousandths = gpus.map(|r| match r.value {
        Value::Scalar(amount) => amount.thousandths(),
        Value::Ranges(_) | Value::Set(_) => 0,
    });
    if thousandths.fold(0, i64::saturating_add) % 1000 == 0 {
        Ok(())
    } else {
        Err("The 'gpus' resource must be an unsigned integer")
    }
}

fn check_disk(resource: &Resource) -> Result<(), String> {
    let Some(disk) = &resource.disk else {
        return Ok(());
    };
    let Some(persistence) = &disk.persistence else {
        return match (&disk.volume, &disk.source) {
            (Some(_), _) => Err("Non-persistent volume not supported".into()),
            (None, None) => Err("DiskInfo is set but empty".into()),
            (None, Some(_)) => Ok(()),
        };
    };
    if resource.revocable {
        return Err("Persistent volumes cannot be created from revocable resources".into());
    }
    if resource.reservations.is_empty() {
        return Err("Persistent volumes cannot be created from unreserved resources".into());
    }
    let Some(volume) = &disk.volume else {
        return Err("Expecting 'volume' to be set for persistent volume".into());
    };
    if volume.host_path.is_some() {
        return Err("Expecting 'host_path' to be unset for persistent volume".into());
    }
    id::check(&persistence.id)
        .map_err(|fault| format!("Invalid persistence ID for persistent volume: {fault}"))
}

fn check_reservation(resource: &Resource) -> Result<(), String> {
    if resource.is_dynamically_reserved() && resource.revocable {
        return Err(format!(
            "Dynamically reserved resource {resource} cannot be created from revocable resources"
        ));
    }
    Ok(())
}

/// Persistence ids are unique for each role.
pub(crate) fn check_unique_persistence(resources: &Resources) -> Result<(), String> {
    let mut seen: BTreeSet<(Option<&Role>, &str)> = BTreeSet::new();
    for resource in resources {
        let disk = resource.disk.as_ref();
        if let Some(persistence) = disk.and_then(|disk| disk.persistence.as_ref())
            && !seen.insert((resource.reservation_role(), &persistence.id))
        {
            return Err(format!("Persistence ID '{}' is not unique", persistence.id));
        }
    }
    Ok(())
}

/// All resources are allocated to one role.
pub(crate) fn check_single_role(resources: &Resources) -> Result<(), String> {
    let mut first: Option<&Role> = None;
    for resource in resources {
        let Some(role) = &resource.allocation_role else {
            return Err("The resources are not allocated to a role".into());
        };
        match first {
            Some(first) if first != role => {
                return Err(format!(
                    "The resources have multiple allocation roles ('{role}' and '{first}') but \
                     only one allocation role is allowed"
                ));
            }
            Some(_) => {}
            None => first = Some(role),
        }
    }
    Ok(())
}

/// Of one name, all resources are revocable or none is.
pub(crate) fn check_revocable_mix(resources: &Resources) -> Result<(), String> {
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    for resource in resources {
        let kind = *kinds.entry(&resource.name).or_insert(resource.revocable);
        if kind != resource.revocable {
            return Err(format!(
                "Cannot use both revocable and non-revocable '{}' at the same time",
                resource.name
            ));
        }
    }
    Ok(())
}

/// All are persistent volumes that can be written.
pub(crate) fn check_volumes<'a>(
    volumes: impl IntoIterator<Item = &'a Resource>,
) -> Result<(), String> {
    for volume in volumes {
        let Some(disk) = &volume.disk else {
            return Err(format!("Resource {volume} does not have DiskInfo"));
        };
        if disk.persistence.is_none() {
            return Err("'persistence' is not set in DiskInfo".into());
        }
        match &disk.volume {
            None => return Err("Expecting 'volume' to be set for persistent volume".into()),
            Some(mount) if mount.mode == VolumeMode::ReadOnly => {
                return Err("Read-only persistent volume not supported".into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// All come from one resource provider, or all from the agent; that there are none is the same fault
/// to Mesos.
pub(crate) fn check_single_provider(resources: &[Resource]) -> Result<(), String> {
    let providers: BTreeSet<Option<&str>> = resources
        .iter()
        .map(|resource| resource.provider_id.as_deref())
        .collect();
    if providers.len() == 1 {
        return Ok(());
    }
    if providers.contains(&None) {
        return Err("Some resources have a resource provider and some do not".into());
    }
    let names: Vec<&str> = providers.into_iter().flatten().collect();
    Err(format!(
        "The resources have multiple resource providers: {}",
        names.join(", ")
    ))
}
