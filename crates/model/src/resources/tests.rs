//! The algebra as properties, and Mesos' rules as tables.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;

use super::*;

mod changes;

fn role(text: &str) -> Role {
    Role::new(text).expect("role")
}

fn reservation(kind: ReservationKind, of: &str) -> Reservation {
    Reservation {
        kind,
        role: role(of),
        principal: None,
        labels: Vec::new(),
    }
}

fn volume(id: &str, amount: i64) -> Resource {
    Resource {
        disk: Some(Box::new(DiskInfo {
            persistence: Some(Persistence {
                id: Arc::from(id),
                principal: None,
            }),
            volume: Some(Volume {
                container_path: Arc::from("data"),
                host_path: None,
                mode: VolumeMode::ReadWrite,
            }),
            source: None,
        })),
        reservations: vec![reservation(ReservationKind::Dynamic, "eng")],
        ..Resource::scalar("disk", Scalar::whole(amount))
    }
}

fn mount(root: &str, amount: i64) -> Resource {
    Resource {
        disk: Some(Box::new(DiskInfo {
            source: Some(DiskSource {
                kind: DiskKind::Mount {
                    root: Some(Arc::from(root)),
                },
                vendor: None,
                id: None,
                profile: None,
                metadata: Vec::new(),
            }),
            ..DiskInfo::default()
        })),
        ..Resource::scalar("disk", Scalar::whole(amount))
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let ranges = prop::collection::vec((0..40u64, 0..6u64), 1..4);
    let set = prop::collection::btree_set("[abc]", 1..3);
    prop_oneof![
        4 => (1..5000i64).prop_map(|amount| Value::Scalar(Scalar(amount))),
        2 => ranges.prop_map(|ranges| {
            let range = |(begin, length)| Range { begin, end: begin + length };
            Value::Ranges(Ranges::new(ranges.into_iter().map(range)))
        }),
        1 => set.prop_map(|set: BTreeSet<String>| {
            Value::Set(set.iter().map(|item| Arc::from(item.as_str())).collect())
        }),
    ]
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let name = prop::sample::select(vec!["cpus", "mem", "ports"]);
    let reservations = prop::sample::select(vec![
        Vec::new(),
        vec![reservation(ReservationKind::Static, "eng")],
        vec![
            reservation(ReservationKind::Static, "eng"),
            reservation(ReservationKind::Dynamic, "eng/dev"),
        ],
    ]);
    let plain = (name, any_value(), reservations, any::<bool>()).prop_map(
        |(name, value, reservations, revocable)| Resource {
            reservations,
            revocable,
            ..Resource::new(name, value)
        },
    );
    prop_oneof![
        8 => plain,
        1 => (prop::sample::select(vec!["v1", "v2"]), 1..3i64).prop_map(|(id, n)| volume(id, n)),
        1 => (prop::sample::select(vec!["/a", "/b"]), 1..3i64).prop_map(|(at, n)| mount(at, n)),
    ]
}

fn any_resources() -> impl Strategy<Value = Resources> {
    prop::collection::vec(any_resource(), 0..6).prop_map(|all| all.into_iter().collect())
}

/// Resources that can be written in the text form: by static role, and nothing else.
fn flag_resources() -> impl Strategy<Value = Resources> {
    let element = (
        prop::sample::select(vec!["cpus", "mem", "x"]),
        prop::sample::select(vec!["*", "eng", "eng/dev"]),
        any_value(),
    );
    prop::collection::vec(element, 0..5).prop_map(|elements| {
        elements
            .into_iter()
            .map(|(name, of, value)| {
                let mut resource = Resource::new(name, value);
                if of != "*" {
                    resource.reservations = vec![reservation(ReservationKind::Static, of)];
                }
                resource
            })
            .collect()
    })
}

/// The text form of flags, which printing for messages does not give.
fn flag_text(resources: &Resources) -> String {
    let element = |r: &Resource| match r.reservation_role() {
        Some(role) => format!("{}({role}):{}", r.name, r.value),
        None => format!("{}:{}", r.name, r.value),
    };
    resources.iter().map(element).collect::<Vec<_>>().join(";")
}

fn integers(ranges: &Ranges) -> BTreeSet<u64> {
    ranges
        .as_slice()
        .iter()
        .flat_map(|range| range.begin..=range.end)
        .collect()
}

/// Whether what `b` has of ranges and sets is not in `a` already; only then is adding undone by
/// subtracting.
fn are_disjoint(a: &Resources, b: &Resources) -> bool {
    let overlaps = |x: &Resource, y: &Resource| match (&x.value, &y.value) {
        (Value::Ranges(x), Value::Ranges(y)) => x.overlaps(y),
        (Value::Set(x), Value::Set(y)) => !x.is_disjoint(y),
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => false,
    };
    !a.iter().any(|x| b.iter().any(|y| overlaps(x, y)))
}

proptest! {
    #[test]
    fn what_was_added_can_be_taken_away(a in any_resources(), b in any_resources()) {
        let sum = a.plus(&b);
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        if are_disjoint(&a, &b) {
            prop_assert_eq!(sum.minus(&b), a);
        }
    }

    #[test]
    fn adding_does_not_ask_for_the_order(a in any_resources(), b in any_resources(), c in any_resources()) {
        prop_assert_eq!(a.plus(&b), b.plus(&a));
        prop_assert_eq!(a.plus(&b).plus(&c), a.plus(&b.plus(&c)));
    }

    #[test]
    fn what_is_contained_is_left_over_by_nothing(a in any_resources(), b in any_resources()) {
        if a.contains(&b) {
            prop_assert_eq!(a.minus(&b).plus(&b), a.clone());
        }
        prop_assert!(a.contains(&a) && a.contains(&Resources::new()));
        prop_assert!(a.minus(&a).is_empty());
    }

    #[test]
    fn an_allocation_can_be_undone(a in any_resources()) {
        let allocated = a.allocate(&role("web"));
        prop_assert!(a.is_empty() || !a.contains(&allocated));
        prop_assert_eq!(allocated.unallocate(), a.clone());
        let parts = allocated.allocations();
        prop_assert_eq!(parts.get(&role("web")).cloned().unwrap_or_default(), allocated);
    }

    #[test]
    fn reserved_and_unreserved_make_the_whole(a in any_resources()) {
        prop_assert_eq!(a.reserved().plus(&a.unreserved()), a.clone());
        let parts = a.reservations();
        let reserved = parts.values().fold(Resources::new(), |sum, part| sum.plus(part));
        prop_assert_eq!(reserved, a.reserved());
    }

    #[test]
    fn quantities_follow_the_scalars(a in any_resources(), b in any_resources()) {
        let mut sum = a.quantities();
        sum.add_all(&b.quantities());
        prop_assert_eq!(a.plus(&b).quantities(), sum.clone());
        sum.subtract_all(&b.quantities());
        prop_assert_eq!(sum, a.quantities());
    }

    #[test]
    fn ranges_are_sorted_and_apart_and_hold_the_same_integers(
        a in prop::collection::vec((0..60u64, 0..60u64), 0..6),
        b in prop::collection::vec((0..60u64, 0..60u64), 0..6),
    ) {
        let range = |(begin, end): &(u64, u64)| Range { begin: *begin, end: *end };
        let (a, b) = (Ranges::new(a.iter().map(range)), Ranges::new(b.iter().map(range)));
        let (x, y) = (integers(&a), integers(&b));
        let (union, difference) = (a.union(&b), a.difference(&b));
        for ranges in [&a, &b, &union, &difference] {
            let pairs = ranges.as_slice().iter().zip(ranges.as_slice().iter().skip(1));
            prop_assert!(pairs.clone().all(|(one, next)| one.end + 1 < next.begin));
        }
        prop_assert_eq!(integers(&union), &x | &y);
        prop_assert_eq!(integers(&difference), &x - &y);
        prop_assert_eq!(a.contains(&b), x.is_superset(&y));
        prop_assert_eq!(a.overlaps(&b), !x.is_disjoint(&y));
    }

    #[test]
    fn thousandths_are_rounded_half_away_from_zero(thousandths in -1_000_000_000i64..1_000_000_000) {
        let scalar = Scalar(thousandths);
        prop_assert_eq!(Scalar::from_f64(scalar.to_f64()), Some(scalar));
        prop_assert_eq!(Scalar::from_f64(scalar.to_f64() + 0.0004), Some(scalar));
        prop_assert_eq!(Scalar::from_f64(scalar.to_f64() - 0.0004), Some(scalar));
        let text: f64 = scalar.to_string().parse().expect("number");
        prop_assert_eq!(Scalar::from_f64(text), Some(scalar));
    }

    #[test]
    fn the_text_form_is_read_as_it_was_written(resources in flag_resources()) {
        prop_assert_eq!(parse(&flag_text(&resources)), Ok(resources));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z*/;:(){}\\[\\],. 0-9-]{0,40}") {
        let _ = parse(&text);
    }
}

