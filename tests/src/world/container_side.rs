//! Containers: they run for a while and end, and go on while their agent's program is away.
//!
//! What ends meanwhile is told at its next start, and what nobody expects any more is killed then. A
//! launcher whose agent dies goes on by itself, or dies with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_core::event::{Event, Exit, ExitStatus};
use model::ContainerId;
use model::sandbox::Lacks;

use super::{Happening, World, below};
use crate::planted::Planted;

impl World {
    pub(super) fn container_runs(&mut self, node: usize, run: u64, container: &ContainerId) {
        if self.nodes[node].run != run || self.nodes[node].core.is_none() {
            return;
        }
        if self.executor_runs(node, container) {
            return;
        }
        match self.nodes[node].containers.get_mut(container) {
            Some(entry) if !entry.is_running => entry.is_running = true,
            // Its launcher went on without an agent.
            Some(_) | None => return,
        }
        if self.chance(25) {
            self.nodes[node].containers.remove(container);
            let message = "no such image".to_string();
            let container = container.clone();
            return self.node_step(node, Event::LaunchFailed { container, message });
        }
        self.container_will_end(node, container);
        let container = container.clone();
        self.node_step(
            node,
            Event::Launched {
                container,
                pid: 4242,
                degraded: None,
            },
        );
    }

    fn container_will_end(&mut self, node: usize, container: &ContainerId) {
        // Some outlive a long cut of the network.
        let longest = if self.chance(10) { 300 } else { 30 };
        let run_for = self.random.below(Duration::from_secs(longest));
        let code = u8::try_from(below(&mut self.random, 3)).unwrap_or(0);
        // A pod ends with its tasks, unless something kills it.
        let is_pod = self.nodes[node]
            .containers
            .get(container)
            .is_some_and(|entry| entry.is_pod);
        if !is_pod || self.chance(5) {
            let status = match is_pod {
                true => ExitStatus::Signal(9),
                false => ExitStatus::Code(code),
            };
            self.container_ends_later(node, container, status, run_for);
        }
    }

    pub(super) fn container_ends_later(
        &mut self,
        node: usize,
        container: &ContainerId,
        status: ExitStatus,
        after: Duration,
    ) {
        let ends = Happening::ContainerEnds {
            node,
            run: self.nodes[node].run,
            container: container.clone(),
            status,
        };
        self.queue.after(after, ends);
    }

    pub(super) fn container_dies(
        &mut self,
        node: usize,
        container: &ContainerId,
        status: ExitStatus,
    ) {
        if let Some(executor) = self.nodes[node].executors.get_mut(container)
            && !executor.is_dying
        {
            executor.is_dying = true;
            let delay = self.random.below(Duration::from_secs(1));
            self.container_ends_later(node, container, status, delay);
        }
        if let Some(entry) = self.nodes[node].containers.get_mut(container)
            && !entry.is_dying
        {
            entry.is_dying = true;
            let frees_early = entry.is_running && !entry.is_pod;
            self.planted_early_end(node, container, status, frees_early);
            let delay = self.random.below(Duration::from_secs(1));
            self.container_ends_later(node, container, status, delay);
        }
    }

    pub(super) fn container_ends(
        &mut self,
        node: usize,
        run: u64,
        container: &ContainerId,
        status: ExitStatus,
    ) {
        if self.nodes[node].run != run {
            return;
        }
        if self.executor_is_gone(node, container, status) {
            return;
        }
        match self.nodes[node].containers.get(container) {
            Some(entry) if entry.is_running => {}
            // Killed while it was being launched: it runs first, and ends a moment later.
            Some(_) => {
                let after = Duration::from_millis(60);
                return self.container_ends_later(node, container, status, after);
            }
            None => return,
        }
        // The kernel ends what is in a pid namespace before its init.
        let within = self.nodes[node].containers.iter();
        let within = within.filter(|(id, _)| id.is_within(container) && *id != container);
        let within: Vec<_> = within
            .map(|(id, one)| (id.clone(), one.is_running))
            .collect();
        for (container, ran) in within {
            self.container_gone(node, container, ran, ExitStatus::Signal(9));
        }
        self.container_gone(node, container.clone(), true, status);
    }

    pub(super) fn container_gone(
        &mut self,
        node: usize,
        container: ContainerId,
        ran: bool,
        status: ExitStatus,
    ) {
        self.nodes[node].containers.remove(&container);
        if self.nodes[node].core.is_none() {
            if ran {
                self.nodes[node].unseen.push((container, status));
            }
            return;
        }
        let message = "the container that it is nested in is gone".to_string();
        let event = match ran {
            true => exited(container, status),
            false => Event::LaunchFailed { container, message },
        };
        self.node_step(node, event);
    }

    /// The agent's program is gone, and its containers stay. Of those that were being launched some go
    /// on; executors have lost their streams.
    pub(super) fn orphan_containers(&mut self, node: usize) {
        let launching = self.nodes[node].containers.iter();
        let launching = launching.filter(|(_, one)| !one.is_running);
        for container in launching.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            // What is nested in one that is gone is gone, too.
            let is_beneath = container.parent().is_none_or(|parent| {
                let parent = self.nodes[node].containers.get(&parent);
                parent.is_some_and(|parent| parent.is_running)
            });
            match self.chance(2) && is_beneath {
                true => {
                    if let Some(entry) = self.nodes[node].containers.get_mut(&container) {
                        entry.is_running = true;
                    }
                    self.container_will_end(node, &container);
                }
                false => {
                    self.nodes[node].containers.remove(&container);
                }
            }
        }
        self.orphan_executors(node);
    }

    /// The agent starts: it takes up what the checkpoint expects and is there, hears of what has ended,
    /// and kills the rest.
    pub(super) fn recover_containers(&mut self, node: usize) {
        let core = self.nodes[node].core.as_ref();
        let expected: BTreeSet<ContainerId> =
            core.map_or_else(BTreeSet::new, |core| core.expected().cloned().collect());
        if self.scenario.planted == Some(Planted::SurvivorsForgotten) {
            let alive = BTreeMap::new();
            return self.node_step(node, Event::RecoveryEnded { alive });
        }
        let state = &mut self.nodes[node];
        state.containers.retain(|id, _| expected.contains(id));
        state.executors.retain(|id, _| expected.contains(id));
        let mut unseen = std::mem::take(&mut state.unseen);
        unseen.retain(|(id, _)| expected.contains(id));
        let own = state.containers.keys().map(|id| (id.clone(), 4242));
        let executors = state.executors.keys().map(|id| (id.clone(), 4343));
        let ended = unseen.iter().map(|(id, _)| (id.clone(), 4242));
        let alive: BTreeMap<ContainerId, u32> = own.chain(executors).chain(ended).collect();
        if !alive.is_empty() {
            self.note(&format!("node{node} takes up {} containers", alive.len()));
        }
        self.node_step(node, Event::RecoveryEnded { alive });
        if self.scenario.planted == Some(Planted::UnseenEndForgotten) {
            return;
        }
        for (container, status) in unseen {
            self.node_step(node, exited(container, status));
        }
    }
}

const fn exited(container: ContainerId, status: ExitStatus) -> Event {
    Event::Exited {
        container,
        exit: Exit {
            status,
            limit: None,
            lacks: Lacks::NONE,
        },
    }
}
