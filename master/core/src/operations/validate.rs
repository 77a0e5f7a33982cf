//! What an operation may ask for: Mesos' checks, in its order and words.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::Resources;
use model::resources::{Change, DiskKind, DiskTarget, Resource, Role, Scalar, Value};

use super::checkpointed;
use crate::agents::{Agent, AgentCapability};
use crate::event::Capability;
use crate::frameworks::Framework;
use crate::resource_json;
use crate::resource_rules::{
    check, check_single_provider, check_single_role, check_unique_persistence, check_volumes,
};
use crate::validation::RESOURCES_MAX;

/// Who asks for an operation, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    /// The framework; none for an operator.
    pub(super) framework: Option<&'a Framework>,
    /// The principal, where there is one.
    pub(super) principal: Option<&'a str>,
    /// The agent.
    pub(super) agent: &'a Agent,
    /// What tasks and executors hold there; looked at for DESTROY alone.
    pub(super) used: &'a Resources,
}

/// Checks an operation, but for whether the resources are there.
pub(super) fn validate(change: &Change, ground: Ground<'_>) -> Result<(), String> {
    let count = change.resources().count();
    if count > RESOURCES_MAX {
        return Err(invalid(&format!(
            "{count} resources are listed, more than {RESOURCES_MAX}"
        )));
    }
    match change {
        Change::Reserve { source, resources } => reserve(source, resources, ground),
        Change::Unreserve { resources } => unreserve(resources),
        Change::Create { volumes } => create(volumes, ground),
        Change::Destroy { volumes } => destroy(volumes, ground),
        Change::GrowVolume { volume, addition } => grow(volume, addition, ground.agent),
        Change::ShrinkVolume { volume, subtract } => shrink(volume, *subtract, ground.agent),
        Change::CreateDisk {
            source,
            target,
            target_profile,
        } => create_disk(source, *target, target_profile.is_some()),
        Change::DestroyDisk { source } => destroy_disk(source),
    }
}

fn invalid(fault: &str) -> String {
    format!("Invalid resources: {fault}")
}

fn reserve(source: &[Resource], resources: &[Resource], ground: Ground<'_>) -> Result<(), String> {
    check(resources).map_err(|fault| invalid(&fault))?;
    check(source).map_err(|fault| format!("Invalid source: {fault}"))?;
    if !source.is_empty() {
        check_same_reservations(source).map_err(|fault| format!("Invalid source: {fault}"))?;
        check_same_reservations(resources).map_err(|fault| invalid(&fault))?;
        let flat = |list: &[Resource]| list.iter().cloned().collect::<Resources>().flatten();
        let (from, to) = (flat(source), flat(resources));
        if from != to {
            return Err(format!(
                "Source and target resources should refer to identical resource quantities: \
                 {from} vs. {to}"
            ));
        }
    }
    check_single_provider(resources).map_err(|fault| invalid(&fault))?;
    let roles = ground.framework.map(Framework::roles);
    for resource in resources {
        check_reserved(resource, ground)?;
        match &roles {
            Some(roles) => check_roles(resource, roles)?,
            None if resource.allocation_role.is_some() => {
                return Err(
                    "A reserve operation was attempted with an allocated resource, but the \
                     operator API only allows reservations to be made to unallocated resources"
                        .into(),
                );
            }
            None => {}
        }
    }
    if ground.framework.is_some() {
        check_single_role(&resources.iter().cloned().collect())
            .map_err(|fault| format!("Invalid reservation resources: {fault}"))?;
    }
    Ok(())
}

/// Resources that are reserved anew are all reserved alike.
fn check_same_reservations(resources: &[Resource]) -> Result<(), String> {
    let Some(first) = resources.first() else {
        return Err("Resource cannot be empty".into());
    };
    if resources
        .iter()
        .any(|resource| resource.reservations != first.reservations)
    {
        let all = resources.iter().cloned().collect();
        return Err(format!(
            "Mixed reservations are not supported{}",
            resource_json::list(&all)
        ));
    }
    Ok(())
}

