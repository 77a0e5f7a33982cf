//! Explain: what a task runs under, and how exposed it is.

use crate::args::ExplainArgs;
use crate::client::ClientError;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::report::{self, Denials, Report, Row};
use crate::client::state;
use crate::table::{Cell, Paint, Table, Tone, amount};
use crate::tasks::{FindError, find};
use crate::{plain, print};

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Find(#[from] FindError),
    #[error("{task} ran on {agent}, which is not registered any more")]
    Node { task: String, agent: String },
    #[error("{task} is in {state}, and its agent has nothing to tell: {why}")]
    None {
        task: String,
        state: String,
        why: String,
    },
}

/// Prints what a task runs under.
pub(crate) async fn explain(args: &ExplainArgs, master: &Master) -> Result<u8, ExplainError> {
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let (framework, task) = find(&state, &args.task)?;
    let Some(node) = state.node(&task.slave_id) else {
        return Err(ExplainError::Node {
            task: task.id.clone(),
            agent: task.slave_id.clone(),
        });
    };
    let mut agent = Connection::new(node.address());
    let told = report::fetch(&mut agent, &framework.id, &task.id).await?;
    let (document, report) = told.map_err(|why| ExplainError::None {
        task: task.id.clone(),
        state: task.state.clone(),
        why,
    })?;
    if args.json {
        print(&format!("{document:#}\n"));
    } else {
        let heading = format!("{} on {}", task.id, node.hostname);
        print(&text(&heading, &report, Paint::for_stdout()));
    }
    Ok(0)
}

fn text(heading: &str, report: &Report, paint: Paint) -> String {
    let mut table = Table::new(&["AREA", "STATE", "EXPOSURE", "WHAT", "WHY"]);
    for row in &report.rows {
        table.row(vec![
            Cell::text(&row.area),
            Cell::toned(row.state.to_lowercase(), tone(row)),
            Cell::number(exposure(row)),
            Cell::text(&row.what),
            Cell::text(&row.reason),
        ]);
    }
    let mut text = format!(
        "{}\n{}\nExposure {} of 10: {}\n",
        plain(heading),
        table.render(paint),
        amount(report.exposure),
        plain(&report.verdict)
    );
    if !report.pressure.is_empty() {
        let all = report.pressure.iter().map(|(name, pressure)| {
            let (avg10, avg60) = (pressure.some.avg10, pressure.some.avg60);
            format!("{} {} %, {} %", plain(name), amount(avg10), amount(avg60))
        });
        let all: Vec<_> = all.collect();
        text.push_str(&format!(
            "Waits (of the last 10 s, of the last minute): {}\n",
            all.join("; ")
        ));
    }
    let Denials {
        how,
        count,
        last,
        capabilities,
        capabilities_of_node,
        system_calls,
        system_calls_logged,
    } = &report.denials;
    text.push_str(&format!(
        "Refused by the kernel: {count} ({})\n",
        plain(how)
    ));
    for what in last {
        text.push_str(&format!("  {}\n", plain(what)));
    }
    for (lacked, whose) in [
        (capabilities, ""),
        (capabilities_of_node, " over what is the node's"),
    ] {
        for name in lacked {
            text.push_str(&format!(
                "  capability {} was lacking{whose}\n",
                plain(name)
            ));
        }
    }
    for (calls, what) in [
        (system_calls, ""),
        (system_calls_logged, ", allowed and logged"),
    ] {
        for call in calls {
            text.push_str(&format!("  system call {}{what}\n", plain(call)));
        }
    }
    text
}

fn tone(row: &Row) -> Tone {
    match (row.state.as_str(), row.exposure > 0.0) {
        ("ENFORCED", _) => Tone::Good,
        ("DEGRADED", _) => Tone::Bad,
        ("OPEN", true) => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// Of what it counts for; nothing where it only informs.
fn exposure(row: &Row) -> String {
    match row.weight {
        0 => String::new(),
        weight => format!("{} of {weight}", amount(row.exposure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::report::{Pressure, Waits};

    #[test]
    fn a_report_is_a_table_and_a_sum() {
        let row = |state: &str, weight, exposure| Row {
            area: "network".into(),
            what: "the node's\u{1b}".into(),
            state: state.into(),
            reason: "asked for".into(),
            weight,
            exposure,
        };
        let waits = Pressure {
            some: Waits {
                avg10: 12.5,
                avg60: 3.0,
            },
        };
        let report = Report {
            exposure: 0.9,
            verdict: "CLOSED".into(),
            rows: vec![row("OPEN", 8, 8.0), row("ENFORCED", 0, 0.0)],
            denials: Denials {
                how: "as far as it tells".into(),
                count: 17,
                last: vec!["mount".into()],
                capabilities: vec!["CHOWN".into()],
                capabilities_of_node: vec!["NET_BIND_SERVICE".into()],
                system_calls: vec!["bpf: errno 1".into()],
                system_calls_logged: vec!["read".into()],
            },
            pressure: [("cpu".to_string(), waits)].into(),
        };
        let text = text("t on n", &report, Paint::Plain);
        assert_eq!(
            text,
            "t on n\n\
             AREA     STATE     EXPOSURE  WHAT         WHY\n\
             network  open        8 of 8  the node's\u{fffd}  asked for\n\
             network  enforced            the node's\u{fffd}  asked for\n\
             \n\
             Exposure 0.9 of 10: CLOSED\n\
             Waits (of the last 10 s, of the last minute): cpu 12.5 %, 3 %\n\
             Refused by the kernel: 17 (as far as it tells)\n  mount\n  capability CHOWN was lacking\n  \
             capability NET_BIND_SERVICE was lacking over what is the node's\n  system call bpf: errno 1\n  \
             system call read, allowed and logged\n"
        );
    }
}
