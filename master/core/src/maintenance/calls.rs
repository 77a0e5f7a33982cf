//! Requests of operators about maintenance, and what follows when they are stored.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;

use model::AgentId;

use super::{Machine, Mode, Plan, Schedule};
use crate::Master;
use crate::event::{Answer, ClusterEntry, MasterMessage, RequestId};
use crate::registry::RemovalCause;

/// What agents are told whose machine goes down.
pub(crate) const DOWN: &str = "Operator initiated 'Machine DOWN'";

impl Master {
    pub(crate) fn update_maintenance_schedule(&mut self, request: RequestId, schedule: &Schedule) {
        let outcome = schedule.check(&self.maintenance.coming().down);
        let plan = outcome.map(|()| Plan {
            schedule: schedule.clone(),
            down: self.maintenance.coming().down.clone(),
        });
        self.store_plan(request, plan);
    }

    pub(crate) fn start_maintenance(&mut self, request: RequestId, machines: &[Machine]) {
        let plan = self.check_mode(machines, Mode::Draining).map(|()| {
            let mut plan = self.maintenance.coming().clone();
            plan.down.extend(machines.iter().cloned());
            plan
        });
        self.store_plan(request, plan);
    }

    pub(crate) fn stop_maintenance(&mut self, request: RequestId, machines: &[Machine]) {
        let plan = self.check_mode(machines, Mode::Down).map(|()| {
            let Plan { schedule, mut down } = self.maintenance.coming().clone();
            for machine in machines {
                down.remove(machine);
            }
            Plan {
                schedule: schedule.without(machines),
                down,
            }
        });
        self.store_plan(request, plan);
    }

    fn check_mode(&self, machines: &[Machine], wanted: Mode) -> Result<(), String> {
        let with_agents: BTreeSet<Machine> = self
            .agents
            .values()
            .map(|agent| Machine::of(&agent.facts))
            .collect();
        let is_up = |machine: &Machine| with_agents.contains(machine);
        self.maintenance.check_mode(machines, wanted, is_up)
    }

    fn store_plan(&mut self, request: RequestId, plan: Result<Plan, String>) {
        match plan {
            Ok(plan) => {
                self.maintenance.expect(plan.clone());
                self.store_cluster(vec![ClusterEntry::Maintenance(plan)], Some(request));
            }
            Err(fault) => self.answer(request, Answer::BadRequest(fault)),
        }
    }

    /// A plan is durable: frameworks learn of what it changes for the agents there.
    pub(crate) fn put_plan(&mut self, plan: Plan) {
        let machines: BTreeMap<AgentId, Machine> = self
            .agents
            .iter()
            .map(|(id, agent)| (id.clone(), Machine::of(&agent.facts)))
            .collect();
        let was_down = self.maintenance.plan.down.clone();
        // Who plans again asks again, even where nothing changed; bringing machines down or up
        // plans nothing for the others.
        let is_new_schedule = was_down == plan.down;
        let before = self.maintenance.put(plan);
        for (agent_id, machine) in machines {
            if self.maintenance.is_down(&machine) && !was_down.contains(&machine) {
                self.bring_down(&agent_id);
                continue;
            }
            let before = before.get(&machine);
            let now = self.maintenance.scheduled.get(&machine);
            let is_scheduled = before.is_some() || now.is_some();
            if before != now || is_new_schedule && is_scheduled {
                self.change_unavailability(&agent_id);
            }
        }
    }

    /// Whatever was offered of an agent is offered again, with what is planned now; what frameworks
    /// answered is void.
    fn change_unavailability(&mut self, agent_id: &AgentId) {
        self.rescind_offers_of(agent_id);
        self.rescind_inverse_offers_of(agent_id);
        self.inverse_offers.forget_agent(agent_id);
        self.ask_back(agent_id);
    }

    fn bring_down(&mut self, agent_id: &AgentId) {
        let reason = DOWN.into();
        self.send_to_agent(agent_id, MasterMessage::Shutdown { reason });
        // Where a write about it is on its way it is being given up, or refused when it is admitted.
        if !self.registrar.is_busy(agent_id) {
            self.remove_when_stored(agent_id, RemovalCause::MachineDown);
        }
    }
}
