//! Requests of operators, as lines of a script.
//!
//!     schedule host/10.0.0.1+host/10.0.0.2@50 other@60    windows with their starts
//!     down host/10.0.0.1            up host/10.0.0.1
//!     registry [planned=host/10.0.0.1@50] [down=host/10.0.0.1] [deactivated=m-S0] [draining=m-S0]
//!     drain m-S0 [grace=3] [gone=]  deactivate m-S0  reactivate m-S0  gone m-S0

use master_core::draining::{DrainConfig, DrainInfo, DrainState};
use master_core::event::{ClusterEntry, OperatorCall, Text};
use master_core::maintenance::{Machine, Plan, Schedule, Unavailability, Window};
use model::AgentId;

use crate::words::Words;

/// The call that a line stands for, if it stands for one.
pub(crate) fn call(line: &str) -> Option<OperatorCall> {
    let mut words = Words::new(line);
    let verb = words.next();
    let plain: Vec<&str> = words.plain.iter().copied().collect();
    let machines = || plain.iter().map(|text| machine(text)).collect();
    let agent_id = || Text::from(plain.first().copied().unwrap_or_default());
    Some(match verb {
        "schedule" => OperatorCall::UpdateMaintenanceSchedule {
            schedule: Schedule {
                windows: plain.iter().map(|text| window(text)).collect(),
            },
        },
        "down" => OperatorCall::StartMaintenance {
            machines: machines(),
        },
        "up" => OperatorCall::StopMaintenance {
            machines: machines(),
        },
        "drain" => OperatorCall::DrainAgent {
            agent_id: agent_id(),
            config: DrainConfig {
                max_grace_ns: words
                    .text("grace")
                    .map(|text| text.parse().expect("number")),
                mark_gone: words.named.contains_key("gone"),
            },
        },
        "deactivate" => OperatorCall::DeactivateAgent {
            agent_id: agent_id(),
        },
        "reactivate" => OperatorCall::ReactivateAgent {
            agent_id: agent_id(),
        },
        "gone" => OperatorCall::MarkAgentGone {
            agent_id: agent_id(),
        },
        _ => return None,
    })
}

/// What the registry of a script has of earlier requests.
pub(crate) fn settings(words: &Words<'_>) -> Vec<ClusterEntry> {
    let agent = |id: &Text| AgentId::new(id).expect("id");
    let mut settings = Vec::new();
    for id in words.list("deactivated").iter().map(agent) {
        settings.push(ClusterEntry::Deactivated(id));
    }
    for id in words.list("draining").iter().map(agent) {
        let info = DrainInfo {
            state: DrainState::Draining,
            config: DrainConfig {
                max_grace_ns: None,
                mark_gone: false,
            },
        };
        settings.push(ClusterEntry::Deactivated(id.clone()));
        settings.push(ClusterEntry::Draining(id, info));
    }
    let windows: Vec<Window> = words
        .list("planned")
        .iter()
        .map(|text| window(text))
        .collect();
    if !windows.is_empty() {
        settings.push(ClusterEntry::Maintenance(Plan {
            schedule: Schedule { windows },
            down: words
                .list("down")
                .iter()
                .map(|text| machine(text))
                .collect(),
        }));
    }
    settings
}

fn window(text: &str) -> Window {
    let (machines, start) = text.split_once('@').expect("@");
    Window {
        machines: machines
            .split('+')
            .filter(|text| !text.is_empty())
            .map(machine)
            .collect(),
        unavailability: Unavailability {
            start_ns: start.parse().expect("number"),
            duration_ns: None,
        },
    }
}

fn machine(text: &str) -> Machine {
    let (hostname, ip) = text.split_once('/').unwrap_or((text, ""));
    let filled = |text: &str| (!text.is_empty()).then(|| Text::from(text));
    Machine {
        hostname: filled(hostname),
        ip: filled(ip),
    }
}
