//! `POST /maintenance/schedule`, `/machine/down` and `/machine/up`: JSON in place of a form.
//!
//! Faults of the JSON read as those of the v1 API, without the words there about a call.

use api::json::JsonError;
use api::v1::MachineId;
use api::v1::maintenance::Schedule;
use api::v1::master::call::StartMaintenance;
use master_core::event::OperatorCall;
use master_core::maintenance::Machine;

use crate::convert::maintenance as convert;
use crate::http::respond::Refusal;

/// A new schedule.
pub(super) fn schedule(body: &[u8]) -> Result<OperatorCall, Refusal> {
    let schedule: Schedule = api::json::from_json(body).map_err(refusal)?;
    Ok(OperatorCall::UpdateMaintenanceSchedule {
        schedule: convert::schedule(schedule),
    })
}

/// Machines that go down.
pub(super) fn down(body: &[u8]) -> Result<OperatorCall, Refusal> {
    let machines = machines(body)?;
    Ok(OperatorCall::StartMaintenance { machines })
}

/// Machines that come up.
pub(super) fn up(body: &[u8]) -> Result<OperatorCall, Refusal> {
    let machines = machines(body)?;
    Ok(OperatorCall::StopMaintenance { machines })
}

fn machines(body: &[u8]) -> Result<Vec<Machine>, Refusal> {
    // Any message will do to find out whether this is JSON at all.
    match api::json::from_json::<StartMaintenance>(body) {
        Err(fault @ (JsonError::Syntax { .. } | JsonError::Trailing(_))) => {
            return Err(refusal(fault));
        }
        Ok(_) | Err(JsonError::Value { .. } | JsonError::Missing { .. }) => {}
    }
    let Ok(serde_json::Value::Array(machines)) = serde_json::from_slice(body) else {
        return Err(Refusal::bad_request("Unexpected JSON type parsed"));
    };
    let machines = machines.into_iter().map(|machine| {
        let text = machine.to_string();
        let id: MachineId = api::json::from_json(text.as_bytes()).map_err(refusal)?;
        Ok(convert::machine(id))
    });
    machines.collect()
}

fn refusal(fault: JsonError) -> Refusal {
    Refusal::bad_request(match fault {
        JsonError::Syntax { line, near } => format!("syntax error at line {line} near: {near}"),
        JsonError::Trailing(rest) => {
            format!("Parsed JSON included non-whitespace trailing characters: {rest}")
        }
        JsonError::Value { problem, .. } => problem,
        JsonError::Missing { fields, .. } => {
            format!("Missing required fields: {}", fields.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_machines_is_a_json_array_of_machine_ids() {
        let Ok(OperatorCall::StartMaintenance { machines }) =
            down(br#"[{"hostname":"m1","ip":"10.0.0.1"},{"hostname":"m2"}]"#)
        else {
            panic!("no call");
        };
        let names: Vec<String> = machines.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["m1 (10.0.0.1)", "m2"]);
    }

    #[test]
    fn what_is_no_list_of_machines_is_refused() {
        for body in [
            "",
            "[",
            r#"{"hostname":"m1"}"#,
            "[1]",
            r#"[{"hostname":[]}]"#,
        ] {
            assert!(up(body.as_bytes()).is_err(), "{body}");
        }
    }
}
