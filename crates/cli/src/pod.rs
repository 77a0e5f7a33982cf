//! Pod: tasks that share a sandbox's surroundings, from a file to their exit code, as a framework of
//! its own.
//!
//! All of them are launched on one node or none is; what becomes of the others when one fails is Mesos'
//! to decide, and it kills them. The framework may be left and taken over as that of `tepui run`.

mod file;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use api::v1::scheduler::Event;
use api::v1::{
    AgentId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, Offer, TaskId, TaskStatus,
};
use model::{Reason, TaskState};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::args::PodRunArgs;
use crate::client::ClientError;
use crate::client::files::sandbox_path;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::scheduler::{Calls, Events, SubscribeError, subscribe};
use crate::client::state;
use crate::ending::{Ending, NO_TASK};
use crate::need::{Need, Taken};
use crate::note;
use crate::output::Output;
use crate::run::{AGAIN, DECLINE_S, PATIENCE, Place, agent_address, far_away};
use crate::spec;
use crate::stops::{Stop, Stops};

/// The largest file of a pod.
const FILE_MAX: u64 = 4 << 20;
/// Pauses between tries to find a master again.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Why a pod has no exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodError {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is larger than {FILE_MAX} bytes", .0.display())]
    Large(PathBuf),
    #[error("the pod in {}", path.display())]
    File {
        path: PathBuf,
        source: file::FileError,
    },
    #[error("the name {name:?}")]
    Name {
        name: String,
        source: model::IdError,
    },
    #[error("listen to signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the master ended the framework: {0}")]
    Ended(String),
}

/// What ends one conversation with a master.
enum Parting {
    Done(u8),
    Closed,
}

/// One task.
struct Member {
    name: String,
    task_id: TaskId,
    /// Its output is carried here.
    is_followed: bool,
    is_running: bool,
    healthy: Option<bool>,
    end: Option<Ending>,
}

struct Run<'a> {
    args: &'a PodRunArgs,
    pod: file::Pod,
    executor_id: ExecutorId,
    members: Vec<Member>,
    /// The members that ended, in that order.
    ended: Vec<usize>,
    info: FrameworkInfo,
    place: Option<Place>,
    stop: Option<Stop>,
    /// A second signal came: nothing more is waited for.
    is_left: bool,
    waiting: String,
    wake: Option<Instant>,
    output: Output,
}

/// Runs a pod; gives the exit code of this program: that of the first task that failed.
pub(crate) async fn run(args: &PodRunArgs, master: &Master) -> Result<u8, PodError> {
    let pod = read(args).await?;
    let named = |source| PodError::Name {
        name: pod.name.clone(),
        source,
    };
    let id = spec::task_id(&pod.name).map_err(named)?.value;
    let members: Result<Vec<Member>, PodError> = pod
        .members
        .iter()
        .map(|member| {
            let value = format!("{id}-{}", member.name);
            let name = member.name.clone();
            match model::TaskId::new(&value) {
                Ok(_) => Ok(Member::new(name, value)),
                Err(source) => Err(PodError::Name { name, source }),
            }
        })
        .collect();
    let members = members?;
    let mut stops = Stops::listen().map_err(PodError::Signals)?;
    let mut run = Run {
        args,
        executor_id: ExecutorId { value: id },
        members,
        ended: Vec::new(),
        info: spec::framework(&args.user, &args.role),
        pod,
        place: None,
        stop: None,
        is_left: false,
        waiting: String::new(),
        wake: Some(Instant::now() + PATIENCE),
        output: Output::new(),
    };
    let (mut calls, mut events) = tokio::select! {
        subscribed = subscribe(master, run.info.clone()) => subscribed?,
        stop = stops.next() => return Ok(stop.code()),
    };
    loop {
        run.info.id = Some(FrameworkId {
            value: calls.framework().to_owned(),
        });
        let lost = match run.converse(&mut calls, &mut events, &mut stops).await {
            Ok(Parting::Done(code)) => return Ok(code),
            Ok(Parting::Closed) => "the master closed the stream of events".to_owned(),
            Err(PodError::Client(error)) => crate::chain(&error),
            Err(other) => return Err(other),
        };
        drop(events);
        (calls, events) = tokio::select! {
            new = subscribe_again(master, &run.info, &lost) => new?,
            stop = stops.next() => {
                note(&run.left());
                return Ok(stop.code());
            }
        };
    }
}

/// The file, or what is written to this program's input.
async fn read(args: &PodRunArgs) -> Result<file::Pod, PodError> {
    let path = &args.file;
    let failed = |source| PodError::Read {
        path: path.clone(),
        source,
    };
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        let mut input = tokio::io::stdin().take(FILE_MAX + 1);
        input.read_to_end(&mut text).await.map_err(failed)?;
    } else {
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let mut input = file.take(FILE_MAX + 1);
        input.read_to_end(&mut text).await.map_err(failed)?;
    }
    if text.len() as u64 > FILE_MAX {
        return Err(PodError::Large(path.clone()));
    }
    let fallback = path.file_stem().and_then(|name| name.to_str());
    let fallback = fallback.filter(|name| *name != "-").unwrap_or("pod");
    file::read(&text, fallback).map_err(|source| PodError::File {
        path: path.clone(),
        source,
    })
}

