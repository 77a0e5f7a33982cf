//! Who comes before whom, in the words of a script.

use super::*;
use alloc::string::String;
use model::resources::Scalar;

fn amount(cpus: i64) -> Quantities {
    [(Arc::from("cpus"), Scalar::whole(cpus))]
        .into_iter()
        .collect()
}

fn role(text: &str) -> Role {
    Role::new(text).expect("role")
}

fn id(text: &str) -> FrameworkId {
    FrameworkId::new(text).expect("id")
}

fn order(shares: &Shares) -> String {
    let pairs = shares.turns_beneath("").flat_map(Turn::pairs);
    let pairs = pairs.map(|(role, id)| alloc::format!("{role}:{id}"));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Shares of a cluster of 100 cpus with these holdings, in which these want something
/// (`role:framework`).
fn shares(holdings: &[(&str, &str, i64)], wanting: &[(&str, &str)]) -> Shares {
    let mut shares = Shares::new(BTreeSet::new());
    for (r, f, cpus) in holdings {
        shares.allocated(&role(r), &id(f), &amount(*cpus));
    }
    for (r, f) in wanting {
        shares.subscribe(&role(r), &id(f));
        shares.want(&role(r), &id(f));
    }
    shares.add_total(&amount(100));
    shares.refresh();
    shares
}

fn check(holdings: &[(&str, &str, i64)], wanting: &[(&str, &str)], expected: &str) {
    assert_eq!(order(&shares(holdings, wanting)), expected);
}

#[test]
fn the_least_share_comes_first_then_fewer_allocations_then_the_name() {
    check(&[("a", "f1", 10)], &[("a", "f1"), ("b", "f2")], "b:f2 a:f1");
    check(
        &[("a", "f1", 10), ("a", "f2", 5), ("a", "f2", 5)],
        &[("a", "f2"), ("a", "f1"), ("a", "f0")],
        "a:f0 a:f1 a:f2",
    );
}

#[test]
fn a_subtree_competes_as_one_and_its_head_as_a_leaf_within() {
    check(
        &[("a", "f1", 10), ("a/x", "f2", 4), ("b", "f3", 12)],
        &[("a", "f1"), ("a/x", "f2"), ("a/y", "f4"), ("b", "f3")],
        "b:f3 a/y:f4 a/x:f2 a:f1",
    );
}

#[test]
fn a_weight_counts_at_each_level_and_before_the_role_exists() {
    let wanting = [("a", "f1"), ("b/x", "f2"), ("b/y", "f3")];
    let holdings = [("a", "f1", 10), ("b/x", "f2", 10), ("b/y", "f3", 10)];
    let mut weighed = shares(&holdings, &wanting);
    assert_eq!(order(&weighed), "a:f1 b/x:f2 b/y:f3");
    weighed.set_weight(&role("b"), 4.0);
    weighed.set_weight(&role("b/y"), 2.0);
    assert_eq!(order(&weighed), "b/y:f3 b/x:f2 a:f1");
    weighed.set_weight(&role("c"), 2.0);
    weighed.allocated(&role("c"), &id("f4"), &amount(9));
    weighed.subscribe(&role("c"), &id("f4"));
    weighed.want(&role("c"), &id("f4"));
    assert_eq!(order(&weighed), "c:f4 b/y:f3 b/x:f2 a:f1");
}

#[test]
fn who_wants_nothing_or_has_left_stands_nowhere_and_comes_back_to_its_place() {
    let mut shares = shares(
        &[("a/b", "f1", 10)],
        &[("a/b", "f1"), ("a/b", "f2"), ("c", "f3")],
    );
    assert_eq!(order(&shares), "c:f3 a/b:f2 a/b:f1");
    shares.ignore(&role("a/b"), &id("f2"));
    shares.unsubscribe(&role("a/b"), &id("f1"));
    assert_eq!(order(&shares), "c:f3");
    assert_eq!(shares.rank("a"), None);
    shares.want(&role("a/b"), &id("f1"));
    assert_eq!(order(&shares), "c:f3");
    shares.want(&role("a/b"), &id("f2"));
    assert_eq!(order(&shares), "c:f3 a/b:f2");
    shares.recovered(&role("a/b"), &id("f1"), &amount(10));
    shares.unsubscribe(&role("a/b"), &id("f2"));
    shares.unsubscribe(&role("c"), &id("f3"));
    assert_eq!(shares.nodes.len(), 1, "{:?}", shares.nodes);
    assert!(shares.holders.is_empty());
}

#[test]
fn a_cluster_that_grew_changes_which_share_is_dominant() {
    let mem: Quantities = [(Arc::from("mem"), Scalar::whole(30))]
        .into_iter()
        .collect();
    let mut shares = shares(&[("a", "f1", 20)], &[("a", "f1"), ("b", "f2")]);
    shares.allocated(&role("b"), &id("f2"), &mem);
    assert_eq!(order(&shares), "b:f2 a:f1");
    shares.add_total(&mem);
    shares.refresh();
    assert_eq!(order(&shares), "a:f1 b:f2");
}

#[test]
fn excluded_resources_do_not_count() {
    let mut shares = Shares::new(BTreeSet::from([Arc::from("cpus")]));
    shares.add_total(&amount(100));
    for (r, f) in [("a", "f1"), ("b", "f2")] {
        shares.subscribe(&role(r), &id(f));
        shares.want(&role(r), &id(f));
    }
    shares.allocated(&role("a"), &id("f1"), &amount(10));
    shares.allocated(&role("b"), &id("f2"), &Quantities::new());
    assert_eq!(order(&shares), "a:f1 b:f2");
}
