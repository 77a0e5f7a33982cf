//! What may be made of resources: every reservation and volume that a change touches is asked about.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::resources::{Change, DiskKind, DiskTarget, Reservation, Resource, Role};

use super::{Acls, Action};

/// An action, and the role or principal that it is asked about.
type Asked<'a> = (Action, Option<&'a str>);

impl Acls {
    /// Whether a principal may make this change; the error is the first thing that it may not.
    pub(crate) fn check_change(
        &self,
        principal: Option<&str>,
        change: &Change,
    ) -> Result<(), String> {
        let forbidden = |(action, object): &Asked<'_>| !self.allow(principal, *action, *object);
        let Some((action, object)) = asked(change).into_iter().find(forbidden) else {
            return Ok(());
        };
        let who = principal.unwrap_or_default();
        let what = action.key();
        // "no authorized" is how Mesos has it.
        Err(match object {
            Some(object) => {
                format!("Principal '{who}' no authorized to perform {what} on '{object}'")
            }
            None => format!("Principal '{who}' no authorized to perform {what} on ANY object"),
        })
    }
}

fn asked(change: &Change) -> Vec<Asked<'_>> {
    match change {
        Change::Reserve { source, resources } if source.is_empty() => {
            roles(Action::ReserveResources, resources)
        }
        Change::Reserve { source, resources } => replaced(source, resources),
        Change::Unreserve { resources } => {
            let tops = resources
                .iter()
                .map(|resource| resource.reservations.last());
            tops.map(|top| unreserved(top)).collect()
        }
        Change::Create { volumes } => roles(Action::CreateVolume, volumes),
        Change::Destroy { volumes } => volumes
            .iter()
            .filter_map(|volume| volume.disk.as_ref()?.persistence.as_ref())
            .map(|volume| volume.principal.as_deref().unwrap_or_default())
            .map(|creator| (Action::DestroyVolume, Some(creator)))
            .collect(),
        Change::GrowVolume { volume, .. } | Change::ShrinkVolume { volume, .. } => {
            Vec::from([(Action::ResizeVolume, Some(role(volume)))])
        }
        Change::CreateDisk { source, target, .. } => {
            let action = match target {
                DiskTarget::Mount => Some(Action::CreateMountDisk),
                DiskTarget::Block => Some(Action::CreateBlockDisk),
                DiskTarget::Other => None,
            };
            action
                .map(|action| (action, Some(role(source))))
                .into_iter()
                .collect()
        }
        Change::DestroyDisk { source } => {
            let kind = source.disk.as_ref().and_then(|disk| disk.source.as_ref());
            let action = match kind.map(|kind| &kind.kind) {
                Some(DiskKind::Mount { .. }) => Some(Action::DestroyMountDisk),
                Some(DiskKind::Block) => Some(Action::DestroyBlockDisk),
                Some(DiskKind::Raw) => Some(Action::DestroyRawDisk),
                Some(DiskKind::Path { .. } | DiskKind::Unknown) | None => None,
            };
            action
                .map(|action| (action, Some(role(source))))
                .into_iter()
                .collect()
        }
    }
}

/// The reservations that go, and then those that come: those that both have are left alone.
fn replaced<'a>(source: &'a [Resource], resources: &'a [Resource]) -> Vec<Asked<'a>> {
    let stack = |list: &'a [Resource]| list.first().map_or(&[][..], |first| &first.reservations);
    let (old, new) = (stack(source), stack(resources));
    let same = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    let gone = source
        .iter()
        .flat_map(|resource| resource.reservations.iter().skip(same));
    let gone = gone.map(|reservation| unreserved(Some(reservation)));
    let come = new.iter().skip(same);
    let come = come.map(|reservation| (Action::ReserveResources, Some(reservation.role.as_str())));
    gone.chain(come).collect()
}

/// One question for all resources of a role.
fn roles(action: Action, resources: &[Resource]) -> Vec<Asked<'_>> {
    let mut roles: Vec<&str> = resources.iter().map(role).collect();
    roles.sort_unstable();
    roles.dedup();
    roles.into_iter().map(|role| (action, Some(role))).collect()
}

/// Who reserved it; anyone where that is not known.
fn unreserved(reservation: Option<&Reservation>) -> Asked<'_> {
    let reserver = reservation.and_then(|reservation| reservation.principal.as_deref());
    (Action::UnreserveResources, reserver)
}

fn role(resource: &Resource) -> &str {
    resource.reservation_role().map_or("*", Role::as_str)
}
