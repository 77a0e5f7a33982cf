//! The words of a script's lines, and what they say of frameworks, tasks and executors.

use std::collections::{BTreeMap, VecDeque};

use master_core::event::{
    AttributeConstraint, Capabilities, ExecutorKind, ExecutorSpec, FrameworkInfo, LaunchGroup,
    LaunchTask, OfferConstraints, Predicate, RunningTask, Selector, Text,
};
use model::resources::{ParseError, Resource, Scalar, parse};
use model::{Blob, ExecutorId, FrameworkId, Resources, TaskId, TaskState};

use crate::notation;

/// The words of a line: those without `=` in order, and the values of the others.
pub(crate) struct Words<'a> {
    pub(crate) plain: VecDeque<&'a str>,
    pub(crate) named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let mut words = Self {
            plain: VecDeque::new(),
            named: BTreeMap::new(),
        };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) => drop(words.named.insert(name, value)),
                None => words.plain.push_back(word),
            }
        }
        words
    }

    pub(crate) fn next(&mut self) -> &'a str {
        self.plain.pop_front().unwrap_or_default()
    }

    pub(crate) fn id(&mut self) -> FrameworkId {
        FrameworkId::new(self.next()).expect("framework id")
    }

    pub(crate) fn number(&mut self) -> u64 {
        let word = self.next();
        word[1..].parse().expect("sN or lN")
    }

    pub(crate) fn list(&self, name: &str) -> Vec<Text> {
        self.named
            .get(name)
            .map(|list| list.split(',').map(Text::from).collect())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> Option<Text> {
        self.named.get(name).map(|value| Text::from(*value))
    }

    pub(crate) fn seconds(&self, name: &str) -> Option<f64> {
        self.named.get(name).map(|v| v.parse().expect("seconds"))
    }
}

/// `hosts=`: the names of the agents of which offers are wanted in `roles=`, each a pattern.
pub(crate) fn constraints(words: &Words<'_>) -> OfferConstraints {
    let group = |host: &Text| {
        vec![AttributeConstraint {
            selector: Some(Selector::Hostname),
            predicate: Some(Predicate::TextMatches(host.clone())),
        }]
    };
    let groups: Vec<_> = words.list("hosts").iter().map(group).collect();
    let roles = words.list("roles");
    OfferConstraints {
        roles: match groups.is_empty() {
            true => BTreeMap::new(),
            false => roles.into_iter().map(|r| (r, groups.clone())).collect(),
        },
        message: None,
    }
}

/// `min=`: what offers for `roles=` must hold, as in `cpus:2;mem:64`, alternatives by `|`.
fn min_allocatable(words: &Words<'_>) -> BTreeMap<Text, Vec<BTreeMap<Text, f64>>> {
    let Some(text) = words.text("min") else {
        return BTreeMap::new();
    };
    let amount = |part: &str| {
        let (name, amount) = part.split_once(':').expect("name:amount");
        (Text::from(name), amount.parse().expect("number"))
    };
    let alternatives = text.split('|').filter(|one| !one.is_empty());
    let alternatives: Vec<_> = alternatives
        .map(|one| one.split(';').map(amount).collect())
        .collect();
    let roles = words.list("roles").into_iter();
    roles.map(|role| (role, alternatives.clone())).collect()
}

/// A FrameworkInfo: `roles=` makes it MULTI_ROLE, `caps=` gives further capabilities by number.
pub(crate) fn framework_info(words: &Words<'_>) -> FrameworkInfo {
    let roles = words.list("roles");
    let multi_role = (!roles.is_empty()).then_some(6);
    let others = words.list("caps");
    let others = others.iter().map(|number| number.parse().expect("number"));
    FrameworkInfo {
        id: words
            .text("id")
            .map(|id| FrameworkId::new(&id).expect("id")),
        id_fault: None,
        name: Text::from("framework"),
        user: words.text("user").unwrap_or_else(|| Text::from("root")),
        principal: words.text("principal"),
        role: words.text("role"),
        roles,
        capabilities: Capabilities::from_numbers(multi_role.into_iter().chain(others)),
        checkpoint: words.named.contains_key("checkpoint"),
        failover_timeout_secs: words.seconds("failover").unwrap_or(0.0),
        min_allocatable: min_allocatable(words),
        info: Blob::new(b"framework"),
    }
}

