//! What fuzz targets call: bytes as they come over the wire, through everything that looks at them
//! before the main loop does. Not an interface for anyone else.

use api::Described;
use api::v1::scheduler::call::Type;
use api::v1::{master, scheduler};
use master_core::constraints::{Constraints, PatternLimits};

use crate::convert::calls;
use crate::http::negotiate::Media;
use crate::http::{call, validate};

/// A body in one of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

fn decoded<T: Described>(form: Form, body: &[u8]) -> Option<T> {
    let media = match form {
        Form::Json => Media::Json,
        Form::Protobuf => Media::Protobuf,
    };
    call::decode(media, body).ok()
}

/// The body of a scheduler call; whether it is one that the core would see.
#[must_use]
pub fn scheduler_call(form: Form, body: &[u8]) -> bool {
    let Some(call) = decoded::<scheduler::Call>(form, body) else {
        return false;
    };
    let Ok(kind) = validate::call(&call) else {
        return false;
    };
    if kind == Type::Subscribe {
        let subscription = calls::subscription(&call.subscribe.unwrap_or_default());
        // What the core checks of it without its state.
        let wanted = &subscription.offer_constraints;
        return Constraints::new(wanted, PatternLimits::default()).is_ok();
    }
    drop(calls::submitted(kind, call));
    true
}

/// The body of an operator call; whether it decodes.
#[must_use]
pub fn operator_call(form: Form, body: &[u8]) -> bool {
    decoded::<master::Call>(form, body).is_some()
}
