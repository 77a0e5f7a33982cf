//! Launching: LAUNCH and LAUNCH_GROUP on accepted offers.
//!
//! A task of LAUNCH stands by itself: one that is invalid ends in TASK_ERROR and the others run. Of a
//! group all run or none.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::{FrameworkId, Reason, Resources, Source, TaskId, TaskState};

use crate::Master;
use crate::event::{
    Change, Effect, FrameworkEvent, Launch, LaunchGroup, LaunchTask, MasterMessage,
};
use crate::executors::Executor;
use crate::offers::Accepted;
use crate::statuses::MadeStatus;
use crate::tasks::Task;
use crate::validation::{self, Ground, LaunchableExecutor};

/// Why tasks are not launched, all of one operation in the same way.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Master {
    /// Whether a LAUNCH is well formed; where it is not each of its tasks is told so.
    pub(crate) fn admits_launch(&mut self, id: &FrameworkId, launch: &Launch) -> bool {
        let id_is_set = "The `id` field cannot be set on LAUNCH operations";
        let fault = match validation::check_resources(None, &launch.tasks) {
            Ok(()) if launch.id.is_none() => return true,
            Ok(()) => id_is_set.into(),
            Err(fault) => fault,
        };
        self.refuse_tasks(id, &launch.tasks, &invalid(Reason::TaskInvalid, fault));
        false
    }

    /// Whether a LAUNCH_GROUP is well formed; where it is not each of its tasks is told so.
    pub(crate) fn admits_group(&mut self, id: &FrameworkId, group: &LaunchGroup) -> bool {
        let id_is_set = "The `id` field cannot be set on LAUNCH_GROUP operations";
        let fault = match validation::check_resources(Some(&group.executor), &group.tasks) {
            Ok(()) if group.id.is_none() => return true,
            Ok(()) => id_is_set.into(),
            Err(fault) => fault,
        };
        self.refuse_tasks(id, &group.tasks, &invalid(Reason::TaskGroupInvalid, fault));
        false
    }

    /// LAUNCH: starts each task, or says why not.
    pub(crate) fn launch(&mut self, id: &FrameworkId, accepted: &mut Accepted, launch: &Launch) {
        for task in &launch.tasks {
            if let Err(message) = self.check_authorized(id, task) {
                let refusal = Refusal {
                    state: TaskState::Error,
                    reason: Reason::TaskUnauthorized,
                    message,
                };
                self.refuse_tasks(id, core::slice::from_ref(task), &refusal);
                continue;
            }
            let checked = self.on_ground(id, accepted, |g| validation::check_task(task, g));
            match checked {
                Some(Ok(launchable)) => {
                    let start = Start {
                        tasks: alloc::vec![(launchable.id, launchable.resources, task)],
                        executor: launchable.executor,
                    };
                    self.start(id, accepted, start, |frame| MasterMessage::RunTask {
                        framework_id: id.clone(),
                        framework: frame.framework,
                        task: task.info.clone(),
                        allocation_role: frame.allocation_role,
                        resource_version: frame.resource_version,
                        executor_expected: frame.executor_expected,
                    });
                }
                Some(Err(fault)) => {
                    let refusal = invalid(Reason::TaskInvalid, fault);
                    self.refuse_tasks(id, core::slice::from_ref(task), &refusal);
                }
                None => {}
            }
        }
    }

    /// LAUNCH_GROUP: starts the tasks, or says of each why none is.
    pub(crate) fn launch_group(
        &mut self,
        id: &FrameworkId,
        accepted: &mut Accepted,
        group: &LaunchGroup,
    ) {
        if let Err(message) = self.check_group_authorized(id, group) {
            let refusal = Refusal {
                state: TaskState::Error,
                reason: Reason::TaskGroupUnauthorized,
                message,
            };
            self.refuse_tasks(id, &group.tasks, &refusal);
            return;
        }
        match self.on_ground(id, accepted, |g| validation::check_group(group, g)) {
            Some(Ok(launchable)) => {
                let tasks = launchable.tasks.into_iter().zip(&group.tasks);
                let start = Start {
                    tasks: tasks
                        .map(|((id, resources), task)| (id, resources, task))
                        .collect(),
                    executor: Some(launchable.executor),
                };
                self.start(id, accepted, start, |frame| MasterMessage::RunTaskGroup {
                    framework_id: id.clone(),
                    framework: frame.framework,
                    executor: group.executor.info.clone(),
                    tasks: group.tasks.iter().map(|task| task.info.clone()).collect(),
                    allocation_role: frame.allocation_role,
                    resource_version: frame.resource_version,
                    executor_expected: frame.executor_expected,
                });
            }
            Some(Err(fault)) => {
                let refusal = invalid(Reason::TaskGroupInvalid, fault);
                self.refuse_tasks(id, &group.tasks, &refusal);
            }
            None => {}
        }
    }

    /// Checks something against what there is to launch on.
    fn on_ground<T>(
        &self,
        id: &FrameworkId,
        accepted: &Accepted,
        check: impl FnOnce(Ground<'_>) -> T,
    ) -> Option<T> {
        let left = accepted.available();
        Some(check(Ground {
            framework: self.frameworks.get(id)?,
            agent: self.agents.get(&accepted.agent_id)?,
            role: &accepted.role,
            left: &left,
        }))
    }

    fn start(
        &mut self,
        framework_id: &FrameworkId,
        accepted: &mut Accepted,
        start: Start<'_>,
        message: impl FnOnce(Frame) -> MasterMessage,
    ) {
        let agent_id = accepted.agent_id.clone();
        let (Some(framework), Some(agent)) = (
            self.frameworks.get_mut(framework_id),
            self.agents.get_mut(&agent_id),
        ) else {
            return;
        };
        let frame = Frame {
            framework: framework.info.info.clone(),
            allocation_role: accepted.role.clone(),
            resource_version: agent.resource_version.clone(),
            executor_expected: start
                .executor
                .as_ref()
                .is_some_and(|one| one.start.is_none()),
        };
        let mut consumed = Resources::new();
        let executor_id = start.executor.map(|executor| {
            if let Some(new) = executor.start {
                consumed.add_all(&new.resources);
                let key = (framework_id.clone(), executor.id.clone());
                agent.executors.insert(key);
                let key = (agent_id.clone(), executor.id.clone());
                framework.executors.insert(
                    key,
                    Executor {
                        resources: new.resources,
                        info: new.info,
                        identity: new.identity,
                    },
                );
            }
            executor.id
        });
        for (id, resources, task) in start.tasks {
            consumed.add_all(&resources);
            agent.tasks.insert((framework_id.clone(), id.clone()));
            let task = Task {
                id: id.clone(),
                name: task.name.clone(),
                agent_id: agent_id.clone(),
                executor_id: executor_id.clone(),
                resources,
                state: TaskState::Staging,
                status_update_state: None,
                status_update_uuid: None,
                statuses: VecDeque::new(),
                share_cgroups: task.share_cgroups.unwrap_or(true),
                info: task.info.clone(),
            };
            let task = Arc::new(task);
            framework.tasks.insert(id, Arc::clone(&task));
            let framework_id = framework_id.clone();
            self.out
                .push(Effect::Publish(Change::TaskAdded { framework_id, task }));
        }
        accepted.take(&consumed);
        self.send_to_agent(&agent_id, message(frame));
    }

    /// Tells a framework that these tasks of its will not run.
    pub(crate) fn refuse_tasks(
        &mut self,
        id: &FrameworkId,
        tasks: &[LaunchTask],
        refusal: &Refusal,
    ) {
        for task in tasks {
            let Refusal { state, reason, .. } = *refusal;
            self.counters
                .count_task(state, Source::Master, Some(reason));
            let message = refusal.message.clone();
            let status = self.made_status(MadeStatus {
                agent_id: Some(task.agent_id.clone()),
                ..MadeStatus::new(task.task_id.clone(), state, reason, message)
            });
            self.send(id, FrameworkEvent::Made(status));
        }
    }
}

/// That tasks are not ones that could be launched.
const fn invalid(reason: Reason, message: String) -> Refusal {
    Refusal {
        state: TaskState::Error,
        reason,
        message,
    }
}

/// Tasks and their executor, checked.
struct Start<'a> {
    tasks: Vec<(TaskId, Resources, &'a LaunchTask)>,
    executor: Option<LaunchableExecutor>,
}

/// What frames that start tasks have in common.
struct Frame {
    framework: model::Blob,
    allocation_role: model::resources::Role,
    resource_version: model::Blob,
    executor_expected: bool,
}
