//! Run: one task from the command line to its exit code, as a framework of its own.
//!
//!     subscribe -> wait for an offer -> launch -> follow -> teardown
//!
//! The framework's failover timeout is a week, so that it may be left (`--detach`, a second
//! Ctrl-C) and taken over by `tepui kill`. A master that goes away is looked for again, and the
//! task reconciled; a framework that was taken over is watched from aside (`aside`).

use std::time::Duration;

use api::v1::scheduler::Event;
use api::v1::{AgentId, FrameworkId, FrameworkInfo, Offer, TaskId, TaskStatus};
use model::{Reason, TaskState};
use tokio::time::{Instant, sleep_until, timeout};

use crate::args::RunArgs;
use crate::client::ClientError;
use crate::client::address::Address;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::scheduler::{Calls, Events, SubscribeError, subscribe};
use crate::client::state;
use crate::ending::{Ending, NO_TASK};
use crate::need::Need;
use crate::note;
use crate::output::{Carried, Output};
use crate::spec;
use crate::stops::{Stop, Stops};

mod again;
use again::Again;

/// After so long without an offer that fits, the user is told what is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// An offer that does not fit is declined for so long; an offer that grew comes back at once.
pub(crate) const DECLINE_S: f64 = 5.0;
/// A kill and a reconciliation are repeated: the first may be lost with the agent's connection, the
/// second is not answered before the agent is back.
pub(crate) const AGAIN: Duration = Duration::from_secs(5);
/// A failure that a reconciliation told of has its exit code in the agent's own update, which is sent
/// until it is acknowledged: again after 10 s, then after 20 s.
const HEARSAY_MAX: Duration = Duration::from_secs(35);
/// So many refused calls, each followed by a new subscription, are no accident.
const REFUSALS_MAX: u32 = 3;

/// Why a run has no exit code of its task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("the name {name:?}")]
    Name {
        name: String,
        source: model::IdError,
    },
    #[error("a port to check is not named: give --health-port, or a --port")]
    HealthPort,
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
    /// The run is over, with this exit code.
    Done(u8),
    /// Another `tepui` speaks for the framework now.
    TakenOver,
    /// The master closed the stream.
    Closed,
}

/// Where the task was launched.
pub(crate) struct Place {
    pub(crate) agent_id: AgentId,
    pub(crate) agent: Address,
}

/// Whether the present master has spoken of the task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    Here,
    /// A master gives no answer as long as it awaits the task's agent.
    Awaited,
}

struct Run<'a> {
    args: &'a RunArgs,
    need: Need,
    task_id: TaskId,
    info: FrameworkInfo,
    place: Option<Place>,
    stop: Option<Stop>,
    news: News,
    /// The task's end as a reconciliation told it.
    hearsay: Option<Ending>,
    /// What was last said about waiting.
    waiting: String,
    wake: Option<Instant>,
    output: Output,
}

/// Runs a task; gives the exit code of this program.
pub(crate) async fn run(args: &RunArgs, master: &Master) -> Result<u8, RunError> {
    let task_id = spec::task_id(&args.name).map_err(|source| RunError::Name {
        name: args.name.clone(),
        source,
    })?;
    let wants_port = args.health.health_http.is_some() || args.health.health_tcp;
    if wants_port && args.health.health_port.is_none() && args.container.ports.is_empty() {
        return Err(RunError::HealthPort);
    }
    let mut stops = Stops::listen().map_err(RunError::Signals)?;
    let mut run = Run {
        args,
        need: Need::new(args.cpus, args.mem, args.disk).with_ports(&args.container.node_ports()),
        task_id,
        info: spec::framework(&args.user, &args.role),
        place: None,
        stop: None,
        news: News::Here,
        hearsay: None,
        waiting: String::new(),
        wake: Some(Instant::now() + PATIENCE),
        output: Output::new(),
    };
    let (mut calls, mut events) = tokio::select! {
        subscribed = subscribe(master, run.info.clone()) => subscribed?,
        stop = stops.next() => return Ok(stop.code()),
    };
    let mut refusals = 0;
    loop {
        run.info.id = Some(FrameworkId {
            value: calls.framework().to_owned(),
        });
        let lost = match run.converse(&mut calls, &mut events, &mut stops).await {
            Ok(Parting::Done(code)) => return Ok(code),
            Ok(Parting::TakenOver) => return Ok(run.watch(master, &mut stops).await),
            Ok(Parting::Closed) => "the master closed the stream of events".to_owned(),
            Err(RunError::Client(error)) => {
                refusals += u32::from(matches!(error, ClientError::Refused { .. }));
                if refusals >= REFUSALS_MAX {
                    return Err(error.into());
                }
                crate::chain(&error)
            }
            Err(other) => return Err(other),
        };
        drop(events);
        match run.subscribe_again(master, &lost, &mut stops).await? {
            Again::Subscribed(new) => (calls, events) = *new,
            Again::Done(code) => return Ok(code),
        }
    }
}