/// Resources, of which a `~` before the name says that they are revocable; none for nothing.
pub(crate) fn resources(text: &str) -> Resources {
    let parts = text.split(';').filter(|part| !part.is_empty());
    let parts = parts.flat_map(|part| {
        let plain = part.trim_start_matches('~');
        let all = parse(plain).expect("resources");
        let all = all.iter().map(|one| Resource {
            revocable: plain != part,
            ..one.clone()
        });
        all.collect::<Vec<_>>()
    });
    parts.collect()
}

/// `id:resources`, or `id@executor:resources` with an executor of 0.1 cpus.
pub(crate) fn launch_task(text: &str, framework: &FrameworkId, agent: &str) -> LaunchTask {
    let (id, resources) = text.split_once(':').expect("id:resources");
    let (id, executor) = match id.split_once('@') {
        Some((id, executor)) => (id, Some(executor)),
        None => (id, None),
    };
    LaunchTask {
        task_id: Text::from(id),
        name: Text::from(id),
        agent_id: Text::from(agent),
        resources: match parse(resources) {
            // Volumes are written as in operations.
            _ if resources.contains('@') => {
                Ok(notation::resources(resources).iter().cloned().collect())
            }
            _ if resources.contains('~') => {
                let all = self::resources(resources);
                Ok(all.iter().cloned().collect())
            }
            Ok(resources) => Ok(resources.iter().cloned().collect()),
            Err(ParseError::Invalid(invalid)) => Err(invalid),
            Err(fault) => panic!("{fault}"),
        },
        limits: BTreeMap::new(),
        user: None,
        has_command: executor.is_none(),
        executor: executor.map(|executor| {
            let cpus = Resource::scalar("cpus", Scalar(100));
            executor_spec(executor, framework, ExecutorKind::Custom, vec![cpus])
        }),
        kill_grace_ns: None,
        max_completion_ns: None,
        share_cgroups: None,
        check_fault: None,
        content_fault: None,
        group_fault: None,
        info: Blob::new(id.as_bytes()),
    }
}

pub(crate) fn executor_spec(
    id: &str,
    framework: &FrameworkId,
    kind: ExecutorKind,
    resources: Vec<Resource>,
) -> ExecutorSpec {
    ExecutorSpec {
        executor_id: Text::from(id),
        framework_id: Some(Text::from(framework.as_str())),
        kind,
        has_command: kind == ExecutorKind::Custom,
        resources: Ok(resources),
        shutdown_grace_ns: None,
        share_cgroups: None,
        is_docker: false,
        type_fault: None,
        content_fault: None,
        info: Blob::new(id.as_bytes()),
        identity: Blob::new(id.as_bytes()),
    }
}

/// Tasks in an executor `executor=`, which has what `with=` says.
pub(crate) fn launch_group(words: &Words<'_>, framework: &FrameworkId, agent: &str) -> LaunchGroup {
    let with = words
        .text("with")
        .unwrap_or_else(|| Text::from("cpus:0.1;mem:32;disk:16"));
    let with = parse(&with).expect("resources").iter().cloned().collect();
    let id = words.text("executor").unwrap_or_else(|| Text::from("pod"));
    let executor = executor_spec(&id, framework, ExecutorKind::Default, with);
    let tasks = words.plain.iter().map(|text| LaunchTask {
        executor: Some(executor.clone()),
        ..launch_task(text, framework, agent)
    });
    LaunchGroup {
        id: None,
        tasks: tasks.collect(),
        executor,
    }
}

pub(crate) fn task_state(name: &str) -> TaskState {
    let named = |state: &&TaskState| state.name().strip_prefix("TASK_") == Some(name);
    *TaskState::ALL.iter().find(named).expect("state")
}

pub(crate) fn running_task(text: &str) -> RunningTask {
    let mut parts = text.split('/');
    let mut next = || parts.next().unwrap_or_default();
    let framework_id = FrameworkId::new(next()).expect("id");
    let id = next();
    RunningTask {
        framework_id,
        task_id: TaskId::new(id).expect("id"),
        name: Text::from(id),
        executor_id: ExecutorId::new(id).expect("id"),
        is_command: true,
        state: task_state(next()),
        resources: resources(next()),
        status: None,
        share_cgroups: true,
        info: Blob::new(id.as_bytes()),
    }
}
