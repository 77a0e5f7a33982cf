//! Calls about how much is logged: GET_LOGGING_LEVEL and SET_LOGGING_LEVEL.

use std::time::Duration;

use api::http::respond;
use api::v1::agent::Response as Message;
use api::v1::agent::call::SetLoggingLevel;
use api::v1::agent::response::{GetLoggingLevel, Type};
use hyper::StatusCode;

use super::{Caller, answer};
use crate::http::Answer;

/// GET_LOGGING_LEVEL.
pub(super) fn get(caller: &Caller<'_>) -> Answer {
    let level = caller.context.verbosity.level();
    answer::message(
        caller,
        &Message {
            get_logging_level: Some(GetLoggingLevel { level }),
            ..answer::typed(Type::GetLoggingLevel)
        },
    )
}

/// SET_LOGGING_LEVEL: for a time, which is none where it is negative.
pub(super) fn set(caller: &Caller<'_>, call: &SetLoggingLevel) -> Answer {
    let time = u64::try_from(call.duration.nanoseconds).unwrap_or(0);
    let verbosity = &caller.context.verbosity;
    verbosity.set(call.level, Duration::from_nanos(time));
    respond::empty(StatusCode::OK)
}
