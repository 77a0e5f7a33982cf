//! Requests of operators, as lines of a script.
//!
//!     schedule host/10.0.0.1+host/10.0.0.2@50 other@60    windows with their starts
//!     down host/10.0.0.1            up host/10.0.0.1
//!     drain m-S0 [grace=3] [gone=]  deactivate m-S0  reactivate m-S0  gone m-S0

use master_core::draining::DrainConfig;
use master_core::event::{OperatorCall, Text};
use master_core::maintenance::{Machine, Schedule, Unavailability, Window};

use crate::world::Words;

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
