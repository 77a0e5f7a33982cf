//! Whoever wants offers gets them, whatever the others do.

use std::collections::BTreeMap;
use std::time::Duration;

use master_core::allocator::Allocator;
use model::Instant;
use model::resources::parse;
use proptest::prelude::*;

use super::script::{Cluster, agent, framework};

/// Frameworks that want offers, of which the first ones hold much already, on one agent that is
/// offered over and over, and declined by everyone at once.
fn offers_until_all_had_it(frameworks: usize, refused: Duration, wait: Duration) -> Vec<String> {
    let mut cluster = Cluster::new(7);
    cluster.agent("s1", "cpus:8;mem:8192");
    for number in 0..frameworks {
        let name = format!("f{number:02}");
        // Those with high numbers hold nothing, and so would have every offer by their shares alone.
        let held = (frameworks - number) * 2;
        cluster.framework(&name, &format!("r{number:02}"), &[]);
        let other = format!("full{number}");
        let text = format!("cpus:{held}");
        cluster.agent(&other, &text);
        let held = parse(&text).expect("resources");
        let held = held.allocate(&super::script::role(&format!("r{number:02}")));
        cluster
            .allocator
            .hold(&framework(&name), &agent(&other), &held);
    }
    let mut order = Vec::new();
    for _ in 0..4 * frameworks {
        let given = cluster.run();
        let of_first = given.iter().filter(|(_, of)| *of == agent("s1"));
        let names: Vec<String> = of_first.map(|(id, _)| id.to_string()).collect();
        for name in &names {
            cluster.recover(name, "s1", Some(refused));
        }
        order.extend(names);
        cluster.now = cluster.now + wait;
    }
    order
}

/// The bound that `allocator/run.rs` states: between two offers of an agent to a framework there are
/// fewer than twice as many as there are frameworks.
#[test]
fn every_framework_sees_an_agent_within_twice_as_many_offers_as_there_are_frameworks() {
    for frameworks in [1, 2, 5, 16] {
        // Filters that are over before the next run: nothing but the order keeps anyone away.
        let order = offers_until_all_had_it(frameworks, Duration::ZERO, Duration::from_secs(2));
        assert_eq!(order.len(), 4 * frameworks, "one offer a run");
        for number in 0..frameworks {
            let name = format!("f{number:02}");
            let seen = order.iter().enumerate().filter(|(_, who)| **who == name);
            let mut last = 0;
            for at in seen.map(|(at, _)| at + 1).chain([order.len() + 1]) {
                assert!(
                    at - last <= 2 * frameworks,
                    "{name} of {frameworks}: {order:?}"
                );
                last = at;
            }
        }
    }
}

#[test]
fn the_order_within_a_round_is_that_of_the_shares() {
    let order = offers_until_all_had_it(4, Duration::ZERO, Duration::from_secs(2));
    assert_eq!(order[..4], ["f03", "f02", "f01", "f00"]);
    assert_eq!(order[4..8], ["f03", "f02", "f01", "f00"]);
}

#[test]
fn who_declines_and_revives_all_the_time_does_not_keep_an_agent_from_the_others() {
    let mut cluster = Cluster::new(1);
    cluster.agent("s1", "cpus:8;mem:8192");
    cluster.agent("s2", "cpus:8;mem:8192");
    cluster.framework("greedy", "a", &[]);
    cluster.framework("patient", "b", &[]);
    let held = parse("cpus:8;mem:8192").expect("resources");
    let held = held.allocate(&super::script::role("b"));
    cluster
        .allocator
        .hold(&framework("patient"), &agent("s2"), &held);
    let mut had = Vec::new();
    for _ in 0..2 {
        for (id, of) in cluster.run() {
            assert_eq!(of, agent("s1"));
            had.push(id.to_string());
            cluster.recover(id.as_str(), "s1", Some(Duration::from_secs(1000)));
        }
        let now = cluster.now;
        cluster.allocator.revive(now, &framework("greedy"), &[]);
    }
    assert_eq!(had, ["greedy", "patient"]);
}

/// What a framework makes of an offer: it keeps some of it or none, refuses the rest for a time, and may
/// ask for all again.
#[derive(Debug, Clone)]
struct Answer {
    keeps: bool,
    refused_ms: u64,
    revives: bool,
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let refused_ms = prop_oneof![Just(0_u64), Just(1000), Just(4000)];
    (any::<bool>(), refused_ms, prop::bool::weighted(0.2)).prop_map(
        |(keeps, refused_ms, revives)| Answer {
            keeps,
            refused_ms,
            revives,
        },
    )
}

