//! View: frameworks, their executors and their tasks, put together from a snapshot as the API shows
//! them. A command task has an executor here, as it has in Mesos.

use std::collections::BTreeMap;

use agent_core::executor::{Life, Task};
use agent_core::executors::{Executor as OwnExecutor, ExecutorLife};
use api::{convert, v1};
use model::{AgentId, Blob, ContainerId, ExecutorId, FrameworkId, Resources};

use crate::description::Description;
use crate::paths;
use crate::snapshot::Snapshot;
use crate::wire::{stored, task_status};

/// A framework.
#[derive(Debug)]
pub(super) struct Framework<'a> {
    /// Its id.
    pub(super) id: &'a FrameworkId,
    /// What the master said of it.
    pub(super) info: v1::FrameworkInfo,
    /// Executors that are here, with the ends of their tasks to be acknowledged at least.
    pub(super) executors: Vec<Executor<'a>>,
    /// Executors of which nothing but completed tasks is left.
    pub(super) completed_executors: Vec<Executor<'a>>,
}

/// An executor.
#[derive(Debug)]
pub(super) struct Executor<'a> {
    /// Whose it is.
    pub(super) framework_id: &'a FrameworkId,
    /// Its id.
    pub(super) id: &'a ExecutorId,
    /// What it is.
    pub(super) info: v1::ExecutorInfo,
    /// Its container; unset where it never got one.
    pub(super) container: Option<ContainerId>,
    /// Its container's init, while there is one.
    pub(super) pid: Option<u32>,
    /// Where it stands.
    pub(super) standing: Standing,
    /// Tasks that are not acknowledged to have ended.
    pub(super) tasks: Vec<&'a Task>,
    /// Tasks that are.
    pub(super) completed_tasks: Vec<&'a Task>,
}

/// Where an executor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its container is being made, or it has not said that it is there.
    Registering,
    /// It takes tasks.
    Running,
    /// It is to end.
    Terminating,
    /// Its container is gone.
    Terminated,
}

impl Standing {
    fn of(executor: &OwnExecutor) -> Self {
        match executor.life {
            ExecutorLife::Registering { .. } => Self::Registering,
            ExecutorLife::Running { .. } => Self::Running,
            ExecutorLife::Terminating { .. } => Self::Terminating,
            ExecutorLife::Terminated => Self::Terminated,
        }
    }

    /// Of the executor that a command task has in messages.
    fn of_task(task: &Task) -> Self {
        match task.life {
            Life::Queued | Life::Launching { .. } => Self::Registering,
            Life::Delivered | Life::Running { .. } => Self::Running,
            Life::Killing { .. } => Self::Terminating,
            Life::Ended => Self::Terminated,
        }
    }
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its executor does not have it yet.
    Queued,
    /// Its executor has it.
    Launched,
    /// It has ended, and its framework has not said that it knows.
    Terminated,
}

/// How far a task is.
pub(super) fn phase(task: &Task) -> Phase {
    match task.life {
        Life::Ended => Phase::Terminated,
        Life::Queued => Phase::Queued,
        Life::Launching { .. } if task.statuses.is_empty() => Phase::Queued,
        Life::Launching { .. } | Life::Delivered | Life::Running { .. } | Life::Killing { .. } => {
            Phase::Launched
        }
    }
}

/// Frameworks that have executors here.
pub(super) fn frameworks(snapshot: &Snapshot) -> Vec<Framework<'_>> {
    all(snapshot, &snapshot.frameworks)
}

/// Frameworks of which nothing but completed tasks is left.
pub(super) fn completed_frameworks(snapshot: &Snapshot) -> Vec<Framework<'_>> {
    all(snapshot, &snapshot.past_frameworks)
}

/// All executors whose containers are there, or being made.
pub(super) fn live_executors(snapshot: &Snapshot) -> impl Iterator<Item = Executor<'_>> {
    let all = frameworks(snapshot).into_iter();
    all.flat_map(|framework| framework.executors)
        .filter(|executor| executor.standing != Standing::Terminated)
}

fn all<'a>(snapshot: &'a Snapshot, infos: &'a [(FrameworkId, Blob)]) -> Vec<Framework<'a>> {
    let mut executors: BTreeMap<&FrameworkId, Vec<Executor<'a>>> = BTreeMap::new();
    let mut completed: BTreeMap<&FrameworkId, Vec<Executor<'a>>> = BTreeMap::new();
    for (framework, one) in &snapshot.executors {
        executors.entry(framework).or_default().push(Executor {
            framework_id: framework,
            id: &one.spec.id,
            info: stored(&one.spec.info).unwrap_or_default(),
            container: Some(one.container.clone()),
            pid: one.pid,
            standing: Standing::of(one),
            tasks: Vec::new(),
            completed_tasks: Vec::new(),
        });
    }
    for (framework, task) in &snapshot.tasks {
        let known = executors.entry(framework).or_default();
        match known
            .iter_mut()
            .find(|one| *one.id == task.spec.executor.id)
        {
            Some(executor) => executor.tasks.push(task),
            None => known.push(Executor {
                tasks: vec![task],
                ..of_task(framework, task)
            }),
        }
    }
    for (framework, task) in &snapshot.completed {
        let is_its = |one: &&mut Executor<'_>| {
            *one.id == task.spec.executor.id && one.container == container(task)
        };
        let here = executors.entry(framework).or_default();
        let gone = completed.entry(framework).or_default();
        match here.iter_mut().chain(gone.iter_mut()).find(is_its) {
            Some(executor) => executor.completed_tasks.push(task),
            None => gone.push(Executor {
                completed_tasks: vec![task],
                ..of_task(framework, task)
            }),
        }
    }
    let framework = |(id, info): &'a (FrameworkId, Blob)| Framework {
        id,
        info: stored(info).unwrap_or_default(),
        executors: executors.remove(id).unwrap_or_default(),
        completed_executors: completed.remove(id).unwrap_or_default(),
    };
    infos.iter().map(framework).collect()
}

