//! The schedulers' side: events of a stream in, calls out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core::holdings::VolumeName;
use master_core::event::{
    Call, ExecutorKind, ExecutorSpec, FrameworkEvent, Launch, LaunchTask, Offer, OfferConstraints,
    Operation, Subscription, Text,
};
use master_core::{Connection, Event, StreamId};
use model::resources::Resource;
use model::{OfferId, Resources, TaskId, TaskState};

use super::detection::Client;
use super::groups::executor_resources;
use super::link::task_resources;
use super::{Happening, Stream, World};
use crate::checkers::{offers_live, one_end, told_once};
use crate::notation::{self, SeenStatus};
use crate::planted::Planted;
use crate::scheduler::SeenTask;

/// How often a scheduler asks after its tasks.
const RECONCILE_EVERY: Duration = Duration::from_secs(15);
/// Before that nobody asks after a task.
const LAUNCHED_WITHIN: Duration = Duration::from_secs(10);
/// How long a scheduler thinks about an offer, at most.
const THINKS_MAX: Duration = Duration::from_secs(20);

impl World {
    pub(super) fn subscribe(&mut self, number: usize, attempt: u64) {
        let scheduler = &mut self.schedulers[number];
        if scheduler.attempt != attempt || scheduler.stream.is_some() {
            return;
        }
        scheduler.attempt += 1;
        let master = self.turns_to(Client::Scheduler(number));
        let Some(master) = master.filter(|master| self.is_awake(*master)) else {
            return self.subscribe_later(number);
        };
        if self.masters[master].core.is_none() || !self.may_lead(master) {
            return self.subscribe_later(number);
        }
        self.streams_made += 1;
        let stream = StreamId(self.streams_made);
        let last = self.queue.now();
        self.streams.insert(
            stream,
            Stream {
                scheduler: number,
                master,
                master_life: self.masters[master].life,
                last,
            },
        );
        self.schedulers[number].stream = Some(stream);
        let framework = notation::framework(number, self.schedulers[number].id.as_ref());
        let subscription = Subscription {
            framework,
            suppressed_roles: Vec::new(),
            offer_constraints: OfferConstraints::default(),
        };
        let event = Event::Subscribe {
            stream,
            subscription,
        };
        self.master_step(master, event);
    }

    fn subscribe_later(&mut self, number: usize) {
        let attempt = self.schedulers[number].attempt;
        let delay = Duration::from_millis(100) + self.random.below(Duration::from_secs(3));
        self.queue.after(
            delay,
            Happening::Subscribe {
                scheduler: number,
                attempt,
            },
        );
    }

    pub(super) fn send_event(&mut self, stream: StreamId, event: FrameworkEvent) {
        let delay = self.delay();
        let arrives = self.queue.now() + delay;
        let is_rescind = matches!(event, FrameworkEvent::Rescind { .. });
        if is_rescind && self.scenario.planted == Some(Planted::OfferNotRescinded) {
            return;
        }
        let Some(open) = self.streams.get_mut(&stream) else {
            return;
        };
        open.last = open.last.max(arrives);
        let at = open.last;
        self.queue.at(at, Happening::StreamEvent { stream, event });
    }

    /// Ends a stream: what is under way is lost, each end learns of it a little later.
    pub(super) fn cut_stream(&mut self, stream: StreamId) {
        let Some(open) = self.streams.remove(&stream) else {
            return;
        };
        let ends = Happening::StreamEndsAtMaster {
            master: open.master,
            stream,
            life: open.master_life,
        };
        let delay = self.delay();
        self.queue.after(delay, ends);
        let delay = self.delay();
        self.queue
            .after(delay, Happening::StreamEndsAtScheduler { stream });
    }

    pub(super) fn stream_ends_at_scheduler(&mut self, stream: StreamId) {
        let owner = self
            .schedulers
            .iter()
            .position(|s| s.stream == Some(stream));
        if let Some(number) = owner {
            self.schedulers[number].stream = None;
            self.schedulers[number].held.clear();
            self.subscribe_later(number);
        }
    }