/// Frameworks of different weight, some with something in hand, and when they may have agents again.
struct Market {
    cluster: Cluster,
    frameworks: Vec<String>,
    /// Until when a framework refuses an agent.
    refused: BTreeMap<(String, String), Instant>,
    /// How many offers of an agent went to others while a framework wanted it.
    missed: BTreeMap<(String, String), usize>,
    /// Who keeps something of which agent.
    kept: Vec<(String, String)>,
}

impl Market {
    fn new(seed: u64, agents: usize, weights: &[u8]) -> Self {
        let mut cluster = Cluster::new(seed);
        for number in 0..agents {
            cluster.agent(&format!("s{number}"), "cpus:8;mem:8192");
        }
        let mut frameworks = Vec::new();
        for (number, weight) in weights.iter().enumerate() {
            let (name, role) = (format!("f{number}"), format!("r{number}"));
            let now = cluster.now;
            let parent = super::script::role(&role);
            cluster.allocator.set_weight(now, &parent, (*weight).into());
            cluster.framework(&name, &role, &[]);
            frameworks.push(name);
        }
        Self {
            cluster,
            frameworks,
            refused: BTreeMap::new(),
            missed: BTreeMap::new(),
            kept: Vec::new(),
        }
    }

    /// Who wants an agent and was not given it has missed one more offer of it.
    fn count(&mut self, id: &str, of: &str) {
        for name in &self.frameworks {
            let both = (name.clone(), of.to_owned());
            let refuses = self.refused.get(&both);
            let missed = self.missed.entry(both.clone()).or_default();
            if name == id {
                *missed = 0;
            } else if refuses.is_none_or(|until| *until <= self.cluster.now) {
                *missed += 1;
            }
        }
    }

    fn answer(&mut self, id: &str, of: &str, answer: &Answer) {
        let held: Vec<_> = self
            .cluster
            .allocator
            .allocations(&agent(of))
            .filter(|(holder, _, _)| holder.as_str() == id)
            .map(|(_, role, held)| (role.clone(), held.clone()))
            .collect();
        let now = self.cluster.now;
        let refused = Duration::from_millis(answer.refused_ms);
        let some = parse("cpus:1;mem:64").expect("resources");
        for (role, held) in held {
            let keeps = answer.keeps && held.contains(&some) && held != some;
            let rest = if keeps { held.minus(&some) } else { held };
            let rest = rest.allocate(&role);
            let id = framework(id);
            self.cluster
                .allocator
                .recover(now, &id, &agent(of), &rest, Some(refused));
            if keeps {
                self.kept.push((id.to_string(), of.to_owned()));
            }
        }
        let batch = Instant::from_nanos((now.as_nanos() / 1_000_000_000 + 1) * 1_000_000_000);
        let until = (now + refused).max(batch);
        // What it refused for longer before, when there was less, counts still.
        let refused = self.refused.entry((id.to_owned(), of.to_owned()));
        let refused = refused.or_insert(until);
        *refused = until.max(*refused);
        if answer.revives {
            self.cluster.allocator.revive(now, &framework(id), &[]);
            self.refused.retain(|(name, _), _| name != id);
        }
    }

    /// The task that has run the longest ends.
    fn end_one(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let (id, of) = self.kept.remove(0);
        let some = parse("cpus:1;mem:64").expect("resources");
        let role = super::script::role(&id.replace('f', "r"));
        let (now, id) = (self.cluster.now, framework(&id));
        let some = some.allocate(&role);
        self.cluster
            .allocator
            .recover(now, &id, &agent(&of), &some, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The bound holds for each framework and each agent, however they answer, whatever they hold and
    /// weigh. An agent that someone wants goes out in each run, and so it is a bound in runs, too.
    #[test]
    fn no_framework_misses_as_many_offers_of_an_agent_as_twice_the_number_of_frameworks(
        seed in 0..8_u64,
        agents in 1..4_usize,
        weights in prop::collection::vec(1..9_u8, 1..7),
        answers in prop::collection::vec(any_answer(), 1..40),
    ) {
        let mut market = Market::new(seed, agents, &weights);
        let mut answers = answers.iter().cycle();
        for run in 0..60_u64 {
            for (id, of) in market.cluster.run() {
                let (id, of) = (id.to_string(), of.to_string());
                market.count(&id, &of);
                for (both, missed) in &market.missed {
                    prop_assert!(*missed < 2 * weights.len(), "{both:?} in run {run}");
                }
                let answer = answers.next().expect("they go round");
                market.answer(&id, &of, answer);
            }
            if run % 3 == 0 {
                market.end_one();
            }
            market.cluster.now = market.cluster.now + Duration::from_millis(600);
        }
    }
}