#[test]
fn extremes_neither_overflow_nor_wrap() {
    let whole = Range {
        begin: 0,
        end: u64::MAX,
    };
    let middle = Range { begin: 5, end: 5 };
    let all = Ranges::new([whole, middle]);
    assert_eq!(all.as_slice(), [whole]);
    assert_eq!(all.difference(&Ranges::new([middle])).as_slice().len(), 2);
    assert_eq!(Scalar(i64::MAX).plus(Scalar(1)), Scalar(i64::MAX));
    assert_eq!(Scalar(i64::MIN).minus(Scalar(1)), Scalar(i64::MIN));
    assert_eq!(Scalar(i64::MIN).to_string(), "-9223372036854775.808");
    for value in [f64::NAN, f64::INFINITY, -1e300] {
        assert_eq!(Scalar::from_f64(value), None);
    }
    assert_eq!(Scalar::from_f64(0.0005), Some(Scalar(1)));
    assert_eq!(Scalar::from_f64(-0.0005), Some(Scalar(-1)));
}

#[test]
fn volumes_and_mounts_are_taken_as_a_whole() {
    let all: Resources = [volume("v1", 2), mount("/a", 5), mount("/a", 5)]
        .into_iter()
        .collect();
    let one = |resource: Resource| Resources::from_iter([resource]);
    assert!(all.contains(&one(volume("v1", 2))));
    assert!(!all.contains(&one(volume("v1", 1))));
    assert!(!all.contains(&one(volume("v2", 2))));
    assert!(!all.contains(&one(mount("/a", 4))));
    assert!(all.contains(&[mount("/a", 5), mount("/a", 5)].into_iter().collect()));
    assert!(!all.contains(&[volume("v1", 2), volume("v1", 2)].into_iter().collect()));
    assert_eq!(all.minus(&one(mount("/a", 5))).iter().count(), 2);
    let elsewhere = Resource {
        disk: volume("v1", 2).disk.map(|mut disk| {
            disk.volume = None;
            disk
        }),
        ..volume("v1", 2)
    };
    assert!(all.contains(&one(elsewhere)), "a mount path is no identity");
}