    /// Sends a call over the scheduler's second connection, in order; where that breaks, the
    /// scheduler cannot know what became of the call, and subscribes again. What may be said twice
    /// is, now and then, and overtakes others.
    pub(super) fn send_call(&mut self, number: usize, call: Call) {
        let Some(stream) = self.schedulers[number].stream else {
            return;
        };
        if let Call::Acknowledge { uuid, .. } = &call {
            self.acknowledged.by_framework(*uuid);
        }
        let may_come_twice = matches!(
            call,
            Call::Acknowledge { .. }
                | Call::AcknowledgeOperation { .. }
                | Call::Decline { .. }
                | Call::Kill { .. }
                | Call::Revive { .. }
        );
        if self.faults_go_on() && may_come_twice && self.chance(12) {
            self.faults += 1;
            let late = self.random.below(Duration::from_secs(3));
            let again = Happening::Call {
                scheduler: number,
                stream,
                call: call.clone(),
            };
            self.queue.after(late, again);
        }
        if self.faults_go_on() && self.chance(150) {
            self.faults += 1;
            self.note(&format!("FAULT a call of scheduler{number} is lost"));
            return self.cut_stream(stream);
        }
        let delay = self.delay();
        let at = self.calls_last[number].max(self.queue.now() + delay);
        self.calls_last[number] = at;
        self.queue.at(
            at,
            Happening::Call {
                scheduler: number,
                stream,
                call,
            },
        );
    }

    pub(super) fn call(&mut self, number: usize, stream: StreamId, call: Call) {
        let Some(framework_id) = self.schedulers[number].id.clone() else {
            return;
        };
        let Some(open) = self.streams.get(&stream) else {
            return;
        };
        let master = open.master;
        let Some(core) = &self.masters[master].core else {
            return;
        };
        if core.connection(&framework_id) == Connection::Connected(stream) {
            self.master_step(master, Event::Call { framework_id, call });
        }
    }

    pub(super) fn reconcile(&mut self, number: usize, stream: StreamId) {
        let scheduler = &self.schedulers[number];
        if scheduler.stream != Some(stream) {
            return;
        }
        // A launch may still be on its way.
        let now = self.queue.now();
        let is_there = |task: &SeenTask| now.since(task.launched) > LAUNCHED_WITHIN;
        let tasks: Vec<(Text, Option<Text>)> = scheduler
            .open_tasks()
            .filter(|(_, task)| is_there(task))
            .map(|(id, task)| (Text::from(id.as_str()), Some(Text::from(&*task.agent_id))))
            .collect();
        // An empty list would ask after everything; ask so now and then.
        if !tasks.is_empty() || self.chance(4) {
            self.send_call(number, Call::Reconcile { tasks });
        }
        let again = Happening::Reconcile {
            scheduler: number,
            stream,
        };
        self.queue.after(RECONCILE_EVERY, again);
    }

