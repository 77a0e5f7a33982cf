//! What custom executors call, and what is made of it.
//!
//! An update is stored before it is acknowledged. A second SUBSCRIBE takes the stream over. What an
//! executor lists as not acknowledged is compared with what is here: a task that it was given and
//! does not know never ran.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use model::{Blob, Reason, Source, TaskId, TaskState};

use crate::agent::{Agent, Phase, Step};
use crate::containers::RequestId;
use crate::effect::{Answer, Effect, Status, ToMaster};
use crate::event::ExecutorKind;
use crate::executor::{Ending, Life};
use crate::executor_api::{
    Claims, ExecutorCall, ExecutorRefusal, ExecutorStatus, Taken, ToExecutor,
};
use crate::executors::{Executor, ExecutorKey, ExecutorLife};
use crate::status_updates::TaskKey;
use crate::supervise::dropped;

impl Agent {
    pub(crate) fn executor_call(
        &mut self,
        step: &mut Step,
        request: RequestId,
        key: ExecutorKey,
        claims: Option<&Claims>,
        call: ExecutorCall,
    ) {
        let answer = |step: &mut Step, result| {
            step.out.push(Effect::Answer {
                request,
                answer: Answer::Executor(result),
            });
        };
        let is_subscribe = matches!(call, ExecutorCall::Subscribe { .. });
        if let Err(refusal) = self.admit_call(&key, claims, is_subscribe) {
            return answer(step, Err(refusal));
        }
        match call {
            ExecutorCall::Subscribe { tasks, updates } => {
                answer(step, Ok(Taken::Subscribed));
                self.subscribe(step, request, &key, &tasks, updates);
            }
            ExecutorCall::Update(status) => {
                self.executor_update(step, &key, status);
                answer(step, Ok(Taken::Accepted));
            }
            ExecutorCall::Message(data) => {
                if self.is_told(&key.0) {
                    let (framework_id, executor_id) = key;
                    self.send(
                        step,
                        ToMaster::ExecutorMessage {
                            framework_id,
                            executor_id,
                            data,
                        },
                    );
                }
                answer(step, Ok(Taken::Accepted));
            }
            ExecutorCall::Heartbeat => answer(step, Ok(Taken::Accepted)),
        }
    }

