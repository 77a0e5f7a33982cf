//! Many frameworks on few agents: how soon each has what it wants, and how far from ideal fairness
//! everyone is meanwhile (reference, section 6.8, MultiFrameworkAllocations).
//!
//! The allocator that ships, on a virtual clock, with frameworks that behave as theirs do: they launch
//! what they may of each offer, decline the rest for the default time, and want nothing more when all
//! their tasks run. A run is a function of its scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use master_core::allocator::{Allocation, Allocator, Demand, Hierarchical, Policy};
use model::resources::{Quantities, Role, Scalar};
use model::{AgentId, FrameworkId, Instant, Resources};

pub use master_core::allocator::{Sorter, Sorters};

/// How long a framework takes to answer its offers.
const ANSWER: Duration = Duration::from_millis(10);

/// For how long it declines what it does not use.
const REFUSED: Duration = Duration::from_secs(5);

/// After so long a run is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Frameworks of one sort.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What they are like.
    pub name: &'static str,
    /// How many there are.
    pub frameworks: usize,
    /// How many tasks each of them wants to run.
    pub tasks: i64,
    /// Thousandths of a processor for each task.
    pub cpus_milli: i64,
    /// Memory for each task, in MB.
    pub mem_mb: i64,
    /// How many tasks it launches with one offer at most.
    pub per_offer: i64,
}

/// A cluster and those who want something of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How many agents there are, of [`AGENT_CPUS`] and [`AGENT_MEM_MB`] each.
    pub agents: usize,
    /// Who is there.
    pub kinds: Vec<Kind>,
    /// Whose turn it is.
    pub sorters: Sorters,
    /// Of chance.
    pub seed: u64,
}

/// Processors of an agent.
pub const AGENT_CPUS: i64 = 64;

/// Memory of an agent, in MB.
pub const AGENT_MEM_MB: i64 = 488_000;

impl Scenario {
    /// That of the reference; a tenth of its agents and frameworks, or as many as it has.
    #[must_use]
    pub fn reference(is_short: bool, sorters: Sorters, seed: u64) -> Self {
        let part = |whole: usize| if is_short { whole / 10 } else { whole };
        let kind = |name, frameworks, tasks, cpus_milli, mem_mb, per_offer| Kind {
            name,
            frameworks,
            tasks,
            cpus_milli,
            mem_mb,
            per_offer,
        };
        Self {
            agents: part(80),
            kinds: vec![
                match is_short {
                    true => kind("marathon", 1, 1600, 70, 400, 100),
                    false => kind("marathon", 4, 4000, 70, 400, 100),
                },
                kind("jenkins", part(500), 5, 100, 4000, 1),
                kind("spark", part(50), 20, 1000, 1000, 5),
            ],
            sorters,
            seed,
        }
    }
}

/// How it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// For each kind, in order.
    pub kinds: Vec<KindReport>,
    /// What was in whose hands, after each run of the allocator.
    pub samples: Vec<Sample>,
}

/// How it went for the frameworks of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct KindReport {
    /// Which.
    pub name: &'static str,
    /// When the last of its tasks was launched; none where one never was.
    pub launched_all: Option<Duration>,
    /// The longest that one that wanted offers was without.
    pub wait_max: Duration,
}

/// A moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When, from the start.
    pub at: Duration,
    /// For each kind the part of the cluster's memory that its tasks have, and that they had if what is
    /// in use were shared by ideal dominant resource fairness.
    pub shares: Vec<(f64, f64)>,
    /// The part of the memory in use that is in other hands than it were ideally.
    pub misplaced: f64,
}

impl Report {
    /// The greatest part misplaced at any moment.
    #[must_use]
    pub fn misplaced_max(&self) -> f64 {
        self.samples.iter().map(|s| s.misplaced).fold(0.0, f64::max)
    }

    /// The part misplaced, over time.
    #[must_use]
    pub fn misplaced_mean(&self) -> f64 {
        let all = self.samples.iter().map(|sample| sample.misplaced);
        all.sum::<f64>() / self.samples.len().max(1) as f64
    }
}

