//! The state as messages of the v1 operator API, one thing at a time.
//!
//! Nothing here holds more than one message: what lists are made of them, and in which form, is the
//! caller's choice.

mod agents;
mod frameworks;
mod operations;
mod tasks;

use api::v1;
use master_core::WallTime;

pub(crate) use agents::agent_of;
pub(crate) use frameworks::framework_of;
pub(crate) use tasks::{Owners, status, task};

/// A date as a message.
fn time(time: WallTime) -> v1::TimeInfo {
    v1::TimeInfo {
        nanoseconds: i64::try_from(time.0).unwrap_or(i64::MAX),
    }
}
