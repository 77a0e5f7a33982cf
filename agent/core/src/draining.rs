//! Draining: the agent ends its tasks and takes no new ones, until nothing is left.
//!
//! It lasts until no task and no operation waits for its end or for an acknowledgement; a restart
//! does not end it. That the agent is given nothing afterwards is the master's part.

use alloc::vec::Vec;

use model::TaskState;
use model::task::PartitionAwareness;

use crate::agent::{Agent, Phase, Step};
use crate::effect::{Effect, Fact};
use crate::event::{Drain, Fate};
use crate::executor::Life;
use crate::status_updates::TaskKey;

impl Agent {
    /// How the agent drains, while it does.
    #[must_use]
    pub fn drain(&self) -> Option<Drain> {
        self.drain
    }

    pub(crate) fn begin_drain(&mut self, step: &mut Step, drain: Drain) {
        if self.phase != Phase::Active {
            return step.ignore("drain of an agent that ends".into());
        }
        // One that has nothing is drained already.
        if self.tasks.is_empty() && self.operations.is_empty() {
            return;
        }
        if self.drain != Some(drain) {
            self.drain = Some(drain);
            step.out.push(Effect::Store(Fact::Draining(self.drain)));
        }
        self.drain_tasks(step);
    }

    /// Kills what is alive; a task that is killed already gets no longer grace by it.
    pub(crate) fn drain_tasks(&mut self, step: &mut Step) {
        let Some(drain) = self.drain else {
            return;
        };
        let alive = self.tasks.iter().filter(|(_, t)| t.life != Life::Ended);
        let alive: Vec<_> = alive
            .map(|(key, task)| {
                let grace = task.grace(None);
                (key.clone(), drain.max_grace.filter(|bound| *bound < grace))
            })
            .collect();
        for (key, grace) in alive {
            self.kill_as_asked(step, &key, grace);
        }
    }

    /// What the kill of a task is told as: frameworks tell by its reason that its node drains.
    pub(crate) fn state_while_draining(
        &self,
        key: &TaskKey,
        state: TaskState,
    ) -> Option<TaskState> {
        let drain = self.drain?;
        let partition = self.frameworks.get(&key.0).map(|e| e.framework.partition);
        match (state, drain.fate, partition) {
            (TaskState::Killed, Fate::Gone, Some(PartitionAwareness::Aware)) => {
                Some(TaskState::GoneByOperator)
            }
            (TaskState::Killed | TaskState::Killing, _, _) => Some(state),
            _ => None,
        }
    }

    pub(crate) fn finish_drain(&mut self, step: &mut Step) {
        let is_active = self.phase == Phase::Active;
        if is_active && self.drain.is_some() && self.tasks.is_empty() && self.operations.is_empty()
        {
            self.drain = None;
            step.out.push(Effect::Store(Fact::Draining(None)));
        }
    }
}
