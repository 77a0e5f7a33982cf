//! Calls about the master itself: its health, flags, version, metrics, and who it is.

use api::v1;
use api::v1::master::Response as Message;
use api::v1::master::response::{GetFlags, GetHealth, GetMaster, GetMetrics, GetVersion, Type};

use super::{Caller, answer};
use crate::convert::events::seconds;
use crate::http::Response;
use crate::state;

/// GET_HEALTH.
pub(super) fn health(caller: &Caller<'_>) -> Response {
    answer::message(
        caller,
        &Message {
            get_health: Some(GetHealth { healthy: true }),
            ..answer::typed(Type::GetHealth)
        },
    )
}

/// GET_FLAGS.
pub(super) fn flags(caller: &Caller<'_>) -> Response {
    let flags = caller.handle.facts().flags.iter();
    let flags = flags.map(|(name, value)| v1::Flag {
        name: name.clone(),
        value: Some(value.clone()),
    });
    answer::message(
        caller,
        &Message {
            get_flags: Some(GetFlags {
                flags: flags.collect(),
            }),
            ..answer::typed(Type::GetFlags)
        },
    )
}

/// GET_VERSION.
pub(super) fn version(caller: &Caller<'_>) -> Response {
    answer::message(
        caller,
        &Message {
            get_version: Some(GetVersion {
                version_info: state::version_info(),
            }),
            ..answer::typed(Type::GetVersion)
        },
    )
}

/// GET_METRICS. Mesos lets the caller bound the time that gauges may take; here none takes any.
pub(super) async fn metrics(caller: &Caller<'_>) -> Response {
    let metrics = state::metrics(caller.handle).await.into_iter();
    let metrics = metrics.map(|(name, value)| v1::Metric {
        name,
        value: Some(value),
    });
    answer::message(
        caller,
        &Message {
            get_metrics: Some(GetMetrics {
                metrics: metrics.collect(),
            }),
            ..answer::typed(Type::GetMetrics)
        },
    )
}

/// GET_MASTER.
pub(super) fn master(caller: &Caller<'_>) -> Response {
    let facts = caller.handle.facts();
    answer::message(
        caller,
        &Message {
            get_master: Some(GetMaster {
                master_info: Some(facts.master_info.clone()),
                start_time: Some(seconds(facts.started)),
                elected_time: Some(seconds(facts.standing.since())),
            }),
            ..answer::typed(Type::GetMaster)
        },
    )
}