    pub(super) fn stream_event(&mut self, stream: StreamId, event: FrameworkEvent) {
        let Some(open) = self.streams.get(&stream) else {
            return;
        };
        let number = open.scheduler;
        if self.schedulers[number].stream != Some(stream) {
            return;
        }
        match event {
            FrameworkEvent::Subscribed { framework_id, .. } => {
                if let Some(known) = &self.schedulers[number].id
                    && *known != framework_id
                {
                    return self.violation(format!("scheduler{number} was given a second id"));
                }
                self.note(&format!(
                    "scheduler{number} is subscribed as {framework_id}"
                ));
                self.schedulers[number].id = Some(framework_id);
                self.reconcile(number, stream);
                if self.schedulers[number].wanted > 0 {
                    self.send_call(number, Call::Revive { roles: Vec::new() });
                }
            }
            FrameworkEvent::Offers { offers, .. } => {
                for offer in offers {
                    self.thinks(number, stream, offer);
                }
            }
            FrameworkEvent::Rescind { offer_id } => {
                self.schedulers[number].held.remove(&offer_id);
            }
            FrameworkEvent::Relayed { status } => match notation::status_of_blob(&status) {
                Some(seen) => self.told(number, &seen),
                None => self.violation("a status cannot be read".to_string()),
            },
            FrameworkEvent::Made(status) => {
                let Ok(task_id) = TaskId::new(&status.task_id) else {
                    return self.violation(format!("status of no task: {}", status.task_id));
                };
                let seen = SeenStatus {
                    task_id,
                    state: status.state,
                    reason: Some(status.reason),
                    uuid: None,
                    agent_id: status.agent_id.map(|id| id.to_string()),
                };
                self.told(number, &seen);
            }
            FrameworkEvent::Error { message } => {
                self.violation(format!("scheduler{number} was sent ERROR: {message}"));
            }
            FrameworkEvent::OperationStatus(status) => self.operation_told(number, &status),
            FrameworkEvent::Heartbeat
            | FrameworkEvent::Message { .. }
            | FrameworkEvent::InverseOffers { .. }
            | FrameworkEvent::RescindInverseOffer { .. }
            | FrameworkEvent::Failure { .. } => {}
        }
    }

    fn told(&mut self, number: usize, seen: &SeenStatus) {
        self.note(&format!(
            "scheduler{number} hears {} {} {:?}",
            seen.task_id, seen.state, seen.reason
        ));
        let Some(task) = self.schedulers[number].tasks.get_mut(&seen.task_id) else {
            return self.violation(format!("scheduler{number} never launched {}", seen.task_id));
        };
        let again = seen
            .uuid
            .and_then(|uuid| told_once::told(&seen.task_id, task, seen.state, uuid));
        let other = one_end::told(&seen.task_id, task, seen.state);
        let broken = again.into_iter().chain(other);
        broken.for_each(|line| self.violation(line));
        let (Some(uuid), Some(agent_id)) = (seen.uuid, &seen.agent_id) else {
            return;
        };
        let acknowledge = Call::Acknowledge {
            agent_id: Text::from(&**agent_id),
            task_id: Text::from(seen.task_id.as_str()),
            uuid,
        };
        self.send_call(number, acknowledge);
        if seen.state == TaskState::Running && self.chance(10) {
            let task_id = Text::from(seen.task_id.as_str());
            let kill = Call::Kill {
                task_id,
                agent_id: None,
                kill_policy: None,
            };
            self.send_call(number, kill);
        }
    }

    /// Some offers are answered at once, others later.
    fn thinks(&mut self, number: usize, stream: StreamId, offer: Arc<Offer>) {
        if !self.chance(3) {
            return self.offered(number, &offer);
        }
        let offer_id = offer.id.clone();
        self.schedulers[number].held.insert(offer_id.clone(), offer);
        let thinks = self.random.below(THINKS_MAX);
        let answers = Happening::Answers {
            scheduler: number,
            stream,
            offer_id,
        };
        self.queue.after(thinks, answers);
    }

    /// A scheduler answers an offer, unless it was taken back; one that is void and was not taken
    /// back must be soon.
    pub(super) fn answers(&mut self, number: usize, stream: StreamId, offer_id: OfferId) {
        if self.schedulers[number].stream != Some(stream) {
            return;
        }
        let open = self.streams.get(&stream);
        let core = open.and_then(|open| self.masters[open.master].core.as_ref());
        if core.is_some_and(|core| offers_live::is_known(core, &offer_id)) {
            if let Some(offer) = self.schedulers[number].held.remove(&offer_id) {
                self.offered(number, &offer);
            }
        } else if core.is_some() && self.schedulers[number].held.contains_key(&offer_id) {
            let void = Happening::OfferVoid {
                scheduler: number,
                stream,
                offer_id,
            };
            self.queue.after(offers_live::TOLD_WITHIN, void);
        }
    }

