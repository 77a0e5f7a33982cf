//! Containers that calls of the agent's API ask for, read as tasks are.

use agent_core::containers::Requested;
use api::v1;
use api::v1::agent::call::LaunchContainer;
use model::Blob;
use prost::Message;

use super::task::{self, Launch, LaunchError};

/// Reads what a launch needs.
///
/// # Errors
/// What it asks for cannot be given, or its resources are none.
pub fn requested(requested: &Requested) -> Result<Launch, LaunchError> {
    let call: LaunchContainer =
        super::stored(&requested.launch).ok_or(LaunchError::Malformed("LaunchContainer"))?;
    // What a container can be asked for, a task can: as one it is read.
    let task = v1::TaskInfo {
        command: Some(call.command.unwrap_or_default()),
        container: call.container,
        // As a task of a pod it is nested.
        executor: requested.container.parent().map(|_| v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Default.into()),
            ..v1::ExecutorInfo::default()
        }),
        resources: call.resources,
        limits: call.limits,
        ..v1::TaskInfo::default()
    };
    if let Some(what) = task::unsupported(&task) {
        return Err(LaunchError::Container(what));
    }
    let framework = v1::FrameworkInfo::default();
    task::launch(
        &Blob::new(&task.encode_to_vec()),
        &Blob::new(&framework.encode_to_vec()),
    )
}
