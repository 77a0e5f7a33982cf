//! What every policy keeps to, and what each promises.

use std::collections::BTreeMap;
use std::time::Duration;

use master_core::allocator::{Allocator, Sorter, Sorters};
use model::Resources;
use model::resources::parse;
use proptest::prelude::*;

use super::script::{Cluster, agent, role};

const TOTAL: &str = "cpus:8;mem:8192;ports:[1-100]";

fn all_sorters() -> impl Iterator<Item = Sorters> {
    let each = Sorter::ALL.into_iter();
    each.flat_map(|(_, roles)| {
        [Sorter::Drf, Sorter::Random].map(|frameworks| Sorters { roles, frameworks })
    })
}

fn roles_by(sorter: Sorter) -> Sorters {
    Sorters {
        roles: sorter,
        frameworks: Sorter::Drf,
    }
}

/// Agents of one size, and a framework for each role, which has this weight.
fn cluster(sorters: Sorters, agents: usize, weights: &[f64]) -> Cluster {
    let mut cluster = Cluster::sorted(3, sorters);
    for number in 0..agents {
        cluster.agent(&format!("s{number}"), TOTAL);
    }
    for (number, weight) in weights.iter().enumerate() {
        let now = cluster.now;
        let of = role(&format!("r{number}"));
        cluster.allocator.set_weight(now, &of, *weight);
        cluster.framework(&format!("f{number}"), of.as_str(), &[]);
    }
    cluster
}

/// How many agents a run gives to each framework.
fn shares_of_a_run(cluster: &mut Cluster) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for (id, _) in cluster.run() {
        *shares.entry(id.to_string()).or_default() += 1;
    }
    shares
}

fn share(shares: &BTreeMap<String, usize>, name: &str) -> usize {
    shares.get(name).copied().unwrap_or(0)
}

#[test]
fn drf_shares_by_weight_what_all_take() {
    let mut cluster = cluster(roles_by(Sorter::Drf), 60, &[1.0, 2.0, 3.0]);
    let shares = shares_of_a_run(&mut cluster);
    let each = ["f0", "f1", "f2"].map(|name| share(&shares, name));
    assert_eq!(each, [10, 20, 30]);
}

#[test]
fn chance_shares_by_weight_in_the_long_run_whatever_one_holds() {
    let mut cluster = cluster(roles_by(Sorter::Random), 6000, &[1.0, 2.0, 3.0]);
    let shares = shares_of_a_run(&mut cluster);
    // Within four standard deviations of 6000 draws; a fair sharer would hit these numbers.
    for (name, expected) in [("f0", 1000), ("f1", 2000), ("f2", 3000)] {
        let got = share(&shares, name);
        assert!(got.abs_diff(expected) <= 160, "{shares:?}");
    }
    assert_ne!(share(&shares, "f0"), 1000, "that is no chance: {shares:?}");
}

#[test]
fn who_comes_later_has_no_more_chances_by_chance_than_the_others() {
    let mut cluster = cluster(roles_by(Sorter::Random), 1000, &[1.0]);
    assert_eq!(share(&shares_of_a_run(&mut cluster), "f0"), 1000);
    cluster.framework("late", "late", &[]);
    for number in 1000..2000 {
        cluster.agent(&format!("s{number}"), TOTAL);
    }
    let shares = shares_of_a_run(&mut cluster);
    assert!(share(&shares, "late").abs_diff(500) <= 64, "{shares:?}");
}

#[test]
fn priority_gives_all_to_the_greatest_weight_and_what_it_declines_to_the_next() {
    let mut cluster = cluster(roles_by(Sorter::Priority), 4, &[1.0, 3.0, 2.0]);
    assert_eq!(share(&shares_of_a_run(&mut cluster), "f1"), 4);
    for number in 0..4 {
        let refused = Some(Duration::from_secs(3600));
        cluster.recover("f1", &format!("s{number}"), refused);
    }
    assert_eq!(share(&shares_of_a_run(&mut cluster), "f2"), 4);
    // A weight that changes counts from then on.
    let now = cluster.now;
    cluster.allocator.set_weight(now, &role("r0"), 5.0);
    cluster.recover("f2", "s0", None);
    cluster.now = cluster.now + Duration::from_secs(2);
    assert_eq!(share(&shares_of_a_run(&mut cluster), "f0"), 1);
}

#[test]
fn priority_shares_fairly_among_equal_weights() {
    let mut cluster = cluster(roles_by(Sorter::Priority), 6, &[2.0, 2.0, 1.0]);
    let shares = shares_of_a_run(&mut cluster);
    let each = ["f0", "f1", "f2"].map(|name| share(&shares, name));
    assert_eq!(each, [3, 3, 0]);
}

