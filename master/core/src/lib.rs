//! Master core: what a leading master decides.
//!
//! Frameworks, agents, tasks, offers and their allocation, as one state machine: [`Master::step`]
//! takes an [`Event`] and gives back [`Effect`]s. No I/O, no clock, no randomness but a seed.
//!
//! Invariant: on each agent, offered + allocated <= total, for every resource.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use model::resources::{Quantities, Role, Scalar};
use model::{AgentId, FrameworkId, Instant, MasterId, OfferId};

mod admission;
pub mod agents;
mod agents_by_age;
pub mod allocator;
pub mod authorization;
pub mod constraints;
pub mod counters;
pub mod draining;
pub mod election;
pub mod event;
pub mod executors;
pub mod frameworks;
mod gone;
mod launch;
mod learning;
pub mod maintenance;
mod numbers;
mod offers;
pub mod operations;
mod operator;
mod oversubscription;
pub mod quota;
mod random;
mod reconcile;
mod registry;
mod removal_limit;
mod resource_json;
mod resource_rules;
mod statuses;
mod subscribing;
mod subscription;
mod task_ends;
pub mod tasks;
mod timers;
mod validation;
mod view;
mod watchers;
pub mod weights;

use agents::{Agent, RecoveredAgent};
use agents_by_age::AgentsByAge;
use allocator::{Allocator, Hierarchical, Policy, Sorters};
use authorization::Acls;
use constraints::PatternLimits;
use counters::Counters;
use draining::Deactivations;
use event::{AgentMessage, Call, LinkId, Note, Offer, Text};
use frameworks::Framework;
use maintenance::{InverseOffers, Maintenance, ResponseKind};
use operations::Operations;
use quota::Quotas;
use random::Random;
use registry::Registrar;
use removal_limit::RemovalLimit;
use timers::{Timer, Timers};
use weights::Weights;

pub use event::{Effect, Event, StreamId, WallTime};
pub use removal_limit::RemovalRate;
pub use subscribing::{KeptFields, Unchanged};
pub use view::View;

/// What a master is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its id, new at each start.
    pub master_id: MasterId,
    /// The leader's epoch, 1 or more: greater than that of every leader before.
    pub epoch: u64,
    /// The date at [`Instant::ZERO`].
    pub clock_start: WallTime,
    /// Seed of whatever wants randomness.
    pub seed: u64,
    /// `--agent_ping_timeout`.
    pub agent_ping_timeout: Duration,
    /// `--max_agent_ping_timeouts`.
    pub max_agent_ping_timeouts: u32,
    /// `--agent_removal_rate_limit`; none: agents that do not answer are given up at once.
    pub agent_removal_rate: Option<RemovalRate>,
    /// `--agent_reregister_timeout`.
    pub agent_reregister_timeout: Duration,
    /// `--allocation_interval`.
    pub allocation_interval: Duration,
    /// `--offer_timeout`; none: offers do not expire.
    pub offer_timeout: Option<Duration>,
    /// `--role_sorter` and `--framework_sorter`: whose turn it is.
    pub sorters: Sorters,
    /// `--min_allocatable_resources`: any one of these is enough for an offer.
    pub min_allocatable: Vec<Quantities>,
    /// `--filter_gpu_resources`: agents with GPUs are for frameworks that ask for them.
    pub filter_gpu_resources: bool,
    /// The region of `--domain`; none: agents that have a domain are refused.
    pub region: Option<Text>,
    /// `--require_agent_domain`: agents that have no domain are refused.
    pub require_agent_domain: bool,
    /// `--fair_sharing_excluded_resource_names`: these do not count for anyone's share.
    pub fair_sharing_excluded: BTreeSet<Text>,
    /// `--allocator_recovery_timeout`: where there is quota, nothing is given out for so long, unless
    /// enough of the registry's agents are back before.
    pub allocator_recovery_timeout: Duration,
    /// `--allocator_agent_recovery_factor`: the part of the registry's agents that is enough.
    pub allocator_agent_recovery_factor: Scalar,
    /// `--roles`: the roles that frameworks may have beside `*`; none: any.
    pub roles: Option<BTreeSet<Role>>,
    /// `--root_submissions`: frameworks may have the user `root`.
    pub root_submissions: bool,
    /// How large the patterns of offer constraints may be.
    pub pattern_limits: PatternLimits,
    /// `--max_completed_frameworks`.
    pub completed_frameworks_max: usize,
    /// `--max_completed_tasks_per_framework`.
    pub completed_tasks_per_framework_max: usize,
    /// `--max_unreachable_tasks_per_framework`.
    pub unreachable_tasks_per_framework_max: usize,
    /// `--acls`: who may do what.
    pub acls: Arc<Acls>,
}

