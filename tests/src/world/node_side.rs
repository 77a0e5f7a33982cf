//! The nodes' side: the agent core's effects.

use std::time::Duration;

use agent_core::checks::{Outcome, ProbeId};
use agent_core::effect::{LinkId as NodeLink, Signal, Start};
use agent_core::event::{Event, ExitStatus};
use agent_core::holdings::VolumeName;
use agent_core::{Effect, Fact, FromMaster, ToMaster};
use model::Instant;

use super::detection::Client;
use super::{Happening, Wire, World, planted_side};
use crate::executor::SimulatedExecutor;
use crate::node::Container;
use crate::notation;

/// One probe in so many fails.
const PROBE_FAILS: u64 = 4;
/// Longer than its timeout, now and then.
const PROBE_TAKES_MAX: Duration = Duration::from_secs(3);

impl World {
    pub(super) fn node_start(&mut self, node: usize) {
        if self.nodes[node].core.is_some() {
            return;
        }
        self.note(&format!("node{node} boots"));
        let seed = self
            .scenario
            .seed
            .wrapping_mul(31)
            .wrapping_add(node as u64);
        let now = self.queue.now();
        for fact in self.nodes[node].boot(now, seed) {
            self.node_step(node, Event::Recovered(fact));
        }
        // Now and then the checkpoint is written anew, with what is left of it.
        if self.chance(3)
            && let Some(core) = &self.nodes[node].core
        {
            self.nodes[node].disk = core.facts();
        }
        let core = self.nodes[node].core.as_ref();
        let recovered = core.map(|core| core.holdings().kept().clone());
        if recovered.is_some_and(|recovered| recovered != self.nodes[node].kept) {
            self.violation(format!("node{node} comes back with other reservations"));
        }
        self.recover_containers(node);
    }

    pub(super) fn node_wake(&mut self, node: usize, life: u64) {
        let state = &self.nodes[node];
        let is_due = state.wake_at.is_some_and(|at| at <= self.queue.now());
        if state.life == life && state.core.is_some() && is_due {
            self.nodes[node].wake_at = None;
            self.node_step(node, Event::Tick);
        }
    }

    pub(super) fn node_step(&mut self, node: usize, event: Event) {
        let (now, wall) = (self.nodes[node].clock(self.queue.now()), self.wall());
        let Some(core) = &mut self.nodes[node].core else {
            return;
        };
        let effects = core.step(now, wall, event);
        for effect in planted_side::broken(self.scenario.planted, effects) {
            self.node_effect(node, effect);
            if self.faults_go_on() && self.chance(4000) {
                self.faults += 1;
                self.crash_node(node);
            }
            if self.nodes[node].core.is_none() {
                return;
            }
        }
        self.node_sets_alarm(node);
    }

    fn node_sets_alarm(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(deadline) = state.core.as_ref().and_then(agent_core::Agent::deadline) else {
            return;
        };
        let deadline = state.when(deadline);
        if state.wake_at.is_none_or(|at| deadline < at) {
            state.wake_at = Some(deadline);
            let life = state.life;
            self.queue.at(deadline, Happening::NodeWake { node, life });
        }
    }

