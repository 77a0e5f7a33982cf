//! Tasks that are only said to run, and their updates.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use api::link::v1::agent_frame::Body as AgentBody;
use api::link::v1::{
    ExecutorExited, ExecutorMessage, FrameworkMessage, RunTask, RunTaskGroup, RunningExecutor,
    RunningTask, StatusUpdate,
};
use api::v1;
use model::{Reason, TaskState};
use tokio::time::Instant;

use super::RESEND_AFTER;
use super::node::Node;

/// Commands that sleep shorter are waited for; the others run until they are killed.
const NAP_SECS_MAX: u64 = 10;

/// A task, and the updates that its framework has not acknowledged.
#[derive(Debug)]
pub(super) struct Task {
    framework: v1::FrameworkInfo,
    info: v1::TaskInfo,
    pub(super) framework_id: v1::FrameworkId,
    pub(super) executor_id: v1::ExecutorId,
    /// Whether its framework tells the partition states apart.
    knows_partitions: bool,
    latest: TaskState,
    status: v1::TaskStatus,
    pub(super) updates: VecDeque<v1::TaskStatus>,
    pub(super) resend_at: Instant,
    resend_after: Duration,
    /// When its command ends by itself.
    pub(super) ends_at: Option<Instant>,
}

/// Tasks that an agent is to have before any master told it to.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// Whose they are; its id is set.
    pub framework: v1::FrameworkInfo,
    /// What their ids begin with; a number follows.
    pub prefix: String,
    /// How many.
    pub count: usize,
    /// What each of them holds, its role included.
    pub resources: model::Resources,
}

/// A framework and a task of it.
pub(super) type TaskKey = (String, String);

