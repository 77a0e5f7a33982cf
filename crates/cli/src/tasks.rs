//! Tasks: what runs on a cluster, and the search for one task by its id or its name.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::args::{TaskArgs, TasksArgs};
use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state::{self, Framework, State, Task};
use crate::print;
use crate::table::{Cell, Paint, Table, Tone, age, amount, size};

/// Why a text does not lead to one task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error("no task {task:?}; `tepui tasks --all` lists them{}", nearest(near.as_deref()))]
    None { task: String, near: Option<String> },
    #[error("{task:?} is a task of more than one framework: add --framework with one of {}", frameworks.join(", "))]
    Many {
        task: String,
        frameworks: Vec<String>,
    },
    #[error("{count} tasks are called {name:?}: name one by its id, as in {id}")]
    Names {
        name: String,
        count: usize,
        id: String,
    },
}

/// Lists the tasks of all frameworks.
pub(crate) async fn list(args: &TasksArgs, master: &Master) -> Result<u8, ClientError> {
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let listed: Vec<(&Framework, &Task)> = all(&state)
        .filter(|(_, task)| args.all || !task.is_terminal())
        .collect();
    if args.json {
        let tasks = listed
            .iter()
            .map(|(framework, task)| json(&state, framework, task));
        let tasks: serde_json::Value = tasks.collect();
        print(&format!("{tasks:#}\n"));
    } else {
        print(&table(&state, &listed, now()).render(Paint::for_stdout()));
    }
    Ok(0)
}

/// The one task that is meant, and its framework: the one of this id, else the one of this name,
/// of which those that have not ended come first.
pub(crate) fn find<'a>(
    state: &'a State,
    args: &TaskArgs,
) -> Result<(&'a Framework, &'a Task), FindError> {
    let asked = |framework: &Framework| match &args.framework {
        Some(id) => framework.id == *id,
        None => true,
    };
    let candidates: Vec<(&Framework, &Task)> = all(state)
        .filter(|(framework, _)| asked(framework))
        .collect();
    let of_id = pick(&candidates, |task| task.id == args.task);
    match of_id.as_slice() {
        [one] => return Ok(*one),
        [] => {}
        many => {
            return Err(FindError::Many {
                task: args.task.clone(),
                frameworks: many.iter().map(|(f, _)| f.id.clone()).collect(),
            });
        }
    }
    let of_name = pick(&candidates, |task| task.name == args.task);
    let alive = pick(&of_name, |task| !task.is_terminal());
    match (alive.as_slice(), of_name.as_slice()) {
        ([one], _) | ([], [one]) => Ok(*one),
        ([], []) => {
            let mut near = all(state).filter(|(_, task)| task.id.starts_with(&args.task));
            Err(FindError::None {
                task: args.task.clone(),
                near: near.next().map(|(_, task)| task.id.clone()),
            })
        }
        ([], many) | (many, _) => Err(FindError::Names {
            name: args.task.clone(),
            count: many.len(),
            id: many.first().map_or_else(String::new, |(_, t)| t.id.clone()),
        }),
    }
}

fn pick<'a>(
    tasks: &[(&'a Framework, &'a Task)],
    wanted: impl Fn(&Task) -> bool,
) -> Vec<(&'a Framework, &'a Task)> {
    let wanted = tasks.iter().filter(|(_, task)| wanted(task));
    wanted.copied().collect()
}

/// Seconds since the epoch.
pub(crate) fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

fn nearest(near: Option<&str>) -> String {
    near.map(|id| format!("; is {id:?} meant?"))
        .unwrap_or_default()
}

fn all(state: &State) -> impl Iterator<Item = (&Framework, &Task)> {
    state
        .all_frameworks()
        .flat_map(|framework| framework.all_tasks().map(move |task| (framework, task)))
}

fn node(state: &State, task: &Task) -> String {
    let node = state.node(&task.slave_id);
    node.map_or_else(|| task.slave_id.clone(), |node| node.hostname.clone())
}

fn tone(task: &Task) -> Tone {
    match task.state.as_str() {
        "TASK_RUNNING" | "TASK_FINISHED" => Tone::Good,
        "TASK_STAGING" | "TASK_STARTING" | "TASK_KILLING" | "TASK_KILLED" => Tone::Warning,
        _ => Tone::Bad,
    }
}

fn table(state: &State, listed: &[(&Framework, &Task)], now: f64) -> Table {
    let mut table = Table::new(&[
        "TASK",
        "NAME",
        "STATE",
        "NODE",
        "CPUS",
        "MEM",
        "FRAMEWORK",
        "AGE",
    ]);
    for (framework, task) in listed {
        let short = task.state.strip_prefix("TASK_").unwrap_or(&task.state);
        table.row(vec![
            Cell::text(&task.id),
            Cell::text(&task.name),
            Cell::toned(short, tone(task)),
            Cell::text(node(state, task)),
            Cell::number(amount(task.resources.cpus)),
            Cell::number(size(task.resources.mem)),
            Cell::text(&framework.name),
            Cell::number(task.started().map_or_else(String::new, |at| age(now - at))),
        ]);
    }
    table
}

fn json(state: &State, framework: &Framework, task: &Task) -> serde_json::Value {
    json!({
        "id": task.id,
        "name": task.name,
        "state": task.state,
        "node": node(state, task),
        "agent_id": task.slave_id,
        "framework_id": framework.id,
        "framework": framework.name,
        "executor_id": task.executor(),
        "resources": task.resources,
        "started": task.started(),
    })
}
