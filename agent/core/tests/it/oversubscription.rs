//! Oversubscription: what the master is told may be given out twice, and what becomes of those that
//! have it when others wait.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::Settings;
use agent_core::allocation::{Allocation, Revocable};
use agent_core::event::{
    Event, ExecutorKind, ExecutorSpec, ExitStatus, Expected, Framework, FromMaster, TaskSpec,
};
use agent_core::oversubscription::estimator::{Margin, Used};
use agent_core::oversubscription::qos::{LOOK_EVERY, Limits, Reading, Waits};
use agent_core::oversubscription::{self, EstimateBy, HELD_BACK, Lends, Looked};
use expect_test::{Expect, expect};
use model::resources::Resource;
use model::task::PartitionAwareness;
use model::{Blob, ContainerId, ExecutorId, Reason, Resources, TaskState};

use crate::world::{World, framework, resources, settings, task, task_id};

const LIMITS: Limits = Waits {
    cpu: 5_000,
    memory: 1_000,
    io: 5_000,
};

fn world(estimate: EstimateBy) -> World {
    World::registered_with(Settings {
        oversubscription: oversubscription::Settings {
            estimate,
            limits: Some(LIMITS),
            ..oversubscription::Settings::default()
        },
        ..settings(1)
    })
}

fn fixed(text: &str) -> EstimateBy {
    let all = resources(text);
    let all = all.iter().cloned().map(|one| Resource {
        revocable: true,
        ..one
    });
    EstimateBy::Fixed(all.collect::<Resources>())
}

fn allocation(cpus_milli: u64, is_revocable: bool) -> Allocation {
    Allocation {
        cpus_milli,
        memory_bytes: 256 << 20,
        revocable: Revocable {
            cpus: is_revocable,
            memory: false,
        },
    }
}

fn given(name: &str, is_revocable: bool) -> TaskSpec {
    TaskSpec {
        allocation: allocation(2_000, is_revocable),
        ..task(name)
    }
}

fn check(world: &mut World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
    world.log.clear();
}

/// What containers do: each half of a processor, and one waits.
struct Node {
    cpu: Duration,
}

impl Node {
    /// A look at these, of which `waits` waits for a processor for 60 % of the time.
    fn pressure(&mut self, names: &[(&str, ContainerId)], waits: &str) -> Looked {
        self.cpu += LOOK_EVERY / 2;
        let readings = names.iter().map(|(name, id)| {
            let reading = Reading {
                cpu: self.cpu,
                memory_bytes: 64 << 20,
                io_bytes: 0,
                waits: Waits {
                    cpu: if *name == waits { 6_000 } else { 0 },
                    ..Waits::default()
                },
            };
            (id.clone(), reading)
        });
        Looked::Pressure(readings.collect())
    }
}

/// So many looks at these containers, of which `waits` waits; the log of the last alone.
fn press(world: &mut World, looks: u32, names: &[&str], waits: &str) {
    let mut node = Node {
        cpu: Duration::from_secs(60) + Duration::from_nanos(world.now.as_nanos()),
    };
    for _ in 0..looks {
        world.pass(LOOK_EVERY);
        world.log.clear();
        let names: Vec<_> = names
            .iter()
            .map(|name| (*name, world.container(name)))
            .collect();
        world.step(Event::Looked(node.pressure(&names, waits)));
    }
}

