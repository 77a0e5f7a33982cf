//! `POST /teardown`: ends a framework.

use master_core::event::{OperatorCall, Text};

use crate::http::respond::Refusal;
use crate::http::router::Query;

/// The call that a form asks for.
pub(super) fn call(form: &str) -> Result<OperatorCall, Refusal> {
    let framework_id = Query(form).get("frameworkId").ok_or_else(|| {
        Refusal::bad_request("Missing 'frameworkId' query parameter in the request body")
    })?;
    Ok(OperatorCall::Teardown {
        framework_id: Text::from(framework_id),
    })
}
