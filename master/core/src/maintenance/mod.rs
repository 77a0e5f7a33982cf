//! Maintenance: machines that will be away, and those that are.
//!
//!     up -> draining (scheduled) -> down (started) -> up (stopped)
//! Invariant: every machine that is down is in the schedule. What is scheduled is told in offers and
//! asked for back by inverse offers; no task is killed before a machine goes down.
//! A single agent is drained by `draining`, which kills its tasks.

mod calls;
mod inverse;
mod machine;
mod schedule;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::event::AgentFacts;

pub(crate) use calls::DOWN;
pub(crate) use inverse::InverseOffers;
pub use inverse::{InverseOffer, Response, ResponseKind};
pub use machine::Machine;
pub(crate) use machine::quote;
pub use schedule::{Schedule, Unavailability, Window};

/// How many machines are remembered after they came up again.
const FORMER_MAX: usize = 100_000;

/// Where a machine is in its maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Up,
    Draining,
    Down,
}

/// What the registry holds of maintenance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The schedule.
    pub schedule: Schedule,
    /// Machines of the schedule that are down.
    pub down: BTreeSet<Machine>,
}

/// All maintenance of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    plan: Arc<Plan>,
    scheduled: BTreeMap<Machine, Unavailability>,
    /// The plan when all writes on their way are durable: what the next request is checked against,
    /// so that two that meet do not undo each other.
    coming: Option<Plan>,
    /// How many of these writes there are.
    writes: usize,
    /// Machines that were scheduled and are up again: Mesos tells them from those it never saw.
    former: BTreeSet<Machine>,
}

impl Maintenance {
    pub(crate) const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The plan that the next request is checked against.
    pub(crate) fn coming(&self) -> &Plan {
        self.coming.as_ref().unwrap_or(&self.plan)
    }

    /// A write of this plan begins.
    fn expect(&mut self, plan: Plan) {
        self.coming = Some(plan);
        self.writes = self.writes.saturating_add(1);
    }

    /// Puts a plan in force; gives back the machines that were in the schedule before.
    fn put(&mut self, plan: Plan) -> BTreeMap<Machine, Unavailability> {
        self.writes = self.writes.saturating_sub(1);
        if self.writes == 0 {
            self.coming = None;
        }
        let scheduled = plan.schedule.machines();
        let before = core::mem::replace(&mut self.scheduled, scheduled);
        self.plan = Arc::new(plan);
        let up = before.keys().filter(|m| !self.scheduled.contains_key(m));
        self.former.extend(up.cloned());
        while self.former.len() > FORMER_MAX {
            self.former.pop_first();
        }
        before
    }

    /// When an agent will be away, where that is planned.
    pub(crate) fn unavailability(&self, agent: &AgentFacts) -> Option<Unavailability> {
        if self.scheduled.is_empty() {
            return None;
        }
        self.scheduled.get(&Machine::of(agent)).copied()
    }

    /// Whether an agent's machine is down.
    pub(crate) fn is_down(&self, machine: &Machine) -> bool {
        self.plan.down.contains(machine)
    }

    /// Checks that each of the machines is in this mode; `is_up` knows machines of agents.
    fn check_mode(
        &self,
        machines: &[Machine],
        wanted: Mode,
        is_up: impl Fn(&Machine) -> bool,
    ) -> Result<(), String> {
        schedule::check_machines(machines)?;
        let (name, act) = match wanted {
            Mode::Down => ("DOWN", "up"),
            Mode::Draining | Mode::Up => ("DRAINING", "down"),
        };
        let coming = self.coming();
        let scheduled = coming.schedule.machines();
        for machine in machines {
            let mode = if coming.down.contains(machine) {
                Some(Mode::Down)
            } else if scheduled.contains_key(machine) {
                Some(Mode::Draining)
            } else {
                let is_up = self.former.contains(machine) || is_up(machine);
                is_up.then_some(Mode::Up)
            };
            let json = machine.json();
            match mode {
                None => {
                    return Err(format!(
                        "Machine '{json}' is not part of a maintenance schedule"
                    ));
                }
                Some(mode) if mode != wanted => {
                    return Err(format!(
                        "Machine '{json}' is not in {name} mode and cannot be brought {act}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
