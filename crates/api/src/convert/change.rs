//! Operations on resources: between `Offer.Operation` and the changes of `model`.

use std::sync::Arc;

use model::resources::{Change, DiskTarget, InvalidResource, Resource, ResourceFault, Scalar};

use super::resource::{from_resource, to_resource};
use crate::v1;
use crate::v1::offer::Operation;
use crate::v1::offer::operation::{self, Type};
use crate::v1::resource::disk_info::source::Type as DiskType;

/// Why an operation is no change of resources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A LAUNCH, a LAUNCH_GROUP, or a type this version does not know.
    #[error("Unknown operation")]
    Kind,
    /// Its field is not set, in Mesos' words.
    #[error("{0}")]
    Unset(&'static str),
    /// One of its resources is none.
    #[error(transparent)]
    Invalid(#[from] InvalidResource),
    /// The only resource of its kind in it is none: there is no need to say which.
    #[error(transparent)]
    Fault(ResourceFault),
}

/// Reads an operation; each of its resources is valid.
///
/// # Errors
/// It is no change of resources.
pub fn change(wire: &Operation) -> Result<Change, ChangeError> {
    let boxed = |wire: &v1::Resource| match valid(wire) {
        Ok(resource) => Ok(Box::new(resource)),
        Err(invalid) => Err(ChangeError::Fault(invalid.fault)),
    };
    let list = |wire: &[v1::Resource]| -> Result<Vec<Resource>, InvalidResource> {
        wire.iter().map(valid).collect()
    };
    Ok(match wire.r#type() {
        Type::Reserve => {
            let reserve = wire.reserve.as_ref().ok_or(ChangeError::Unset(
                "A RESERVE offer operation must have the Offer.Operation.reserve field set.",
            ))?;
            let resources = list(&reserve.resources)?;
            Change::Reserve {
                source: list(&reserve.source)?,
                resources,
            }
        }
        Type::Unreserve => {
            let unreserve = wire.unreserve.as_ref().ok_or(ChangeError::Unset(
                "An UNRESERVE offer operation must have the Offer.Operation.unreserve field set.",
            ))?;
            Change::Unreserve {
                resources: list(&unreserve.resources)?,
            }
        }
        Type::Create => {
            let create = wire.create.as_ref().ok_or(ChangeError::Unset(
                "A CREATE offer operation must have the Offer.Operation.create field set.",
            ))?;
            Change::Create {
                volumes: list(&create.volumes)?,
            }
        }
        Type::Destroy => {
            let destroy = wire.destroy.as_ref().ok_or(ChangeError::Unset(
                "A DESTROY offer operation must have the Offer.Operation.destroy field set.",
            ))?;
            Change::Destroy {
                volumes: list(&destroy.volumes)?,
            }
        }
        Type::GrowVolume => {
            let grow = wire.grow_volume.as_ref().ok_or(ChangeError::Unset(
                "A GROW_VOLUME operation must have the Offer.Operation.grow_volume field set",
            ))?;
            Change::GrowVolume {
                volume: boxed(&grow.volume)?,
                addition: boxed(&grow.addition)?,
            }
        }
        Type::ShrinkVolume => {
            let shrink = wire.shrink_volume.as_ref().ok_or(ChangeError::Unset(
                "A SHRINK_VOLUME offer operation must have the Offer.Operation.shrink_volume \
                 field set",
            ))?;
            Change::ShrinkVolume {
                volume: boxed(&shrink.volume)?,
                // What is no number is no size, and refused as such.
                subtract: Scalar::from_f64(shrink.subtract.value).unwrap_or_default(),
            }
        }
        Type::CreateDisk => {
            let create = wire.create_disk.as_ref().ok_or(ChangeError::Unset(
                "A CREATE_DISK offer operation must have the Offer.Operation.create_disk field set.",
            ))?;
            Change::CreateDisk {
                source: boxed(&create.source)?,
                target: match create.target_type() {
                    DiskType::Mount => DiskTarget::Mount,
                    DiskType::Block => DiskTarget::Block,
                    DiskType::Unknown | DiskType::Path | DiskType::Raw => DiskTarget::Other,
                },
                target_profile: create.target_profile.as_deref().map(Arc::from),
            }
        }
        Type::DestroyDisk => {
            let destroy = wire.destroy_disk.as_ref().ok_or(ChangeError::Unset(
                "A DESTROY_DISK offer operation must have the Offer.Operation.destroy_disk field \
                 set.",
            ))?;
            Change::DestroyDisk {
                source: boxed(&destroy.source)?,
            }
        }
        Type::Unknown | Type::Launch | Type::LaunchGroup => return Err(ChangeError::Kind),
    })
}

fn valid(wire: &v1::Resource) -> Result<Resource, InvalidResource> {
    let resource = from_resource(wire)?;
    resource.validate()?;
    Ok(resource)
}