fn check_reserved(resource: &Resource, ground: Ground<'_>) -> Result<(), String> {
    let Some(top) = resource
        .reservations
        .last()
        .filter(|_| resource.is_dynamically_reserved())
    else {
        return Err(format!("Resource {resource} is not dynamically reserved"));
    };
    let agent = ground.agent;
    if !agent.has(AgentCapability::HierarchicalRole) && top.role.as_str().contains('/') {
        return Err(format!(
            "Resource {resource} with reservation for hierarchical role '{}' cannot be reserved on \
             an agent without HIERARCHICAL_ROLE capability",
            top.role
        ));
    }
    if !agent.has(AgentCapability::ReservationRefinement) && resource.is_refined() {
        return Err(format!(
            "Resource {resource} with reservation refinement cannot be reserved on an agent \
             without RESERVATION_REFINEMENT capability"
        ));
    }
    match (ground.principal, top.principal.as_deref()) {
        (None, _) => Ok(()),
        (Some(principal), None) => Err(format!(
            "A reserve operation was attempted by principal '{principal}', but there is a reserved \
             resource in the request with no principal set"
        )),
        (Some(principal), Some(other)) if other != principal => Err(format!(
            "A reserve operation was attempted by authenticated principal '{principal}', which \
             does not match a reserved resource in the request with principal '{other}'"
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

/// A framework reserves what it was offered, for the role in which it was offered it.
fn check_roles(resource: &Resource, roles: &BTreeSet<Role>) -> Result<(), String> {
    let Some(allocated) = &resource.allocation_role else {
        return Err(format!(
            "A reserve operation was attempted on unallocated resource {resource}, but frameworks \
             can only perform reservations on allocated resources"
        ));
    };
    let reserved = resource.reservation_role().unwrap_or(allocated);
    if allocated != reserved {
        return Err(format!(
            "A reserve operation was attempted for a resource with role '{reserved}', but the \
             resource was allocated to role '{allocated}'"
        ));
    }
    if !roles.contains(allocated) {
        let roles: Vec<&str> = roles.iter().map(Role::as_str).collect();
        return Err(format!(
            "A reserve operation was attempted for a resource allocated to role '{allocated}', but \
             the framework only has roles '{{ {} }}'",
            roles.join(", ")
        ));
    }
    Ok(())
}

fn unreserve(resources: &[Resource]) -> Result<(), String> {
    check(resources).map_err(|fault| invalid(&fault))?;
    check_single_provider(resources).map_err(|fault| invalid(&fault))?;
    for resource in resources {
        if !resource.is_dynamically_reserved() {
            return Err(format!("Resource {resource} is not dynamically reserved"));
        }
        if resource.is_persistent_volume() {
            return Err(format!(
                "A dynamically reserved persistent volume {resource} cannot be unreserved \
                 directly. Please destroy the persistent volume first then unreserve the resource"
            ));
        }
    }
    Ok(())
}

fn create(volumes: &[Resource], ground: Ground<'_>) -> Result<(), String> {
    check(volumes).map_err(|fault| invalid(&fault))?;
    check_single_provider(volumes).map_err(|fault| invalid(&fault))?;
    check_volumes(volumes).map_err(|fault| format!("Not a persistent volume: {fault}"))?;
    let mut all = checkpointed(&ground.agent.total);
    volumes.iter().for_each(|volume| all.add(volume.clone()));
    check_unique_persistence(&all)?;
    for volume in volumes {
        check_created(volume, ground)?;
    }
    if ground.framework.is_some() {
        check_single_role(&volumes.iter().cloned().collect())
            .map_err(|fault| format!("Invalid volume resources: {fault}"))?;
    }
    Ok(())
}

fn check_created(volume: &Resource, ground: Ground<'_>) -> Result<(), String> {
    if let Some(framework) = ground.framework
        && volume.shared
        && !framework.info.capabilities.has(Capability::SharedResources)
    {
        return Err(format!(
            "Create volume operation for '{volume}' has been attempted by framework '{}' with no \
             SHARED_RESOURCES capability",
            framework.id
        ));
    }
    let agent = ground.agent;
    if let Some(role) = volume.reservation_role()
        && role.as_str().contains('/')
        && !agent.has(AgentCapability::HierarchicalRole)
    {
        return Err(format!(
            "Volume {volume} with reservation for hierarchical role '{role}' cannot be created on \
             an agent without HIERARCHICAL_ROLE capability"
        ));
    }
    if volume.is_refined() && !agent.has(AgentCapability::ReservationRefinement) {
        return Err(format!(
            "Volume {volume} with reservation refinement cannot be created on an agent without \
             RESERVATION_REFINEMENT capability"
        ));
    }
    let persistence = volume.disk.as_ref().and_then(|d| d.persistence.as_ref());
    let owner = persistence.and_then(|p| p.principal.as_deref());
    match (ground.principal, owner) {
        (None, _) => Ok(()),
        (Some(principal), None) => Err(format!(
            "Create volume operation attempted by principal '{principal}', but there is a volume \
             in the operation with no principal set in 'disk.persistence'"
        )),
        (Some(principal), Some(other)) if other != principal => Err(format!(
            "Create volume operation attempted by authenticated principal '{principal}', which \
             does not match a volume in the operation with principal '{other}' set in \
             'disk.persistence'"
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

fn destroy(volumes: &[Resource], ground: Ground<'_>) -> Result<(), String> {
    let volumes: Vec<Resource> = volumes
        .iter()
        .map(|volume| Resource {
            allocation_role: None,
            ..volume.clone()
        })
        .collect();
    check(&volumes).map_err(|fault| invalid(&fault))?;
    check_single_provider(&volumes).map_err(|fault| invalid(&fault))?;
    check_volumes(&volumes).map_err(|fault| format!("Not a persistent volume: {fault}"))?;
    let known = checkpointed(&ground.agent.total);
    let holds = |resources: &Resources, volume: &Resource| {
        resources.iter().any(|resource| resource.contains(volume))
    };
    if volumes
        .iter()
        .any(|volume| volume.provider_id.is_none() && !holds(&known, volume))
    {
        return Err("Persistent volumes not found".into());
    }
    // It matters for shared ones: others are not offered while they are in use.
    let used = ground.used.unallocate();
    if volumes.iter().any(|volume| holds(&used, volume)) {
        return Err("Persistent volumes in use".into());
    }
    Ok(())
}

fn size(resource: &Resource) -> Scalar {
    match resource.value {
        Value::Scalar(amount) => amount,
        Value::Ranges(_) | Value::Set(_) => Scalar::ZERO,
    }
}

fn grow(volume: &Resource, addition: &Resource, agent: &Agent) -> Result<(), String> {
    if size(addition) <= Scalar::ZERO {
        return Err("The size of 'GrowVolume.addition' field must be greater than zero".into());
    }
    if volume.provider_id.is_some() {
        return Err("Growing a volume from a resource provider is not supported".into());
    }
    check_volumes([volume]).map_err(|fault| {
        format!("Invalid persistent volume in the 'GrowVolume.volume' field: {fault}")
    })?;
    if volume.shared {
        return Err("Growing a shared persistent volume is not supported".into());
    }
    let together: Resources = [volume.without_volume(), addition.clone()]
        .into_iter()
        .collect();
    if together.iter().count() != 1 {
        return Err(
            "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields"
                .into(),
        );
    }
    if !agent.has(AgentCapability::ResizeVolume) {
        return Err(format!(
            "Volume {volume} cannot be grown on an agent without RESIZE_VOLUME capability"
        ));
    }
    Ok(())
}

fn shrink(volume: &Resource, subtract: Scalar, agent: &Agent) -> Result<(), String> {
    if subtract <= Scalar::ZERO {
        return Err("Value of 'ShrinkVolume.subtract' must be greater than zero".into());
    }
    if size(volume) <= subtract {
        return Err(
            "Value of 'ShrinkVolume.subtract' must be smaller than the size of \
             'ShrinkVolume.volume'"
                .into(),
        );
    }
    if volume.provider_id.is_some() {
        return Err("Shrinking a volume from a resource provider is not supported".into());
    }
    let source = volume.disk.as_ref().and_then(|disk| disk.source.as_ref());
    if source.is_some_and(|source| matches!(source.kind, DiskKind::Mount { .. })) {
        return Err("Shrinking a volume on a MOUNT disk is not supported".into());
    }
    check_volumes([volume]).map_err(|fault| {
        format!("Invalid persistent volume in the 'ShrinkVolume.volume' field: {fault}")
    })?;
    if volume.shared {
        return Err("Shrinking a shared persistent volume is not supported".into());
    }
    if !agent.has(AgentCapability::ResizeVolume) {
        return Err(format!(
            "Volume {volume} cannot be shrunk on an agent without RESIZE_VOLUME capability"
        ));
    }
    Ok(())
}

fn create_disk(source: &Resource, target: DiskTarget, has_profile: bool) -> Result<(), String> {
    check_provided(source)?;
    let disk = source.disk.as_ref().and_then(|disk| disk.source.as_ref());
    let Some(raw) = disk.filter(|disk| disk.kind == DiskKind::Raw) else {
        return Err("'source' is not a RAW disk resource".into());
    };
    if target == DiskTarget::Other {
        return Err("'target_type' is neither MOUNT or BLOCK".into());
    }
    match (raw.profile.is_some(), has_profile) {
        (true, true) => Err("'target_profile' must not be set when 'source' has a profile".into()),
        (false, false) => Err("'target_profile' must be set when 'source' has no profile".into()),
        (true, false) | (false, true) => Ok(()),
    }
}

fn destroy_disk(source: &Resource) -> Result<(), String> {
    check_provided(source)?;
    let disk = source.disk.as_ref().and_then(|disk| disk.source.as_ref());
    let Some(disk) = disk.filter(|disk| match disk.kind {
        DiskKind::Mount { .. } | DiskKind::Block | DiskKind::Raw => true,
        DiskKind::Path { .. } | DiskKind::Unknown => false,
    }) else {
        return Err("'source' is neither a MOUNT, BLOCK or RAW disk resource".into());
    };
    if disk.id.is_none() {
        return Err("'source' is not backed by a CSI volume".into());
    }
    if source.is_persistent_volume() {
        return Err(format!(
            "A disk resource containing a persistent volume {source} cannot be destroyed directly. \
             Please destroy the persistent volume first then destroy the disk resource"
        ));
    }
    Ok(())
}

fn check_provided(source: &Resource) -> Result<(), String> {
    check(core::slice::from_ref(source)).map_err(|fault| format!("Invalid resource: {fault}"))?;
    if source.provider_id.is_none() {
        return Err("'source' is not managed by a resource provider".into());
    }
    Ok(())
}
