//! Operations on a node's resources, and drains, told as events and read as effects.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::{World, framework, operation, resources, settings, task, task_id};
use agent_core::effect::Fact;
use agent_core::event::{Drain, Event, ExitStatus, Fate, FromMaster};
use agent_core::holdings::VolumeName;
use agent_core::{Agent, Effect, Settings, WallTime};
use expect_test::{Expect, expect};
use model::resources::{
    Change, DiskInfo, Persistence, Reservation, ReservationKind, Resource, Role, Volume, VolumeMode,
};
use model::{Instant, Resources};
use proptest::prelude::*;

fn check(world: &World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
}

fn reserved(text: &str) -> Vec<Resource> {
    let reservation = Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("a/b").expect("a role"),
        principal: None,
        labels: Vec::new(),
    };
    let all = resources(text);
    let all = all.iter().cloned().map(|mut resource| {
        resource.reservations.push(reservation.clone());
        resource
    });
    all.collect()
}

fn volume(id: &str, size: &str) -> Resource {
    let mut disk = reserved(&format!("disk:{size}")).remove(0);
    disk.disk = Some(Box::new(DiskInfo {
        source: None,
        persistence: Some(Persistence {
            id: id.into(),
            principal: None,
        }),
        volume: Some(Volume {
            container_path: "data".into(),
            host_path: None,
            mode: VolumeMode::ReadWrite,
        }),
    }));
    disk
}

fn reserve(text: &str) -> Change {
    Change::Reserve {
        source: Vec::new(),
        resources: reserved(text),
    }
}

fn create(id: &str, size: &str) -> Change {
    let volumes = vec![volume(id, size)];
    Change::Create { volumes }
}

fn destroy(id: &str, size: &str) -> Change {
    let volumes = vec![volume(id, size)];
    Change::Destroy { volumes }
}

fn total(world: &World) -> String {
    world.agent.holdings().total().to_string()
}

