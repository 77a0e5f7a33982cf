//! What planted bugs do to the effects of an agent, and to its frames.

use std::time::Duration;

use agent_core::effect::LinkId;
use agent_core::event::{Event, Exit, ExitStatus};
use agent_core::executor_api::ExecutorStatus;
use agent_core::{Effect, Fact, ToMaster};
use master_core::event::{LinkId as MasterLink, MasterMessage};
use model::resources::{Resource, Scalar};
use model::sandbox::Lacks;
use model::{ContainerId, TaskState};

use super::World;
use crate::notation;
use crate::planted::Planted;

/// How long an agent must have been away to have been given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(75);

/// The effects of a step as a broken agent has them.
pub(super) fn broken(planted: Option<Planted>, effects: Vec<Effect>) -> Vec<Effect> {
    let is_update = |effect: &Effect| matches!(effect, Effect::Store(Fact::Update { .. }));
    match planted {
        Some(Planted::ToldBeforeStored) => {
            let (stores, mut others): (Vec<_>, Vec<_>) = effects.into_iter().partition(is_update);
            others.extend(stores);
            others
        }
        Some(Planted::LaunchNotStored) => {
            let is_task = |effect: &Effect| matches!(effect, Effect::Store(Fact::Task { .. }));
            effects
                .into_iter()
                .filter(|effect| !is_task(effect))
                .collect()
        }
        Some(Planted::OperationNotStored) => {
            let is_lost = |effect: &Effect| matches!(effect, Effect::Store(Fact::Operation { .. }));
            effects
                .into_iter()
                .filter(|effect| !is_lost(effect))
                .collect()
        }
        _ => effects,
    }
}

impl World {
    /// A frame as a broken agent sends it; none where it does not.
    pub(super) fn planted_frame(
        &mut self,
        node: usize,
        link: LinkId,
        frame: ToMaster,
    ) -> Option<ToMaster> {
        let now = self.queue.now();
        let state = &mut self.nodes[node];
        match (self.scenario.planted, frame) {
            (Some(Planted::UpdateNotResent), ToMaster::Update { status, .. })
                if !state.sent.insert(status.uuid) =>
            {
                None
            }
            (Some(Planted::RecoveredTwice), ToMaster::Register(mut register)) => {
                let ended = state.disk.iter().filter(|fact| is_end(fact)).count();
                let ended = i64::try_from(ended).unwrap_or(0);
                let cpus = Scalar(ended * notation::TASK_CPUS);
                register.total.add(Resource::scalar("cpus", cpus));
                Some(ToMaster::Register(register))
            }
            (Some(Planted::UnreachableReused), ToMaster::Register(mut register)) => {
                if register.agent_id.is_some() && now.since(state.heard_at) > GIVEN_UP_AFTER {
                    register.tasks.clear();
                    register.executors.clear();
                }
                Some(ToMaster::Register(register))
            }
            (
                Some(Planted::TerminalTwice),
                ToMaster::Update {
                    framework_id,
                    mut status,
                    ..
                },
            ) if status.state == TaskState::Finished => {
                // Sent again, it has another end.
                if !state.sent.insert(status.uuid) {
                    status.state = TaskState::Failed;
                }
                let latest = status.state;
                Some(ToMaster::Update {
                    framework_id,
                    status,
                    latest,
                })
            }
            (_, frame) => {
                let registered = state
                    .core
                    .as_ref()
                    .and_then(|core| core.registration().registered());
                if registered.is_some_and(|(own, _)| own == link) {
                    state.heard_at = now;
                }
                Some(frame)
            }
        }
    }

    /// A broken master acknowledges an update that no framework has seen.
    pub(super) fn planted_acknowledgement(
        &mut self,
        link: MasterLink,
        epoch: u64,
        incarnation: u64,
        frame: &ToMaster,
    ) {
        if self.scenario.planted == Some(Planted::AcknowledgedUnheard)
            && let ToMaster::Update {
                framework_id,
                status,
                ..
            } = frame
        {
            let acknowledge = MasterMessage::AcknowledgeUpdate {
                framework_id: framework_id.clone(),
                task_id: status.task_id.clone(),
                uuid: status.uuid,
            };
            self.send_down(link, epoch, incarnation, acknowledge);
        }
    }

    /// A broken agent takes an update that comes again for another one.
    pub(super) fn planted_updates(&mut self, updates: &mut [ExecutorStatus]) {
        if self.scenario.planted == Some(Planted::DuplicateNotRecognised) {
            for update in updates {
                update.uuid = self.random.uuid();
            }
        }
    }

    /// A broken agent takes a task that is being killed for ended.
    pub(super) fn planted_early_end(
        &mut self,
        node: usize,
        container: &ContainerId,
        status: ExitStatus,
        frees_early: bool,
    ) {
        if self.scenario.planted == Some(Planted::FreedTooEarly) && frees_early {
            let exit = Exit {
                status,
                limit: None,
                lacks: Lacks::NONE,
            };
            let container = container.clone();
            self.node_step(node, Event::Exited { container, exit });
        }
    }
}

fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::Update { status, .. } if status.state.is_terminal())
}
