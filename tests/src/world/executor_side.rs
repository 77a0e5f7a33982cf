//! The executors' side: frameworks' own programs, their calls, and what they do about events.
//!
//! Connections end in between, executors die, some never subscribe and some do not end when they are
//! told to. Whatever they do, each of their tasks ends once and its framework knows.

use std::time::Duration;

use agent_core::containers::RequestId;
use agent_core::effect::Answer;
use agent_core::event::{Event, ExitStatus};
use agent_core::executor_api::{ExecutorCall, ExecutorStatus, Taken, ToExecutor};
use model::{Blob, ContainerId, StatusUuid, TaskId, TaskState};

use super::{Happening, World, below};
use crate::executor::SimulatedExecutor;

/// How long an executor without a task waits for one.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Something that is going to happen to an executor.
#[derive(Debug)]
pub(crate) enum ExecutorHappening {
    /// It tries to subscribe.
    Subscribes { attempt: u64 },
    /// A call arrives at the agent.
    Calls { call: ExecutorCall },
    /// An event arrives.
    Hears {
        stream: RequestId,
        event: ToExecutor,
    },
    /// Its stream ended at its end.
    Loses { stream: RequestId },
    /// A task of it is done.
    Finishes { task_id: TaskId },
    /// It ends if it has nothing to do.
    Idles,
}

impl World {
    pub(super) fn executor_starts(
        &mut self,
        node: usize,
        container: ContainerId,
        new: SimulatedExecutor,
    ) {
        let run = self.nodes[node].run;
        self.note(&format!(
            "node{node} launches executor {} as {container}",
            new.id
        ));
        self.nodes[node].executors.insert(container.clone(), new);
        let delay = self.random.below(Duration::from_millis(50));
        let runs = Happening::ContainerRuns {
            node,
            run,
            container,
        };
        self.queue.after(delay, runs);
    }

    /// Its container runs; `false` where the container is no executor's.
    pub(super) fn executor_runs(&mut self, node: usize, container: &ContainerId) -> bool {
        let Some(executor) = self.nodes[node].executors.get_mut(container) else {
            return false;
        };
        if executor.is_running {
            // Its launcher went on without an agent.
            return true;
        }
        executor.is_running = true;
        if self.chance(25) {
            self.nodes[node].executors.remove(container);
            let message = "no such image".to_string();
            let container = container.clone();
            self.node_step(node, Event::LaunchFailed { container, message });
            return true;
        }
        let pid = 4343;
        self.node_step(
            node,
            Event::Launched {
                container: container.clone(),
                pid,
                degraded: None,
            },
        );
        self.executor_begins(node, container);
        true
    }

    fn executor_begins(&mut self, node: usize, container: &ContainerId) {
        if self.chance(30) {
            self.note(&format!("node{node} executor {container} never subscribes"));
        } else {
            self.subscribes_later(node, container);
        }
        if self.chance(8) {
            let after = self.random.below(Duration::from_secs(60));
            self.container_ends_later(node, container, ExitStatus::Code(1), after);
        }
        self.executor_will(node, container, IDLE_MAX, ExecutorHappening::Idles);
    }

    /// The agent's program is gone: so are the streams, and some of the launchers.
    pub(super) fn orphan_executors(&mut self, node: usize) {
        let all: Vec<_> = self.nodes[node].executors.keys().cloned().collect();
        for container in all {
            self.calls.retain(|_, of| *of != container);
            let goes_on = self.chance(2);
            let Some(executor) = self.nodes[node].executors.get_mut(&container) else {
                continue;
            };
            executor.stream = None;
            if executor.is_running {
                self.subscribes_later(node, &container);
            } else if goes_on {
                executor.is_running = true;
                self.executor_begins(node, &container);
            } else {
                self.nodes[node].executors.remove(&container);
            }
        }
    }

    fn executor_will(
        &mut self,
        node: usize,
        container: &ContainerId,
        after: Duration,
        what: ExecutorHappening,
    ) {
        let happening = Happening::Executor {
            node,
            run: self.nodes[node].run,
            container: container.clone(),
            what,
        };
        self.queue.after(after, happening);
    }

    fn subscribes_later(&mut self, node: usize, container: &ContainerId) {
        let Some(executor) = self.nodes[node].executors.get_mut(container) else {
            return;
        };
        executor.tries += 1;
        let attempt = executor.tries;
        let delay = self.random.below(Duration::from_secs(2));
        self.executor_will(
            node,
            container,
            delay,
            ExecutorHappening::Subscribes { attempt },
        );
    }

