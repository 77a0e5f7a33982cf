//! The cases: clusters that differ in what stands in a cycle's way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use master_core::allocator::{
    Allocation, Allocator, Demand, Hierarchical, Policy, Sorter, Sorters,
};
use master_core::event::Capabilities;
use master_core::quota::Quota;
use model::resources::{Limits, Quantities, Role, Scalar, parse};
use model::{AgentId, FrameworkId, Instant, Resources};

/// How many cycles the frameworks decline before the measured ones, where there are filters.
const DECLINED: usize = 8;

/// What a cluster is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Nothing but agents and frameworks, a role each.
    Plain,
    /// All frameworks in one role.
    OneRole,
    /// Each agent has something reserved for one of the roles.
    Reserved,
    /// One role in ten has a guarantee and a limit.
    Quota,
    /// Every framework has refused some of the agents for long.
    Filters,
    /// 99 frameworks in 100 want nothing.
    Suppressed,
    /// One agent in a hundred got something back; of the others nothing is left.
    Dirty,
}

impl Case {
    pub(crate) const ALL: [Self; 7] = [
        Self::Plain,
        Self::OneRole,
        Self::Reserved,
        Self::Quota,
        Self::Filters,
        Self::Suppressed,
        Self::Dirty,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::OneRole => "one-role",
            Self::Reserved => "reserved",
            Self::Quota => "quota",
            Self::Filters => "filters",
            Self::Suppressed => "suppressed",
            Self::Dirty => "dirty",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|case| case.name() == text);
        let names = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("no case {text:?}; there are {}", names()))
    }
}

/// A cluster whose agents are all free.
pub(crate) struct World {
    case: Case,
    allocator: Hierarchical,
    now: Instant,
}

fn role(case: Case, number: usize) -> Role {
    let text = match case {
        Case::OneRole => "shared".to_owned(),
        _ => format!("role{number}"),
    };
    Role::new(&text).expect("a role")
}

fn agent_id(number: usize) -> AgentId {
    AgentId::new(&format!("01234567-89ab-cdef-0123-456789abcdef-S{number}")).expect("an id")
}

fn amounts(cpus: i64, mem: i64) -> Quantities {
    let amounts = [("cpus", cpus), ("mem", mem)];
    let amounts = amounts.map(|(name, amount)| (Arc::from(name), Scalar::whole(amount)));
    amounts.into_iter().collect()
}

fn quota() -> Quota {
    let limits: Limits = amounts(4000, 400_000)
        .iter()
        .map(|(name, amount)| (Arc::clone(name), *amount))
        .collect();
    Quota {
        guarantees: amounts(2000, 200_000),
        limits,
    }
}

fn total(case: Case, number: usize, frameworks: usize) -> Resources {
    let text = match case {
        Case::Reserved => format!(
            "cpus:16;cpus(role{0}):8;mem:65536;mem(role{0}):4096;disk:1048576;ports:[31000-32000]",
            number % frameworks
        ),
        _ => "cpus:24;mem:65536;disk:1048576;ports:[31000-32000]".to_owned(),
    };
    parse(&text).expect("resources")
}

impl World {
    pub(crate) fn new(case: Case, sorter: Sorter, agents: usize, frameworks: usize) -> Self {
        let policy = Policy {
            sorters: Sorters {
                roles: sorter,
                frameworks: sorter,
            },
            min_allocatable: vec![
                [(Arc::from("cpus"), Scalar(10))].into_iter().collect(),
                [(Arc::from("mem"), Scalar::whole(32))]
                    .into_iter()
                    .collect(),
            ],
            filter_gpu_resources: true,
            region: None,
            fair_sharing_excluded: BTreeSet::new(),
            batch_interval: Duration::from_secs(1),
        };
        let now = Instant::ZERO;
        let mut allocator = Hierarchical::new(policy, 1);
        let name = |number: usize| {
            let text = format!("01234567-89ab-cdef-0123-456789abcdef-{number:04}");
            FrameworkId::new(&text).expect("an id")
        };
        for number in 0..frameworks {
            let (id, role) = (name(number), role(case, number));
            if case == Case::Quota && number % 10 == 0 {
                allocator.set_quota(now, &role, &quota());
            }
            let mut demand = Demand {
                roles: BTreeSet::from([role.clone()]),
                suppressed: BTreeSet::new(),
                capabilities: Capabilities::default(),
                min_allocatable: BTreeMap::new(),
                constraints: Arc::default(),
            };
            if case == Case::Suppressed && number % 100 != 0 {
                demand.suppressed.insert(role);
            }
            allocator.set_framework(now, &id, demand);
            allocator.activate_framework(now, &id);
        }
        for number in 0..agents {
            let id = agent_id(number);
            allocator.set_agent(now, &id, total(case, number, frameworks));
            allocator.activate_agent(now, &id);
        }
        let mut world = Self {
            case,
            allocator,
            now,
        };
        match case {
            Case::Filters => world.refuse(frameworks),
            Case::Dirty => drop(world.allocate()),
            Case::Plain | Case::OneRole | Case::Reserved | Case::Quota | Case::Suppressed => {}
        }
        world
    }

    /// Some cycles in which everything is declined for long, but nothing by the last framework.
    fn refuse(&mut self, frameworks: usize) {
        for _ in 0..DECLINED.min(frameworks.saturating_sub(1)) {
            for given in self.allocate() {
                self.give_back(&given, Some(Duration::from_secs(1_000_000)));
            }
        }
    }

    /// Makes the agents candidates again.
    pub(crate) fn prepare(&mut self) {
        if self.case == Case::Dirty {
            let held: Vec<_> = self.some_held();
            for given in held {
                self.give_back(&given, None);
            }
        } else {
            self.allocator.set_weight(self.now, &Role::star(), 1.0);
        }
    }

    /// What is held of one agent in a hundred.
    fn some_held(&self) -> Vec<Allocation> {
        let agents = (0..).step_by(100).map(agent_id);
        let held = agents.map_while(|id| {
            let (framework, role, resources) = self.allocator.allocations(&id).next()?;
            Some(Allocation {
                framework_id: framework.clone(),
                role: role.clone(),
                agent_id: id.clone(),
                resources: resources.allocate(role),
            })
        });
        held.collect()
    }

    pub(crate) fn allocate(&mut self) -> Vec<Allocation> {
        self.allocator.allocate(self.now)
    }

    /// Everything comes back without having been refused.
    pub(crate) fn take_back(&mut self, given: Vec<Allocation>) {
        if self.case == Case::Dirty {
            return;
        }
        for given in given {
            self.give_back(&given, None);
        }
    }

    fn give_back(&mut self, given: &Allocation, refused: Option<Duration>) {
        self.allocator.recover(
            self.now,
            &given.framework_id,
            &given.agent_id,
            &given.resources,
            refused,
        );
    }
}