/// The executor of a task that has none of its own, or whose own is forgotten.
fn of_task<'a>(framework_id: &'a FrameworkId, task: &'a Task) -> Executor<'a> {
    Executor {
        framework_id,
        id: &task.spec.executor.id,
        info: stored(&task.spec.executor.info).unwrap_or_default(),
        container: container(task),
        pid: task.pid(),
        standing: Standing::of_task(task),
        tasks: Vec::new(),
        completed_tasks: Vec::new(),
    }
}

/// The container of a task's executor.
fn container(task: &Task) -> Option<ContainerId> {
    task.container.as_ref().map(ContainerId::root)
}

impl Executor<'_> {
    /// What it holds for itself and for tasks that have not ended.
    pub(super) fn allocated(&self) -> Resources {
        let alive = self.tasks.iter().filter(|task| task.life != Life::Ended);
        alive
            .map(|task| {
                let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
                resources(&info.resources)
            })
            .fold(resources(&self.info.resources), |sum, held| sum.plus(&held))
    }

    /// Its sandbox, beneath the work directory.
    pub(super) fn sandbox(&self, agent: &AgentId) -> Option<std::path::PathBuf> {
        let container = self.container.as_ref()?;
        Some(paths::sandbox(agent, self.framework_id, self.id, container))
    }
}

/// Resources of a message; none where they cannot be read.
pub(super) fn resources(wire: &[v1::Resource]) -> Resources {
    let all = convert::resources(wire).unwrap_or_default();
    all.into_iter().collect()
}

/// A task as a message, with everything that was told of it.
pub(super) fn task(
    description: &Description,
    agent: Option<&AgentId>,
    framework: &FrameworkId,
    task: &Task,
) -> v1::Task {
    let info: v1::TaskInfo = stored(&task.spec.info).unwrap_or_default();
    let statuses = task.statuses.iter();
    let statuses = statuses.map(|one| task_status(description, agent, one));
    let newest = task.statuses.last();
    v1::Task {
        state: task.state().number(),
        statuses: statuses.collect(),
        status_update_state: newest.map(|status| status.state.number()),
        status_update_uuid: newest.map(|status| status.uuid.0.to_vec()),
        ..convert::task(info, framework.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::task::spec;
    use prost::Message;

    fn id(text: &str) -> ContainerId {
        ContainerId::new(text).expect("an id")
    }

    fn task(json: &str, container: ContainerId, life: Life) -> Task {
        let info: v1::TaskInfo = api::json::from_json(json.as_bytes()).expect("a task");
        let framework = FrameworkId::new("f").expect("an id");
        Task {
            spec: spec(&info, &framework).expect("a task"),
            container: Some(container),
            life,
            doomed: None,
            statuses: Vec::new(),
        }
    }

    #[test]
    fn a_command_task_has_an_executor_and_a_pod_shows_its_own_container() {
        let resources = r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.5}}]"#;
        let command = format!(
            r#"{{"name":"n","task_id":{{"value":"c"}},"agent_id":{{"value":"s"}},{resources},
                "command":{{"value":"sleep 1000"}}}}"#
        );
        let pod = |task: &str| {
            format!(
                r#"{{"name":"n","task_id":{{"value":"{task}"}},"agent_id":{{"value":"s"}},
                    {resources},"command":{{"value":"true"}},
                    "executor":{{"type":"DEFAULT","executor_id":{{"value":"p"}}}}}}"#
            )
        };
        let running = || Life::Running {
            pid: 7,
            complete_by: None,
        };
        let framework = FrameworkId::new("f").expect("an id");
        let info = v1::FrameworkInfo::default().encode_to_vec();
        let nested = |name: &str| id("pod").child(name).expect("an id");
        let of = |task| (framework.clone(), task);
        let snapshot = Snapshot {
            frameworks: vec![(framework.clone(), Blob::new(&info))],
            tasks: vec![
                of(task(&command, id("one"), running())),
                of(task(&pod("a"), nested("a"), running())),
                of(task(&pod("b"), nested("b"), Life::Ended)),
            ],
            completed: vec![of(task(&command, id("before"), Life::Ended))],
            ..Snapshot::default()
        };
        let all = frameworks(&snapshot);
        let shown: Vec<_> = all[0]
            .executors
            .iter()
            .map(|one| (one.id.as_str(), one.container.clone(), one.tasks.len()))
            .collect();
        assert_eq!(
            shown,
            [("c", Some(id("one")), 1), ("p", Some(id("pod")), 2)]
        );
        // The task's own half, and the executor's tenth that Mesos adds.
        let cpus = all[0].executors[0].allocated().scalar("cpus");
        assert_eq!(cpus.thousandths(), 600);
        // What has ended holds nothing.
        let cpus = all[0].executors[1].allocated().scalar("cpus");
        assert_eq!(cpus.thousandths(), 500);
        let completed = &all[0].completed_executors;
        assert_eq!(completed[0].container, Some(id("before")));
        assert_eq!(completed[0].completed_tasks.len(), 1);
        assert!(completed_frameworks(&snapshot).is_empty());
    }
}
