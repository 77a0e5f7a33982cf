//! Nodes: the agents of a cluster, with what they have and what of it is in use.

use serde_json::json;

use crate::args::ListArgs;
use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::state::{self, Node, State};
use crate::table::{Cell, Paint, Table, Tone, age, amount, size};
use crate::{note, print};

/// Lists the nodes that the master knows.
pub(crate) async fn list(args: &ListArgs, master: &Master) -> Result<u8, ClientError> {
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    if args.json {
        print(&format!("{:#}\n", json(&state)));
        return Ok(0);
    }
    print(&table(&state, crate::tasks::now()).render(Paint::for_stdout()));
    if state.unreachable_slaves > 0.0 {
        note(&format!(
            "unreachable: {}",
            amount(state.unreachable_slaves)
        ));
    }
    Ok(0)
}

/// In which words a node's condition is told.
fn condition(state: &State, node: &Node) -> (&'static str, Tone) {
    let recovered = state.recovered_slaves.iter().any(|r| r.id == node.id);
    match (recovered, node.deactivated, node.active) {
        (true, _, _) => ("awaited", Tone::Warning),
        (false, true, _) => ("deactivated", Tone::Warning),
        (false, false, true) => ("active", Tone::Good),
        (false, false, false) => ("disconnected", Tone::Bad),
    }
}

fn nodes(state: &State) -> Vec<&Node> {
    let all = state.slaves.iter().chain(&state.recovered_slaves);
    let mut nodes: Vec<&Node> = all.collect();
    nodes.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
    nodes
}

fn running(state: &State, node: &Node) -> usize {
    let tasks = state.frameworks.iter().flat_map(|f| &f.tasks);
    tasks
        .filter(|task| task.slave_id == node.id && !task.is_terminal())
        .count()
}

fn table(state: &State, now: f64) -> Table {
    let nodes = nodes(state);
    let mut headings = vec![
        "NODE", "STATE", "ADDRESS", "CPUS", "MEM", "DISK", "TASKS", "AGE",
    ];
    // Where nobody was told of domains, there is nothing to tell.
    let has_domains = nodes.iter().any(|node| node.place().is_some());
    if has_domains {
        headings.extend(["REGION", "ZONE"]);
    }
    let mut table = Table::new(&headings);
    for node in nodes {
        let (used, all) = (&node.used_resources, &node.resources);
        let (words, tone) = condition(state, node);
        let mut row = vec![
            Cell::text(&node.hostname),
            Cell::toned(words, tone),
            Cell::text(node.address().to_string()),
            Cell::number(format!("{}/{}", amount(used.cpus), amount(all.cpus))),
            Cell::number(format!("{}/{}", size(used.mem), size(all.mem))),
            Cell::number(format!("{}/{}", size(used.disk), size(all.disk))),
            Cell::number(running(state, node).to_string()),
            Cell::number(age(now - node.registered_time)),
        ];
        if has_domains {
            row.extend(node.place().unwrap_or(["-", "-"]).map(Cell::text));
        }
        table.row(row);
    }
    table
}

fn json(state: &State) -> serde_json::Value {
    let node = |node: &Node| {
        json!({
            "id": node.id,
            "hostname": node.hostname,
            "address": node.address().to_string(),
            "state": condition(state, node).0,
            "resources": node.resources,
            "used_resources": node.used_resources,
            "offered_resources": node.offered_resources,
            "attributes": node.attributes,
            "domain": node.domain,
            "tasks": running(state, node),
            "registered_time": node.registered_time,
            "version": node.version,
        })
    };
    nodes(state).into_iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nodes: &str) -> String {
        let text = format!(r#"{{"version":"1","id":"m","frameworks":[],"slaves":[{nodes}]}}"#);
        let state: State = serde_json::from_str(&text).expect("a state");
        let text = table(&state, 0.0).render(Paint::Plain);
        let from = text.find("AGE").expect("a heading");
        let rows = text.lines().map(|row| row[from..].split_whitespace());
        let rows: Vec<String> = rows.map(|row| row.collect::<Vec<_>>().join(" ")).collect();
        rows.join("; ")
    }

    #[test]
    fn regions_and_zones_are_shown_where_a_node_has_them() {
        let far = r#"{"hostname":"a","domain":{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"z1"}}}}"#;
        let plain = r#"{"hostname":"b"}"#;
        assert_eq!(shown(plain), "AGE; 0s");
        assert_eq!(
            shown(&format!("{far},{plain}")),
            "AGE REGION ZONE; 0s eu z1; 0s - -"
        );
        // A domain of another kind, as a later Mesos may have.
        assert_eq!(shown(r#"{"hostname":"c","domain":{}}"#), "AGE; 0s");
    }
}
