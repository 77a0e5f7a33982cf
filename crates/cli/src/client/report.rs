//! Report: what an agent says that a container runs under (`GET /explain`). Mesos has no such thing.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::files::escape;
use super::http::{Ask, Connection};
use super::{AGENT, ClientError, unexpected};

/// The part of a report that is shown.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Report {
    /// From 0 to 10.
    pub(crate) exposure: f64,
    pub(crate) verdict: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) denials: Denials,
    /// By what its processes wait for; nothing where its node does not tell, or it has ended.
    #[serde(default)]
    pub(crate) pressure: BTreeMap<String, Pressure>,
}

/// How much its processes wait for something.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Pressure {
    /// Some of them.
    pub(crate) some: Waits,
}

/// In percent of the time.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Waits {
    /// Of the last 10 seconds.
    pub(crate) avg10: f64,
    /// Of the last minute.
    pub(crate) avg60: f64,
}

/// What was refused to it, as far as the kernel tells.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Denials {
    /// What is told on this node, and what is not.
    pub(crate) how: String,
    pub(crate) count: u64,
    /// The newest last.
    pub(crate) last: Vec<String>,
    /// Capabilities that it lacked.
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    /// The same over what is the node's, where none of its own would count.
    #[serde(default)]
    pub(crate) capabilities_of_node: Vec<String>,
    /// System calls that its filter stopped, each with the rule.
    #[serde(default)]
    pub(crate) system_calls: Vec<String>,
    /// System calls that its filter let pass, and had told.
    #[serde(default)]
    pub(crate) system_calls_logged: Vec<String>,
}

/// One thing that keeps a container in its bounds.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) area: String,
    pub(crate) what: String,
    pub(crate) state: String,
    pub(crate) reason: String,
    /// What it counts for; 0 where it only informs.
    pub(crate) weight: u32,
    /// What of the weight is open.
    pub(crate) exposure: f64,
}

/// Asks an agent about the container of a task: the whole document, and the part that is shown. Where
/// it has none, why.
pub(crate) async fn fetch(
    agent: &mut Connection,
    framework: &str,
    task: &str,
) -> Result<Result<(Value, Report), String>, ClientError> {
    let query = format!(
        "framework_id={}&task_id={}",
        escape(framework),
        escape(task)
    );
    let ask = Ask::get(&format!("/explain?{query}"));
    let answer = agent.fetch(&ask).await?;
    match answer.status {
        StatusCode::OK => {}
        // Others answer 404 to a path that they do not know, without a reason.
        StatusCode::NOT_FOUND if !answer.text().is_empty() => return Ok(Err(answer.text())),
        _ => return Err(unexpected(agent.address(), AGENT, &ask, &answer)),
    }
    let read = serde_json::from_slice(&answer.body).and_then(|document: Value| {
        let report = Report::deserialize(&document)?;
        Ok((document, report))
    });
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) => Err(ClientError::Other {
            address: agent.address().clone(),
            what: AGENT,
            why: format!("its answer to {} is no report ({error})", ask.act()),
        }),
    }
}
