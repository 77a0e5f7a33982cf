//! The watcher: hears from the master that tasks came or went, and tells QEMU what to forward.
//!
//! Events are only the reason to look; what holds is the master's state, read anew. So an event that
//! was missed, while the master was away, is made good by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{MasterState, Ports, change, has_ended};
use crate::http;
use crate::qmp::{Monitor, QmpError};
use crate::state::{NodeState, State};

/// News that wait while QEMU is spoken to; the listener waits at that.
const NEWS_MAX: usize = 1024;

/// The time to another try, of the master and of what did not work.
const AGAIN: Duration = Duration::from_secs(1);

/// The time to look when nothing is heard.
const IDLE: Duration = Duration::from_secs(600);

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// Something may hold ports that did not.
    More,
    /// Something has ended, which matters where anything is forwarded.
    Less,
}

/// An event of the master's stream, as far as it tells whether to look.
#[derive(Deserialize)]
struct Event {
    r#type: String,
    task_added: Option<TaskAdded>,
    task_updated: Option<TaskUpdated>,
}

#[derive(Deserialize)]
struct TaskAdded {
    task: Task,
}

#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    resources: Vec<Resource>,
    executor_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

#[derive(Deserialize)]
struct TaskUpdated {
    state: String,
}

impl Event {
    fn news(&self) -> Option<News> {
        match self.r#type.as_str() {
            "HEARTBEAT" => None,
            "TASK_ADDED" => {
                let task = self.task_added.as_ref().map(|added| &added.task)?;
                let holds = task.resources.iter().any(|one| one.name == "ports");
                // An executor may hold ports for its tasks.
                (holds || task.executor_id.is_some()).then_some(News::More)
            }
            "TASK_UPDATED" => {
                let updated = self.task_updated.as_ref()?;
                has_ended(&updated.state).then_some(News::Less)
            }
            "AGENT_REMOVED" | "FRAMEWORK_REMOVED" => Some(News::Less),
            _ => Some(News::More),
        }
    }
}

