//! Whoever wants offers gets them, whatever the others do.

use std::time::Duration;

use master_core::allocator::Allocator;

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
        let held = model::resources::parse(&text).expect("resources");
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
    let held = model::resources::parse("cpus:8;mem:8192").expect("resources");
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