#[test]
fn copies_of_a_shared_volume_are_counted() {
    let shared = Resource {
        shared: true,
        ..volume("v1", 2)
    };
    let one: Resources = [shared.clone()].into_iter().collect();
    let two = one.plus(&one);
    assert!(two.contains(&one) && two.contains(&two) && !one.contains(&two));
    assert_eq!(two.minus(&one), one);
    assert_eq!(two.quantities(), one.quantities());
}

#[test]
fn resources_are_allocatable_to_their_role_and_those_beneath() {
    let resources = parse("cpus:1;cpus(eng):2;cpus(eng/dev):4;cpus(ops):8").expect("resources");
    for (of, cpus) in [
        ("eng", 3),
        ("eng/dev", 7),
        ("eng/dev/x", 7),
        ("engine", 1),
        ("*", 1),
    ] {
        let allocatable = resources.allocatable_to(&role(of)).scalar("cpus");
        assert_eq!(allocatable, Scalar::whole(cpus), "{of}");
    }
    assert_eq!(resources.flatten().iter().count(), 1);
    let reserved = resources.reserved_for(&role("eng"));
    assert_eq!(reserved.scalar("cpus"), Scalar::whole(2));
}

#[test]
fn resources_print_as_mesos_prints_them() {
    let mut labelled = reservation(ReservationKind::Dynamic, "web");
    labelled.principal = Some(Arc::from("bob"));
    labelled.labels = vec![Label {
        key: Arc::from("k"),
        value: Some(Arc::from("v")),
    }];
    let cpus = Resource {
        reservations: vec![labelled],
        ..Resource::scalar("cpus", Scalar(500))
    };
    let mut printed = Resources::new();
    for resource in [cpus, volume("vol1", 80), mount("/mnt", 5)] {
        printed.add(resource);
    }
    printed.add_all(&parse("ports:[31000-32000, 5-7];x:{b, a}").expect("resources"));
    assert_eq!(
        printed.allocate(&role("web")).to_string(),
        "cpus(allocated: web)(reservations: [(DYNAMIC,web,bob,{k: v})]):0.5; \
         disk(allocated: web)(reservations: [(DYNAMIC,eng)])[vol1:data]:80; \
         disk(allocated: web)[MOUNT:/mnt]:5; \
         ports(allocated: web):[5-7, 31000-32000]; x(allocated: web):{a, b}"
    );
    assert_eq!(Resources::new().to_string(), "{}");
}