#[test]
fn an_operation_is_stored_with_what_it_did_before_its_status_is_sent() {
    let mut world = World::registered();
    world.apply(1, reserve("cpus:1;disk:100"));
    let effects = world.history.last().expect("a step");
    let stored =
        |effect: &Effect| matches!(effect, Effect::Store(Fact::Operation { kept: Some(_), .. }));
    assert!(stored(&effects[0]), "{effects:?}");
    world.apply(2, create("v", "60"));
    world.acknowledge_operation(1);
    world.acknowledge_operation(2);
    assert!(world.agent.operations().is_empty());
    check(
        &world,
        &expect![[r#"
            op1 OPERATION_FINISHED
            send op1 OPERATION_FINISHED
            create volume a/b v
            op2 OPERATION_FINISHED
            send op2 OPERATION_FINISHED"#]],
    );
}

#[test]
fn what_cannot_be_applied_changes_nothing_and_says_what_there_is() {
    let mut world = World::registered();
    let before = total(&world);
    world.apply(1, reserve("cpus:5"));
    world.apply_to(2, Ok(reserve("cpus:1")), vec![2; 16]);
    world.apply_to(3, Err("Unknown operation".into()), vec![1; 16]);
    world.apply(4, reserve("disk:10"));
    world.apply(5, create("../etc", "10"));
    world.apply(6, destroy("none", "10"));
    assert_eq!(world.agent.operations().iter().count(), 6);
    world.apply_to(4, Ok(reserve("disk:10")), Vec::new());
    assert_ne!(total(&world), before);
    check(
        &world,
        &expect![[r#"
        op1 OPERATION_ERROR "cpus:4; mem:1024; disk:1000 does not contain cpus:5"
        send op1 OPERATION_ERROR of cpus:4; mem:1024; disk:1000
        op2 OPERATION_DROPPED "Operation was made for resources that this agent no longer has"
        send op2 OPERATION_DROPPED of cpus:4; mem:1024; disk:1000
        op3 OPERATION_ERROR "Unknown operation"
        send op3 OPERATION_ERROR of cpus:4; mem:1024; disk:1000
        op4 OPERATION_FINISHED
        send op4 OPERATION_FINISHED
        op5 OPERATION_ERROR "the id of a persistent volume is malformed: '../etc' contains invalid characters"
        send op5 OPERATION_ERROR of cpus:4; mem:1024; disk:990; disk(reservations: [(DYNAMIC,a/b)]):10
        op6 OPERATION_ERROR "cpus:4; mem:1024; disk:990; disk(reservations: [(DYNAMIC,a/b)]):10 does not contain disk(reservations: [(DYNAMIC,a/b)])[none:data]:10"
        send op6 OPERATION_ERROR of cpus:4; mem:1024; disk:990; disk(reservations: [(DYNAMIC,a/b)]):10
        ignored operation 04040404-0404-0404-0404-040404040404 is here already"#]],
    );
}

#[test]
fn a_status_is_sent_again_until_it_is_acknowledged_and_at_once_where_it_is_awaited() {
    let mut world = World::registered();
    world.apply(1, reserve("cpus:1"));
    world.log.clear();
    let mut waits = Vec::new();
    let mut last = world.now;
    while waits.len() < 4 {
        world.pass(Duration::from_secs(10));
        world.ping();
        if world.log.drain(..).any(|line| line.starts_with("send op1")) {
            waits.push((world.now - last).as_secs());
            last = world.now;
        }
    }
    assert_eq!(waits, [10, 20, 40, 80]);
    world.frame(FromMaster::FrameworkSubscribed {
        framework_id: framework().id,
    });
    world.frame(FromMaster::ReconcileOperations {
        operations: vec![operation(1), operation(2)],
    });
    let link = world.link;
    world.step(Event::LinkClosed { link });
    world.next_deadline();
    world.open_and_register();
    world.acknowledge_operation(1);
    world.pass(Duration::from_secs(60));
    check(
        &world,
        &expect![[r#"
        send op1 OPERATION_FINISHED
        send op1 OPERATION_FINISHED
        op2 OPERATION_DROPPED "Reconciliation: operation unknown to the agent"
        send op2 OPERATION_DROPPED of cpus:3; mem:1024; disk:1000; cpus(reservations: [(DYNAMIC,a/b)]):1
        open link 2
        register agent S1 with op1 OPERATION_FINISHED
        registered
        send op1 OPERATION_FINISHED"#]],
    );
}

#[test]
fn a_restart_brings_back_reservations_volumes_and_statuses_that_wait() {
    let mut world = World::registered();
    world.apply(1, reserve("cpus:1;disk:100"));
    world.apply(2, create("v", "60"));
    world.acknowledge_operation(1);
    let before = total(&world);
    let mut world = world.restarted(&[]);
    assert_eq!(total(&world), before);
    world.open_and_register();
    check(
        &world,
        &expect![[r#"
        open link 1
        register agent S1 with op2 OPERATION_FINISHED
        registered
        send op2 OPERATION_FINISHED"#]],
    );
}

#[test]
fn the_data_of_a_destroyed_volume_is_taken_away_even_if_the_node_fails_in_between() {
    let mut world = World::registered();
    world.apply(1, reserve("disk:100"));
    world.apply(2, create("v", "60"));
    world.apply(3, create("w", "20"));
    world.apply(4, destroy("v", "60"));
    let mut world = world.restarted(&[]);
    assert_eq!(world.log, ["destroy volume a/b v", "open link 1"]);
    let volume = VolumeName {
        role: Role::new("a/b").expect("a role"),
        id: "v".into(),
    };
    world.step(Event::VolumeDestroyed { volume });
    let world = world.restarted(&[]);
    check(&world, &expect!["open link 1"]);
}

#[test]
fn a_task_is_dropped_where_its_volume_is_unknown_and_a_volume_stays_while_a_task_uses_it() {
    let mut world = World::registered();
    let mut user = task("t1");
    user.held = [volume("v", "60")].into_iter().collect();
    world.run_spec(user.clone());
    world.acknowledge_head("t1");
    world.apply(1, reserve("disk:100"));
    world.apply(2, create("v", "60"));
    user.id = task_id("t2");
    world.run_spec(user);
    world.launched("t2");
    world.log.clear();
    world.apply(3, destroy("v", "60"));
    world.exited("t2", ExitStatus::Code(0));
    world.apply(4, destroy("v", "60"));
    check(
        &world,
        &expect![[r#"
        op3 OPERATION_ERROR "Persistent volume 'disk(reservations: [(DYNAMIC,a/b)])[v:data]:60' is used by task t2"
        send op3 OPERATION_ERROR of cpus:4; mem:1024; disk:900; disk(reservations: [(DYNAMIC,a/b)]):40; disk(reservations: [(DYNAMIC,a/b)])[v:data]:60
        t2 TASK_FINISHED "Command exited with status 0"
        destroy volume a/b v
        op4 OPERATION_FINISHED
        send op4 OPERATION_FINISHED"#]],
    );
}

#[test]
fn reservations_outlive_a_configuration_that_became_too_small_for_them() {
    let mut world = World::registered();
    world.apply(1, reserve("cpus:3"));
    let mut agent = Agent::new(Settings {
        resources: resources("cpus:2;mem:512"),
        resource_version: vec![2; 16],
        ..settings(0)
    });
    for fact in world.facts.clone() {
        agent.step(Instant::ZERO, WallTime(0), Event::Recovered(fact));
    }
    assert!(agent.holdings().is_overdrawn());
    assert!(!world.agent.holdings().is_overdrawn());
    expect!["mem:512; cpus(reservations: [(DYNAMIC,a/b)]):3"]
        .assert_eq(&agent.holdings().total().to_string());
}

#[test]
fn a_drain_kills_within_its_grace_refuses_new_tasks_and_ends_with_the_last_acknowledgement() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    for _ in 0..2 {
        world.acknowledge_head("t1");
    }
    world.log.clear();
    world.frame(FromMaster::DrainAgent(Drain {
        max_grace: Some(Duration::from_secs(1)),
        fate: Fate::Stays,
    }));
    world.run_task("t2");
    world.pass(Duration::from_secs(1));
    world.exited("t1", ExitStatus::Signal(9));
    for name in ["t1", "t2", "t1"] {
        assert!(world.agent.drain().is_some());
        world.acknowledge_head(name);
    }
    assert_eq!(world.agent.drain(), None);
    world.run_task("t3");
    check(
        &world,
        &expect![[r#"
        kill t1 Terminate
        t1 TASK_KILLING REASON_AGENT_DRAINING
        send t1 TASK_KILLING latest TASK_KILLING
        t2 TASK_DROPPED REASON_AGENT_DRAINING "Task was received while agent was already draining"
        send t2 TASK_DROPPED latest TASK_DROPPED
        kill t1 Kill
        t1 TASK_KILLED REASON_AGENT_DRAINING "Command terminated with signal Killed"
        send t1 TASK_KILLED latest TASK_KILLED
        launch t3"#]],
    );
}

#[test]
fn a_drain_goes_on_after_a_restart_and_tasks_of_a_node_that_is_to_be_gone_end_so() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.frame(FromMaster::DrainAgent(Drain {
        max_grace: None,
        fate: Fate::Gone,
    }));
    let mut world = world.restarted(&["t1"]);
    world.open_and_register();
    world.exited("t1", ExitStatus::Signal(15));
    check(
        &world,
        &expect![[r#"
        kill t1 Terminate
        open link 1
        register agent S1 with t1 TASK_KILLING draining
        registered
        send t1 TASK_STARTING latest TASK_KILLING
        t1 TASK_GONE_BY_OPERATOR REASON_AGENT_DRAINING "Command terminated with signal Terminated""#]],
    );
}

#[test]
fn a_node_with_nothing_on_it_is_drained_already() {
    let mut world = World::registered();
    world.frame(FromMaster::DrainAgent(Drain {
        max_grace: None,
        fate: Fate::Stays,
    }));
    assert_eq!(world.agent.drain(), None);
    assert_eq!(world.facts.len(), world.restarted(&[]).facts.len() - 1);
}

proptest! {
    /// What the checkpoint gives back is what the agent had, and nothing is made or lost but by
    /// name: the total of each resource stays what was configured.
    #[test]
    fn no_sequence_of_operations_loses_resources_or_the_checkpoint_of_them(
        picks in prop::collection::vec((0u8..7, 0u8..3), 1..30)
    ) {
        let mut world = World::registered();
        for (number, (kind, which)) in (1u8..).zip(picks) {
            let id = ["u", "v", "w"][usize::from(which)];
            let size = ["10", "20", "30"][usize::from(which)];
            world.apply(number, match kind {
                0 => reserve(&format!("disk:{size};cpus:1")),
                1 => Change::Unreserve { resources: reserved(&format!("disk:{size};cpus:1")) },
                2 => create(id, size),
                3 => destroy(id, size),
                4 => Change::GrowVolume {
                    volume: Box::new(volume(id, size)),
                    addition: Box::new(reserved("disk:5").remove(0)),
                },
                5 => Change::ShrinkVolume {
                    volume: Box::new(volume(id, size)),
                    subtract: model::resources::Scalar(2000),
                },
                _ => {
                    world.acknowledge_operation(number.saturating_sub(2));
                    continue;
                }
            });
            let total = world.agent.holdings().total();
            let configured = resources("cpus:4;mem:1024;disk:1000");
            for name in ["cpus", "mem", "disk"] {
                prop_assert_eq!(total.scalar(name), configured.scalar(name));
            }
        }
        let compacted = replayed(&world.agent.facts());
        let replayed = replayed(&world.facts);
        prop_assert_eq!(&replayed, &held(&world.agent));
        prop_assert_eq!(&compacted, &replayed);
    }
}

type Held = (Resources, Vec<VolumeName>, BTreeMap<String, String>);

fn held(agent: &Agent) -> Held {
    let operations = agent.operations().iter();
    (
        agent.holdings().total().clone(),
        agent.holdings().doomed().cloned().collect(),
        operations
            .map(|(operation, status)| (operation.uuid.to_string(), format!("{status:?}")))
            .collect(),
    )
}

fn replayed(facts: &[Fact]) -> Held {
    let mut agent = Agent::new(settings(0));
    for fact in facts {
        agent.step(Instant::ZERO, WallTime(0), Event::Recovered(fact.clone()));
    }
    held(&agent)
}
