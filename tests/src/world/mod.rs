//! The world: masters, nodes and schedulers, and the network between them.
//!
//! Each side's file carries out the effects of its core; this one holds what is shared: the clock,
//! the seed, the connections, the trace, and the loop.

mod container_side;
mod detection;
mod election_side;
mod executor_side;
mod faults;
mod fences;
mod groups;
mod happening;
mod link;
mod master_side;
mod node_side;
mod operations;
mod operator;
mod planted_side;
mod revocable_side;
mod scheduler_side;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core::WallTime;
use agent_core::containers::RequestId;
use agent_core::effect::LinkId as NodeLink;
use agent_core::random::Random;
use master_core::StreamId;
use master_core::event::{OperationInfo, RequestId as OperatorRequest};
use model::{ContainerId, Instant};

pub(crate) use self::happening::Happening;
use crate::checkers::launched_once::LaunchedOnce;
use crate::checkers::one_leader::OneLeader;
use crate::checkers::promises::{Acknowledged, Wish};
use crate::checkers::{settled, within_total};
use crate::ledger::Ledger;
use crate::master::MasterProcess;
use crate::node::Node;
use crate::past::Past;
use crate::planted::Planted;
use crate::queue::Queue;
use crate::scheduler::Scheduler;
use crate::zookeeper::ZooKeeper;

/// Happenings of one run, at most; a run that wants more goes round in circles.
const STEPS_MAX: u64 = 2_000_000;
/// Steps of one core at one instant, at most.
const STEPS_AT_ONCE_MAX: u64 = 20_000;

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many masters: one, which is its own leader, or several with ZooKeeper.
    pub masters: usize,
    /// How many nodes.
    pub nodes: usize,
    /// How many schedulers.
    pub schedulers: usize,
    /// Tasks that each scheduler wants run.
    pub tasks_each: usize,
    /// How long things go wrong.
    pub faults_for: Duration,
    /// The bound of the calm after it.
    pub settle_within: Duration,
    /// What is broken on purpose.
    pub planted: Option<Planted>,
}

impl Scenario {
    /// The world that a seed stands for.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new([seed, 0]);
        let mut pick = |n: u64| usize::try_from(below(&mut random, n)).unwrap_or(0);
        Self {
            seed,
            nodes: 1 + pick(4),
            schedulers: 1 + pick(3),
            tasks_each: 3 + pick(10),
            faults_for: Duration::from_secs(60 + 60 * pick(4) as u64),
            settle_within: Duration::from_secs(3600),
            masters: 1 + pick(3),
            planted: None,
        }
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// The rules that were broken; none in a good run.
    pub violations: Vec<String>,
    /// What happened, a line each, with the virtual time.
    pub trace: Vec<String>,
    /// Tasks that ended and whose framework knows.
    pub tasks_ended: usize,
    /// Operations that an agent was sent.
    pub operations: usize,
    /// Updates that frameworks' own executors made.
    pub executor_updates: usize,
    /// Things that were made to go wrong.
    pub faults: usize,
}

/// A connection between a node and a master. Frames arrive in order or not at all.
#[derive(Debug)]
pub(crate) struct Wire {
    node: usize,
    node_life: u64,
    node_link: NodeLink,
    master: usize,
    master_life: u64,
    is_registered: bool,
    up_last: Instant,
    down_last: Instant,
}

/// A stream of events from a master to a scheduler.
#[derive(Debug)]
pub(crate) struct Stream {
    scheduler: usize,
    master: usize,
    master_life: u64,
    last: Instant,
}

/// The world.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    queue: Queue<Happening>,
    random: Random,
    /// What the operator does is a matter of its own.
    operator: Random,
    requests: u64,
    /// What operators asked for and were not answered.
    asked: BTreeMap<OperatorRequest, Wish>,
    zookeeper: ZooKeeper,
    ledger: Ledger,
    masters: Vec<MasterProcess>,
    acting: OneLeader,
    past: Past,
    acknowledged: Acknowledged,
    /// How far the date is off, in nanoseconds.
    wall_offset: i64,
    nodes: Vec<Node>,
    schedulers: Vec<Scheduler>,
    wires: BTreeMap<u64, Wire>,
    wires_made: u64,
    streams: BTreeMap<StreamId, Stream>,
    streams_made: u64,
    calls_last: Vec<Instant>,
    /// What operations do, by the number that agents are told.
    operations: Vec<Arc<OperationInfo>>,
    launched: LaunchedOnce,
    /// The calls of executors under way and their streams, each with the executor's container.
    calls: BTreeMap<RequestId, ContainerId>,
    calls_made: u64,
    executor_updates: usize,
    faults: usize,
    at_once: u64,
    violations: Vec<String>,
    trace: Vec<String>,
}

/// A number below `bound`, each equally likely.
pub(crate) fn below(random: &mut Random, bound: u64) -> u64 {
    let nanos = random.below(Duration::from_nanos(bound)).as_nanos();
    u64::try_from(nanos).unwrap_or(0)
}

