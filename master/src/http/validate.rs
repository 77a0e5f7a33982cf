//! What a scheduler call must hold before anybody looks at who sent it, in Mesos' words.

use api::v1::FrameworkId;
use api::v1::scheduler::Call;
use api::v1::scheduler::call::Type;

/// The first fault of a call, or its type.
pub(crate) fn call(call: &Call) -> Result<Type, String> {
    // An enum's number that this version does not know reads as if the field were unset.
    let kind = call
        .r#type
        .and_then(|number| Type::try_from(number).ok())
        .ok_or_else(|| missing("type"))?;
    if kind == Type::Subscribe {
        let subscribe = present(&call.subscribe, "subscribe")?;
        let info = &subscribe.framework_info;
        if value(call.framework_id.as_ref()) != value(info.id.as_ref()) {
            return Err(differs("subscribe"));
        }
        return Ok(kind);
    }
    present(&call.framework_id, "framework_id")?;
    match kind {
        Type::Subscribe | Type::Unknown | Type::Teardown | Type::Revive | Type::Suppress => {}
        Type::Accept => drop(present(&call.accept, "accept")?),
        Type::Decline => drop(present(&call.decline, "decline")?),
        Type::AcceptInverseOffers => {
            present(&call.accept_inverse_offers, "accept_inverse_offers")?;
        }
        Type::DeclineInverseOffers => {
            present(&call.decline_inverse_offers, "decline_inverse_offers")?;
        }
        Type::Kill => drop(present(&call.kill, "kill")?),
        Type::Shutdown => drop(present(&call.shutdown, "shutdown")?),
        Type::Acknowledge => uuid(&present(&call.acknowledge, "acknowledge")?.uuid)?,
        Type::AcknowledgeOperationStatus => {
            let status = present(
                &call.acknowledge_operation_status,
                "acknowledge_operation_status",
            )?;
            uuid(&status.uuid)?;
            present(&status.agent_id, "agent_id")?;
        }
        Type::Reconcile => drop(present(&call.reconcile, "reconcile")?),
        Type::ReconcileOperations => {
            present(&call.reconcile_operations, "reconcile_operations")?;
        }
        Type::Message => drop(present(&call.message, "message")?),
        Type::Request => drop(present(&call.request, "request")?),
        Type::UpdateFramework => {
            let update = present(&call.update_framework, "update_framework")?;
            if value(call.framework_id.as_ref()) != value(update.framework_info.id.as_ref()) {
                return Err(differs("update_framework"));
            }
        }
    }
    Ok(kind)
}

/// Whether a subscription names the principal that it is made by, or none.
pub(crate) fn principal(call: &Call, authenticated: &str) -> Result<(), String> {
    let subscribe = call.subscribe.as_ref();
    let named = subscribe.and_then(|subscribe| subscribe.framework_info.principal.as_deref());
    match named.filter(|named| *named != authenticated) {
        None => Ok(()),
        Some(named) => Err(mismatch(authenticated, named)),
    }
}

/// That a principal is not the one of its framework.
pub(crate) fn mismatch(authenticated: &str, named: &str) -> String {
    format!(
        "Authenticated principal '{authenticated}' does not match principal '{named}' set in \
         `FrameworkInfo`"
    )
}

/// 16 bytes with one of the versions of RFC 4122.
fn uuid(bytes: &[u8]) -> Result<(), String> {
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) if (1..=5).contains(&(bytes[6] >> 4)) => Ok(()),
        _ => Err("Not a valid UUID".into()),
    }
}

fn present<'a, T>(field: &'a Option<T>, name: &str) -> Result<&'a T, String> {
    field.as_ref().ok_or_else(|| missing(name))
}

fn missing(name: &str) -> String {
    format!("Expecting '{name}' to be present")
}

fn differs(call: &str) -> String {
    format!("'framework_id' differs from '{call}.framework_info.id'")
}

/// An id that is unset is the same as an empty one.
fn value(id: Option<&FrameworkId>) -> &str {
    id.map_or("", |id| &id.value)
}