    pub(super) fn executor_happens(
        &mut self,
        node: usize,
        run: u64,
        container: &ContainerId,
        what: ExecutorHappening,
    ) {
        if self.nodes[node].run != run {
            return;
        }
        let is_alone = self.nodes[node].core.is_none();
        let Some(executor) = self.nodes[node].executors.get_mut(container) else {
            return;
        };
        match what {
            ExecutorHappening::Subscribes { attempt } => {
                if executor.stream.is_some() || executor.tries != attempt {
                    return;
                }
                if is_alone {
                    return self.subscribes_later(node, container);
                }
                let tasks = executor.fresh.clone();
                let mut updates: Vec<_> = executor.unacknowledged.values().cloned().collect();
                self.planted_updates(&mut updates);
                let call = ExecutorCall::Subscribe { tasks, updates };
                self.executor_calls(node, container, call);
            }
            ExecutorHappening::Calls { call } => self.executor_calls(node, container, call),
            ExecutorHappening::Hears { stream, event } => {
                if executor.stream == Some(stream) {
                    self.executor_hears(node, container, event);
                }
            }
            ExecutorHappening::Loses { stream } => {
                if executor.stream == Some(stream) {
                    executor.stream = None;
                    self.subscribes_later(node, container);
                }
            }
            ExecutorHappening::Finishes { task_id } => {
                self.task_is(node, container, &task_id, TaskState::Finished);
            }
            ExecutorHappening::Idles => {
                let is_idle = executor.tasks.is_empty() && executor.unacknowledged.is_empty();
                match is_idle {
                    true => self.container_ends_later(
                        node,
                        container,
                        ExitStatus::Code(0),
                        Duration::ZERO,
                    ),
                    false => {
                        self.executor_will(node, container, IDLE_MAX, ExecutorHappening::Idles)
                    }
                }
            }
        }
    }

    fn executor_calls(&mut self, node: usize, container: &ContainerId, call: ExecutorCall) {
        let Some(executor) = self.nodes[node].executors.get(container) else {
            return;
        };
        let (framework_id, executor_id) = (executor.framework_id.clone(), executor.id.clone());
        self.calls_made += 1;
        let request = RequestId(self.calls_made);
        self.calls.insert(request, container.clone());
        self.node_step(
            node,
            Event::ExecutorCall {
                request,
                framework_id,
                executor_id,
                claims: None,
                call,
            },
        );
    }

    /// The agent answers a call.
    pub(super) fn executor_answered(&mut self, node: usize, request: RequestId, answer: &Answer) {
        let Some(container) = self.calls.get(&request).cloned() else {
            return self.violation(format!("an answer to no request: {answer:?}"));
        };
        let Answer::Executor(result) = answer else {
            return self.violation(format!("an executor is answered {answer:?}"));
        };
        match result {
            Ok(Taken::Subscribed) => {
                if let Some(executor) = self.nodes[node].executors.get_mut(&container) {
                    executor.stream = Some(request);
                }
            }
            Ok(Taken::Accepted) => {
                self.calls.remove(&request);
            }
            Err(refusal) => {
                self.calls.remove(&request);
                self.note(&format!("node{node} refuses {container}: {refusal}"));
            }
        }
    }

    /// The agent sends an event; now and then the connection breaks instead.
    pub(super) fn tell_executor(&mut self, node: usize, stream: RequestId, event: ToExecutor) {
        let Some(container) = self.calls.get(&stream).cloned() else {
            return;
        };
        if let ToExecutor::Launch { task } = &event {
            let Some(executor) = self.nodes[node].executors.get(&container) else {
                return;
            };
            let framework_id = executor.framework_id.clone();
            let task_id = crate::notation::task_id_of_blob(task);
            let again = task_id.and_then(|id| self.launched.launched(&framework_id, &id));
            if let Some(line) = again {
                self.violation(line);
            }
        }
        if self.faults_go_on() && self.chance(60) {
            self.faults += 1;
            return self.break_stream(node, &container, stream);
        }
        let delay = self.delay();
        let arrives = self.queue.now() + delay;
        let Some(executor) = self.nodes[node].executors.get_mut(&container) else {
            return;
        };
        executor.heard_last = executor.heard_last.max(arrives);
        let at = executor.heard_last;
        let hears = Happening::Executor {
            node,
            run: self.nodes[node].run,
            container,
            what: ExecutorHappening::Hears { stream, event },
        };
        self.queue.at(at, hears);
    }