/// A framework, in a role of its own.
struct Framework {
    kind: Kind,
    number_of_kind: usize,
    launched: i64,
    launched_all: Option<Instant>,
    offered_last: Instant,
    wait_max: Duration,
}

impl Framework {
    fn wants(&self) -> bool {
        self.launched < self.kind.tasks
    }

    /// The part of the cluster's dominant resource that so many of its tasks are.
    fn share(&self, tasks: f64, cluster: &Cluster) -> f64 {
        let cpus = self.kind.cpus_milli as f64 / cluster.cpus_milli;
        let mem = self.kind.mem_mb as f64 / cluster.mem_mb;
        tasks * cpus.max(mem)
    }

    /// How many tasks give it so large a share, if it wants so many.
    fn tasks_of_share(&self, share: f64, cluster: &Cluster) -> f64 {
        (share / self.share(1.0, cluster)).min(self.kind.tasks as f64)
    }
}

struct Cluster {
    cpus_milli: f64,
    mem_mb: f64,
}

struct Run {
    allocator: Hierarchical,
    frameworks: BTreeMap<FrameworkId, Framework>,
    cluster: Cluster,
    now: Instant,
    samples: Vec<Sample>,
}

/// Runs a scenario until everything is launched.
#[must_use]
pub fn run(scenario: &Scenario) -> Report {
    let mut run = Run::new(scenario);
    while run.frameworks.values().any(Framework::wants)
        && run.now.since(Instant::ZERO) < PATIENCE
        && let Some(due) = run.allocator.deadline()
    {
        run.now = due.max(run.now + ANSWER);
        for allocation in run.allocator.allocate(run.now) {
            run.answer(&allocation);
        }
        run.sample(scenario);
    }
    run.report(scenario)
}

fn scalars(cpus_milli: i64, mem_mb: i64) -> Resources {
    let cpus = model::resources::Resource::scalar("cpus", Scalar(cpus_milli));
    let mem = model::resources::Resource::scalar("mem", Scalar::whole(mem_mb));
    [cpus, mem].into_iter().collect()
}

/// Names made here keep every rule.
#[expect(clippy::expect_used, reason = "texts that are written here")]
fn named<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.expect("a name")
}

impl Run {
    fn new(scenario: &Scenario) -> Self {
        let least = |name: &str, amount| Quantities::from_iter([(name.into(), amount)]);
        let policy = Policy {
            sorters: scenario.sorters,
            min_allocatable: vec![least("cpus", Scalar(10)), least("mem", Scalar::whole(32))],
            filter_gpu_resources: true,
            region: None,
            fair_sharing_excluded: BTreeSet::new(),
            batch_interval: Duration::from_secs(1),
        };
        let mut allocator = Hierarchical::new(policy, scenario.seed);
        let (start, mut frameworks) = (Instant::ZERO, BTreeMap::new());
        for (number_of_kind, kind) in scenario.kinds.iter().enumerate() {
            for number in 0..kind.frameworks {
                let name = format!("{}-{number:03}", kind.name);
                let (id, role) = (named(FrameworkId::new(&name)), named(Role::new(&name)));
                let demand = Demand {
                    roles: BTreeSet::from([role]),
                    ..Demand::default()
                };
                allocator.set_framework(start, &id, demand);
                allocator.activate_framework(start, &id);
                let framework = Framework {
                    kind: *kind,
                    number_of_kind,
                    launched: 0,
                    launched_all: None,
                    offered_last: start,
                    wait_max: Duration::ZERO,
                };
                frameworks.insert(id, framework);
            }
        }
        for number in 0..scenario.agents {
            let id = named(AgentId::new(&format!("agent-{number:03}")));
            allocator.set_agent(start, &id, scalars(AGENT_CPUS * 1000, AGENT_MEM_MB));
            allocator.activate_agent(start, &id);
        }
        let agents = scenario.agents as f64;
        Self {
            allocator,
            frameworks,
            cluster: Cluster {
                cpus_milli: agents * AGENT_CPUS as f64 * 1000.0,
                mem_mb: agents * AGENT_MEM_MB as f64,
            },
            now: start,
            samples: Vec::new(),
        }
    }

