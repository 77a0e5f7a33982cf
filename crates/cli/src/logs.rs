//! Logs: the output of a task, of whatever framework, as far as its agent still has it.

use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::args::{LogsArgs, TaskArgs};
use crate::client::ClientError;
use crate::client::files::sandbox_of;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state;
use crate::follow::{Life, OutputError, follow};
use crate::tasks::{FindError, find};

/// The pause between two looks whether the task is over.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is no output to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Find(#[from] FindError),
    #[error("{task} ran on {agent}, which is not registered any more")]
    Node { task: String, agent: String },
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Prints what a task wrote, and what it writes until its end.
pub(crate) async fn print(args: &LogsArgs, master: &Master) -> Result<u8, LogsError> {
    let mut connection = Connection::to(master).await?;
    let state = state::fetch(&mut connection).await?;
    let (framework, task) = find(&state, &args.task)?;
    let Some(node) = state.node(&task.slave_id) else {
        return Err(LogsError::Node {
            task: task.id.clone(),
            agent: task.slave_id.clone(),
        });
    };
    let file = if args.stderr { "stderr" } else { "stdout" };
    let mut agent = Connection::new(node.address());
    let folder = sandbox_of(&mut agent, framework, task).await?;
    // A name may mean another task by and by; the id goes on meaning this one.
    let followed = TaskArgs {
        task: task.id.clone(),
        framework: Some(framework.id.clone()),
    };
    let goes_on = args.follow && !task.is_terminal();
    // Over from the start, the file is read once.
    let life = watch::Sender::new(if goes_on { Life::Running } else { Life::Over });
    let carried = follow(
        node.address(),
        folder,
        file,
        life.subscribe(),
        tokio::io::stdout(),
    );
    let watched = async {
        if goes_on {
            until_over(&mut connection, &followed).await;
        }
        life.send_replace(Life::Over);
        // The end of the output ends the wait, not this.
        std::future::pending::<()>().await;
    };
    let done = tokio::select! {
        done = carried => done,
        () = watched => Ok(0),
    };
    match done {
        Ok(_) => Ok(0),
        Err(error) if error.is_broken_pipe() => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the master says that a task is over, or does not know it any more.
async fn until_over(master: &mut Connection, args: &TaskArgs) {
    loop {
        sleep(LOOK).await;
        // A master that is away for a while comes back; the output goes on meanwhile.
        let Ok(state) = state::fetch(master).await else {
            continue;
        };
        match find(&state, args) {
            Ok((_, task)) if !task.is_terminal() => {}
            Ok(_) | Err(_) => return,
        }
    }
}
