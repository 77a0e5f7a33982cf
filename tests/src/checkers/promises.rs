//! Nothing acknowledged is lost: what a master or an agent promises is stored before.

use std::collections::BTreeSet;

use agent_core::{Fact, Status};
use master_core::event::{Answer, ClusterEntry, OperatorCall};
use model::{AgentId, FrameworkId, Reason, StatusUuid, TaskId};

use crate::ledger::Ledger;

/// An agent is told that it is admitted; the violation, if a later master would not know it.
#[must_use]
pub fn admitted(ledger: &Ledger, master: usize, epoch: u64, agent_id: &AgentId) -> Option<String> {
    // What a leader of before says is dropped by whoever hears it.
    let is_kept = ledger.epoch() != epoch || ledger.is_admitted(agent_id);
    (!is_kept).then(|| format!("master{master} admits {agent_id}, which the registry has not"))
}

/// What an operator asked for, and how much had been set by then.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The call.
    pub call: OperatorCall,
    /// [`Ledger::settings`] of that moment.
    pub since: usize,
}

/// An operator is told that a setting is in force; the violation, if a later master would not know.
#[must_use]
pub fn set(ledger: &Ledger, epoch: u64, wish: &Wish, answer: &Answer) -> Option<String> {
    // One that was stopped before it answered may do so when another leads.
    if ledger.epoch() != epoch {
        return None;
    }
    let call = &wish.call;
    let (agent_id, wants_in) = match call {
        OperatorCall::ReactivateAgent { agent_id } => (agent_id, true),
        OperatorCall::DeactivateAgent { agent_id } | OperatorCall::DrainAgent { agent_id, .. } => {
            (agent_id, false)
        }
        _ => return None,
    };
    let agent_id = AgentId::new(agent_id).ok()?;
    // Or when the next call has been carried out: an answer takes its time.
    let mut since = ledger.about(&agent_id, wish.since);
    let is_in = |newest| matches!(newest, None | Some(&ClusterEntry::Reactivated(_)));
    let is_broken = *answer == Answer::Ok && !since.any(|newest| is_in(newest) == wants_in);
    is_broken.then(|| {
        let since: Vec<_> = ledger.about(&agent_id, wish.since).collect();
        format!("{call:?} is answered Ok, and the registry had {since:?}")
    })
}

/// What an agent's disk holds, as far as it is promised.
#[derive(Debug, Default)]
pub struct Kept {
    updates: BTreeSet<StatusUuid>,
    tasks: BTreeSet<(FrameworkId, TaskId)>,
}

impl Kept {
    /// A fact is on the disk.
    pub fn stored(&mut self, fact: &Fact) {
        match fact {
            Fact::Update { status, .. } => {
                self.updates.insert(status.uuid);
            }
            Fact::Task {
                framework, task, ..
            } => {
                self.tasks.insert((framework.id.clone(), task.id.clone()));
            }
            _ => {}
        }
    }

    /// A master is told of an update; the violation, if the agent would forget it.
    #[must_use]
    pub fn told(&self, node: usize, status: &Status) -> Option<String> {
        // What an agent says of a task that it does not know is said once and kept nowhere.
        let is_kept = self.updates.contains(&status.uuid)
            || status.reason == Some(Reason::Reconciliation)
            || status.reason == Some(Reason::ContainerLaunchFailed);
        let (id, state) = (&status.task_id, status.state);
        (!is_kept).then(|| format!("node{node} tells {state} of {id}, which is not stored"))
    }

    /// A task is launched; the violation, if the agent would forget it.
    #[must_use]
    pub fn launched(
        &self,
        node: usize,
        framework_id: &FrameworkId,
        task_id: &TaskId,
    ) -> Option<String> {
        let key = (framework_id.clone(), task_id.clone());
        let is_kept = self.tasks.contains(&key);
        (!is_kept).then(|| format!("node{node} launches {task_id}, which is not stored"))
    }
}

/// What frameworks acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged(BTreeSet<StatusUuid>);

impl Acknowledged {
    /// A framework acknowledges an update.
    pub fn by_framework(&mut self, uuid: StatusUuid) {
        self.0.insert(uuid);
    }

    /// An agent takes an update for acknowledged; the violation, if no framework did that.
    #[must_use]
    pub fn believed(&self, node: usize, fact: &Fact) -> Option<String> {
        let Fact::Acknowledged { task_id, uuid, .. } = fact else {
            return None;
        };
        let is_true = self.0.contains(uuid);
        (!is_true).then(|| format!("node{node} forgets an update of {task_id} that nobody heard"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_acknowledged_may_not_be_forgotten() {
        let uuid = StatusUuid([7; 16]);
        let fact = Fact::Acknowledged {
            framework_id: FrameworkId::new("f").unwrap(),
            task_id: TaskId::new("t").unwrap(),
            uuid,
        };
        let mut acknowledged = Acknowledged::default();
        assert!(acknowledged.believed(0, &fact).is_some());
        acknowledged.by_framework(uuid);
        assert_eq!(acknowledged.believed(0, &fact), None);
    }

    #[test]
    fn an_admission_and_a_setting_are_in_the_registry_before_they_are_told() {
        let mut ledger = Ledger::default();
        let agent_id = AgentId::new("a").unwrap();
        ledger.begin(2).unwrap();
        assert!(admitted(&ledger, 0, 2, &agent_id).is_some());
        assert_eq!(admitted(&ledger, 0, 1, &agent_id), None);
        let call = OperatorCall::DeactivateAgent {
            agent_id: "a".into(),
        };
        let wish = Wish { call, since: 0 };
        assert!(set(&ledger, 2, &wish, &Answer::Ok).is_some());
        assert_eq!(set(&ledger, 2, &wish, &Answer::NotFound("a".into())), None);
        let write = |ledger: &mut Ledger, entry| {
            let change = master_core::event::RegistryChange::Cluster(vec![entry]);
            ledger.write(2, change).unwrap();
        };
        write(&mut ledger, ClusterEntry::Deactivated(agent_id.clone()));
        assert_eq!(set(&ledger, 2, &wish, &Answer::Ok), None);
        write(&mut ledger, ClusterEntry::Reactivated(agent_id));
        assert_eq!(
            set(&ledger, 2, &wish, &Answer::Ok),
            None,
            "a later call was carried out before this one was answered"
        );
        let wish = Wish {
            since: ledger.settings(),
            ..wish
        };
        assert!(
            set(&ledger, 2, &wish, &Answer::Ok).is_some(),
            "what held before it was asked for does not count"
        );
    }
}
