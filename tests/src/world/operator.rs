//! The operator: drains and deactivates agents while there are faults, and lets all of them in again.

use std::time::Duration;

use master_core::draining::DrainConfig;
use master_core::event::{Event, OperatorCall, RequestId, Text};

use super::{Happening, World, below};
use crate::checkers::promises::Wish;

impl World {
    pub(super) fn operator_acts(&mut self) {
        let pause = Duration::from_secs(2) + self.operator.below(Duration::from_secs(30));
        let calls = match self.faults_go_on() {
            true => self.any_operator_call().into_iter().collect(),
            false => self.reactivations(),
        };
        // Whoever still drains, or is away, is let in later.
        self.queue.after(pause, Happening::OperatorActs);
        for call in calls {
            self.requests += 1;
            self.note(&format!("operator asks {call:?}"));
            let request = RequestId(self.requests);
            let Some(master) = self.acting() else {
                continue;
            };
            let wish = Wish {
                call: call.clone(),
                since: self.ledger.settings(),
            };
            self.asked.insert(request, wish);
            let event = Event::Operate {
                request,
                principal: None,
                call,
            };
            self.master_step(master, event);
        }
    }

    fn any_operator_call(&mut self) -> Option<OperatorCall> {
        let core = self.masters[self.acting()?].core.as_ref()?;
        let agents: Vec<_> = core.view().agents().map(|agent| agent.id.clone()).collect();
        let count = u64::try_from(agents.len()).unwrap_or(u64::MAX).max(1);
        let index = usize::try_from(below(&mut self.operator, count)).unwrap_or(0);
        let agent_id = Text::from(agents.get(index)?.as_str());
        Some(match below(&mut self.operator, 4) {
            0 => OperatorCall::DeactivateAgent { agent_id },
            1 => OperatorCall::DrainAgent {
                agent_id,
                config: DrainConfig {
                    max_grace_ns: Some(1_000_000_000),
                    mark_gone: false,
                },
            },
            _ => OperatorCall::ReactivateAgent { agent_id },
        })
    }

    fn reactivations(&self) -> Vec<OperatorCall> {
        let core = self
            .acting()
            .and_then(|one| self.masters[one].core.as_ref());
        let Some(core) = core else {
            return Vec::new();
        };
        let view = core.view();
        let agents = view.agents().filter(|agent| view.is_deactivated(&agent.id));
        agents
            .map(|agent| OperatorCall::ReactivateAgent {
                agent_id: Text::from(agent.id.as_str()),
            })
            .collect()
    }
}
