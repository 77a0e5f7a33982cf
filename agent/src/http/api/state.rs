//! Calls about what runs here: GET_STATE and its parts, GET_OPERATIONS and GET_CONTAINERS.
//!
//! The parts are written field by field: as in Mesos' own answers, a list is there also where it is
//! empty.

use agent_core::executor::Task;
use api::http::document::Fields;
use api::http::respond::{self, Refusal};
use api::v1;
use api::v1::agent::Response as Message;
use api::v1::agent::call;
use api::v1::agent::response::{GetContainers, GetOperations, Type, get_executors, get_frameworks};
use model::FrameworkId;

use super::{Caller, answer};
use crate::http::view::{self, Executor, Framework, Phase};
use crate::http::{Answer, Context, containers};
use crate::snapshot::Snapshot;
use crate::wire::operation;

/// A part of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// GET_STATE: all of the others.
    State,
    /// GET_FRAMEWORKS.
    Frameworks,
    /// GET_EXECUTORS.
    Executors,
    /// GET_TASKS.
    Tasks,
}

/// Answers with a part of the state.
pub(super) async fn read(caller: &Caller<'_>, part: Part) -> Result<Answer, Refusal> {
    let media = caller.accept.media();
    let made = caller.context.beside(move |context| {
        let snapshot = context.snapshot();
        let all = All::of(&snapshot);
        let (number, name, fields, kind) = match part {
            Part::State => {
                let fields = Fields::new()
                    .message(1, "get_tasks", all.tasks(context, &snapshot))
                    .message(2, "get_executors", all.executors())
                    .message(3, "get_frameworks", all.frameworks());
                (9, "get_state", fields, Type::GetState)
            }
            Part::Frameworks => (11, "get_frameworks", all.frameworks(), Type::GetFrameworks),
            Part::Executors => (12, "get_executors", all.executors(), Type::GetExecutors),
            Part::Tasks => {
                let fields = all.tasks(context, &snapshot);
                (13, "get_tasks", fields, Type::GetTasks)
            }
        };
        let document = Fields::new()
            .value(1, "type", (kind.into(), kind.as_str_name()))
            .message(number, name, fields);
        document.into_bytes(media)
    });
    Ok(respond::ok(media, made.await?))
}

/// Frameworks that are here, and those of which completed tasks are left.
struct All<'a> {
    here: Vec<Framework<'a>>,
    completed: Vec<Framework<'a>>,
}

impl<'a> All<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            here: view::frameworks(snapshot),
            completed: view::completed_frameworks(snapshot),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Framework<'a>> + Send {
        self.here.iter().chain(&self.completed)
    }

    fn frameworks(&self) -> Fields<'_> {
        let one = |framework: &Framework<'_>| get_frameworks::Framework {
            framework_info: framework.info.clone(),
        };
        Fields::new()
            .list(1, "frameworks", self.here.iter().map(one))
            .list(2, "completed_frameworks", self.completed.iter().map(one))
    }

    fn executors(&self) -> Fields<'_> {
        let one = |executor: &Executor<'_>| get_executors::Executor {
            executor_info: executor.info.clone(),
        };
        let here = self.each().flat_map(|framework| &framework.executors);
        let completed = self
            .each()
            .flat_map(|framework| &framework.completed_executors);
        Fields::new().list(1, "executors", here.map(one)).list(
            2,
            "completed_executors",
            completed.map(one),
        )
    }

    fn tasks<'s>(&'s self, context: &'s Context, snapshot: &'s Snapshot) -> Fields<'s> {
        let task = |(framework, task): (&FrameworkId, &Task)| -> v1::Task {
            let agent = snapshot.agent_id.as_ref();
            view::task(&context.description, agent, framework, task)
        };
        let executors = || {
            let here = |framework: &'s Framework<'a>| framework.executors.iter();
            self.each().flat_map(here)
        };
        let of = move |phase: Phase| {
            executors().flat_map(move |executor| {
                let tasks = executor
                    .tasks
                    .iter()
                    .filter(move |t| view::phase(t) == phase);
                tasks.map(|task| (executor.framework_id, *task))
            })
        };
        let gone = self
            .each()
            .flat_map(|framework| &framework.completed_executors);
        let completed = executors().chain(gone).flat_map(|executor| {
            let tasks = executor.completed_tasks.iter();
            tasks.map(|task| (executor.framework_id, *task))
        });
        // Nothing waits before it has an executor: authorization is the master's.
        Fields::new()
            .list(1, "pending_tasks", std::iter::empty::<v1::Task>())
            .list(2, "queued_tasks", of(Phase::Queued).map(task))
            .list(3, "launched_tasks", of(Phase::Launched).map(task))
            .list(4, "terminated_tasks", of(Phase::Terminated).map(task))
            .list(5, "completed_tasks", completed.map(task))
    }
}

/// GET_OPERATIONS.
pub(super) fn operations(caller: &Caller<'_>) -> Answer {
    let snapshot = caller.context.snapshot();
    let operations = snapshot
        .operations
        .iter()
        .filter_map(|(one, status)| operation::listed(snapshot.agent_id.as_ref(), one, status));
    answer::message(
        caller,
        &Message {
            get_operations: Some(GetOperations {
                operations: operations.collect(),
            }),
            ..answer::typed(Type::GetOperations)
        },
    )
}

/// GET_CONTAINERS.
pub(super) async fn containers(
    caller: &Caller<'_>,
    call: call::GetContainers,
) -> Result<Answer, Refusal> {
    let made = caller.context.beside(move |context| {
        let wanted = containers::Wanted::default();
        let of_executors = containers::of_executors(context, &wanted).into_iter();
        let mut all: Vec<_> = of_executors.map(|one| one.container).collect();
        if call.show_nested() {
            all.extend(containers::nested(context));
            all.extend(containers::requested(context, true));
        }
        if call.show_standalone() {
            all.extend(containers::requested(context, false));
        }
        all
    });
    Ok(answer::message(
        caller,
        &Message {
            get_containers: Some(GetContainers {
                containers: made.await?,
            }),
            ..answer::typed(Type::GetContainers)
        },
    ))
}