#[test]
fn a_text_that_describes_no_resources_is_told_why() {
    for (text, error) in [
        (
            "cpus",
            "Bad value for resources, missing or extra ':' in cpus",
        ),
        (
            "cpus:1:2",
            "Bad value for resources, missing or extra ':' in cpus:1:2",
        ),
        (
            "cpus(web:1",
            "Bad value for resources, mismatched parentheses in cpus(web:1",
        ),
        (
            "cpus(-):1",
            "Bad value for resources, invalid role in cpus(-):1",
        ),
        ("cpus:x", "Failed to parse resource cpus value x"),
        ("ports:[2-1]", "Failed to parse resource ports value [2-1]"),
        (
            "cpus:-1",
            "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            "gpus:0.5",
            "Resource 'gpus:0.5' is invalid: The 'gpus' resource must be an unsigned integer",
        ),
        (":1", "Resource ':1' is invalid: Empty resource name"),
    ] {
        let told = parse(text).map_err(|fault| fault.to_string());
        assert_eq!(told, Err(error.to_string()));
    }
    assert_eq!(
        parse(" cpus : 1 ; ; mem(*):2;").map(|r| r.to_string()),
        Ok("cpus:1; mem:2".into())
    );
}

#[test]
fn a_resource_that_contradicts_itself_is_invalid() {
    let stack = |kinds: &[(ReservationKind, &str)]| Resource {
        reservations: kinds.iter().map(|(k, r)| reservation(*k, r)).collect(),
        ..Resource::scalar("cpus", Scalar(1))
    };
    use ReservationKind::{Dynamic, Static};
    let disk = volume("v", 1).disk;
    for (resource, valid) in [
        (stack(&[(Static, "a"), (Dynamic, "a/b")]), true),
        (stack(&[(Static, "a"), (Static, "a/b")]), false),
        (stack(&[(Dynamic, "a"), (Dynamic, "b")]), false),
        (stack(&[(Dynamic, "*")]), false),
        (
            Resource {
                disk,
                ..Resource::scalar("cpus", Scalar(1))
            },
            false,
        ),
        (
            Resource {
                shared: true,
                ..Resource::scalar("disk", Scalar(1))
            },
            false,
        ),
        (
            Resource {
                shared: true,
                ..volume("v", 1)
            },
            true,
        ),
    ] {
        assert_eq!(resource.validate().is_ok(), valid, "{resource}");
    }
}

#[test]
fn role_names_follow_the_rules_of_mesos() {
    for (text, good) in [
        ("*", true),
        ("web", true),
        ("eng/dev/x", true),
        ("täsk", true),
        ("a-b.c", true),
        ("", false),
        ("/a", false),
        ("a/", false),
        ("a//b", false),
        (".", false),
        ("a/..", false),
        ("-a", false),
        ("a/-b", false),
        ("a b", false),
        ("a\tb", false),
        ("a\x08b", false),
        ("a/*", false),
    ] {
        assert_eq!(Role::new(text).is_ok(), good, "{text:?}");
    }
    assert!(role("a").is_ancestor_of(&role("a/b")));
    assert!(!role("a").is_ancestor_of(&role("ab")) && !role("a").is_ancestor_of(&role("a")));
}

#[test]
fn the_paths_of_a_role_lead_from_the_top_to_itself() {
    let paths = |text| role(text).paths().collect::<Vec<_>>().join(" ");
    assert_eq!(paths("a/b/c"), "a a/b a/b/c");
    assert_eq!(paths("*"), "*");
    assert_eq!(role("a/b").top(), "a");
    assert_eq!(role("a").top(), "a");
}

#[test]
fn limits_bound_what_they_name_and_nothing_else() {
    let amount = |text: &str| parse(text).unwrap().quantities();
    let mut limits: Limits = amount("cpus:2;mem:64")
        .iter()
        .map(|(name, bound)| (name.clone(), *bound))
        .collect();
    assert!(limits.contains(&amount("cpus:2;disk:9")));
    assert!(!limits.contains(&amount("cpus:2.001")));
    limits.subtract_all(&amount("cpus:3;mem:1;disk:9"));
    assert_eq!(limits.to_string(), "cpus:0; mem:63");
    assert!(!limits.contains(&amount("cpus:0.001")));
    assert!(Limits::new().contains(&amount("cpus:1000")));
    assert_eq!(Limits::new().to_string(), "{}");
}

#[test]
fn amounts_count_the_integers_and_texts_of_what_is_no_scalar() {
    let all = parse("cpus:1.5;ports:[31000-31009,5-5];hosts:{a,b}").unwrap();
    assert_eq!(all.amounts().to_string(), "cpus:1.5; hosts:2; ports:11");
    assert_eq!(all.quantities().to_string(), "cpus:1.5");
}