/// Writes a change as the operation of this id, its reservations as stacks.
#[must_use]
pub fn to_operation(change: &Change, id: Option<&str>) -> Operation {
    let list = |resources: &[Resource]| resources.iter().map(to_resource).collect();
    let mut wire = Operation {
        id: id.map(|id| v1::OperationId {
            value: id.to_owned(),
        }),
        ..Operation::default()
    };
    match change {
        Change::Reserve { source, resources } => {
            wire.set_type(Type::Reserve);
            wire.reserve = Some(operation::Reserve {
                source: list(source),
                resources: list(resources),
            });
        }
        Change::Unreserve { resources } => {
            wire.set_type(Type::Unreserve);
            wire.unreserve = Some(operation::Unreserve {
                resources: list(resources),
            });
        }
        Change::Create { volumes } => {
            wire.set_type(Type::Create);
            wire.create = Some(operation::Create {
                volumes: list(volumes),
            });
        }
        Change::Destroy { volumes } => {
            wire.set_type(Type::Destroy);
            wire.destroy = Some(operation::Destroy {
                volumes: list(volumes),
            });
        }
        Change::GrowVolume { volume, addition } => {
            wire.set_type(Type::GrowVolume);
            wire.grow_volume = Some(operation::GrowVolume {
                volume: to_resource(volume),
                addition: to_resource(addition),
            });
        }
        Change::ShrinkVolume { volume, subtract } => {
            wire.set_type(Type::ShrinkVolume);
            wire.shrink_volume = Some(operation::ShrinkVolume {
                volume: to_resource(volume),
                subtract: v1::value::Scalar {
                    value: subtract.to_f64(),
                },
            });
        }
        Change::CreateDisk {
            source,
            target,
            target_profile,
        } => {
            wire.set_type(Type::CreateDisk);
            let target = match target {
                DiskTarget::Mount => DiskType::Mount,
                DiskTarget::Block => DiskType::Block,
                DiskTarget::Other => DiskType::Unknown,
            };
            wire.create_disk = Some(operation::CreateDisk {
                source: to_resource(source),
                target_type: target.into(),
                target_profile: target_profile.as_ref().map(ToString::to_string),
            });
        }
        Change::DestroyDisk { source } => {
            wire.set_type(Type::DestroyDisk);
            wire.destroy_disk = Some(operation::DestroyDisk {
                source: to_resource(source),
            });
        }
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{from_json, to_json};

    fn read(json: &str) -> Result<Change, ChangeError> {
        let wire: Operation = from_json(json.as_bytes()).unwrap();
        change(&wire)
    }

    #[test]
    fn an_operation_is_read_and_written() {
        let disk = r#"{"name":"disk","type":"SCALAR","scalar":{"value":4.0},"reservations":[{"type":"DYNAMIC","role":"r"}]}"#;
        for body in [
            format!(
                r#""type":"RESERVE","id":{{"value":"o"}},"reserve":{{"resources":[{disk}],"source":[{disk}]}}"#
            ),
            format!(
                r#""type":"UNRESERVE","id":{{"value":"o"}},"unreserve":{{"resources":[{disk}]}}"#
            ),
            format!(r#""type":"CREATE","id":{{"value":"o"}},"create":{{"volumes":[{disk}]}}"#),
            format!(
                r#""type":"GROW_VOLUME","id":{{"value":"o"}},"grow_volume":{{"volume":{disk},"addition":{disk}}}"#
            ),
            format!(
                r#""type":"SHRINK_VOLUME","id":{{"value":"o"}},"shrink_volume":{{"volume":{disk},"subtract":{{"value":1.5}}}}"#
            ),
            format!(
                r#""type":"CREATE_DISK","id":{{"value":"o"}},"create_disk":{{"source":{disk},"target_type":"MOUNT"}}"#
            ),
        ] {
            let wire: Operation = from_json(format!("{{{body}}}").as_bytes()).unwrap();
            let read = change(&wire).unwrap();
            assert_eq!(to_json(&to_operation(&read, Some("o"))), to_json(&wire));
        }
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for (json, fault) in [
            (r#"{"type":"LAUNCH"}"#, "Unknown operation"),
            ("{}", "Unknown operation"),
            (
                r#"{"type":"UNRESERVE"}"#,
                "An UNRESERVE offer operation must have the Offer.Operation.unreserve field set.",
            ),
            (
                r#"{"type":"CREATE","create":{"volumes":[{"name":"disk","type":"SCALAR","scalar":{"value":-1}}]}}"#,
                "Resource 'disk:-1' is invalid: Invalid scalar resource: value <= 0",
            ),
            (
                r#"{"type":"CREATE","create":{"volumes":[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"shared":{}},{"name":"cpus","type":"SCALAR"}]}}"#,
                "Resource 'cpus<SHARED>:1' is invalid: Resource cpus cannot be shared",
            ),
            (
                r#"{"type":"GROW_VOLUME","grow_volume":{"volume":{"name":"cpus","type":"SCALAR"},"addition":{"name":"disk","type":"SCALAR","scalar":{"value":1}}}}"#,
                "Invalid scalar resource",
            ),
            (
                r#"{"type":"SHRINK_VOLUME","shrink_volume":{"volume":{"name":"cpus","type":"SCALAR","scalar":{"value":1},"shared":{}},"subtract":{"value":1}}}"#,
                "Resource cpus cannot be shared",
            ),
        ] {
            assert_eq!(read(json).unwrap_err().to_string(), fault);
        }
    }
}