    fn break_stream(&mut self, node: usize, container: &ContainerId, stream: RequestId) {
        self.note(&format!("FAULT stream {} of {container} breaks", stream.0));
        self.end_stream(node, stream);
        let delay = self.delay();
        let closed = Happening::StreamClosedAtNode {
            node,
            life: self.nodes[node].life,
            stream,
        };
        self.queue.after(delay, closed);
    }

    /// The stream ends for the executor, after what is on its way.
    pub(super) fn end_stream(&mut self, node: usize, stream: RequestId) {
        let Some(container) = self.calls.remove(&stream) else {
            return;
        };
        let Some(executor) = self.nodes[node].executors.get(&container) else {
            return;
        };
        let at = executor.heard_last.max(self.queue.now());
        let loses = Happening::Executor {
            node,
            run: self.nodes[node].run,
            container,
            what: ExecutorHappening::Loses { stream },
        };
        self.queue.at(at, loses);
    }

    pub(super) fn stream_closed_at_node(&mut self, node: usize, life: u64, stream: RequestId) {
        if self.nodes[node].life == life {
            self.node_step(node, Event::ExecutorClosed { stream });
        }
    }

    fn executor_hears(&mut self, node: usize, container: &ContainerId, event: ToExecutor) {
        match event {
            ToExecutor::Launch { task } => {
                let Some(task_id) = crate::notation::task_id_of_blob(&task) else {
                    return;
                };
                let Some(executor) = self.nodes[node].executors.get_mut(container) else {
                    return;
                };
                executor.tasks.push(task_id.clone());
                executor.fresh.push(task_id.clone());
                self.task_is(node, container, &task_id, TaskState::Running);
                let run_for = self.random.below(Duration::from_secs(30));
                let ends = ExecutorHappening::Finishes { task_id };
                self.executor_will(node, container, run_for, ends);
            }
            ToExecutor::Kill { task_id, .. } => {
                self.task_is(node, container, &task_id, TaskState::Killed);
            }
            ToExecutor::Acknowledged { task_id, uuid } => {
                if let Some(executor) = self.nodes[node].executors.get_mut(container) {
                    executor.acknowledged(&task_id, uuid);
                }
            }
            ToExecutor::Shutdown => {
                // Some do not care, and are killed for it.
                if !self.chance(3) {
                    let after = self.random.below(Duration::from_secs(3));
                    self.container_ends_later(node, container, ExitStatus::Code(0), after);
                }
            }
            ToExecutor::Subscribed { .. }
            | ToExecutor::LaunchGroup { .. }
            | ToExecutor::Message { .. } => {}
        }
    }

    /// A task of it comes to a state, if it has not ended; the agent is told.
    fn task_is(
        &mut self,
        node: usize,
        container: &ContainerId,
        task_id: &TaskId,
        state: TaskState,
    ) {
        let number = self.random.uuid();
        let Some(executor) = self.nodes[node].executors.get_mut(container) else {
            return;
        };
        if !executor.tasks.contains(task_id) {
            return;
        }
        if state.is_terminal() {
            executor.tasks.retain(|id| id != task_id);
        }
        let StatusUuid(uuid) = number;
        let status = ExecutorStatus {
            task_id: task_id.clone(),
            state,
            reason: None,
            message: None,
            uuid: StatusUuid(uuid),
            timestamp: None,
            info: Blob::default(),
        };
        self.executor_updates += 1;
        executor.updates += 1;
        executor
            .unacknowledged
            .insert(executor.updates, status.clone());
        if executor.stream.is_some() {
            let call = ExecutorCall::Update(status);
            let delay = Duration::from_millis(below(&mut self.random, 5));
            self.executor_will(node, container, delay, ExecutorHappening::Calls { call });
        }
    }

    /// Its container is gone; `false` where the container is no executor's.
    pub(super) fn executor_is_gone(
        &mut self,
        node: usize,
        container: &ContainerId,
        status: ExitStatus,
    ) -> bool {
        match self.nodes[node].executors.get(container) {
            Some(executor) if executor.is_running => {}
            // Killed while it was being launched: it runs first, and ends a moment later.
            Some(_) => {
                let after = Duration::from_millis(60);
                self.container_ends_later(node, container, status, after);
                return true;
            }
            None => return false,
        }
        self.nodes[node].executors.remove(container);
        self.calls.retain(|_, of| of != container);
        self.container_gone(node, container.clone(), true, status);
        true
    }
}