/// How a framework is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// This master does not know it: 400 "Framework cannot be found".
    Unknown,
    /// It is known and has no stream: 403 "Framework is not subscribed".
    Disconnected,
    /// It has this stream; a call with another stream's id gets 400.
    Connected(StreamId),
}

/// Sets the seed of operations' names apart from the allocator's.
const UUID_SEED: u64 = 0x6f70_6572_6174_696f;

/// How long a run of the allocator may wait for a [`Event::Tick`] while other events keep coming.
const ALLOCATION_DELAY_MAX: Duration = Duration::from_millis(10);

/// The state of a leading master.
#[derive(Debug)]
pub struct Master {
    config: Config,
    now: Instant,
    /// What the current step wants done.
    out: Vec<Effect>,
    has_recovered: bool,
    frameworks: BTreeMap<FrameworkId, Framework>,
    completed_frameworks: VecDeque<Framework>,
    streams: BTreeMap<StreamId, FrameworkId>,
    /// Each in a box of its own: a third of the map's room is spare.
    agents: BTreeMap<AgentId, Box<Agent>>,
    recovered_agents: BTreeMap<AgentId, RecoveredAgent>,
    unreachable_agents: AgentsByAge,
    gone_agents: AgentsByAge,
    deactivations: Deactivations,
    maintenance: Maintenance,
    /// Links of registered agents, and of those that wait for the registry.
    links: BTreeMap<LinkId, AgentId>,
    addresses: BTreeMap<Text, AgentId>,
    offers: BTreeMap<OfferId, Arc<Offer>>,
    inverse_offers: InverseOffers,
    operations: Operations,
    random: Random,
    allocator: Hierarchical,
    quotas: Quotas,
    weights: Weights,
    registrar: Registrar,
    removal_limit: RemovalLimit,
    timers: Timers,
    counters: Counters,
    version: u64,
    next_framework: u64,
    next_agent: u64,
    next_offer: u64,
}