impl Run<'_> {
    /// Speaks with one master until that ends or the run does.
    async fn converse(
        &mut self,
        calls: &mut Calls,
        events: &mut Events,
        stops: &mut Stops,
    ) -> Result<Parting, RunError> {
        if let Some(place) = &self.place {
            // An earlier conversation launched the task: what became of it meanwhile?
            calls.suppress().await?;
            calls
                .reconcile(&self.task_id, Some(&place.agent_id))
                .await?;
            self.news = News::Awaited;
            self.wake = Some(Instant::now() + AGAIN);
        }
        loop {
            let wake = self.wake.unwrap_or_else(far_away);
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event? else { return Ok(Parting::Closed) };
                    if let Some(parting) = self.on_event(calls, event, stops).await? {
                        return Ok(parting);
                    }
                }
                stop = stops.next() => {
                    if let Some(parting) = self.on_stop(calls, stop).await? {
                        return Ok(parting);
                    }
                }
                () = self.output.broken_pipe() => {
                    if let Some(parting) = self.on_stop(calls, Stop::BrokenPipe).await? {
                        return Ok(parting);
                    }
                }
                () = sleep_until(wake) => {
                    if let Some(ending) = self.hearsay.take() {
                        return Ok(self.on_end(calls, &ending, stops).await);
                    }
                    self.on_wake(calls).await?;
                }
            }
        }
    }

    async fn on_event(
        &mut self,
        calls: &mut Calls,
        event: Event,
        stops: &mut Stops,
    ) -> Result<Option<Parting>, RunError> {
        if let Some(offers) = event.offers {
            self.on_offers(calls, offers.offers).await?;
        }
        if let Some(update) = event.update {
            return self.on_status(calls, &update.status, stops).await;
        }
        if let Some(error) = event.error {
            // Mesos' words for a framework that subscribed again elsewhere.
            if error.message.contains("failed over") {
                return Ok(Some(Parting::TakenOver));
            }
            return Err(RunError::Ended(error.message));
        }
        Ok(None)
    }

    /// Launches on the first offer that fits and gives the others back.
    async fn on_offers(&mut self, calls: &mut Calls, offers: Vec<Offer>) -> Result<(), RunError> {
        let mut rest = Vec::new();
        for offer in offers {
            let fitting = match &self.place {
                None if self.may_be_on(&offer.hostname) => self.need.take(&offer.resources),
                None | Some(_) => None,
            };
            let Some(taken) = fitting else {
                rest.push(offer.id);
                continue;
            };
            let task = spec::task(self.args, &self.task_id, &offer.agent_id, taken);
            // Before the call: where it breaks off nobody knows whether the task was launched, and
            // a second launch might be one too many.
            self.place = Some(Place {
                agent_id: offer.agent_id.clone(),
                agent: agent_address(&offer),
            });
            self.wake = None;
            calls.launch(&offer, task).await?;
            calls.suppress().await?;
        }
        if !rest.is_empty() {
            calls.decline(rest, DECLINE_S).await?;
        }
        Ok(())
    }

    async fn on_status(
        &mut self,
        calls: &mut Calls,
        status: &TaskStatus,
        stops: &mut Stops,
    ) -> Result<Option<Parting>, RunError> {
        calls.acknowledge(status).await?;
        if status.task_id != self.task_id {
            return Ok(None);
        }
        self.news = News::Here;
        let Some(state) = TaskState::from_number(status.state) else {
            return Ok(None);
        };
        match state {
            TaskState::Staging | TaskState::Killing => {}
            TaskState::Starting => self.follow_output(),
            TaskState::Running if self.args.detach => {
                self.print_detached(calls);
                return Ok(Some(Parting::Done(0)));
            }
            TaskState::Running => self.follow_output(),
            TaskState::Unreachable => note(&format!(
                "the node of {} does not answer; waiting for it",
                self.task_id.value
            )),
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
                if ending.is_hearsay() {
                    self.hearsay = Some(ending);
                    self.wake = Some(Instant::now() + HEARSAY_MAX);
                    return Ok(None);
                }
                return Ok(Some(self.on_end(calls, &ending, stops).await));
            }
        }
        Ok(None)
    }

    async fn on_end(&mut self, calls: &mut Calls, ending: &Ending, stops: &mut Stops) -> Parting {
        // A task that ended at once is known by its last status only; it may have written.
        if ending.code() != NO_TASK {
            self.follow_output();
        }
        self.drain(stops).await;
        if let Err(error) = calls.teardown().await {
            let id = calls.framework();
            note(&format!(
                "the framework {id} stays for a week: {}",
                crate::chain(&error)
            ));
        }
        Parting::Done(self.code(ending))
    }

    /// The exit code, and on stderr what it does not say.
    fn code(&self, ending: &Ending) -> u8 {
        match self.stop {
            Some(stop) if ending.state != TaskState::Finished => stop.code(),
            Some(_) | None => {
                if let Some(remark) = ending.remark() {
                    note(&remark);
                }
                ending.code()
            }
        }
    }

    async fn on_stop(
        &mut self,
        calls: &mut Calls,
        stop: Stop,
    ) -> Result<Option<Parting>, RunError> {
        let Some(place) = &self.place else {
            calls.teardown().await?;
            return Ok(Some(Parting::Done(stop.code())));
        };
        let id = &self.task_id.value;
        if self.stop.is_some() {
            note(&format!("left {id}; `tepui kill {id}` ends it"));
            return Ok(Some(Parting::Done(stop.code())));
        }
        if stop != Stop::BrokenPipe {
            note(&format!("killing {id}; once more leaves it"));
        }
        self.stop = Some(stop);
        self.wake = Some(Instant::now() + AGAIN);
        calls.kill(&self.task_id, Some(&place.agent_id)).await?;
        Ok(None)
    }

    /// Says what is waited for, or repeats what was not answered.
    async fn on_wake(&mut self, calls: &mut Calls) -> Result<(), RunError> {
        let Some(place) = &self.place else {
            let mut master = Connection::new(calls.address().clone());
            // The events wait meanwhile, so not for long.
            if let Ok(Ok(state)) = timeout(PATIENCE, state::fetch(&mut master)).await {
                let waiting = self.waiting_for(state.slaves);
                if waiting != self.waiting {
                    note(&waiting);
                }
                self.waiting = waiting;
            }
            self.wake = Some(Instant::now() + PATIENCE);
            return Ok(());
        };
        self.wake = None;
        if self.news == News::Awaited {
            self.wake = Some(Instant::now() + AGAIN);
            let agent = Some(&place.agent_id);
            calls.reconcile(&self.task_id, agent).await?;
        }
        if self.stop.is_some() {
            self.wake = Some(Instant::now() + AGAIN);
            calls.kill(&self.task_id, Some(&place.agent_id)).await?;
        }
        Ok(())
    }

    fn may_be_on(&self, hostname: &str) -> bool {
        let node = self.args.container.node.as_deref();
        node.is_none_or(|node| node == hostname)
    }

    fn waiting_for(&self, mut nodes: Vec<state::Node>) -> String {
        nodes.retain(|node| self.may_be_on(&node.hostname));
        match &self.args.container.node {
            Some(name) if nodes.is_empty() => {
                format!("waiting for the node {name}: it is not registered")
            }
            Some(_) | None => self.need.shortage(&nodes),
        }
    }

    /// Begins to carry the task's output here, once, unless it is to be left alone.
    fn follow_output(&mut self) {
        if self.args.detach {
            return;
        }
        if let (Some(place), Some(framework)) = (&self.place, &self.info.id) {
            self.output
                .start(&place.agent, &framework.value, &self.task_id.value);
        }
    }

    /// Waits until the rest of the output is here; another signal cuts that short.
    async fn drain(&mut self, stops: &mut Stops) {
        let cut = tokio::select! {
            end = self.output.drain() => match end {
                Carried::Whole => None,
                Carried::BrokenPipe => Some(Stop::BrokenPipe),
            },
            stop = stops.next() => Some(stop),
        };
        self.stop = self.stop.or(cut);
    }

    fn print_detached(&self, calls: &Calls) {
        let task = &self.task_id.value;
        if self.args.json {
            let agent = self.place.as_ref().map(|place| &place.agent_id.value);
            let ids = serde_json::json!({
                "task_id": task,
                "framework_id": calls.framework(),
                "agent_id": agent,
            });
            crate::print(&format!("{ids}\n"));
        } else {
            crate::print(&format!("{task}\n"));
        }
    }
}

/// Where the agent of an offer is reached, as it advertises itself.
pub(crate) fn agent_address(offer: &Offer) -> Address {
    const AGENT_PORT: u16 = 5051;
    let advertised = offer.url.as_ref().map(|url| &url.address);
    let port = advertised.and_then(|address| u16::try_from(address.port).ok());
    let host = advertised.and_then(|address| address.ip.clone().or(address.hostname.clone()));
    Address {
        host: host.unwrap_or_else(|| offer.hostname.clone()),
        port: port.unwrap_or(AGENT_PORT),
    }
}

pub(crate) fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
