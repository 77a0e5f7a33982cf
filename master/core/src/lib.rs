//! Master core: what a leading master decides.
//!
//! Frameworks, agents, tasks, offers and their allocation, as one state machine: [`Master::step`]
//! takes an [`Event`] and gives back [`Effect`]s. No I/O, no clock, no randomness but a seed.
//!
//! Invariant: on each agent, offered + allocated <= total, for every resource.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use model::resources::Quantities;
use model::{FrameworkId, Instant, MasterId};

pub mod event;

pub use event::{Effect, Event, StreamId, WallTime};

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
    /// `--agent_reregister_timeout`.
    pub agent_reregister_timeout: Duration,
    /// `--allocation_interval`.
    pub allocation_interval: Duration,
    /// `--offer_timeout`; none: offers do not expire.
    pub offer_timeout: Option<Duration>,
    /// `--min_allocatable_resources`: any one of these is enough for an offer.
    pub min_allocatable: Vec<Quantities>,
    /// `--filter_gpu_resources`: agents with GPUs are for frameworks that ask for them.
    pub filter_gpu_resources: bool,
    /// `--max_completed_frameworks`.
    pub completed_frameworks_max: usize,
    /// `--max_completed_tasks_per_framework`.
    pub completed_tasks_per_framework_max: usize,
    /// `--max_unreachable_tasks_per_framework`.
    pub unreachable_tasks_per_framework_max: usize,
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

/// The state of a leading master.
#[derive(Debug)]
pub struct Master {
    config: Config,
}

impl Master {
    /// A master that knows nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Applies one event; the effects are to be carried out in order, stores before sends.
    pub fn step(&mut self, _now: Instant, _event: Event) -> Vec<Effect> {
        Vec::new()
    }

    /// When `step` wants to be called with [`Event::Tick`], if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// How a framework is connected, for the checks of HTTP.
    #[must_use]
    pub fn connection(&self, _framework_id: &FrameworkId) -> Connection {
        Connection::Unknown
    }

    /// What the master was told at its start.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}
