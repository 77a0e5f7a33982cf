//! Top: what the running tasks take of their nodes, the busiest first.
//!
//! Processor time is a counter: how much is in use shows in two looks at the nodes.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::TopArgs;
use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state::{self, State};
use crate::client::statistics::{self, Usage};
use crate::stops::Stops;
use crate::table::{Cell, Paint, Table, Tone, amount, size};
use crate::{chain, note, print};

/// Nodes that are asked at the same time.
const ASKED_MAX: usize = 64;
/// Moves a terminal's cursor home and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("listen to signals")]
    Signals(#[source] std::io::Error),
}

/// A container by its framework and its executor.
type Key = (String, String);

/// One look at all nodes.
#[derive(Default)]
struct Look {
    usages: BTreeMap<Key, Usage>,
    /// Nodes that did not answer, each with why.
    silent: Vec<String>,
}

/// A line of the table.
#[derive(Debug, PartialEq)]
struct Row {
    /// The task, or all that share a container.
    task: String,
    node: String,
    framework: String,
    /// Processors in use.
    cpus: Option<f64>,
    cpus_limit: Option<f64>,
    mem_bytes: Option<f64>,
    mem_limit_bytes: Option<f64>,
    processes: Option<f64>,
}

/// Shows the table: again and again on a terminal, once elsewhere.
pub(crate) async fn show(args: &TopArgs, master: &Master) -> Result<u8, TopError> {
    let mut stops = Stops::listen().map_err(TopError::Signals)?;
    let interval = Duration::from_secs_f64(args.interval);
    let repeats = std::io::stdout().is_terminal() && !args.once && !args.json;
    let mut master = Connection::to(master).await?;
    let (_, mut before) = look(&mut master).await?;
    let mut said = Vec::new();
    loop {
        tokio::select! {
            () = sleep(interval) => {}
            stop = stops.next() => return Ok(stop.code()),
        }
        let (state, now) = look(&mut master).await?;
        let rows = rows(&state, &before, &now);
        let text = match args.json {
            true => format!(
                "{:#}\n",
                rows.iter().map(json).collect::<serde_json::Value>()
            ),
            false => table(&rows).render(Paint::for_stdout()),
        };
        print(&match repeats {
            true => format!("{CLEAR}{}\n\n{text}", heading(&state, &rows)),
            false => text,
        });
        if now.silent != said || repeats {
            now.silent.iter().for_each(|why| note(why));
            said.clone_from(&now.silent);
        }
        if !repeats {
            return Ok(0);
        }
        before = now;
    }
}

/// Asks the master for the nodes, and them for their containers.
async fn look(master: &mut Connection) -> Result<(State, Look), ClientError> {
    let state = state::fetch(master).await?;
    let mut look = Look::default();
    let mut nodes = state.slaves.iter().filter(|node| node.active);
    let mut asked = JoinSet::new();
    loop {
        while asked.len() < ASKED_MAX
            && let Some(node) = nodes.next()
        {
            let (name, address) = (node.hostname.clone(), node.address());
            asked.spawn(async move {
                let usages = statistics::fetch(&mut Connection::new(address)).await;
                (name, usages)
            });
        }
        match asked.join_next().await {
            None => break,
            Some(Ok((_, Ok(containers)))) => {
                look.usages.extend(containers.into_iter().filter_map(|one| {
                    Some(((one.framework_id, one.executor_id), one.statistics?))
                }));
            }
            Some(Ok((name, Err(error)))) => look.silent.push(format!("{name}: {}", chain(&error))),
            Some(Err(error)) => look.silent.push(error.to_string()),
        }
    }
    look.silent.sort();
    Ok((state, look))
}