#[test]
fn with_every_policy_whoever_declines_lets_all_others_see_an_agent_first() {
    for sorters in all_sorters() {
        let weights = [1.0, 9.0, 2.0, 4.0, 1.0];
        let mut cluster = cluster(sorters, 1, &weights);
        let mut seen = Vec::new();
        for _ in 0..6 * weights.len() {
            for (id, of) in cluster.run() {
                assert_eq!(of, agent("s0"));
                seen.push(id.to_string());
                cluster.recover(id.as_str(), "s0", Some(Duration::ZERO));
            }
            cluster.now = cluster.now + Duration::from_secs(2);
        }
        assert_eq!(
            seen.len(),
            6 * weights.len(),
            "{sorters:?}: one offer a run"
        );
        for window in seen.windows(2 * weights.len()) {
            for number in 0..weights.len() {
                let name = format!("f{number}");
                assert!(window.contains(&name), "{sorters:?} {name}: {seen:?}");
            }
        }
    }
}

#[test]
fn where_a_policy_promises_it_everyone_who_takes_what_comes_gets_some_of_what_ends() {
    for sorters in all_sorters().filter(|sorters| sorters.roles != Sorter::Priority) {
        let mut cluster = cluster(sorters, 4, &[1.0, 2.0, 1.0]);
        let mut turns: BTreeMap<String, usize> = BTreeMap::new();
        let mut held: Vec<(String, String)> = Vec::new();
        for _ in 0..60 {
            let given = cluster.run();
            held.extend(
                given
                    .iter()
                    .map(|(id, of)| (id.to_string(), of.to_string())),
            );
            for (id, _) in given {
                *turns.entry(id.to_string()).or_default() += 1;
            }
            // The task that has run the longest ends.
            let (id, of) = held.remove(0);
            cluster.recover(&id, &of, None);
        }
        for name in ["f0", "f1", "f2"] {
            assert!(share(&turns, name) >= 6, "{sorters:?}: {turns:?}");
        }
    }
}

/// Something that happens to a cluster.
#[derive(Debug, Clone)]
enum Step {
    Run,
    GiveBack { which: usize, refused: bool },
    Weigh { of: usize, weight: f64 },
    Shrink { agent: usize, cpus: usize },
    Revive { framework: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Run),
        5 => (any::<usize>(), any::<bool>()).prop_map(|(which, refused)| Step::GiveBack { which, refused }),
        1 => (0..3_usize, 1..9_u8).prop_map(|(of, weight)| Step::Weigh { of, weight: weight.into() }),
        1 => (0..4_usize, 1..9_usize).prop_map(|(agent, cpus)| Step::Shrink { agent, cpus }),
        1 => (0..3_usize).prop_map(|framework| Step::Revive { framework }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_every_policy_no_more_is_given_out_than_an_agent_has(steps in prop::collection::vec(any_step(), 1..60)) {
        for sorters in all_sorters() {
            let mut cluster = cluster(sorters, 4, &[1.0, 2.0, 3.0]);
            let mut held: Vec<(String, String)> = Vec::new();
            let mut totals: BTreeMap<String, Resources> = BTreeMap::new();
            for step in &steps {
                match step {
                    Step::Run => {
                        let given = cluster.run();
                        for (id, of) in given {
                            let all = cluster.allocator.allocations(&of);
                            let sum = all.fold(Resources::new(), |sum, (_, _, one)| sum.plus(one));
                            let whole = parse(TOTAL).expect("resources");
                            let total = totals.get(of.as_str()).unwrap_or(&whole);
                            prop_assert!(total.contains(&sum), "{sorters:?}: {sum} of {total} of {of}");
                            let holding = (id.to_string(), of.to_string());
                            if !held.contains(&holding) {
                                held.push(holding);
                            }
                        }
                    }
                    Step::GiveBack { which, refused } => {
                        if !held.is_empty() {
                            let (id, of) = held.swap_remove(which % held.len());
                            let refused = refused.then_some(Duration::from_secs(1));
                            cluster.recover(&id, &of, refused);
                            cluster.now = cluster.now + Duration::from_millis(700);
                        }
                    }
                    Step::Weigh { of, weight } => {
                        let now = cluster.now;
                        cluster.allocator.set_weight(now, &role(&format!("r{of}")), *weight);
                    }
                    Step::Shrink { agent: number, cpus } => {
                        let text = format!("cpus:{cpus};mem:8192;ports:[1-100]");
                        cluster.agent(&format!("s{number}"), &text);
                        totals.insert(format!("s{number}"), parse(&text).expect("resources"));
                    }
                    Step::Revive { framework } => {
                        let (now, id) = (cluster.now, super::script::framework(&format!("f{framework}")));
                        cluster.allocator.revive(now, &id, &[]);
                    }
                }
            }
        }
    }
}
