//! `/help`: what can be asked for, for people.
//!
//! A browser gets a page, curl and HTTPie get the text it is made of, and `?format=json` gives
//! everything to a program.

use http::HeaderMap;
use http::header::USER_AGENT;
use serde_json::{Value, json};

use super::Refusal;
use crate::http::query::Query;
use crate::http::{Response, respond, router};

/// A part's endpoints: the name of each, and what it does.
type Endpoints = &'static [(&'static str, &'static str)];

/// Everything that has a page.
const HELP: &[(&str, Endpoints)] = &[
    (
        "files",
        &[
            ("browse", "Lists a virtual folder: `path`."),
            ("debug", "Lists the virtual files, each with the real one."),
            ("download", "Gives a whole file: `path`."),
            (
                "read",
                "Gives a part of a file: `path`, `offset`, `length`; its size where the offset is -1.",
            ),
        ],
    ),
    (
        "logging",
        &[(
            "toggle",
            "Tells how much is logged, or sets it for a while: `level`, `duration`.",
        )],
    ),
    (
        "master",
        &[
            (
                "api/v1",
                "The operator API: every call of `mesos.v1.master.Call`, as JSON or protobuf.",
            ),
            (
                "api/v1/scheduler",
                "The scheduler API: every call of `mesos.v1.scheduler.Call`, as JSON or protobuf.",
            ),
            (
                "create-volumes",
                "Makes persistent volumes on an agent: a form with `slaveId` and `volumes`.",
            ),
            (
                "destroy-volumes",
                "Destroys persistent volumes on an agent: a form with `slaveId` and `volumes`.",
            ),
            ("flags", "The settings that are in force."),
            (
                "frameworks",
                "Frameworks with their tasks: all, or the one with `framework_id`.",
            ),
            ("health", "Answers 200 as long as the master serves."),
            (
                "machine/down",
                "Takes machines of the schedule out of use: a list of machines as JSON.",
            ),
            (
                "machine/up",
                "Takes machines into use again: a list of machines as JSON.",
            ),
            (
                "maintenance/schedule",
                "Tells the schedule of maintenance, or sets a new one.",
            ),
            (
                "maintenance/status",
                "Machines in maintenance, and what frameworks answered to it.",
            ),
            ("quota", "Tells, sets or removes the quota of a role."),
            ("redirect", "Leads to the leading master."),
            (
                "reserve",
                "Reserves resources on an agent: a form with `slaveId` and `resources`.",
            ),
            ("roles", "Roles with their weights, quotas and resources."),
            ("slaves", "Agents: all, or the one with `slave_id`."),
            ("state", "Everything: agents, frameworks, tasks."),
            (
                "state-summary",
                "Agents and frameworks with counts in place of tasks.",
            ),
            (
                "tasks",
                "Tasks: `framework_id`, `task_id`, `order` (asc or des), `limit`, `offset`.",
            ),
            (
                "teardown",
                "Ends a framework and its tasks: a form with `frameworkId`.",
            ),
            (
                "unreserve",
                "Takes reservations on an agent back: a form with `slaveId` and `resources`.",
            ),
            ("weights", "Tells the weights of roles, or sets them."),
        ],
    ),
    (
        "metrics",
        &[
            ("", "Counters and gauges in the form of Prometheus."),
            ("snapshot", "Counters and gauges as one flat JSON object."),
        ],
    ),
    (
        "profiler",
        &[
            ("start", "There is no profiler in this program."),
            ("stop", "There is no profiler in this program."),
        ],
    ),
    (
        "registrar(1)",
        &[("registry", "What outlives this master, as JSON.")],
    ),
    (
        "system",
        &[("stats.json", "Processors, load and memory of the machine.")],
    ),
    ("version", &[("", "The version of the interfaces.")]),
];

/// Whether there is a page about this part.
pub(crate) fn is_known(part: &str) -> bool {
    endpoints(part).is_some()
}