/// The containers of the tasks that run, the busiest first.
fn rows(state: &State, before: &Look, now: &Look) -> Vec<Row> {
    let mut tasks: BTreeMap<Key, (Vec<&str>, &str, &str)> = BTreeMap::new();
    for framework in &state.frameworks {
        for task in framework.tasks.iter().filter(|task| !task.is_terminal()) {
            let node = state.node(&task.slave_id);
            let node = node.map_or(task.slave_id.as_str(), |node| &node.hostname);
            let key = (framework.id.clone(), task.executor().to_owned());
            let entry = tasks.entry(key);
            let (ids, ..) = entry.or_insert((Vec::new(), node, &framework.name));
            ids.push(&task.id);
        }
    }
    let rows = tasks.into_iter().map(|(key, (ids, node, framework))| {
        let usage = now.usages.get(&key);
        let earlier = before.usages.get(&key);
        Row {
            task: ids.join(" "),
            node: node.to_owned(),
            framework: framework.to_owned(),
            cpus: usage.and_then(|usage| usage.cpus_since(earlier?)),
            cpus_limit: usage.and_then(|usage| usage.cpus_limit.or(usage.cpus_soft_limit)),
            mem_bytes: usage.and_then(|usage| usage.mem_rss_bytes.or(usage.mem_total_bytes)),
            mem_limit_bytes: usage
                .and_then(|usage| usage.mem_limit_bytes.or(usage.mem_soft_limit_bytes)),
            processes: usage.and_then(|usage| usage.processes),
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    let busy = |row: &Row| (row.cpus.unwrap_or(-1.0), row.mem_bytes.unwrap_or(-1.0));
    rows.sort_by(|a, b| {
        let order = busy(b).partial_cmp(&busy(a));
        order.unwrap_or(std::cmp::Ordering::Equal)
    });
    rows
}

fn heading(state: &State, rows: &[Row]) -> String {
    let used: f64 = rows.iter().filter_map(|row| row.cpus).sum();
    let memory: f64 = rows.iter().filter_map(|row| row.mem_bytes).sum();
    let total = |of: fn(&state::Amounts) -> f64| -> f64 {
        let nodes = state.slaves.iter().filter(|node| node.active);
        nodes.map(|node| of(&node.resources)).sum()
    };
    format!(
        "{} containers; {} of {} cpus, {} of {} in use; Ctrl-C ends this",
        rows.len(),
        cpus(used),
        amount(total(|all| all.cpus)),
        size(megabytes(memory)),
        size(total(|all| all.mem)),
    )
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "TASK",
        "NODE",
        "CPUS",
        "OF",
        "MEM",
        "OF",
        "MEM%",
        "PROCS",
        "FRAMEWORK",
    ]);
    let or_dash = |text: Option<String>| Cell::number(text.unwrap_or_else(|| "-".to_owned()));
    for row in rows {
        let full = row.mem_bytes.zip(row.mem_limit_bytes);
        let full = full
            .filter(|(_, limit)| *limit > 0.0)
            .map(|(used, limit)| used / limit * 100.0);
        let tone = match full {
            Some(full) if full >= 90.0 => Tone::Bad,
            Some(_) | None => Tone::Plain,
        };
        let bytes = |bytes: Option<f64>| or_dash(bytes.map(|bytes| size(megabytes(bytes))));
        table.row(vec![
            Cell::toned(&row.task, tone),
            Cell::text(&row.node),
            or_dash(row.cpus.map(cpus)),
            or_dash(row.cpus_limit.map(amount)),
            bytes(row.mem_bytes),
            bytes(row.mem_limit_bytes),
            or_dash(full.map(|full| format!("{full:.0}"))),
            or_dash(row.processes.map(amount)),
            Cell::text(&row.framework),
        ]);
    }
    table
}

fn json(row: &Row) -> serde_json::Value {
    json!({
        "task": row.task,
        "node": row.node,
        "framework": row.framework,
        "cpus": row.cpus,
        "cpus_limit": row.cpus_limit,
        "mem_bytes": row.mem_bytes,
        "mem_limit_bytes": row.mem_limit_bytes,
        "processes": row.processes,
    })
}

/// A hundredth of a processor is what one can see.
fn cpus(cpus: f64) -> String {
    format!("{cpus:.2}")
}

fn megabytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_come_first_and_tasks_of_one_executor_share_a_line() {
        let task = |id: &str, executor: &str| {
            format!(
                r#"{{"id":"{id}","executor_id":"{executor}","slave_id":"S0","state":"TASK_RUNNING"}}"#
            )
        };
        let state: State = serde_json::from_str(&format!(
            r#"{{"version":"1","id":"m","slaves":[{{"id":"S0","hostname":"node1"}}],
                "frameworks":[{{"id":"f","name":"n","tasks":[{},{},{}]}}]}}"#,
            task("idle", ""),
            task("a", "pod"),
            task("b", "pod"),
        ))
        .unwrap();
        let look = |seconds: f64| Look {
            usages: [("idle", 0.0), ("pod", 0.5)]
                .map(|(executor, rate)| {
                    let usage = Usage {
                        timestamp: seconds,
                        cpus_user_time_secs: Some(rate * seconds),
                        ..Usage::default()
                    };
                    (("f".to_owned(), executor.to_owned()), usage)
                })
                .into(),
            silent: Vec::new(),
        };
        let rows = rows(&state, &look(2.0), &look(4.0));
        let seen: Vec<_> = rows.iter().map(|row| (&*row.task, row.cpus)).collect();
        assert_eq!(seen, [("a b", Some(0.5)), ("idle", Some(0.0))]);
        let text = table(&rows).render(Paint::Plain);
        assert!(text.contains("a b   node1  0.50"), "{text}");
    }
}
