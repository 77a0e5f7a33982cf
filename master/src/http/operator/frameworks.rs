//! Calls that change a framework: TEARDOWN.

use api::v1::master::call::Teardown;
use master_core::event::{OperatorCall, Text};

/// TEARDOWN.
pub(super) fn teardown(teardown: Teardown) -> OperatorCall {
    OperatorCall::Teardown {
        framework_id: Text::from(teardown.framework_id.value),
    }
}
