//! The script: a cluster of frameworks and agents, with names instead of ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use master_core::allocator::{Allocator, Demand, Hierarchical, Policy, Sorters};
use master_core::event::{AgentAttributes, Capability};
use master_core::quota::Quota;
use model::resources::{
    Conversion, DiskInfo, DiskKind, DiskSource, Limits, Quantities, Resource, Role, parse,
};
use model::{AgentId, FrameworkId, Instant, Resources};

use crate::notation;

/// Runs a script and compares what each `run` gives out.
pub(super) fn check(name: &str, text: &str) {
    for seed in 0..4 {
        let mut cluster = Cluster::new(seed);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            cluster.line(name, line);
        }
        assert!(cluster.is_compared, "{name}: the last run is not compared");
    }
}

/// The allocator, what time it is there, and what its last run gave out.
pub(super) struct Cluster {
    pub(super) allocator: Hierarchical,
    pub(super) now: Instant,
    given: BTreeSet<String>,
    is_compared: bool,
}

pub(super) fn framework(name: &str) -> FrameworkId {
    FrameworkId::new(name).expect("an id")
}

pub(super) fn agent(name: &str) -> AgentId {
    AgentId::new(name).expect("an id")
}

pub(super) fn role(name: &str) -> Role {
    Role::new(name).expect("a role")
}

/// Resources as in `--resources`; `revocable:` before a name makes that one revocable, `mount:` a disk
/// that cannot be parted, `dynamic:` what is written as in `notation`.
fn resources(text: &str) -> Resources {
    let parts = text.split(';').flat_map(|part| {
        if let Some(part) = part.strip_prefix("dynamic:") {
            return notation::resources(part)
                .iter()
                .cloned()
                .collect::<Vec<_>>();
        }
        if let Some(part) = part.strip_prefix("mount:") {
            let parsed = parse(part).expect("resources");
            return parsed.iter().cloned().map(mount).collect();
        }
        let (is_revocable, part) = match part.strip_prefix("revocable:") {
            Some(part) => (true, part),
            None => (false, part),
        };
        let change = move |resource: &Resource| Resource {
            revocable: is_revocable,
            ..resource.clone()
        };
        let parsed = parse(part).expect("resources");
        parsed.iter().map(change).collect::<Vec<_>>()
    });
    parts.collect()
}

/// A disk of its own, which is offered whole or not at all.
fn mount(resource: Resource) -> Resource {
    Resource {
        disk: Some(Box::new(DiskInfo {
            source: Some(DiskSource {
                kind: DiskKind::Mount {
                    root: Some(Arc::from("/mnt")),
                },
                id: None,
                vendor: None,
                profile: None,
                metadata: Vec::new(),
            }),
            persistence: None,
            volume: None,
        })),
        ..resource
    }
}

/// What an operation written as in `notation` takes and gives.
fn conversions(operation: &str) -> Vec<Conversion> {
    let (_, change) = notation::change(operation);
    change.conversions().expect("an agent does that")
}

fn amounts(text: &str) -> Quantities {
    parse(text).expect("amounts").quantities()
}

fn limits(text: &str) -> Limits {
    let amounts = amounts(text);
    amounts.iter().map(|(n, a)| (Arc::clone(n), *a)).collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().expect("seconds"))
}

impl Cluster {
    pub(super) fn new(seed: u64) -> Self {
        Self::sorted(seed, Sorters::default())
    }

    pub(super) fn sorted(seed: u64, sorters: Sorters) -> Self {
        let policy = Policy {
            sorters,
            min_allocatable: vec![amounts("cpus:0.01"), amounts("mem:32")],
            filter_gpu_resources: true,
            region: Some(Arc::from("eu")),
            fair_sharing_excluded: BTreeSet::from([Arc::from("gpus")]),
            batch_interval: Duration::from_secs(1),
        };
        Self {
            allocator: Hierarchical::new(policy, seed),
            now: Instant::ZERO,
            given: BTreeSet::new(),
            is_compared: true,
        }
    }

