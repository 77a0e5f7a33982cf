//! Upgrade: another build of the agent on a running node, signed with the operator's key.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use model::AgentId;
use model::upgrade::{Digest, SIGNATURE, STATEMENT, Statement};
use serde_json::Value;

use crate::args::UpgradeArgs;
use crate::client::ClientError;
use crate::client::http::{Ask, Connection, HttpError};
use crate::client::master::Master;
use crate::client::state::{self, Node, State};
use crate::key::{KeyError, PrivateKey};
use crate::{note, print};

/// How long the agent may take to receive and to check a program: its own bounds, and some time.
const CHECK_MAX: Duration = Duration::from_secs(360);
/// How long the new program may take until it stays: the longest that an agent can be told, and some time.
const SETTLE_MAX: Duration = Duration::from_secs(3660);
/// How often the agent is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Why a node's agent was not upgraded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("no node is called {0}: `tepui nodes` lists them")]
    NoNode(String),
    #[error("{number} nodes are called {name}: name one by its agent's id, as in {first}")]
    Nodes {
        name: String,
        number: usize,
        first: String,
    },
    #[error("{node} is not registered: its agent's id is {id:?}")]
    Id { node: String, id: String },
    #[error(
        "{node} goes on with the program that it had, since it refused the other one ({status}): {why}"
    )]
    Refused {
        node: String,
        status: StatusCode,
        why: String,
    },
    #[error("{node} runs the program again that it had, since the other one failed: {why}")]
    Undone { node: String, why: String },
    #[error("{node} did not say within {} s what became of the program", SETTLE_MAX.as_secs())]
    Silent { node: String },
}

/// Upgrades the agent of one node.
pub(crate) async fn upgrade(args: &UpgradeArgs, master: &Master) -> Result<u8, UpgradeError> {
    let key = PrivateKey::read(&args.key)?;
    let program = read(&args.program)?;
    let digest = Digest(ring_digest(&program));
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let node = find(&state, &args.node)?;
    let mut ask = ask(&key, node, program, digest)?;
    if args.force {
        ask.path.push_str("?force=true");
    }
    let mut agent = Connection::new(node.address());
    let response = agent.send_within(&ask, CHECK_MAX).await?;
    let (head, body) = response.into_parts();
    let answer = crate::client::http::Answer::of(&head, body, Duration::from_secs(15)).await;
    if answer.status != StatusCode::ACCEPTED {
        return Err(UpgradeError::Refused {
            node: node.hostname.clone(),
            status: answer.status,
            why: answer.text(),
        });
    }
    let told = serde_json::from_slice(&answer.body).unwrap_or_default();
    for line in endings(&told) {
        note(&format!("{}: {line}", node.hostname));
    }
    let took = settled(node, &digest.to_string()).await?;
    print(&format!(
        "{} runs {digest}, {:.2} s after it was checked\n",
        node.hostname,
        took.as_secs_f64()
    ));
    note(&format!(
        "this lasts until {} starts again: then the program of its image runs",
        node.hostname
    ));
    Ok(0)
}

/// What ends with the program that an agent had, by its answer.
fn endings(told: &Value) -> Vec<String> {
    let number = |name: &str| told[name].as_u64().filter(|number| *number > 0);
    let sessions = number("sessions").map(|number| match number {
        1 => "one command of `tepui exec` ends".to_owned(),
        _ => format!("{number} commands of `tepui exec` end"),
    });
    let terminals = number("terminals").map(|number| match number {
        1 => "one container loses its terminal, and gets SIGHUP".to_owned(),
        _ => format!("{number} containers lose their terminals, and get SIGHUP"),
    });
    sessions.into_iter().chain(terminals).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, UpgradeError> {
    std::fs::read(path).map_err(|source| UpgradeError::Read {
        path: path.to_path_buf(),
        source,
    })
}

fn ring_digest(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut sum = [0; 32];
    sum.copy_from_slice(digest.as_ref());
    sum
}

/// The node of a name or an agent's id.
fn find<'a>(state: &'a State, name: &str) -> Result<&'a Node, UpgradeError> {
    let named = |node: &&Node| node.id == name || node.hostname == name;
    let found: Vec<&Node> = state.slaves.iter().filter(named).collect();
    match found.as_slice() {
        [] => Err(UpgradeError::NoNode(name.to_owned())),
        [node] => Ok(node),
        [first, ..] => Err(UpgradeError::Nodes {
            name: name.to_owned(),
            number: found.len(),
            first: first.id.clone(),
        }),
    }
}