/// Runs a scenario to its end.
#[must_use]
pub fn run(scenario: &Scenario) -> Report {
    let mut world = World::new(scenario.clone());
    world.run();
    let seen = world.schedulers.iter().flat_map(|s| s.tasks.values());
    Report {
        tasks_ended: seen.filter(|task| task.end.is_some()).count(),
        violations: world.violations,
        trace: world.trace,
        operations: world.operations.len(),
        executor_updates: world.executor_updates,
        faults: world.faults,
    }
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let mut queue = Queue::default();
        for master in 0..scenario.masters {
            let at = Duration::from_millis(10) * u32::try_from(master).unwrap_or(0);
            queue.after(at, Happening::MasterStart { master });
        }
        if scenario.masters > 1 {
            queue.after(election_side::EXPIRY_EVERY, Happening::SessionsExpire);
        }
        queue.after(Duration::from_millis(50), Happening::AllLook);
        for node in 0..scenario.nodes {
            queue.after(Duration::from_millis(100), Happening::NodeStart { node });
        }
        for scheduler in 0..scenario.schedulers {
            let first = Happening::Subscribe {
                scheduler,
                attempt: 0,
            };
            queue.after(Duration::from_millis(200), first);
        }
        queue.after(Duration::from_secs(3), Happening::Fault);
        queue.after(Duration::from_secs(5), Happening::OperatorActs);
        Self {
            queue,
            random: Random::new([scenario.seed, 1]),
            operator: Random::new([scenario.seed, 2]),
            requests: 0,
            asked: BTreeMap::new(),
            zookeeper: ZooKeeper::default(),
            ledger: Ledger::default(),
            masters: (0..scenario.masters)
                .map(|_| MasterProcess::default())
                .collect(),
            acting: OneLeader::default(),
            past: Past::default(),
            acknowledged: Acknowledged::default(),
            wall_offset: 0,
            nodes: (0..scenario.nodes).map(|_| Node::new()).collect(),
            schedulers: (0..scenario.schedulers)
                .map(|_| Scheduler::new(scenario.tasks_each))
                .collect(),
            wires: BTreeMap::new(),
            wires_made: 0,
            streams: BTreeMap::new(),
            streams_made: 0,
            calls_last: vec![Instant::ZERO; scenario.schedulers],
            operations: Vec::new(),
            launched: LaunchedOnce::default(),
            calls: BTreeMap::new(),
            calls_made: 0,
            executor_updates: 0,
            faults: 0,
            at_once: 0,
            violations: Vec::new(),
            trace: Vec::new(),
            scenario,
        }
    }

    fn run(&mut self) {
        let calm_at = Instant::ZERO + self.scenario.faults_for;
        let end_at = calm_at + self.scenario.settle_within;
        let mut steps = 0;
        let mut before = Instant::ZERO;
        while let Some(happening) = self.queue.pop() {
            steps += 1;
            let now = self.queue.now();
            self.at_once = if now == before { self.at_once + 1 } else { 0 };
            before = now;
            if let Some(until) = self.goes_on_at(&happening) {
                self.queue.at(until, happening);
                continue;
            }
            self.happen(happening);
            self.check();
            if steps > STEPS_MAX || self.at_once > STEPS_AT_ONCE_MAX {
                self.violation("the run goes round in circles".to_string());
            }
            if !self.violations.is_empty() {
                break;
            }
            let is_calm = now > calm_at;
            if now > end_at || (is_calm && self.restless().is_empty()) {
                break;
            }
        }
        let is_whole = self.violations.is_empty() || steps > STEPS_MAX;
        for line in self.restless().into_iter().filter(|_| is_whole) {
            self.violation(format!("not settled: {line}"));
        }
    }

    fn restless(&self) -> Vec<String> {
        let acting = self.acting();
        let core = acting.and_then(|master| self.masters[master].core.as_ref());
        settled::restless(&self.nodes, &self.schedulers, core)
    }

    /// The master that leads, as nobody in the world can know it.
    fn acting(&self) -> Option<usize> {
        let led = self.masters.iter().enumerate();
        let led = led.filter(|(_, process)| process.core.is_some());
        let newest = led.max_by_key(|(_, process)| process.epoch)?;
        Some(newest.0)
    }

    fn is_awake(&self, master: usize) -> bool {
        let now = self.queue.now();
        self.masters[master]
            .asleep_until
            .is_none_or(|until| until <= now)
    }

    fn check(&mut self) {
        let exceeded = self.nodes.iter().enumerate();
        let found: Vec<String> = exceeded
            .filter_map(|(number, node)| within_total::exceeded(number, node))
            .collect();
        found.into_iter().for_each(|line| self.violation(line));
    }

    fn wall(&self) -> WallTime {
        let now = 1_700_000_000_000_000_000 + self.queue.now().as_nanos();
        WallTime(now.saturating_add_signed(self.wall_offset))
    }

    fn note(&mut self, line: &str) {
        let at = self.queue.now().as_nanos() / 1_000_000;
        self.trace
            .push(format!("{:>6}.{:03} {line}", at / 1000, at % 1000));
    }

    fn violation(&mut self, line: String) {
        self.note(&format!("VIOLATION {line}"));
        self.violations.push(line);
    }

    /// A network delay: mostly a millisecond, now and then long.
    fn delay(&mut self) -> Duration {
        match below(&mut self.random, 20) {
            0 => self.random.below(Duration::from_secs(2)),
            _ => Duration::from_micros(200) + self.random.below(Duration::from_millis(2)),
        }
    }

    fn chance(&mut self, one_in: u64) -> bool {
        below(&mut self.random, one_in) == 0
    }

    fn faults_go_on(&self) -> bool {
        self.queue.now() < Instant::ZERO + self.scenario.faults_for
    }
}