    fn line(&mut self, name: &str, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["=", rest @ ..] => {
                let expected = rest.join(" ");
                let expected: BTreeSet<String> = expected
                    .split(" + ")
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect();
                assert_eq!(self.given, expected, "{name}");
                self.is_compared = true;
            }
            ["run"] => {
                assert!(self.is_compared, "{name}: a run is not compared");
                self.run();
            }
            ["framework", id, roles, options @ ..] => self.framework(id, roles, options),
            ["agent", id, total] => self.agent(id, total),
            ["region", of, name] => {
                let attributes = AgentAttributes {
                    region: Some(Arc::from(*name)),
                    ..AgentAttributes::default()
                };
                let attributes = Arc::new(attributes);
                self.allocator
                    .describe_agent(&agent(of), attributes, &[1, 2]);
            }
            // The numbers of what it can do.
            ["abilities", of, numbers @ ..] => {
                let numbers: Vec<i32> = numbers
                    .iter()
                    .map(|number| number.parse().expect("a number"))
                    .collect();
                self.allocator
                    .describe_agent(&agent(of), Arc::default(), &numbers);
            }
            ["wait", time] => self.now = self.now + seconds(time),
            ["recover", id, of] => self.recover(id, of, None),
            ["decline", id, of, time] => self.recover(id, of, Some(seconds(time))),
            ["give-back", id, of, in_role, what] => {
                let what = resources(what).allocate(&role(in_role));
                let (id, of) = (framework(id), agent(of));
                self.allocator.recover(self.now, &id, &of, &what, None);
            }
            ["hold", id, of, in_role, what] => {
                let what = resources(what).allocate(&role(in_role));
                self.allocator.hold(&framework(id), &agent(of), &what);
            }
            ["change", id, of, in_role, operation] => {
                let (id, of, in_role) = (framework(id), agent(of), role(in_role));
                self.allocator
                    .update_allocation(&id, &of, &in_role, &conversions(operation));
            }
            ["operate", of, operation, outcome @ ("done" | "refused")] => {
                let conversions = conversions(operation);
                let done = self
                    .allocator
                    .update_available(self.now, &agent(of), &conversions);
                assert_eq!(done.is_ok(), *outcome == "done", "{name}: {done:?}");
            }
            ["weight", of, weight] => {
                let weight = weight.parse().expect("a weight");
                self.allocator.set_weight(self.now, &role(of), weight);
            }
            ["quota", of, guarantees, bounds] => {
                let quota = Quota {
                    guarantees: match *guarantees {
                        "-" => Quantities::new(),
                        text => amounts(text),
                    },
                    limits: match *bounds {
                        "-" => Limits::new(),
                        text => limits(text),
                    },
                };
                self.allocator.set_quota(self.now, &role(of), &quota);
            }
            [what, id, roles @ ..] => self.act(what, id, roles),
            _ => panic!("{name}: {line:?} says nothing"),
        }
    }

    fn act(&mut self, what: &str, id: &str, roles: &[&str]) {
        let roles: Vec<Role> = roles.iter().map(|name| role(name)).collect();
        let (now, allocator) = (self.now, &mut self.allocator);
        match what {
            "suppress" => allocator.suppress(&framework(id), &roles),
            "revive" => allocator.revive(now, &framework(id), &roles),
            "activate" => allocator.activate_framework(now, &framework(id)),
            "deactivate" => allocator.deactivate_framework(&framework(id)),
            "remove-framework" => allocator.remove_framework(&framework(id)),
            "activate-agent" => allocator.activate_agent(now, &agent(id)),
            "deactivate-agent" => allocator.deactivate_agent(&agent(id)),
            "remove-agent" => allocator.remove_agent(&agent(id)),
            "clear-filters" => allocator.clear_filters(now, &agent(id)),
            other => panic!("nobody can {other:?}"),
        }
    }

    pub(super) fn framework(&mut self, id: &str, roles: &str, options: &[&str]) {
        let mut demand = Demand {
            roles: roles.split(',').map(role).collect(),
            ..Demand::default()
        };
        let mut capabilities = Vec::new();
        for option in options {
            match option.split_once('=') {
                None if *option == "gpus" => capabilities.push(Capability::GpuResources),
                None if *option == "many" => capabilities.push(Capability::MultiRole),
                None if *option == "shared" => capabilities.push(Capability::SharedResources),
                None if *option == "regions" => capabilities.push(Capability::RegionAware),
                None if *option == "revocable" => {
                    capabilities.push(Capability::RevocableResources);
                }
                None if *option == "refined" => {
                    capabilities.push(Capability::ReservationRefinement);
                }
                Some(("min", "none")) => {
                    let all = demand.roles.iter().cloned();
                    demand.min_allocatable = all.map(|role| (role, Vec::new())).collect();
                }
                Some(("min", text)) => {
                    let all = demand.roles.iter().cloned();
                    let least = vec![amounts(text)];
                    demand.min_allocatable = all
                        .map(|role| (role, least.clone()))
                        .collect::<BTreeMap<_, _>>();
                }
                Some(("suppressed", roles)) => {
                    demand.suppressed = roles.split(',').map(role).collect();
                }
                _ => panic!("no option {option:?}"),
            }
        }
        demand.capabilities = capabilities.into_iter().collect();
        let id = framework(id);
        self.allocator.set_framework(self.now, &id, demand);
        self.allocator.activate_framework(self.now, &id);
    }

    pub(super) fn agent(&mut self, id: &str, total: &str) {
        let id = agent(id);
        self.allocator.set_agent(self.now, &id, resources(total));
        self.allocator.activate_agent(self.now, &id);
    }

    /// Everything that a framework holds of an agent comes back.
    pub(super) fn recover(&mut self, id: &str, of: &str, refused: Option<Duration>) {
        let (id, of) = (framework(id), agent(of));
        let held: Vec<(Role, Resources)> = self
            .allocator
            .allocations(&of)
            .filter(|(holder, _, _)| **holder == id)
            .map(|(_, role, held)| (role.clone(), held.clone()))
            .collect();
        assert!(!held.is_empty(), "{id} holds nothing of {of}");
        for (role, held) in held {
            let held = held.allocate(&role);
            self.allocator.recover(self.now, &id, &of, &held, refused);
        }
    }

    /// Who was given which agent.
    pub(super) fn run(&mut self) -> Vec<(FrameworkId, AgentId)> {
        let given = self.allocator.allocate(self.now);
        let text = given.iter().map(|allocation| {
            let what = allocation.resources.unallocate();
            // As the scripts write reservations.
            let short = |resource: &Resource| {
                let text = resource.to_string();
                let text = text.replace("(reservations: [(STATIC,", "(");
                let text = text.replace("(reservations: [(DYNAMIC,", "(dynamic ");
                text.replace(")])", ")")
            };
            let mut parts: Vec<String> = what.iter().map(short).collect();
            parts.sort();
            format!(
                "{} {} {} {}",
                allocation.framework_id,
                allocation.agent_id,
                allocation.role,
                parts.join(";")
            )
        });
        self.given = text.collect();
        self.is_compared = false;
        let given = given.into_iter();
        given
            .map(|given| (given.framework_id, given.agent_id))
            .collect()
    }
}
