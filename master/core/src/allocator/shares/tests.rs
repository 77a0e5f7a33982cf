//! Who comes before whom, in the words of a script.

use super::*;
use alloc::string::String;
use alloc::vec::Vec;

/// The number of cpus among names; that of mem is the next.
const CPUS: usize = 0;

fn amount_of(name: usize, whole: i64) -> Amounts {
    let mut amounts = Amounts::default();
    amounts.add(name, whole * 1000);
    amounts
}

fn amount(cpus: i64) -> Amounts {
    amount_of(CPUS, cpus)
}

fn role(text: &str) -> Role {
    Role::new(text).expect("role")
}

fn id(text: &str) -> FrameworkId {
    FrameworkId::new(text).expect("id")
}

fn order(shares: &Shares) -> String {
    let clients = shares
        .turns_beneath(ROOT)
        .filter_map(|id| shares.client(id));
    let pairs = clients.map(|c| alloc::format!("{}:{}", c.role, c.framework_id));
    pairs.collect::<Vec<_>>().join(" ")
}

fn want(shares: &mut Shares, r: &str, f: &str) {
    let client = shares.open(&role(r), &id(f));
    shares.subscribe(client, Taker::default());
    shares.want(client);
}

fn allocated(shares: &mut Shares, r: &str, f: &str, amounts: &Amounts) {
    let client = shares.open(&role(r), &id(f));
    shares.allocated(client, amounts, true);
}

fn client(shares: &Shares, r: &str, f: &str) -> ClientId {
    shares.find(&role(r), &id(f)).expect("a client")
}

/// Shares of a cluster of 100 cpus with these holdings, in which these want something
/// (`role:framework`).
fn shares(holdings: &[(&str, &str, i64)], wanting: &[(&str, &str)]) -> Shares {
    let mut shares = Shares::new(Sorters::default(), 1, Bits::default());
    for (r, f, cpus) in holdings {
        allocated(&mut shares, r, f, &amount(*cpus));
    }
    for (r, f) in wanting {
        want(&mut shares, r, f);
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
    allocated(&mut weighed, "c", "f4", &amount(9));
    want(&mut weighed, "c", "f4");
    assert_eq!(order(&weighed), "c:f4 b/y:f3 b/x:f2 a:f1");
}

#[test]
fn who_wants_nothing_or_has_left_stands_nowhere_and_comes_back_to_its_place() {
    let mut shares = shares(
        &[("a/b", "f1", 10)],
        &[("a/b", "f1"), ("a/b", "f2"), ("c", "f3")],
    );
    assert_eq!(order(&shares), "c:f3 a/b:f2 a/b:f1");
    let (f1, f2) = (client(&shares, "a/b", "f1"), client(&shares, "a/b", "f2"));
    let f3 = client(&shares, "c", "f3");
    shares.ignore(f2);
    shares.unsubscribe(f1);
    assert!(shares.forget_idle(f1).is_none(), "it holds something");
    assert_eq!(order(&shares), "c:f3");
    assert_eq!(shares.node("a").and_then(|node| shares.place(node)), None);
    shares.want(f1);
    assert_eq!(order(&shares), "c:f3");
    shares.want(f2);
    assert_eq!(order(&shares), "c:f3 a/b:f2");
    shares.recovered(f1, &amount(10), true);
    shares.unsubscribe(f2);
    shares.unsubscribe(f3);
    for client in [f1, f2, f3] {
        assert!(shares.forget_idle(client).is_some(), "{client}");
    }
    assert_eq!(shares.nodes.len(), 1, "{:?}", shares.nodes);
    assert!(shares.holders.is_empty());
}

#[test]
fn a_cluster_that_grew_changes_which_share_is_dominant() {
    let mem = amount_of(CPUS + 1, 30);
    let mut shares = shares(&[("a", "f1", 20)], &[("a", "f1"), ("b", "f2")]);
    allocated(&mut shares, "b", "f2", &mem);
    assert_eq!(order(&shares), "b:f2 a:f1");
    shares.add_total(&mem);
    shares.refresh();
    assert_eq!(order(&shares), "a:f1 b:f2");
}

#[test]
fn excluded_resources_do_not_count() {
    let mut excluded = Bits::default();
    excluded.insert(u32::try_from(CPUS).expect("a number"));
    let mut shares = Shares::new(Sorters::default(), 1, excluded);
    shares.add_total(&amount(100));
    for (r, f) in [("a", "f1"), ("b", "f2")] {
        want(&mut shares, r, f);
    }
    allocated(&mut shares, "a", "f1", &amount(10));
    allocated(&mut shares, "b", "f2", &Amounts::default());
    assert_eq!(order(&shares), "a:f1 b:f2");
}

#[test]
fn those_of_one_rank_stand_in_the_order_of_their_names_however_late_they_came() {
    // Each comes between the first and the one before it, until there is no label left there.
    let names: Vec<String> = [String::from("a")]
        .into_iter()
        .chain((0..80).map(|length| "a".repeat(length) + "b"))
        .collect();
    let mut shares = Shares::new(Sorters::default(), 1, Bits::default());
    for name in &names {
        want(&mut shares, name, "f");
        want(&mut shares, "one", name);
    }
    shares.refresh();
    let mut sorted = names;
    sorted.sort();
    let roles = sorted.iter().map(|name| alloc::format!("{name}:f"));
    let in_one = sorted.iter().map(|name| alloc::format!("one:{name}"));
    let expected: Vec<String> = roles.chain(in_one).collect();
    assert_eq!(order(&shares), expected.join(" "));
}
