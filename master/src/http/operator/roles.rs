//! Calls about roles: GET_ROLES, quota and weights.

use api::v1::master::response::{self, Type};

use super::{Caller, answer};
use crate::http::Response;

/// GET_ROLES.
pub(super) async fn roles(caller: &Caller<'_>) -> Response {
    let snapshot = caller.handle.snapshot_for(&caller.identity).await;
    let mut message = answer::typed(Type::GetRoles);
    message.get_roles = Some(response::GetRoles {
        roles: snapshot.roles().collect(),
    });
    answer::message(caller, &message)
}

/// GET_QUOTA.
pub(super) async fn quota(caller: &Caller<'_>) -> Response {
    let snapshot = caller.handle.snapshot_for(&caller.identity).await;
    let mut message = answer::typed(Type::GetQuota);
    message.get_quota = Some(response::GetQuota {
        status: snapshot.quotas(),
    });
    answer::message(caller, &message)
}

/// GET_WEIGHTS. Where there are none the answer is its type alone, as in Mesos.
pub(super) async fn weights(caller: &Caller<'_>) -> Response {
    let snapshot = caller.handle.snapshot_for(&caller.identity).await;
    let mut message = answer::typed(Type::GetWeights);
    let weight_infos: Vec<_> = snapshot.weights().collect();
    message.get_weights =
        (!weight_infos.is_empty()).then_some(response::GetWeights { weight_infos });
    answer::message(caller, &message)
}
