//! Kill: ends a task of `tepui run` from another shell, by taking its framework over.

use api::v1::{AgentId, FrameworkId, TaskId};
use model::TaskState;
use tokio::time::{Duration, Instant, sleep_until};

use crate::args::TaskArgs;
use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::scheduler::{SubscribeError, subscribe};
use crate::client::state::{self, Framework, Task};
use crate::note;
use crate::spec::{self, FRAMEWORK_NAME};
use crate::tasks::{FindError, find};

/// The kill is repeated after so long, since an agent may be away for a while.
const AGAIN: Duration = Duration::from_secs(5);
/// After so long without the task's end the user is told, and the framework is torn down: the
/// master then sees to the task as soon as its agent is back.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a task was not killed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KillError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(
        "{task} belongs to the framework {name:?} ({id}), which alone may kill it; `tepui kill` ends what `tepui run` started"
    )]
    Foreign {
        task: String,
        name: String,
        id: String,
    },
    #[error("another tepui took the framework of {task} over meanwhile")]
    TakenOver { task: String },
}

/// Kills a task and ends its framework.
pub(crate) async fn kill(args: &TaskArgs, master: &Master) -> Result<u8, KillError> {
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let (framework, task) = find(&state, args)?;
    if framework.name != FRAMEWORK_NAME {
        return Err(KillError::Foreign {
            task: task.id.clone(),
            name: framework.name.clone(),
            id: framework.id.clone(),
        });
    }
    let mut over = state.completed_frameworks.iter();
    if over.any(|known| known.id == framework.id) {
        note(&format!("{} is over already: {}", task.id, task.state));
        return Ok(0);
    }
    let end = take_over(master, framework, task).await?;
    note(&match end {
        Some(state) => format!("{} ended as {state}", task.id),
        None => format!(
            "{} has not ended within {} s; its framework is ended, the node kills it when it is back",
            task.id,
            WAIT_MAX.as_secs()
        ),
    });
    Ok(u8::from(end.is_none()))
}

/// Takes the framework over, sees the task end, and tears the framework down.
async fn take_over(
    master: &Master,
    framework: &Framework,
    task: &Task,
) -> Result<Option<TaskState>, KillError> {
    let role = framework.roles.first().or(framework.role.as_ref());
    let mut info = spec::framework(&framework.user, role.map_or("*", String::as_str));
    info.id = Some(FrameworkId {
        value: framework.id.clone(),
    });
    let task_id = TaskId {
        value: task.id.clone(),
    };
    let agent_id = AgentId {
        value: task.slave_id.clone(),
    };
    let (mut calls, mut events) = subscribe(master, info).await?;
    calls.suppress().await?;
    calls.kill(&task_id, Some(&agent_id)).await?;
    let give_up = Instant::now() + WAIT_MAX;
    let mut again = Instant::now() + AGAIN;
    let end = loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event? else {
                    return Err(KillError::TakenOver { task: task.id.clone() });
                };
                if event.error.is_some() {
                    return Err(KillError::TakenOver { task: task.id.clone() });
                }
                let Some(update) = event.update else { continue };
                calls.acknowledge(&update.status).await?;
                let state = TaskState::from_number(update.status.state);
                if update.status.task_id == task_id
                    && let Some(state) = state
                    && (state.is_terminal() || state == TaskState::Unknown)
                {
                    break Some(state);
                }
            }
            () = sleep_until(again.min(give_up)) => {
                if Instant::now() >= give_up {
                    break None;
                }
                calls.kill(&task_id, Some(&agent_id)).await?;
                again = Instant::now() + AGAIN;
            }
        }
    };
    calls.teardown().await?;
    Ok(end)
}
