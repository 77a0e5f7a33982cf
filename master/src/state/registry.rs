//! `/registrar(1)/registry`: what outlives this master, under the names of Mesos' registry.

use api::flat::{self, resources};
use api::v1;
use master_core::draining::Drain;
use master_core::maintenance::Plan;
use model::{AgentId, Blob, Resources};
use serde_json::{Value, json};

use super::part::{Fields, Part};
use super::view::View;
use crate::convert::maintenance::{
    wire_drain_info, wire_machine, wire_schedule, wire_unavailability,
};
use crate::convert::message;
use crate::facts::Facts;

/// The document.
pub(super) fn document<'a>(view: &'a View, facts: &Facts) -> Part<'a> {
    let admitted = view.agents.iter();
    let admitted =
        admitted.map(|agent| slave(&agent.id, &agent.facts.info, agent.deactivated, agent.drain));
    let recovered = view.recovered.iter().map(|(id, info)| {
        let deactivated = view.recovered_deactivated.get(id);
        slave(
            id,
            info,
            deactivated.is_some(),
            deactivated.copied().flatten(),
        )
    });
    let mut fields = Fields::default();
    fields.put("master", json!({ "info": facts.master_json() }));
    let slaves = Part::list(admitted.chain(recovered), Part::Value);
    fields.put("slaves", Part::object("slaves", slaves));
    let plan = &view.maintenance.plan;
    if !plan.schedule.windows.is_empty() {
        let schedule = flat::message(&wire_schedule(&plan.schedule));
        fields.put("machines", json!({ "machines": machines(plan) }));
        fields.put("schedules", json!([schedule]));
    }
    fields.into()
}

/// An agent that is admitted.
fn slave(id: &AgentId, info: &Blob, deactivated: bool, drain: Option<Drain>) -> Value {
    let message: v1::AgentInfo = message(info);
    let held = api::convert::resources(&message.resources).unwrap_or_default();
    let held: Resources = held.into_iter().collect();
    let mut info = flat::message(&message);
    info["resources"] = resources::full(&held);
    info["id"] = json!({ "value": id.as_str() });
    // Of before v1, when an agent could say that it does not checkpoint; none here does.
    info["checkpoint"] = json!(true);
    let mut slave = json!({ "deactivated": deactivated, "info": info });
    if let Some(drain) = drain {
        slave["drain_info"] = flat::message(&wire_drain_info(drain.info));
    }
    slave
}

/// The machines of a schedule.
fn machines(plan: &Plan) -> Value {
    let windows = plan.schedule.windows.iter();
    let machines = windows.flat_map(|window| {
        let unavailability = wire_unavailability(window.unavailability);
        let unavailability = flat::message(&unavailability);
        window.machines.iter().map(move |machine| {
            let mode = match plan.down.contains(machine) {
                true => "DOWN",
                false => "DRAINING",
            };
            let id = flat::message(&wire_machine(machine));
            json!({ "info": { "id": id, "mode": mode, "unavailability": unavailability } })
        })
    });
    machines.collect()
}
