//! `POST /maintenance/schedule`, `/machine/down` and `/machine/up`: JSON in place of a form.
//!
//! Faults of the JSON read as those of the v1 API, without the words there about a call.

use api::json::JsonError;
use api::v1::MachineId;
use api::v1::maintenance::Schedule;
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
    let ids: Vec<MachineId> =
        api::json::from_json_list(body).map_err(|fault| Refusal::bad_request(fault.to_string()))?;
    Ok(ids.into_iter().map(convert::machine).collect())
}

fn refusal(fault: JsonError) -> Refusal {
    Refusal::bad_request(match fault {
        JsonError::Syntax { line, near } => format!("syntax error at line {line} near: {near}"),
        JsonError::Trailing(rest) => {
            format!("Parsed JSON included non-whitespace trailing characters: {rest}")
        }
        JsonError::Value { path, .. } if path.is_empty() => {
            "Unexpected JSON type parsed".to_owned()
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
    fn what_is_no_list_of_machines_and_no_schedule_is_refused_in_the_words_of_mesos() {
        for (outcome, fault) in [
            (up(b""), "syntax error at line 1 near: "),
            (up(b"["), "syntax error at line 1 near: "),
            (down(br#"{"hostname":"m1"}"#), "Unexpected JSON type parsed"),
            (down(b"[1]"), "Expecting a JSON object"),
            (
                up(br#"[{"hostname":[]}]"#),
                "Not expecting a JSON array for field 'hostname'",
            ),
            (schedule(b"[]"), "Unexpected JSON type parsed"),
            (
                schedule(br#"{"windows":[1]}"#),
                "Not expecting a JSON number for field 'windows'",
            ),
            (
                schedule(br#"{"windows":[{}]}"#),
                "Missing required fields: windows[0].unavailability",
            ),
        ] {
            assert_eq!(outcome.unwrap_err(), Refusal::bad_request(fault));
        }
    }
}