async fn subscribe_again(
    master: &Master,
    info: &FrameworkInfo,
    lost: &str,
) -> Result<(Calls, Events), PodError> {
    let mut pause = RETRY_MIN;
    let mut is_said = false;
    loop {
        sleep(pause).await;
        match subscribe(master, info.clone()).await {
            Ok(new) => return Ok(new),
            Err(SubscribeError::Client(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
        if !is_said {
            note(&format!("{lost}; trying again"));
            is_said = true;
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

impl Member {
    fn new(name: String, id: String) -> Self {
        Self {
            name,
            task_id: TaskId { value: id },
            is_followed: false,
            is_running: false,
            healthy: None,
            end: None,
        }
    }
}

impl Run<'_> {
    /// Speaks with one master until that ends or the pod does.
    async fn converse(
        &mut self,
        calls: &mut Calls,
        events: &mut Events,
        stops: &mut Stops,
    ) -> Result<Parting, PodError> {
        if self.place.is_some() {
            calls.suppress().await?;
            self.reconcile(calls).await?;
        }
        loop {
            let wake = self.wake.unwrap_or_else(far_away);
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event? else { return Ok(Parting::Closed) };
                    self.on_event(calls, event).await?;
                }
                stop = stops.next() => self.on_stop(calls, stop).await?,
                () = self.output.broken_pipe() => self.on_stop(calls, Stop::BrokenPipe).await?,
                () = sleep_until(wake) => self.on_wake(calls).await?,
            }
            if let Some(code) = self.over(calls, stops).await? {
                return Ok(Parting::Done(code));
            }
        }
    }

    async fn on_event(&mut self, calls: &mut Calls, event: Event) -> Result<(), PodError> {
        if let Some(offers) = event.offers {
            self.on_offers(calls, offers.offers).await?;
        }
        if let Some(update) = event.update {
            self.on_status(calls, &update.status).await?;
        }
        match event.error {
            Some(error) => Err(PodError::Ended(error.message)),
            None => Ok(()),
        }
    }

    /// Launches on the first offer that fits and gives the others back.
    async fn on_offers(&mut self, calls: &mut Calls, offers: Vec<Offer>) -> Result<(), PodError> {
        let mut rest = Vec::new();
        for offer in offers {
            let fitting = match (&self.place, &self.stop) {
                (None, None) => crate::need::take_all(&self.needs(), &offer.resources),
                (Some(_), _) | (_, Some(_)) => None,
            };
            let Some(taken) = fitting else {
                rest.push(offer.id);
                continue;
            };
            // Before the call: see `tepui run`.
            self.place = Some(Place {
                agent_id: offer.agent_id.clone(),
                agent: agent_address(&offer),
            });
            self.wake = None;
            let (executor, tasks) = self.group(calls, &offer.agent_id, taken);
            calls.launch_group(&offer, executor, tasks).await?;
            calls.suppress().await?;
        }
        if !rest.is_empty() {
            calls.decline(rest, DECLINE_S).await?;
        }
        Ok(())
    }

    /// What the executor and then each task needs.
    fn needs(&self) -> Vec<&Need> {
        let tasks = self.pod.members.iter().map(|member| &member.need);
        std::iter::once(&self.pod.executor_need)
            .chain(tasks)
            .collect()
    }

    fn group(
        &self,
        calls: &Calls,
        agent_id: &AgentId,
        taken: Vec<Taken>,
    ) -> (ExecutorInfo, Vec<api::v1::TaskInfo>) {
        let mut taken = taken.into_iter();
        let executor = ExecutorInfo {
            executor_id: self.executor_id.clone(),
            framework_id: Some(FrameworkId {
                value: calls.framework().to_owned(),
            }),
            resources: taken.next().unwrap_or_default().resources,
            ..self.pod.executor.clone()
        };
        let all = self.pod.members.iter().zip(&self.members).zip(taken);
        let tasks = all.map(|((asked, member), taken)| {
            let mut task = asked.info.clone();
            task.task_id = member.task_id.clone();
            task.agent_id = agent_id.clone();
            if let Some(command) = &mut task.command {
                let environment = command.environment.get_or_insert_default();
                environment
                    .variables
                    .splice(0..0, spec::port_variables(&taken.ports));
            }
            task.resources = taken.resources;
            task
        });
        (executor, tasks.collect())
    }

    async fn on_status(&mut self, calls: &mut Calls, status: &TaskStatus) -> Result<(), PodError> {
        calls.acknowledge(status).await?;
        let mut members = self.members.iter_mut().enumerate();
        let found = members.find(|(_, member)| member.task_id == status.task_id);
        let (Some((at, member)), Some(state)) = (found, TaskState::from_number(status.state))
        else {
            return Ok(());
        };
        if member.end.is_some() {
            return Ok(());
        }
        if status.healthy.is_some() && status.healthy != member.healthy {
            member.healthy = status.healthy;
            let how = if status.healthy == Some(true) {
                "healthy"
            } else {
                "not healthy"
            };
            note(&format!("{} is {how}", member.name));
        }
        match state {
            TaskState::Staging | TaskState::Killing => {}
            TaskState::Starting => self.follow(at),
            TaskState::Running => {
                member.is_running = true;
                self.follow(at);
            }
            TaskState::Unreachable => {
                note("the node of the pod does not answer; waiting for it");
            }
            TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Lost
            | TaskState::Error
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => {
                let ending = Ending {
                    state,
                    reason: status.reason.and_then(Reason::from_number),
                    message: status.message.clone().unwrap_or_default(),
                };
                let (name, code) = (member.name.clone(), ending.code());
                note(&match ending.remark() {
                    Some(remark) => format!("{name}: {remark}"),
                    None => format!("{name} ended with {code}"),
                });
                member.end = Some(ending);
                self.ended.push(at);
                // What ended at once is known by its last status only; it may have written.
                if code != NO_TASK {
                    self.follow(at);
                }
            }
        }
        Ok(())
    }

    /// The exit code, once all have ended, or run where they are to be left so.
    async fn over(&mut self, calls: &mut Calls, stops: &mut Stops) -> Result<Option<u8>, PodError> {
        if self.is_left {
            return Ok(self.stop.map(Stop::code));
        }
        if self.stop.is_some() && self.place.is_none() {
            calls.teardown().await?;
            return Ok(self.stop.map(Stop::code));
        }
        if self.args.detach && self.members.iter().all(|member| member.is_running) {
            for member in &self.members {
                crate::print(&format!("{}\n", member.task_id.value));
            }
            return Ok(Some(0));
        }
        if self.ended.len() < self.members.len() {
            return Ok(None);
        }
        tokio::select! {
            _ = self.output.drain() => {}
            stop = stops.next() => self.stop = Some(stop),
        }
        if let Err(error) = calls.teardown().await {
            let id = calls.framework();
            let why = crate::chain(&error);
            note(&format!("the framework {id} stays for a week: {why}"));
        }
        let codes = self.ended.iter().filter_map(|at| {
            let end = self.members.get(*at)?.end.as_ref()?;
            Some(end.code())
        });
        let first = codes.into_iter().find(|code| *code != 0).unwrap_or(0);
        Ok(Some(match self.stop {
            Some(stop) if first != 0 => stop.code(),
            Some(_) | None => first,
        }))
    }

    async fn on_stop(&mut self, calls: &mut Calls, stop: Stop) -> Result<(), PodError> {
        if self.place.is_some() && self.stop.is_some() {
            note(&self.left());
            self.is_left = true;
            return Ok(());
        }
        if self.place.is_some() && stop != Stop::BrokenPipe {
            let id = &self.executor_id.value;
            note(&format!("killing {id}; once more leaves it"));
        }
        self.stop = Some(stop);
        self.kill(calls).await
    }

    /// Kills what still runs, and again until it has ended.
    async fn kill(&mut self, calls: &mut Calls) -> Result<(), PodError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        for member in self.members.iter().filter(|member| member.end.is_none()) {
            calls.kill(&member.task_id, Some(&place.agent_id)).await?;
        }
        self.wake = Some(Instant::now() + AGAIN);
        Ok(())
    }

    async fn reconcile(&mut self, calls: &mut Calls) -> Result<(), PodError> {
        let agent_id = self.place.as_ref().map(|place| &place.agent_id);
        for member in self.members.iter().filter(|member| member.end.is_none()) {
            calls.reconcile(&member.task_id, agent_id).await?;
        }
        Ok(())
    }

    /// Says what is waited for, or repeats what was not answered.
    async fn on_wake(&mut self, calls: &mut Calls) -> Result<(), PodError> {
        self.wake = None;
        if self.stop.is_some() {
            return self.kill(calls).await;
        }
        if self.place.is_some() {
            return Ok(());
        }
        let mut master = Connection::new(calls.address().clone());
        // The events wait meanwhile, so not for long.
        if let Ok(Ok(state)) = timeout(PATIENCE, state::fetch(&mut master)).await {
            let waiting = crate::need::sum(&self.needs()).shortage(&state.slaves);
            if waiting != self.waiting {
                note(&waiting);
            }
            self.waiting = waiting;
        }
        self.wake = Some(Instant::now() + PATIENCE);
        Ok(())
    }

    /// Begins to carry the output of a task here, once, unless the pod is to be left alone.
    fn follow(&mut self, at: usize) {
        let (Some(place), Some(framework)) = (&self.place, &self.info.id) else {
            return;
        };
        let Some(member) = self.members.get_mut(at) else {
            return;
        };
        if self.args.detach || std::mem::replace(&mut member.is_followed, true) {
            return;
        }
        let task = Some(&*member.task_id.value);
        let folder = sandbox_path(&framework.value, &self.executor_id.value, task);
        self.output.add(&place.agent, &folder, Some(&member.name));
    }

    fn left(&self) -> String {
        let tasks: BTreeSet<&str> = self.members.iter().map(|one| &*one.task_id.value).collect();
        let first = tasks.first().copied().unwrap_or_default();
        format!(
            "left {}; `tepui kill {first}` ends it",
            self.executor_id.value
        )
    }
}