impl Task {
    /// A task of which nothing is known but that it is wanted.
    fn new(framework: &v1::FrameworkInfo, info: v1::TaskInfo, executor_id: v1::ExecutorId) -> Self {
        let aware = v1::framework_info::capability::Type::PartitionAware;
        let mut capabilities = framework.capabilities.iter();
        Self {
            framework: framework.clone(),
            framework_id: framework.id.clone().unwrap_or_default(),
            knows_partitions: capabilities
                .any(|capability| capability.r#type == Some(aware.into())),
            status: v1::TaskStatus {
                task_id: info.task_id.clone(),
                executor_id: Some(executor_id.clone()),
                ..Default::default()
            },
            info,
            executor_id,
            latest: TaskState::Staging,
            updates: VecDeque::new(),
            resend_at: Instant::now(),
            resend_after: RESEND_AFTER,
            ends_at: None,
        }
    }

    /// As a registration tells of it.
    pub(super) fn listed(&self) -> RunningTask {
        RunningTask {
            framework_id: Some(self.framework_id.clone()),
            task_info: Some(self.info.clone()),
            executor_id: Some(self.executor_id.clone()),
            state: self.latest.number(),
            status: self.updates.back().cloned(),
        }
    }
}

impl Node {
    /// Has these tasks, running and acknowledged, from now on.
    pub(super) fn adopt(&mut self, adopted: &Adopted) {
        let resources = api::convert::to_refined(&adopted.resources);
        let framework_id = adopted.framework.id.clone().unwrap_or_default();
        for number in 0..adopted.count {
            let task_id = v1::TaskId {
                value: format!("{}{number}", adopted.prefix),
            };
            let info = v1::TaskInfo {
                name: "adopted".into(),
                task_id: task_id.clone(),
                agent_id: self.agent_id.clone(),
                resources: resources.clone(),
                command: Some(v1::CommandInfo {
                    value: Some("sleep 1000000".into()),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let executor_id = v1::ExecutorId {
                value: task_id.value.clone(),
            };
            let mut task = Task::new(&adopted.framework, info, executor_id);
            task.latest = TaskState::Running;
            task.status.source = Some(v1::task_status::Source::Executor.into());
            task.ends_at = self.conduct.lasts.map(|after| Instant::now() + after);
            let key = (framework_id.value.clone(), task_id.value);
            self.tasks.insert(key, task);
        }
    }

    /// The frameworks with tasks here.
    pub(super) fn frameworks(&self) -> Vec<v1::FrameworkInfo> {
        let all = self.tasks.values();
        let all: BTreeMap<_, _> = all
            .map(|task| (&task.framework_id.value, &task.framework))
            .collect();
        all.into_values().cloned().collect()
    }

    /// The frameworks' own executors that are alive.
    pub(super) fn executors(&self) -> Vec<RunningExecutor> {
        let alive = self.tasks.values().filter(|t| !t.latest.is_terminal());
        let all: BTreeMap<_, _> = alive
            .filter_map(|task| {
                let executor = RunningExecutor {
                    framework_id: Some(task.framework_id.clone()),
                    executor_info: Some(task.info.executor.clone()?),
                    container_id: task.status.container_status.clone()?.container_id,
                };
                Some((
                    (&task.framework_id.value, &task.executor_id.value),
                    executor,
                ))
            })
            .collect();
        all.into_values().collect()
    }

    pub(super) async fn run(&mut self, run: RunTask) {
        let framework = run.framework_info.unwrap_or_default();
        let container = self.container();
        self.run_in(&framework, run.task_info.unwrap_or_default(), container)
            .await;
    }

    /// Tasks of a group run in their executor's container, as with the stand-in executor that the
    /// recordings were made with.
    pub(super) async fn run_group(&mut self, run: RunTaskGroup) {
        let framework = run.framework_info.unwrap_or_default();
        let container = self.container();
        for task in run.task_group.unwrap_or_default().tasks {
            let info = v1::TaskInfo {
                executor: run.executor_info.clone(),
                ..task
            };
            self.run_in(&framework, info, container.clone()).await;
        }
    }

    fn container(&mut self) -> v1::ContainerId {
        self.numbers += 1;
        v1::ContainerId {
            value: format!("{:08x}-0000-4000-8000-{:012x}", self.port, self.numbers),
            ..Default::default()
        }
    }

    async fn run_in(
        &mut self,
        framework: &v1::FrameworkInfo,
        info: v1::TaskInfo,
        container: v1::ContainerId,
    ) {
        let framework_id = framework.id.as_ref().map_or("", |id| &id.value);
        let executor = info.executor.as_ref().map(|executor| &executor.executor_id);
        let executor_id = executor.cloned().unwrap_or(v1::ExecutorId {
            value: info.task_id.value.clone(),
        });
        let key = (framework_id.to_owned(), info.task_id.value.clone());
        let address = v1::network_info::IpAddress {
            ip_address: Some("127.0.0.1".into()),
            ..Default::default()
        };
        let mut task = Task::new(framework, info.clone(), executor_id);
        task.status.source = Some(v1::task_status::Source::Executor.into());
        task.status.agent_id = Some(self.agent_id.clone());
        task.status.container_status = Some(v1::ContainerStatus {
            container_id: Some(container),
            network_infos: vec![v1::NetworkInfo {
                ip_addresses: vec![address],
                ..Default::default()
            }],
            executor_pid: Some(std::process::id()),
            ..Default::default()
        });
        self.tasks.insert(key.clone(), task);
        if self.drain.is_some() {
            return self.refuse(&key).await;
        }
        if let Some(executor) = &info.executor {
            let command = executor.command.as_ref().and_then(|c| c.value.as_deref());
            if let Some(code) = command.and_then(exit_code) {
                return self.executor_ends(&key, code).await;
            }
        }
        self.update(&key, TaskState::Starting, None).await;
        self.update(&key, TaskState::Running, None).await;
        let command = info.command.and_then(|command| command.value);
        let command = command.unwrap_or_default();
        let lasts = self.conduct.lasts;
        let Some(code) = exit_code(&command).filter(|_| lasts.is_none()) else {
            let after = lasts.or_else(|| nap(&command));
            if let (Some(task), Some(after)) = (self.tasks.get_mut(&key), after) {
                task.ends_at = Some(Instant::now() + after);
            }
            return;
        };
        let ended = match code {
            0 => TaskState::Finished,
            _ => TaskState::Failed,
        };
        let message = format!("Command exited with status {code}");
        self.update(&key, ended, Some(message)).await;
    }

    /// A task that comes while the agent drains.
    async fn refuse(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        task.status.source = Some(v1::task_status::Source::Agent.into());
        task.status.reason = Some(Reason::AgentDraining.number());
        let state = if task.knows_partitions {
            TaskState::Dropped
        } else {
            TaskState::Lost
        };
        let message = "Task was received while agent was already draining";
        self.update(key, state, Some(message.to_owned())).await;
    }

    /// An executor of the framework's own that ends before it took its task.
    async fn executor_ends(&mut self, key: &TaskKey, code: i32) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let exited = ExecutorExited {
            framework_id: Some(task.framework_id.clone()),
            executor_id: Some(task.executor_id.clone()),
            // As wait(2) encodes it.
            wait_status: code << 8,
        };
        task.status.source = Some(v1::task_status::Source::Agent.into());
        task.status.reason = Some(Reason::ExecutorTerminated.number());
        self.update(key, TaskState::Failed, Some("Executor terminated".into()))
            .await;
        self.send(AgentBody::ExecutorExited(exited)).await;
    }

    /// An executor that is there says back what it was told.
    pub(super) async fn echo(&mut self, message: FrameworkMessage) {
        let FrameworkMessage {
            framework_id,
            executor_id,
            data,
        } = message;
        let lives = |task: &Task| {
            Some(&task.framework_id) == framework_id.as_ref()
                && Some(&task.executor_id) == executor_id.as_ref()
                && !task.latest.is_terminal()
        };
        if self.tasks.values().any(lives) {
            let message = ExecutorMessage {
                framework_id,
                executor_id,
                data,
            };
            self.send(AgentBody::ExecutorMessage(message)).await;
        }
    }

    pub(super) async fn kill(&mut self, key: &TaskKey) {
        let message = "Command terminated with signal Terminated".to_owned();
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let mut state = TaskState::Killed;
        if let Some(drain) = &self.drain {
            task.status.reason = Some(Reason::AgentDraining.number());
            if drain.mark_gone() && task.knows_partitions {
                state = TaskState::GoneByOperator;
            }
        }
        self.update(key, state, Some(message)).await;
    }

    /// Queues an update; nothing follows a terminal one.
    async fn update(&mut self, key: &TaskKey, state: TaskState, message: Option<String>) {
        let uuid = self.uuid();
        let Some(task) = self.tasks.get_mut(key).filter(|t| !t.latest.is_terminal()) else {
            return;
        };
        let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let command_failed = (state == TaskState::Failed).then_some(Reason::CommandExecutorFailed);
        let command_failed = command_failed.map(Reason::number);
        task.latest = state;
        task.updates.push_back(v1::TaskStatus {
            state: state.number(),
            message,
            reason: task.status.reason.or(command_failed),
            timestamp: Some(clock.as_secs_f64()),
            uuid: Some(uuid.to_vec()),
            // One that was there before its agent had an id does not know it.
            agent_id: Some(self.agent_id.clone()),
            ..task.status.clone()
        });
        if task.updates.len() == 1 {
            self.send_first(key).await;
        }
    }

    pub(super) async fn acknowledged(&mut self, key: TaskKey, uuid: &[u8]) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        if task
            .updates
            .front()
            .is_none_or(|update| update.uuid.as_deref() != Some(uuid))
        {
            return;
        }
        task.updates.pop_front();
        task.resend_after = RESEND_AFTER;
        if !task.updates.is_empty() {
            self.send_first(&key).await;
        } else if task.latest.is_terminal() {
            self.tasks.remove(&key);
        } else if self.conduct.repeats {
            self.update(&key, TaskState::Running, None).await;
        }
    }

    /// Tasks that repeat themselves begin with that, where nothing of theirs waits.
    pub(super) async fn repeat_all(&mut self) {
        if !self.conduct.repeats {
            return;
        }
        let resting = self
            .tasks
            .iter()
            .filter(|(_, task)| task.updates.is_empty());
        let keys: Vec<_> = resting.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.update(&key, TaskState::Running, None).await;
        }
    }