/// Forwards the ports of the cluster in `folder` until there is none any more.
///
/// # Errors
/// The cluster's state cannot be read.
pub fn serve(folder: &Path) -> io::Result<()> {
    let (news, heard) = sync_channel(NEWS_MAX);
    let listened = folder.to_owned();
    std::thread::spawn(move || listen(&listened, &news));
    let mut forwarder = Forwarder::new(folder);
    let mut wait = Duration::ZERO;
    loop {
        let first = match heard.recv_timeout(wait) {
            Ok(news) => news,
            Err(RecvTimeoutError::Timeout) => News::More,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        // What came together is looked at once.
        let more = heard
            .try_iter()
            .fold(first == News::More, |more, news| more || news == News::More);
        let Some(state) = State::load(folder).map_err(io::Error::other)? else {
            return Ok(());
        };
        if !more && forwarder.forwarded.values().all(BTreeSet::is_empty) {
            continue;
        }
        wait = match master_state(&state.master) {
            Ok(seen) if forwarder.forward(&state.nodes, &seen.held()) => IDLE,
            Ok(_) => AGAIN,
            Err(error) => {
                forwarder.say("master", format!("read the master's state: {error}"));
                AGAIN
            }
        };
    }
}

fn master_state(address: &str) -> io::Result<MasterState> {
    let (status, body) = http::get(address, "/master/state")?;
    if status != 200 {
        return Err(io::Error::other(format!("it answers {status}")));
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Hears events, again and again, until nobody wants to know or the cluster is no more.
fn listen(folder: &Path, news: &SyncSender<News>) {
    let mut said = String::new();
    while let Ok(Some(state)) = State::load(folder) {
        let end = match events(&state.master, news) {
            Ok(()) => "the master ended the stream of events".to_owned(),
            Err(error) => format!("hear the master's events: {error}"),
        };
        if end != said {
            println!("{end}");
            said = end;
        }
        std::thread::sleep(AGAIN);
    }
}

/// Hears events until the stream ends.
fn events(address: &str, news: &SyncSender<News>) -> io::Result<()> {
    let mut records = http::subscribe(address)?;
    while let Some(record) = records.next_record()? {
        let event: Event = serde_json::from_slice(&record)?;
        if let Some(heard) = event.news()
            && news.send(heard).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Tells QEMU what to forward, and knows what it forwards.
#[derive(Debug)]
pub struct Forwarder {
    folder: PathBuf,
    forwarded: Ports,
    /// What was said last of each part, so that it is not said twice.
    said: BTreeMap<String, String>,
}

impl Forwarder {
    /// Nothing is forwarded yet.
    #[must_use]
    pub fn new(folder: &Path) -> Forwarder {
        Forwarder {
            folder: folder.to_owned(),
            forwarded: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    /// Forwards `held` on those of `nodes` that are in it; false where something is to be tried
    /// again.
    pub fn forward(&mut self, nodes: &[NodeState], held: &Ports) -> bool {
        let mut is_done = true;
        for node in nodes {
            let Some(held) = held.get(&node.name) else {
                continue;
            };
            match self.forward_node(node, held) {
                Ok(()) => {}
                Err(error) => {
                    is_done = false;
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    self.say(&node.name, format!("{error}{cause}"));
                }
            }
        }
        is_done
    }

    /// The first port that does not work is the error; the others are forwarded nevertheless.
    fn forward_node(&mut self, node: &NodeState, held: &BTreeSet<u16>) -> Result<(), QmpError> {
        let forwarded = self.forwarded.entry(node.name.clone()).or_default();
        let change = change(forwarded, held);
        if change.begin.is_empty() && change.end.is_empty() {
            return Ok(());
        }
        let Ok(address) = node.address.parse::<SocketAddr>() else {
            return Ok(());
        };
        // Closed again at once: QEMU listens to one at a time.
        let mut monitor = Monitor::open(&self.folder, &format!("{}.monitor", node.name))?;
        let at = |port| SocketAddr::new(address.ip(), port).to_string();
        for port in change.end {
            // One that QEMU does not know any more is no forwarding either.
            let (Ok(()) | Err(_)) = monitor.unforward(&at(port));
            forwarded.remove(&port);
            println!("{}: {} is not forwarded any more", node.name, at(port));
        }
        let mut failed = None;
        for port in change.begin {
            match monitor.forward(&at(port), port) {
                Ok(()) => {
                    forwarded.insert(port);
                    println!("{}: {} is forwarded", node.name, at(port));
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if change.past_bound > 0 {
            let past = change.past_bound;
            self.say(
                &node.name,
                format!("{past} ports are too many, and not forwarded"),
            );
        }
        failed.map_or(Ok(()), Err)
    }

    fn say(&mut self, part: &str, line: String) {
        if self.said.get(part) != Some(&line) {
            println!("{part}: {line}");
            self.said.insert(part.to_owned(), line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::{Receiver, channel};

    use serde_json::{Value, json};

    use super::*;

    /// A monitor in `folder` that does as told, but for port 99; what it is told.
    fn monitor(folder: &Path) -> Receiver<String> {
        let listener = UnixListener::bind(folder.join("node1.monitor")).unwrap();
        let (told, hears) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                stream.get_mut().write_all(b"{\"QMP\":{}}\n").unwrap();
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap() > 0 {
                    let command: Value = serde_json::from_str(&line).unwrap();
                    line.clear();
                    let words = command["arguments"]["command-line"].as_str();
                    let answer = match words {
                        Some(words) if words.ends_with(":99") => "could not set up\r\n",
                        Some(_) | None => "",
                    };
                    if let Some(words) = words
                        && told.send(words.to_owned()).is_err()
                    {
                        return;
                    }
                    let answer = json!({"return": answer}).to_string() + "\n";
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        hears
    }

    fn held(ports: impl IntoIterator<Item = u16>) -> Ports {
        Ports::from([("node1".to_owned(), ports.into_iter().collect())])
    }

    #[test]
    fn qemu_is_told_of_what_changes_and_again_of_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let told = monitor(folder.path());
        let nodes = [NodeState {
            name: "node1".to_owned(),
            address: "127.0.1.1:5051".to_owned(),
            pid: 1,
            mark: String::new(),
            arguments: Vec::new(),
        }];
        let mut forwarder = Forwarder::new(folder.path());
        let mut check = |ports: &Ports, is_done: bool, expected: &[&str]| {
            assert_eq!(forwarder.forward(&nodes, ports), is_done);
            assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
        };
        check(
            &held([80, 99]),
            false,
            &[
                "hostfwd_add net tcp:127.0.1.1:80-:80",
                "hostfwd_add net tcp:127.0.1.1:99-:99",
            ],
        );
        check(
            &held([80, 99]),
            false,
            &["hostfwd_add net tcp:127.0.1.1:99-:99"],
        );
        check(&held([80]), true, &[]);
        // A node that is not listed keeps what it has.
        check(&Ports::new(), true, &[]);
        check(&held([]), true, &["hostfwd_remove net tcp:127.0.1.1:80"]);
    }

    #[test]
    fn only_events_that_may_change_something_are_a_reason_to_look() {
        let check = |event: Value, expected: Option<News>| {
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(event.news(), expected);
        };
        let added = |task: Value| json!({"type": "TASK_ADDED", "task_added": {"task": task}});
        check(json!({"type": "HEARTBEAT"}), None);
        check(
            json!({"type": "SUBSCRIBED", "subscribed": {"get_state": {}}}),
            Some(News::More),
        );
        check(added(json!({"resources": [{"name": "cpus"}]})), None);
        check(
            added(json!({"resources": [{"name": "cpus"}, {"name": "ports"}]})),
            Some(News::More),
        );
        check(
            added(json!({"resources": [], "executor_id": {"value": "e"}})),
            Some(News::More),
        );
        let updated =
            |state: &str| json!({"type": "TASK_UPDATED", "task_updated": {"state": state}});
        check(updated("TASK_RUNNING"), None);
        check(updated("TASK_FAILED"), Some(News::Less));
        check(json!({"type": "AGENT_REMOVED"}), Some(News::Less));
    }
}
