//! The master itself, and the two documents that show everything.

use std::collections::{BTreeMap, BTreeSet};

use api::{flat, v1};
use master_core::authorization::Action;
use model::AgentId;
use serde_json::{Value, json};

use super::part::{Fields, Part};
use super::view::{Agent, Framework, Task, View};
use super::{agents, frameworks};
use crate::convert::events::seconds;
use crate::facts::{BUILD, CAPABILITIES, Facts, VERSION};
use crate::metrics::as_f64;

/// A build says nothing of its time, so that two builds give one binary.
const BUILD_DATE: &str = "1970-01-01 00:00:00";
const BUILD_TIME: f64 = 0.0;
const BUILD_USER: &str = "tepui";

/// `/version`.
pub(super) fn version() -> Value {
    json!({
        "build_date": BUILD_DATE,
        "build_time": BUILD_TIME,
        "build_user": BUILD_USER,
        "git_sha": "",
        "git_tag": format!("tepui-{BUILD}"),
        "version": VERSION,
    })
}

/// The same as a message.
pub(crate) fn version_info() -> v1::VersionInfo {
    v1::VersionInfo {
        version: VERSION.into(),
        build_date: Some(BUILD_DATE.into()),
        build_time: Some(BUILD_TIME),
        build_user: Some(BUILD_USER.into()),
        git_sha: Some(String::new()),
        git_branch: None,
        git_tag: Some(format!("tepui-{BUILD}")),
    }
}

/// `/state`.
pub(super) fn state<'a>(view: &'a View, facts: &Facts) -> Part<'a> {
    let mut fields = Fields::default();
    let mut put = |name: &str, value: Value| fields.put(name, value);
    put("version", json!(VERSION));
    put("git_sha", json!(""));
    put("git_tag", json!(format!("tepui-{BUILD}")));
    put("build_date", json!(BUILD_DATE));
    put("build_time", json!(BUILD_TIME));
    put("build_user", json!(BUILD_USER));
    put("start_time", json!(seconds(facts.started)));
    put("elected_time", json!(seconds(facts.standing.since())));
    put("id", json!(facts.master_id.as_str()));
    put("pid", json!(facts.pid));
    put("hostname", json!(facts.hostname));
    put("capabilities", json!(CAPABILITIES.map(|(name, _)| name)));
    let active = view.agents.iter().filter(|agent| agent.active).count();
    put("activated_slaves", count(active));
    put("deactivated_slaves", count(view.agents.len() - active));
    put("unreachable_slaves", count(view.unreachable));
    if let Some(cluster) = &facts.cluster {
        put("cluster", json!(cluster));
    }
    put("leader", json!(facts.pid));
    let mut leader = json!({
        "id": facts.master_id.as_str(),
        "pid": facts.pid,
        "port": facts.address.port(),
        "hostname": facts.hostname,
    });
    if let Some(domain) = &facts.master_info.domain {
        let domain = flat::message(domain);
        leader["domain"] = domain.clone();
        put("domain", domain);
    }
    put("leader_info", leader);
    if view.sight.may(Action::ViewFlags, None) {
        if let Some(log) = facts.flags.get("external_log_file") {
            put("external_log_file", json!(log));
        }
        put("flags", json!(facts.flags));
    }
    fields.put(
        "slaves",
        Part::list(view.agents.iter(), |agent: &Agent| {
            let text = |agent: &Agent| Value::Object(agents::short(agent)).to_string();
            Part::Text(agent.rendered(text))
        }),
    );
    fields.put(
        "recovered_slaves",
        Part::list(&view.recovered, |(id, info)| {
            agents::recovered_agent(id, info)
        }),
    );
    fields.put("frameworks", Part::list(&view.frameworks, frameworks::full));
    fields.put(
        "completed_frameworks",
        Part::list(&view.completed, frameworks::full),
    );
    fields.put("orphan_tasks", json!([]));
    fields.put("unregistered_frameworks", json!([]));
    fields.into()
}

/// `/state-summary`.
pub(super) fn summary<'a>(view: &'a View, facts: &Facts) -> Part<'a> {
    let mut fields = Fields::default();
    fields.put("hostname", json!(facts.hostname));
    if let Some(cluster) = &facts.cluster {
        fields.put("cluster", json!(cluster));
    }
    let mut by_agent: BTreeMap<&AgentId, Vec<&Task>> = BTreeMap::new();
    for task in view.frameworks.iter().flat_map(Framework::every_task) {
        by_agent.entry(&task.agent_id).or_default().push(task);
    }
    fields.put(
        "slaves",
        Part::list(view.agents.iter(), move |agent: &Agent| {
            agent_summary(agent, by_agent.get(&agent.id).map_or(&[], Vec::as_slice))
        }),
    );
    fields.put(
        "frameworks",
        Part::list(&view.frameworks, frameworks::summary),
    );
    fields.into()
}

fn agent_summary(agent: &Agent, tasks: &[&Task]) -> Value {
    let mut object = agents::short(agent);
    frameworks::count_into(&mut object, tasks.iter().copied());
    let frameworks: BTreeSet<&str> = tasks.iter().map(|t| t.framework_id.as_str()).collect();
    object.insert("framework_ids".into(), json!(frameworks));
    Value::Object(object)
}

fn count(count: usize) -> Value {
    json!(as_f64(count as u64))
}