fn ask(
    key: &PrivateKey,
    node: &Node,
    program: Vec<u8>,
    digest: Digest,
) -> Result<Ask, UpgradeError> {
    let id = || UpgradeError::Id {
        node: node.hostname.clone(),
        id: node.id.clone(),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    let statement = Statement {
        digest,
        bytes: program.len() as u64,
        at_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        agent: AgentId::new(&node.id).map_err(|_| id())?,
    };
    let statement = statement.to_string();
    let mut headers = HeaderMap::new();
    for (name, text) in [
        (STATEMENT, statement.clone()),
        (SIGNATURE, key.sign(&statement)),
    ] {
        let value = HeaderValue::from_str(&text).map_err(|_| id())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(Ask {
        method: Method::POST,
        path: "/upgrade".to_owned(),
        headers,
        body: Bytes::from(program),
    })
}

/// Waits until a node's agent says that a program stays; how long that took.
async fn settled(node: &Node, digest: &str) -> Result<Duration, UpgradeError> {
    let begun = Instant::now();
    while begun.elapsed() < SETTLE_MAX {
        // A connection of its own each time: the one before may have ended with the program.
        let mut agent = Connection::new(node.address());
        if let Ok(answer) = agent.fetch(&Ask::get("/state")).await
            && let Ok(state) = serde_json::from_slice::<Value>(&answer.body)
            && let Some(outcome) = outcome(&state["tepui_upgrade"], digest)
        {
            return match outcome {
                Ok(()) => Ok(begun.elapsed()),
                Err(why) => Err(UpgradeError::Undone {
                    node: node.hostname.clone(),
                    why,
                }),
            };
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Err(UpgradeError::Silent {
        node: node.hostname.clone(),
    })
}

/// What became of a program, by `tepui_upgrade` of an agent's state; none while nobody can tell.
fn outcome(told: &Value, digest: &str) -> Option<Result<(), String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if told["sha256"] == digest {
        return (told["on_trial"] == false).then_some(Ok(()));
    }
    let undone = text(&told["undone"]).filter(|_| told["refused"]["sha256"] == digest);
    let refused =
        || text(&told["last_refusal"]["why"]).filter(|_| told["last_refusal"]["sha256"] == digest);
    undone.or_else(refused).map(Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_became_of_a_program_is_read_from_the_state_of_its_agent() {
        for (told, wanted) in [
            (Value::Null, None),
            (json!({ "sha256": "a", "on_trial": true }), None),
            (json!({ "sha256": "a", "on_trial": false }), Some(Ok(()))),
            (json!({ "sha256": "b", "on_trial": false }), None),
            (
                json!({ "sha256": "b", "refused": { "sha256": "a" }, "undone": "a panic" }),
                Some(Err("a panic".to_owned())),
            ),
            (
                json!({ "sha256": "b", "refused": { "sha256": "c" }, "undone": "a panic" }),
                None,
            ),
            (
                json!({ "last_refusal": { "sha256": "a", "why": "launches" } }),
                Some(Err("launches".to_owned())),
            ),
            (json!({ "last_refusal": { "why": "no keys" } }), None),
        ] {
            assert_eq!(outcome(&told, "a"), wanted, "{told}");
        }
    }

    #[test]
    fn what_ends_with_a_program_is_told_by_its_number() {
        assert!(endings(&json!({})).is_empty());
        assert!(endings(&json!({ "sessions": 0, "terminals": 0 })).is_empty());
        assert_eq!(
            endings(&json!({ "sessions": 1, "terminals": 2 })),
            [
                "one command of `tepui exec` ends",
                "2 containers lose their terminals, and get SIGHUP"
            ]
        );
    }

    #[test]
    fn a_node_has_one_name_or_is_named_by_its_id() {
        let node = |id: &str, hostname: &str| json!({ "id": id, "hostname": hostname });
        let state = json!({
            "version": "1", "id": "m", "frameworks": [],
            "slaves": [node("S0", "a"), node("S1", "b"), node("S2", "b")],
        });
        let state: State = serde_json::from_value(state).expect("a state");
        let found = |name: &str| {
            let found = find(&state, name).map(|node| node.id.clone());
            found.map_err(|error| error.to_string())
        };
        assert_eq!(found("a").as_deref(), Ok("S0"));
        assert_eq!(found("S2").as_deref(), Ok("S2"));
        assert!(
            found("b")
                .expect_err("two")
                .contains("2 nodes are called b")
        );
        assert!(
            found("c")
                .expect_err("none")
                .contains("no node is called c")
        );
    }
}