    /// A framework launches what it may of an offer, and declines the rest.
    fn answer(&mut self, offer: &Allocation) {
        let Some(framework) = self.frameworks.get_mut(&offer.framework_id) else {
            return;
        };
        let waited = self.now.since(framework.offered_last);
        framework.wait_max = framework.wait_max.max(waited);
        framework.offered_last = self.now;
        let kind = framework.kind;
        let have = |name: &str| offer.resources.scalar(name).thousandths();
        let fit = (have("cpus") / kind.cpus_milli).min(have("mem") / (kind.mem_mb * 1000));
        let left = kind.tasks - framework.launched;
        let tasks = left.min(kind.per_offer).min(fit);
        framework.launched += tasks;
        let used = scalars(tasks * kind.cpus_milli, tasks * kind.mem_mb).allocate(&offer.role);
        let (id, rest) = (&offer.framework_id, offer.resources.minus(&used));
        self.allocator
            .recover(self.now, id, &offer.agent_id, &rest, Some(REFUSED));
        if tasks == left {
            framework.launched_all = Some(self.now);
            self.allocator.suppress(id, &[]);
        }
    }

    fn memory(framework: &Framework, tasks: f64) -> f64 {
        tasks * framework.kind.mem_mb as f64
    }

    /// The memory that everyone had with this dominant share, or with all tasks.
    fn memory_at(&self, share: f64) -> f64 {
        let each = self.frameworks.values();
        each.map(|f| Self::memory(f, f.tasks_of_share(share, &self.cluster)))
            .sum()
    }

    /// Notes who has what, beside the ideal: one dominant share for all who want so much, as great as
    /// gives out the memory that is in use.
    fn sample(&mut self, scenario: &Scenario) {
        let each = self.frameworks.values();
        let in_use: f64 = each.map(|f| Self::memory(f, f.launched as f64)).sum();
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            match self.memory_at(middle) < in_use {
                true => low = middle,
                false => high = middle,
            }
        }
        let mut shares = vec![(0.0, 0.0); scenario.kinds.len()];
        let mut misplaced = 0.0;
        for framework in self.frameworks.values() {
            let has = Self::memory(framework, framework.launched as f64);
            let ideal = framework.tasks_of_share(high, &self.cluster);
            let ideal = Self::memory(framework, ideal);
            misplaced += (has - ideal).abs() / 2.0;
            if let Some((all, ideals)) = shares.get_mut(framework.number_of_kind) {
                *all += has / self.cluster.mem_mb;
                *ideals += ideal / self.cluster.mem_mb;
            }
        }
        self.samples.push(Sample {
            at: self.now.since(Instant::ZERO),
            shares,
            misplaced: if in_use > 0.0 {
                misplaced / in_use
            } else {
                0.0
            },
        });
    }

    fn report(self, scenario: &Scenario) -> Report {
        let of_kind = |(number, kind): (usize, &Kind)| {
            let all = self.frameworks.values();
            let mut all: Vec<&Framework> = all.filter(|f| f.number_of_kind == number).collect();
            all.sort_by_key(|framework| framework.launched_all);
            let is_done = all.iter().all(|framework| !framework.wants());
            let last = all.last().and_then(|framework| framework.launched_all);
            let waits = all.iter().map(|framework| match framework.wants() {
                true => framework
                    .wait_max
                    .max(self.now.since(framework.offered_last)),
                false => framework.wait_max,
            });
            KindReport {
                name: kind.name,
                launched_all: last.filter(|_| is_done).map(|at| at.since(Instant::ZERO)),
                wait_max: waits.max().unwrap_or_default(),
            }
        };
        Report {
            kinds: scenario.kinds.iter().enumerate().map(of_kind).collect(),
            samples: self.samples,
        }
    }
}
