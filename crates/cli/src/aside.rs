//! Aside: what a master's state says of a framework that this process does not speak for.

use std::time::Duration;

use model::TaskState;
use tokio::time::sleep;

use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state::{self, State};
use crate::ending::Ending;
use crate::note;

/// The pause between two looks at the state.
const LOOK: Duration = Duration::from_millis(500);

/// Who speaks for a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody does at the moment, or the master has not heard of it yet: it may be taken up.
    Ours,
    /// Another process does.
    Another,
    /// It is over.
    Nobodys,
}

/// Asks a master who speaks for a framework.
pub(crate) async fn whose(master: &Master, framework: &str) -> Result<Whose, ClientError> {
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let mut over = state.completed_frameworks.iter();
    if over.any(|known| known.id == framework) {
        return Ok(Whose::Nobodys);
    }
    let mut there = state.frameworks.iter();
    Ok(match there.find(|known| known.id == framework) {
        Some(known) if known.connected => Whose::Another,
        Some(_) | None => Whose::Ours,
    })
}

/// Waits until a task is over, or gone from the state together with its framework.
pub(crate) async fn watch(master: &Master, framework: &str, task: &str) -> Ending {
    note(&format!(
        "another tepui speaks for {task} now; watching it from here"
    ));
    loop {
        // A master that is away for a while comes back, or the user ends the wait.
        if let Ok(mut connection) = Connection::to(master).await
            && let Ok(state) = state::fetch(&mut connection).await
            && let Some(ending) = ending(&state, framework, task)
        {
            return ending;
        }
        sleep(LOOK).await;
    }
}

fn ending(state: &State, framework: &str, task: &str) -> Option<Ending> {
    let ending = |state| Ending {
        state,
        reason: None,
        message: String::new(),
    };
    let known = state.all_frameworks().find(|known| known.id == framework);
    let task = known.and_then(|known| known.all_tasks().find(|known| known.id == task));
    match task {
        Some(task) if task.is_terminal() => {
            let mut all = TaskState::ALL.iter();
            all.find(|state| state.name() == task.state)
                .map(|state| ending(*state))
        }
        Some(_) => None,
        None => Some(ending(TaskState::Unknown)),
    }
}
