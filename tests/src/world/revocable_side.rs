//! Revocable resources: what nodes let be given out twice, who takes it, and when it is taken back.
//!
//! What a node tells changes with each start of its agent, and whenever containers wait for each other.
//! Every second scheduler knows revocable resources; the others must never see any.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::event::Event;
use agent_core::oversubscription::Looked;
use agent_core::oversubscription::qos::{Reading, Waits};
use master_core::event::{LaunchTask, Offer};
use model::ContainerId;
use model::Resources;

use super::link::revocable_task_resources;
use super::{Happening, World};
use crate::notation;

/// How long a look at the containers takes at most.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// So long containers wait for each other, and so long they do not, in turn.
const SPELL: Duration = Duration::from_secs(20);

impl World {
    pub(super) fn node_looks(&mut self, node: usize) {
        let takes = self.random.below(LOOK_MAX);
        let life = self.nodes[node].life;
        self.queue.after(takes, Happening::Looked { node, life });
    }

    /// What a node finds; while nothing goes wrong in the world, nobody waits.
    pub(super) fn looked(&mut self, node: usize, life: u64) {
        if self.nodes[node].life != life || self.nodes[node].core.is_none() {
            return;
        }
        let now = self.queue.now();
        let spells = u128::from(now.as_nanos()) / SPELL.as_nanos();
        let is_busy = self.faults_go_on() && !(spells + node as u128).is_multiple_of(3);
        let reading = Reading {
            // Each takes a tenth of a processor: less than it was given.
            cpu: Duration::from_nanos(now.as_nanos() / 10),
            waits: Waits {
                cpu: if is_busy { 9_000 } else { 0 },
                ..Waits::default()
            },
            ..Reading::default()
        };
        let state = &self.nodes[node];
        let all = state.containers.keys().chain(state.executors.keys());
        let outermost = all.filter(|id| id.depth() == 1).cloned();
        let readings: BTreeMap<ContainerId, Reading> = outermost.map(|id| (id, reading)).collect();
        self.node_step(node, Event::Looked(Looked::Pressure(readings)));
    }

    /// Tasks on what an offer holds of it.
    pub(super) fn revocable_tasks(
        &mut self,
        number: usize,
        offer: &Offer,
        left: &mut Resources,
    ) -> Vec<LaunchTask> {
        let has_some = left.iter().any(|resource| resource.revocable);
        if has_some && !notation::knows_revocable(number) {
            self.violation(format!("scheduler{number} is offered revocable resources"));
        }
        let each = revocable_task_resources();
        let mut tasks = Vec::new();
        while self.schedulers[number].wanted > 0
            && self.runs_by_itself(number)
            && left.contains(&each)
        {
            left.subtract_all(&each);
            let task = self.new_task(number, offer, None);
            tasks.push(LaunchTask {
                resources: Ok(each.iter().cloned().collect()),
                info: notation::revocable(&task.info),
                ..task
            });
        }
        tasks
    }

    /// Whether the next task has no executor of its framework, whose own cpus would be of another kind.
    fn runs_by_itself(&self, number: usize) -> bool {
        let next = self.schedulers[number].named + 1;
        let id = model::TaskId::new(&format!("s{number}-{next}"));
        id.is_ok_and(|id| notation::executor_of_task(&id).is_none())
    }
}