/// The page at a path: of everything, of a part, or of one endpoint.
pub(super) fn page(
    path: &str,
    query: &Query<'_>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    let mut tokens = path.splitn(3, '/').skip(1);
    let text = match (tokens.next(), tokens.next()) {
        (None, _) if query.get("format").as_deref() == Some("json") => {
            return Ok(router::json(all().to_string(), query));
        }
        (None, _) => index("HELP", HELP.iter().map(|(part, _)| (*part).to_owned())),
        (Some(part), None) => {
            let names = endpoints(part).ok_or_else(|| unknown(&[part]))?;
            let title = format!("`/{part}`");
            index(&title, names.iter().map(|(name, _)| place(part, name)))
        }
        (Some(part), Some(name)) => {
            let names = endpoints(part).ok_or_else(|| unknown(&[part]))?;
            let found = names.iter().find(|(known, _)| *known == name);
            let (name, what) = found.ok_or_else(|| unknown(&[part, name]))?;
            usage(part, name, what)
        }
    };
    let agent = headers.get(USER_AGENT).map(|agent| agent.as_bytes());
    if agent.is_some_and(|agent| agent.starts_with(b"curl") || agent.starts_with(b"HTTPie")) {
        return Ok(respond::page("text/x-markdown", text));
    }
    Ok(respond::page("text/html", html(&text)))
}

fn endpoints(part: &str) -> Option<Endpoints> {
    let found = HELP.iter().find(|(name, _)| *name == part);
    found.map(|(_, endpoints)| *endpoints)
}

fn unknown(path: &[&str]) -> Refusal {
    Refusal::bad_request(format!("No help available for '/{}'.\n", path.join("/")))
}

/// `part/name`, or the part alone.
fn place(part: &str, name: &str) -> String {
    match name {
        "" => part.to_owned(),
        name => format!("{part}/{name}"),
    }
}

/// A title, and a link to the page of each place.
fn index(title: &str, places: impl Iterator<Item = String>) -> String {
    let mut text = format!("## {title}\n");
    for place in places {
        text.push_str(&format!("> [/{place}](/help/{place})\n"));
    }
    text
}

fn usage(part: &str, name: &str, what: &str) -> String {
    let mut text = "### USAGE ###\n".to_owned();
    if part == "master" {
        text.push_str(&format!(">        /{name}\n"));
    }
    let place = place(part, name);
    text.push_str(&format!(">        /{place}\n\n### TL;DR; ###\n{what}\n"));
    text
}

/// Every text, by part and name.
fn all() -> Value {
    let one = |part: &str, (name, what): &(&str, &str)| json!({ "name": format!("/{name}"), "text": usage(part, name, what) });
    let parts = HELP.iter().map(|(part, names)| {
        let names: Value = names.iter().map(|name| one(part, name)).collect();
        json!({ "id": part, "endpoints": names })
    });
    json!({ "processes": parts.collect::<Value>() })
}

/// The text as a page: titles, links, and all else line by line. The texts are this program's own.
fn html(text: &str) -> String {
    let mut body = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches(['>', ' ']);
        let link = line.strip_prefix('[').and_then(|l| l.split_once("]("));
        let element = match (line.trim_matches(['#', ' ']), link) {
            (_, Some((name, target))) => {
                let target = target.trim_end_matches(')');
                // The pages of `registrar(1)` have a bracket of their own.
                let target = match name.ends_with(')') {
                    true => format!("{target})"),
                    false => target.to_owned(),
                };
                format!("<li><a href=\"{target}\">{name}</a></li>\n")
            }
            (title, None) if line.starts_with('#') => format!("<h3>{title}</h3>\n"),
            (line, None) if line.starts_with('/') => format!("<pre>{line}</pre>\n"),
            ("", None) => continue,
            (line, None) => format!("<p>{line}</p>\n"),
        };
        body.push_str(&element);
    }
    format!(
        "<!DOCTYPE html>\n<html><head><title>Help</title></head>\n<body>\n{body}</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lead_to_every_endpoint_and_unknown_ones_are_named() {
        let curl = {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, http::HeaderValue::from_static("curl/8"));
            headers
        };
        let status = |path: &str| match page(path, &Query(""), &curl) {
            Ok(response) => response.status(),
            Err(refusal) => refusal.status(),
        };
        assert_eq!(status("/help"), 200);
        for (part, names) in HELP {
            assert_eq!(status(&format!("/help/{part}")), 200);
            for (name, _) in names.iter().filter(|(name, _)| !name.is_empty()) {
                assert_eq!(
                    status(&format!("/help/{part}/{name}")),
                    200,
                    "{part}/{name}"
                );
            }
        }
        assert_eq!(status("/help/master/nope"), 400);
        let text = html(&index("`/x`", ["master/state".to_owned()].into_iter()));
        assert!(text.contains("<a href=\"/help/master/state\">/master/state</a>"));
    }
}
