//! Calls about the agent as a program: its health, flags, version and metrics.

use api::v1;
use api::v1::agent::Response as Message;
use api::v1::agent::response::{GetFlags, GetHealth, GetMetrics, GetVersion, Type};

use super::{Caller, answer};
use crate::description::VERSION;
use crate::http::{Answer, metrics};
use api::http::respond::Refusal;

/// GET_HEALTH.
pub(super) fn health(caller: &Caller<'_>) -> Answer {
    answer::message(
        caller,
        &Message {
            get_health: Some(GetHealth { healthy: true }),
            ..answer::typed(Type::GetHealth)
        },
    )
}

/// GET_FLAGS.
pub(super) fn flags(caller: &Caller<'_>) -> Answer {
    let flags = caller.context.flags.as_object().into_iter().flatten();
    let flags = flags.map(|(name, value)| v1::Flag {
        name: name.clone(),
        value: value.as_str().map(str::to_owned),
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
pub(super) fn version(caller: &Caller<'_>) -> Answer {
    let version_info = v1::VersionInfo {
        version: VERSION.to_owned(),
        build_date: Some(String::new()),
        build_time: Some(0.0),
        build_user: Some(String::new()),
        ..v1::VersionInfo::default()
    };
    answer::message(
        caller,
        &Message {
            get_version: Some(GetVersion { version_info }),
            ..answer::typed(Type::GetVersion)
        },
    )
}

/// GET_METRICS. Mesos lets the caller bound the time that gauges may take; here none takes any.
pub(super) async fn metrics(caller: &Caller<'_>) -> Result<Answer, Refusal> {
    let figures = caller.context.beside(metrics::figures).await?.into_iter();
    let metrics = figures.map(|(name, value)| v1::Metric {
        name,
        value: Some(value),
    });
    Ok(answer::message(
        caller,
        &Message {
            get_metrics: Some(GetMetrics {
                metrics: metrics.collect(),
            }),
            ..answer::typed(Type::GetMetrics)
        },
    ))
}