    fn node_effect(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        match effect {
            Effect::Store(fact) => self.node_stores(node, fact),
            Effect::OpenLink { link } => self.open_wire(node, link),
            Effect::CloseLink { link } => {
                if let Some(wire) = self.wire_of(node, link) {
                    self.cut_wire(wire);
                }
            }
            Effect::Send {
                link,
                epoch,
                incarnation,
                frame,
            } => {
                self.send_up(node, link, epoch, incarnation, frame);
            }
            Effect::Launch {
                container,
                framework,
                start,
            } => {
                let mut is_revocable = false;
                let (cpus, is_pod) = match start {
                    Start::Command { task } | Start::Nested { task } => {
                        is_revocable = task.allocation.revocable.any();
                        self.note(&format!("node{node} launches {} as {container}", task.id));
                        let twice = self.launched.launched(&framework.id, &task.id);
                        let promised = &self.nodes[node].promised;
                        let forgotten = promised.launched(node, &framework.id, &task.id);
                        let broken = twice.into_iter().chain(forgotten);
                        broken.for_each(|line| self.violation(line));
                        (notation::TASK_CPUS, false)
                    }
                    Start::Pod { executor, .. } => {
                        let id = executor.id;
                        self.note(&format!("node{node} launches pod {id} as {container}"));
                        (notation::EXECUTOR_CPUS, true)
                    }
                    Start::Executor { executor, .. } => {
                        let now = self.queue.now();
                        let new = SimulatedExecutor::new(framework.id, executor.id, now);
                        return self.executor_starts(node, container, new);
                    }
                    // Nothing in this world checks by a command.
                    Start::Check { .. } => return,
                };
                let entry = Container {
                    framework_id: framework.id,
                    cpus,
                    is_revocable,
                    is_pod,
                    is_running: false,
                    is_dying: false,
                };
                self.nodes[node].containers.insert(container.clone(), entry);
                let delay = self.random.below(Duration::from_millis(50));
                let runs = Happening::ContainerRuns {
                    node,
                    run: self.nodes[node].run,
                    container,
                };
                self.queue.after(delay, runs);
            }
            Effect::Kill { container, signal } => {
                let number = match signal {
                    Signal::Terminate => 15,
                    Signal::Kill => 9,
                    // Nobody calls the operator API in this world.
                    Signal::Other(_) => return,
                };
                self.container_dies(node, &container, ExitStatus::Signal(number));
            }
            Effect::Probe { probe, .. } => {
                let outcome = Outcome::Connected(!self.chance(PROBE_FAILS));
                let takes = self.random.below(PROBE_TAKES_MAX);
                let answer = Happening::Probed {
                    node,
                    life,
                    probe,
                    outcome,
                };
                self.queue.after(takes, answer);
            }
            Effect::EndProbe { .. } => {}
            Effect::ProbeFailed { task_id, why, .. } => {
                self.note(&format!("node{node} probe of {task_id} failed: {why}"));
            }
            // Nobody calls the operator API here.
            Effect::Resize { .. } | Effect::LaunchRequested(_) | Effect::RemoveSandbox { .. } => {}
            Effect::Answer { request, answer } => self.executor_answered(node, request, &answer),
            Effect::ToExecutor { stream, event } => self.tell_executor(node, stream, event),
            Effect::CloseExecutor { stream } => self.end_stream(node, stream),
            Effect::ExecutorChanged {
                executor_id,
                change,
                ..
            } => self.note(&format!("node{node} executor {executor_id} {change}")),
            Effect::TaskChanged { status, .. } => {
                self.note(&format!(
                    "node{node} {} is {}",
                    status.task_id, status.state
                ));
            }
            Effect::CreateVolume { volume } => {
                self.nodes[node].volumes.insert(volume);
            }
            Effect::DestroyVolume { volume } => {
                self.nodes[node].volumes.remove(&volume);
                self.queue.after(
                    Duration::ZERO,
                    Happening::VolumeDestroyed { node, life, volume },
                );
            }
            Effect::OperationEnded { operation, status } => {
                self.note(&format!(
                    "node{node} operation {} is {} {:?}",
                    operation.uuid, status.state, status.message
                ));
            }
            Effect::Look(_) => self.node_looks(node),
            Effect::Preempted { container, .. } => {
                self.note(&format!("node{node} takes back what {container} has"));
            }
            Effect::Ignored { why } => self.note(&format!("node{node} ignores: {why}")),
            Effect::Registered { agent_id } => {
                self.note(&format!("node{node} is registered as {agent_id}"));
            }
            Effect::End { end } => {
                self.note(&format!("node{node} ends its work: {end:?}"));
                self.nodes[node].crash();
                let again = Happening::NodeStart { node };
                self.queue.after(Duration::from_secs(5), again);
            }
        }
    }

    /// A fact reaches the disk; a record that is torn is none, so that a crash comes before or after.
    fn node_stores(&mut self, node: usize, fact: Fact) {
        let broken = self.acknowledged.believed(node, &fact);
        broken.into_iter().for_each(|line| self.violation(line));
        self.nodes[node].promised.stored(&fact);
        let kept = match &fact {
            Fact::Operation { kept, .. } => kept.clone(),
            _ => None,
        };
        self.nodes[node].disk.push(fact);
        if let Some(kept) = kept {
            self.nodes[node].kept = kept;
            self.check_kept();
        }
    }