    fn admit_call(
        &self,
        key: &ExecutorKey,
        claims: Option<&Claims>,
        is_subscribe: bool,
    ) -> Result<(), ExecutorRefusal> {
        if !self.frameworks.contains_key(&key.0) {
            return Err(ExecutorRefusal::Framework);
        }
        let executor = self.executors.get(key);
        let Some(executor) = executor.filter(|one| one.spec.kind == ExecutorKind::Custom) else {
            return Err(ExecutorRefusal::Executor);
        };
        if let Some(claims) = claims {
            let wrong = [
                (claims.framework_id == key.0.as_str(), "fid"),
                (claims.executor_id == key.1.as_str(), "eid"),
                (claims.container == executor.container.as_str(), "cid"),
            ];
            if let Some((_, claim)) = wrong.into_iter().find(|(is_right, _)| !is_right) {
                return Err(ExecutorRefusal::Claims(claim));
            }
        }
        match executor.life {
            ExecutorLife::Registering { .. } if !is_subscribe => {
                Err(ExecutorRefusal::NotSubscribed)
            }
            ExecutorLife::Registering { .. }
            | ExecutorLife::Running { .. }
            | ExecutorLife::Terminating { .. }
            | ExecutorLife::Terminated => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        step: &mut Step,
        stream: RequestId,
        key: &ExecutorKey,
        unacknowledged: &[TaskId],
        updates: Vec<ExecutorStatus>,
    ) {
        let is_active = self.phase == Phase::Active && !self.is_gone(&key.0);
        let Some(executor) = self.executors.get_mut(key) else {
            return;
        };
        let before = match executor.life {
            ExecutorLife::Registering { .. } if is_active => None,
            ExecutorLife::Running { stream } if is_active => stream,
            ExecutorLife::Registering { .. }
            | ExecutorLife::Running { .. }
            | ExecutorLife::Terminating { .. }
            | ExecutorLife::Terminated => {
                step.out.push(Effect::ToExecutor {
                    stream,
                    event: ToExecutor::Shutdown,
                });
                return step.out.push(Effect::CloseExecutor { stream });
            }
        };
        step.out
            .extend(before.map(|stream| Effect::CloseExecutor { stream }));
        executor.life = ExecutorLife::Running {
            stream: Some(stream),
        };
        self.executor_changed(step, key, "subscribed");
        let mut acknowledged = Vec::new();
        for status in updates {
            acknowledged.push((status.task_id.clone(), status.uuid));
            self.apply_update(step, key, status);
        }
        self.drop_undelivered(step, key, unacknowledged);
        let live = self.live_tasks(key);
        let framework = self.frameworks.get(&key.0);
        let framework = framework.map(|entry| entry.framework.info.clone());
        let Some(executor) = self.executors.get_mut(key) else {
            return;
        };
        if !executor.was_fed && live.is_empty() {
            return self.shut_down(step, key);
        }
        let mut events = Vec::from([ToExecutor::Subscribed {
            executor: executor.spec.info.clone(),
            framework: framework.unwrap_or_default(),
            container: executor.container.clone(),
        }]);
        for (task_id, uuid) in acknowledged {
            events.push(ToExecutor::Acknowledged { task_id, uuid });
        }
        for (task_id, grace) in core::mem::take(&mut executor.kills) {
            if live.contains(&(key.0.clone(), task_id.clone())) {
                events.push(ToExecutor::Kill { task_id, grace });
            }
        }
        for event in events {
            step.out.push(Effect::ToExecutor { stream, event });
        }
        self.feed(step, key);
    }

    /// What an executor was given and never heard of will not run.
    fn drop_undelivered(&mut self, step: &mut Step, key: &ExecutorKey, known: &[TaskId]) {
        let partition = self.frameworks.get(&key.0).map(|e| e.framework.partition);
        for task_key in self.live_tasks(key) {
            let is_unknown = self.tasks.get(&task_key).is_some_and(|task| {
                task.life == Life::Delivered
                    && task.state() == TaskState::Staging
                    && !known.contains(&task_key.1)
            });
            if is_unknown && let Some(partition) = partition {
                let ending = Ending::by_agent(
                    dropped(partition),
                    Reason::AgentRestarted,
                    "Task launched during agent restart",
                );
                self.end_task(step, &task_key, ending);
            }
        }
    }

    fn executor_update(&mut self, step: &mut Step, key: &ExecutorKey, status: ExecutorStatus) {
        let (task_id, uuid) = (status.task_id.clone(), status.uuid);
        self.apply_update(step, key, status);
        if let Some(stream) = self.executors.get(key).and_then(Executor::stream) {
            let event = ToExecutor::Acknowledged { task_id, uuid };
            step.out.push(Effect::ToExecutor { stream, event });
        }
    }

    /// Keeps and forwards an update. One that comes again, or for a task that is not with this
    /// executor or has ended, changes nothing; it is acknowledged all the same, or the executor
    /// would keep it for ever.
    fn apply_update(&mut self, step: &mut Step, key: &ExecutorKey, given: ExecutorStatus) {
        let task_key = (key.0.clone(), given.task_id.clone());
        let Some(task) = self.tasks.get_mut(&task_key) else {
            return step.ignore(format!("update of task {}, unknown here", given.task_id));
        };
        if task.statuses.iter().any(|status| status.uuid == given.uuid) {
            return;
        }
        if task.spec.executor.id != key.1 || task.life != Life::Delivered {
            return step.ignore(format!(
                "update {} of task {}, which is not with executor {}",
                given.state, given.task_id, key.1
            ));
        }
        let container = task.container.clone();
        if given.state.is_terminal() {
            task.life = Life::Ended;
        }
        let executor = self.executors.get(key);
        let pid = executor.and_then(|executor| executor.pid);
        let degraded = executor
            .filter(|_| given.state == TaskState::Running)
            .and_then(|executor| executor.degraded.clone());
        let status = Status {
            task_id: given.task_id,
            executor_id: Some(key.1.clone()),
            state: given.state,
            source: Source::Executor,
            reason: given.reason,
            message: given.message,
            uuid: given.uuid,
            timestamp: given.timestamp.unwrap_or(step.wall),
            container,
            pid,
            limitation: None,
            healthy: None,
            check: None,
            degraded,
            given: Some(given.info),
        };
        let is_terminal = status.state.is_terminal();
        self.tell(step, &task_key, status);
        if is_terminal {
            self.resize(step, key);
        }
    }

    /// Asks an executor to kill a task that it has.
    pub(crate) fn kill_delivered(
        &mut self,
        step: &mut Step,
        task: &TaskKey,
        grace: Option<Duration>,
    ) {
        let Some(executor) = self.tasks.get(task).map(|t| t.spec.executor.id.clone()) else {
            return;
        };
        let Some(executor) = self.executors.get_mut(&(task.0.clone(), executor)) else {
            return;
        };
        let task_id = task.1.clone();
        match executor.life {
            ExecutorLife::Running {
                stream: Some(stream),
            } => step.out.push(Effect::ToExecutor {
                stream,
                event: ToExecutor::Kill { task_id, grace },
            }),
            ExecutorLife::Running { stream: None } | ExecutorLife::Registering { .. } => {
                executor.kills.insert(task_id, grace);
            }
            ExecutorLife::Terminating { .. } | ExecutorLife::Terminated => {
                step.ignore(format!("kill of task {task_id}, whose executor ends"));
            }
        }
    }

    pub(crate) fn framework_message(&mut self, step: &mut Step, key: ExecutorKey, data: Blob) {
        let executor = self.executors.get(&key).filter(|_| self.is_told(&key.0));
        let running = executor.filter(|one| matches!(one.life, ExecutorLife::Running { .. }));
        match running.and_then(Executor::stream) {
            Some(stream) => step.out.push(Effect::ToExecutor {
                stream,
                event: ToExecutor::Message { data },
            }),
            None => step.ignore(format!("message for executor {}, which takes none", key.1)),
        }
    }

    pub(crate) fn executor_closed(&mut self, step: &mut Step, closed: RequestId) {
        let found = self.executors.iter_mut();
        let mut found = found.filter(|(_, one)| one.stream() == Some(closed));
        let Some((key, executor)) = found.next() else {
            return;
        };
        match &mut executor.life {
            ExecutorLife::Running { stream } | ExecutorLife::Terminating { stream, .. } => {
                *stream = None;
            }
            ExecutorLife::Registering { .. } | ExecutorLife::Terminated => {}
        }
        let key = key.clone();
        self.executor_changed(step, &key, "disconnected");
    }
}