impl Master {
    /// A master that knows nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let policy = Policy {
            sorters: config.sorters,
            min_allocatable: config.min_allocatable.clone(),
            filter_gpu_resources: config.filter_gpu_resources,
            region: config.region.clone(),
            fair_sharing_excluded: config.fair_sharing_excluded.clone(),
            batch_interval: config.allocation_interval,
        };
        let removal_limit = RemovalLimit::new(config.agent_removal_rate);
        Self {
            allocator: Hierarchical::new(policy, config.seed),
            random: Random::new(config.seed ^ UUID_SEED),
            config,
            now: Instant::ZERO,
            out: Vec::new(),
            has_recovered: false,
            frameworks: BTreeMap::new(),
            completed_frameworks: VecDeque::new(),
            streams: BTreeMap::new(),
            agents: BTreeMap::new(),
            recovered_agents: BTreeMap::new(),
            unreachable_agents: AgentsByAge::default(),
            gone_agents: AgentsByAge::default(),
            deactivations: Deactivations::default(),
            maintenance: Maintenance::default(),
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            offers: BTreeMap::new(),
            inverse_offers: InverseOffers::default(),
            operations: Operations::default(),
            quotas: Quotas::default(),
            weights: Weights::default(),
            registrar: Registrar::default(),
            removal_limit,
            timers: Timers::default(),
            counters: Counters::new(),
            version: 0,
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
        }
    }

    /// Applies one event; the effects are to be carried out in order, stores before sends.
    ///
    /// What can be allocated is, at the next tick: the shell gives one when its queue of events is
    /// empty and [`Self::deadline`] has come.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now);
        let is_tick = matches!(event, Event::Tick);
        let is_pong = matches!(
            event,
            Event::AgentFrame {
                message: AgentMessage::Pong { .. },
                ..
            }
        );
        self.apply(event);
        while let Some((at, timer)) = self.timers.next_due(self.now) {
            self.fire(at, timer);
        }
        if let Some(wanted) = self.allocator.deadline().filter(|at| *at <= self.now)
            && (is_tick || self.now - wanted >= ALLOCATION_DELAY_MAX)
        {
            self.allocate();
        }
        if let Some(wanted) = self.inverse_offers.deadline().filter(|at| *at <= self.now)
            && (is_tick || self.now - wanted >= ALLOCATION_DELAY_MAX)
        {
            self.send_inverse_offers();
        }
        self.check_drains();
        let out = core::mem::take(&mut self.out);
        if !(out.is_empty() && (is_tick || is_pong)) {
            self.version = self.version.saturating_add(1);
        }
        out
    }

    /// Grows whenever something may have changed that [`Self::view`] shows.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Recovered(registry) => self.recovered(registry),
            Event::Subscribe {
                stream,
                subscription,
            } => self.subscribe(stream, subscription),
            Event::StreamClosed { stream } => self.stream_closed(stream),
            Event::Call { framework_id, call } => self.call(&framework_id, call),
            Event::Operate {
                request,
                principal,
                call,
            } => self.request(request, principal.as_ref(), &call),
            Event::Register {
                link,
                incarnation,
                registration,
            } => self.register(link, incarnation, registration),
            Event::AgentFrame {
                link,
                epoch,
                incarnation,
                message,
            } => self.agent_frame(link, epoch, incarnation, message),
            Event::LinkClosed { link } => self.link_closed(link),
            Event::RegistryStored { store } => self.stored(store),
        }
    }

    fn call(&mut self, id: &FrameworkId, call: Call) {
        if !matches!(self.connection(id), Connection::Connected(_)) {
            self.drop_message("call", format!("framework {id} is not subscribed"));
            return;
        }
        match call {
            Call::Teardown => self.teardown(id),
            Call::Accept {
                offer_ids,
                operations,
                refuse_seconds,
            } => self.accept(id, &offer_ids, &operations, refuse_seconds),
            Call::Decline {
                offer_ids,
                refuse_seconds,
            } => self.decline(id, &offer_ids, refuse_seconds),
            Call::AcceptInverseOffers {
                inverse_offer_ids,
                refuse_seconds,
            } => self.respond(id, &inverse_offer_ids, ResponseKind::Accept, refuse_seconds),
            Call::DeclineInverseOffers {
                inverse_offer_ids,
                refuse_seconds,
            } => self.respond(
                id,
                &inverse_offer_ids,
                ResponseKind::Decline,
                refuse_seconds,
            ),
            Call::Revive { roles } => self.revive(id, &roles),
            Call::Suppress { roles } => self.suppress(id, &roles),
            Call::Kill {
                task_id,
                agent_id,
                kill_policy,
            } => self.kill(id, &task_id, agent_id.as_ref(), kill_policy.as_ref()),
            Call::Shutdown {
                executor_id,
                agent_id,
            } => self.shutdown(id, &executor_id, &agent_id),
            Call::Acknowledge {
                agent_id,
                task_id,
                uuid,
            } => self.acknowledge(id, &agent_id, &task_id, uuid),
            Call::AcknowledgeOperation {
                agent_id,
                operation_id,
                uuid,
            } => self.acknowledge_operation(id, &agent_id, &operation_id, uuid),
            Call::ReconcileOperations { operations } => {
                self.reconcile_operations(id, &operations);
            }
            Call::Reconcile { tasks } => self.reconcile(id, &tasks),
            Call::Message {
                agent_id,
                executor_id,
                data,
            } => self.framework_message(id, &agent_id, &executor_id, data),
            Call::UpdateFramework(update) => self.update_framework(id, update),
            Call::Request => self.counters.count("messages_resource_request"),
        }
    }

    fn fire(&mut self, at: Instant, timer: Timer) {
        match timer {
            Timer::Heartbeat(stream) => self.heartbeat(stream),
            Timer::Failover(id) => self.failover_timeout(&id, at),
            Timer::Ping(id) => self.ping_timeout(&id, at),
            Timer::Removal => self.removal_due(),
            Timer::Recovered(id) => self.recovered_timeout(&id, at),
            Timer::Offer(id) => self.offer_timeout(&id),
            Timer::InverseOffer(id) => self.inverse_offer_timeout(&id),
            Timer::AskBack(id, _) => self.ask_back(&id),
        }
    }

    /// When `step` wants to be called with [`Event::Tick`], if nothing else happens before; in the
    /// past where that is at once.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let timers = self.timers.deadline().into_iter();
        let inverse_offers = self.inverse_offers.deadline();
        timers
            .chain(self.allocator.deadline())
            .chain(inverse_offers)
            .min()
    }

    /// What the master was told at its start.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The date of the current step.
    const fn wall_time(&self) -> WallTime {
        WallTime(
            self.config
                .clock_start
                .0
                .saturating_add(self.now.as_nanos()),
        )
    }

    fn drop_message(&mut self, what: &'static str, why: String) {
        self.counters.count("dropped_messages");
        self.out.push(Effect::Note(Note::Dropped { what, why }));
    }
}