    /// Ends the tasks whose commands slept long enough.
    pub(super) async fn wake(&mut self) {
        let now = Instant::now();
        let awake = |task: &Task| task.ends_at.is_some_and(|at| at <= now);
        let awake = self.tasks.iter_mut().filter(|(_, task)| awake(task));
        let keys: Vec<_> = awake
            .map(|(key, task)| {
                task.ends_at = None;
                (key.clone(), task.latest.is_terminal())
            })
            .collect();
        for (key, is_over) in keys {
            if is_over {
                continue;
            }
            self.ended += 1;
            // The port sets agents of a fleet apart, most of whose tasks are their first.
            let number = self.ended.wrapping_add(self.port.into());
            let (state, code) = match number % 100 < self.conduct.failing_percent.into() {
                true => (TaskState::Failed, 1),
                false => (TaskState::Finished, 0),
            };
            let message = format!("Command exited with status {code}");
            self.update(&key, state, Some(message)).await;
        }
    }

    pub(super) async fn send_again(&mut self) {
        let now = Instant::now();
        let due = self.tasks.iter().filter(|(_, task)| task.resend_at <= now);
        let keys: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.send_first(&key).await;
        }
    }

    /// Sends the update that waits longest for its acknowledgement.
    async fn send_first(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let Some(status) = task.updates.front() else {
            return;
        };
        let body = AgentBody::Update(StatusUpdate {
            framework_id: Some(task.framework_id.clone()),
            executor_id: Some(task.executor_id.clone()),
            latest_state: task.latest.number(),
            status: Some(status.clone()),
        });
        task.resend_at = Instant::now() + task.resend_after;
        task.resend_after *= 2;
        self.send(body).await;
    }
}

/// The status a command ends with at once; `None` where it runs on.
fn exit_code(command: &str) -> Option<i32> {
    match command.trim() {
        "true" => Some(0),
        text => text.strip_prefix("exit ")?.parse().ok(),
    }
}

/// For how long a command sleeps before it ends; `None` where that is not soon.
fn nap(command: &str) -> Option<Duration> {
    let last = command.rsplit(';').next()?.trim();
    let seconds: u64 = last.strip_prefix("sleep ")?.parse().ok()?;
    (seconds < NAP_SECS_MAX).then(|| Duration::from_secs(seconds))
}