#[test]
fn a_fixed_estimate_is_told_with_each_registration() {
    let mut world = world(fixed("cpus:4;mem:512"));
    let link = world.link;
    world.step(Event::LinkClosed { link });
    world.pass(Duration::from_secs(60));
    world.open_and_register();
    check(
        &mut world,
        &expect![[r#"
            open link 2
            register agent S1 with beside cpus{REV}:4; mem{REV}:512
            registered"#]],
    );
}

#[test]
fn an_estimate_is_told_when_it_has_changed_and_not_before_the_interval_is_over() {
    let mut world = world(EstimateBy::Usage(Margin(10)));
    world.run_spec(given("t", false));
    world.launched("t");
    world.log.clear();
    let mut cpu = Duration::ZERO;
    for look in 0..24 {
        // It takes a quarter of what it has.
        cpu += Duration::from_millis(7_500);
        let used = Used {
            cpu,
            memory_bytes: 64 << 20,
        };
        let used = BTreeMap::from([(world.container("t"), used)]);
        world.step(Event::Looked(Looked::Usage(used)));
        world.ping();
        let told: Vec<_> = world
            .log
            .iter()
            .filter(|line| line.starts_with("over"))
            .collect();
        assert_eq!(told.len(), usize::from(look >= 22), "look {look}: {told:?}");
        world.pass(Duration::from_secs(15));
        assert!(
            world
                .log
                .iter()
                .filter(|line| line.starts_with("look"))
                .count()
                <= look + 2
        );
    }
    world.log.retain(|line| line.starts_with("over"));
    check(&mut world, &expect!["oversubscribed cpus{REV}:1.3"]);
}

#[test]
fn of_processors_that_may_be_a_containers_own_none_are_told() {
    let mut world = World::registered_with(Settings {
        oversubscription: oversubscription::Settings {
            estimate: EstimateBy::Usage(Margin(10)),
            lends: Lends::Memory,
            ..oversubscription::Settings::default()
        },
        ..settings(1)
    });
    world.run_spec(given("t", false));
    world.launched("t");
    for _ in 0..90 {
        let used = BTreeMap::from([(world.container("t"), Used::default())]);
        world.step(Event::Looked(Looked::Usage(used)));
        world.ping();
        world.pass(Duration::from_secs(15));
    }
    world.log.retain(|line| line.starts_with("over"));
    // Of its 256 MB a fifth is kept.
    check(&mut world, &expect!["oversubscribed mem{REV}:192"]);
}

#[test]
fn a_task_that_is_preempted_is_gone_and_says_why_whatever_becomes_of_the_agent() {
    let mut world = world(fixed("cpus:4"));
    for (name, is_revocable) in [("web", false), ("batch", true)] {
        world.run_spec(given(name, is_revocable));
        world.launched(name);
    }
    press(&mut world, 5, &["web", "batch"], "web");
    check(
        &mut world,
        &expect![[r#"
        kill batch Kill
        preempts for b3f2af6d-0fc7-40c5-853b-559647364cea
        oversubscribed {}"#]],
    );
    let mut world = world.restarted(&["web", "batch"]);
    world.exited("batch", ExitStatus::Signal(9));
    let status = world.status("batch");
    assert_eq!(status.state, TaskState::Gone);
    assert_eq!(status.reason, Some(Reason::ContainerPreempted));
    expect!["Container preempted by QoS correction: cpu pressure of a container that is not revocable was 60.00% over the last 10secs, more than 50.00%"].assert_eq(&status.message.unwrap_or_default());
}

#[test]
fn a_framework_that_knows_no_partitions_hears_that_a_preempted_task_is_lost() {
    let mut world = world(fixed("cpus:4"));
    for (name, is_revocable) in [("web", false), ("batch", true)] {
        world.frame(FromMaster::RunTask {
            framework: Framework {
                partition: PartitionAwareness::Unaware,
                ..framework()
            },
            task: given(name, is_revocable),
            resource_version: vec![1; 16],
            expected: Expected::New,
        });
        world.launched(name);
    }
    press(&mut world, 5, &["web", "batch"], "web");
    world.exited("batch", ExitStatus::Signal(9));
    assert_eq!(world.status("batch").state, TaskState::Lost);
}

#[test]
fn executors_go_with_all_of_their_tasks() {
    for kind in [ExecutorKind::Default, ExecutorKind::Custom] {
        let mut world = world(fixed("cpus:4"));
        world.run_spec(given("web", false));
        world.launched("web");
        let executor = ExecutorSpec {
            id: ExecutorId::new("e").expect("an id"),
            kind,
            info: Blob::new(b"executor"),
            shutdown_grace: None,
            allocation: allocation(100, false),
        };
        let tasks = [("a", true), ("b", false)].map(|(name, is_revocable)| TaskSpec {
            executor: executor.clone(),
            group: vec![task_id("a"), task_id("b")],
            ..given(name, is_revocable)
        });
        world.frame(FromMaster::RunTaskGroup {
            framework: framework(),
            tasks: tasks.to_vec(),
            resource_version: vec![1; 16],
            expected: Expected::New,
        });
        world.launched("e");
        if kind == ExecutorKind::Default {
            world.launched("a");
            world.launched("b");
        }
        press(&mut world, 5, &["web", "e"], "web");
        if kind == ExecutorKind::Default {
            world.exited("a", ExitStatus::Signal(9));
            world.exited("b", ExitStatus::Signal(9));
        }
        world.exited("e", ExitStatus::Signal(9));
        for name in ["a", "b"] {
            let status = world.status(name);
            assert_eq!(status.state, TaskState::Gone, "{kind:?} {name}");
            assert_eq!(status.reason, Some(Reason::ContainerPreempted));
        }
        assert_eq!(world.status("web").state, TaskState::Running);
    }
}

#[test]
fn what_was_taken_back_is_not_offered_again_for_a_while() {
    let mut world = world(fixed("cpus:8"));
    for (name, is_revocable) in [("web", false), ("one", true), ("two", true)] {
        world.run_spec(given(name, is_revocable));
        world.launched(name);
    }
    press(&mut world, 5, &["web", "one", "two"], "web");
    let told = |world: &World| {
        let lines = world.log.iter().filter(|line| line.starts_with("over"));
        lines.cloned().collect::<Vec<_>>().join(", ")
    };
    // What the other one has.
    expect!["oversubscribed cpus{REV}:2"].assert_eq(&told(&world));
    world.exited("one", ExitStatus::Signal(9));
    world.exited("two", ExitStatus::Code(0));
    world.log.clear();
    world.pass(LOOK_EVERY);
    world.step(Event::Looked(Looked::Pressure(BTreeMap::new())));
    expect!["oversubscribed {}"].assert_eq(&told(&world));
    world.log.clear();
    while world.log.iter().all(|line| !line.starts_with("over")) {
        world.ping();
        world.pass(Duration::from_secs(10));
        world.step(Event::Looked(Looked::Pressure(BTreeMap::new())));
    }
    expect!["oversubscribed cpus{REV}:8"].assert_eq(&told(&world));
    assert!(world.now.as_nanos() >= HELD_BACK.as_nanos() as u64);
}

#[test]
fn nothing_is_looked_at_where_nothing_is_to_be_had() {
    let mut world = world(fixed("cpus:4"));
    world.run_spec(given("web", false));
    world.launched("web");
    world.log.clear();
    for _ in 0..10 {
        world.ping();
        world.pass(Duration::from_secs(10));
    }
    assert!(
        world.log.iter().all(|line| !line.starts_with("look")),
        "{:?}",
        world.log
    );
    world.run_spec(given("batch", true));
    world.next_deadline();
    assert!(
        world.log.iter().any(|line| line.starts_with("look")),
        "{:?}",
        world.log
    );
}