    pub(super) fn probed(&mut self, node: usize, life: u64, probe: ProbeId, outcome: Outcome) {
        if self.nodes[node].life == life {
            self.node_step(node, Event::Probed { probe, outcome });
        }
    }

    pub(super) fn volume_destroyed(&mut self, node: usize, life: u64, volume: VolumeName) {
        if self.nodes[node].life == life {
            self.node_step(node, Event::VolumeDestroyed { volume });
        }
    }

    fn open_wire(&mut self, node: usize, node_link: NodeLink) {
        let life = self.nodes[node].life;
        let at = self.crossing(node);
        let Some(master) = self.turns_to(Client::Node(node)) else {
            let link = node_link;
            let ends = Happening::WireEndsAtNode { node, life, link };
            return self.queue.at(at, ends);
        };
        self.wires_made += 1;
        let wire = Wire {
            node,
            node_life: life,
            node_link,
            master,
            master_life: 0,
            is_registered: false,
            up_last: self.queue.now(),
            down_last: self.queue.now(),
        };
        self.wires.insert(self.wires_made, wire);
        let connect = Happening::Connect {
            wire: self.wires_made,
        };
        self.queue.at(at, connect);
    }

    pub(super) fn wire_of(&self, node: usize, link: NodeLink) -> Option<u64> {
        let life = self.nodes[node].life;
        let found = self.wires.iter().find(|(_, wire)| {
            wire.node == node && wire.node_life == life && wire.node_link == link
        });
        found.map(|(id, _)| *id)
    }

    pub(super) fn send_up(
        &mut self,
        node: usize,
        link: NodeLink,
        epoch: u64,
        incarnation: u64,
        frame: ToMaster,
    ) {
        let Some(frame) = self.planted_frame(node, link, frame) else {
            return;
        };
        if let ToMaster::Update { status, .. } = &frame {
            let broken = self.nodes[node].promised.told(node, status);
            broken.into_iter().for_each(|line| self.violation(line));
        }
        let Some(id) = self.wire_of(node, link) else {
            return;
        };
        self.past.keep_up(node, epoch, incarnation, &frame);
        let arrives = self.crossing(node);
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        wire.up_last = wire.up_last.max(arrives);
        let at = wire.up_last;
        self.queue.at(
            at,
            Happening::Up {
                wire: id,
                epoch,
                incarnation,
                frame,
            },
        );
    }

    pub(super) fn wire_opens_at_node(&mut self, id: u64) {
        let Some(wire) = self.wires.get(&id) else {
            return;
        };
        let (node, link) = (wire.node, wire.node_link);
        if self.nodes[node].life == wire.node_life {
            self.node_step(node, Event::LinkOpened { link });
        }
    }

    pub(super) fn frame_down(&mut self, id: u64, epoch: u64, incarnation: u64, frame: FromMaster) {
        let Some(wire) = self.wires.get(&id) else {
            return;
        };
        let (node, link) = (wire.node, wire.node_link);
        if self.nodes[node].life == wire.node_life {
            let event = Event::Frame {
                link,
                epoch,
                incarnation,
                frame,
            };
            self.node_step(node, event);
        }
    }

    /// Ends a connection: what is under way is lost, each end learns of it a little later.
    pub(super) fn cut_wire(&mut self, id: u64) {
        let Some(wire) = self.wires.remove(&id) else {
            return;
        };
        let ends = Happening::WireEndsAtNode {
            node: wire.node,
            life: wire.node_life,
            link: wire.node_link,
        };
        let at = self.crossing(wire.node);
        self.queue.at(at, ends);
        let at = self.crossing(wire.node);
        let ends = Happening::WireEndsAtMaster {
            master: wire.master,
            wire: id,
            life: wire.master_life,
        };
        self.queue.at(at, ends);
    }

    /// When something that is sent now between a node and a master arrives.
    pub(super) fn crossing(&mut self, node: usize) -> Instant {
        let delay = self.delay();
        self.queue.now().max(self.nodes[node].cut_until) + delay
    }

    pub(super) fn wire_ends_at_node(&mut self, node: usize, life: u64, link: NodeLink) {
        if self.nodes[node].life == life {
            self.node_step(node, Event::LinkClosed { link });
        }
    }
}