    pub(super) fn offer_void(&mut self, number: usize, stream: StreamId, offer_id: &OfferId) {
        let open = self.streams.get(&stream);
        let acts = open.is_some_and(|open| self.is_awake(open.master));
        let is_current = acts && self.schedulers[number].stream == Some(stream);
        if is_current && self.schedulers[number].held.contains_key(offer_id) {
            self.violation(offers_live::still_held(number, offer_id));
        }
    }

    fn offered(&mut self, number: usize, offer: &Arc<Offer>) {
        let mut left: Resources = offer.resources.unallocate();
        let mut operations = self.changes(number, offer, &mut left);
        if self.chance(3)
            && let Some(group) = self.new_group(number, offer, &mut left)
        {
            operations.push(Operation::LaunchGroup(group));
        }
        let mut tasks = self.revocable_tasks(number, offer, &mut left);
        // One that is there already takes no more, but the offer does not say so.
        let executor = executor_resources();
        let each = task_resources().plus(&executor);
        while self.schedulers[number].wanted > 0 && left.contains(&each) {
            left.subtract_all(&each);
            let volume = self.volume_to_use(number, &left);
            left.subtract_all(&volume.iter().cloned().collect());
            tasks.push(self.new_task(number, offer, volume));
            if self.chance(2) {
                break;
            }
        }
        let offer_ids = vec![Text::from(offer.id.as_str())];
        if !tasks.is_empty() {
            operations.push(Operation::Launch(Launch { id: None, tasks }));
        }
        let call = if operations.is_empty() {
            // No task wanted: a long filter, but while it plays with reservations.
            let plays = self.faults_go_on() && self.schedulers[number].changes > 0;
            Call::Decline {
                offer_ids,
                refuse_seconds: Some(if plays { 2.0 } else { 60.0 }),
            }
        } else {
            let refuse_seconds = self.chance(2).then_some(0.0);
            Call::Accept {
                offer_ids,
                operations,
                refuse_seconds,
            }
        };
        self.send_call(number, call);
    }

    pub(super) fn new_task(
        &mut self,
        number: usize,
        offer: &Offer,
        volume: Option<Resource>,
    ) -> LaunchTask {
        let launched = self.queue.now();
        let scheduler = &mut self.schedulers[number];
        scheduler.wanted -= 1;
        scheduler.named += 1;
        let text = format!("s{number}-{}", scheduler.named);
        let agent_id = offer.agent_id.to_string();
        let mut info = model::Blob::default();
        if let Ok(id) = TaskId::new(&text) {
            let name = volume.as_ref().and_then(VolumeName::of);
            info = notation::task(&id, name.as_ref().map(|name| &*name.id));
            let task = SeenTask {
                agent_id: agent_id.clone(),
                launched,
                ..SeenTask::default()
            };
            scheduler.tasks.insert(id, task);
        }
        let executor = TaskId::new(&text).ok();
        let executor = executor.as_ref().and_then(notation::executor_of_task);
        let framework_id = self.schedulers[number].id.clone();
        let executor = executor.map(|id| ExecutorSpec {
            executor_id: Text::from(&*id),
            framework_id: framework_id.as_ref().map(|id| Text::from(id.as_str())),
            kind: ExecutorKind::Custom,
            has_command: true,
            resources: Ok(executor_resources().iter().cloned().collect()),
            shutdown_grace_ns: None,
            share_cgroups: None,
            is_docker: false,
            type_fault: None,
            content_fault: None,
            info: notation::executor(&id),
            identity: notation::executor(&id),
        });
        LaunchTask {
            task_id: Text::from(&*text),
            name: Text::from(&*text),
            agent_id: Text::from(&*agent_id),
            resources: Ok(task_resources().iter().cloned().chain(volume).collect()),
            limits: BTreeMap::new(),
            user: None,
            has_command: executor.is_none(),
            executor,
            kill_grace_ns: None,
            max_completion_ns: None,
            share_cgroups: None,
            check_fault: None,
            content_fault: None,
            group_fault: None,
            info,
        }
    }
}
