//! The life of a node's tasks, told as events and read as effects.

use std::time::Duration;

use crate::world::{World, framework, framework_id, task, task_id};
use agent_core::effect::{Fact, ToMaster};
use agent_core::event::{
    Event, Exit, ExitStatus, Expected, FromMaster, Limit, MemoryLimit, Standing, Stop, Verdict,
};
use agent_core::{Effect, End};
use expect_test::{Expect, expect};
use model::sandbox::Lacks;
use model::task::PartitionAwareness::{Aware, Unaware};
use model::{FrameworkId, Reason, TaskState};
use proptest::prelude::*;

fn check(world: &World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
}

#[test]
fn a_task_starts_runs_and_finishes_each_update_after_the_acknowledgement_of_the_one_before() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.acknowledge_head("t1");
    world.exited("t1", ExitStatus::Code(0));
    world.acknowledge_head("t1");
    world.acknowledge_head("t1");
    assert_eq!(world.agent.tasks().count(), 0);
    check(
        &world,
        &expect![[r#"
            launch t1
            t1 TASK_STARTING
            send t1 TASK_STARTING latest TASK_STARTING
            t1 TASK_RUNNING
            send t1 TASK_RUNNING latest TASK_RUNNING
            t1 TASK_FINISHED "Command exited with status 0"
            send t1 TASK_FINISHED latest TASK_FINISHED"#]],
    );
}

#[test]
fn every_update_and_launch_is_stored_before_it_is_sent_or_begun() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.exited("t1", ExitStatus::Signal(9));
    for effects in &world.history {
        let mut stored = Vec::new();
        for effect in effects {
            match effect {
                Effect::Store(Fact::Update { status, .. }) => stored.push(status.uuid),
                Effect::Send {
                    frame: ToMaster::Update { status, .. },
                    ..
                } => assert!(stored.contains(&status.uuid), "{effects:?}"),
                Effect::Launch { .. } => {
                    assert!(
                        effects
                            .iter()
                            .any(|e| matches!(e, Effect::Store(Fact::Task { .. })))
                    );
                }
                _ => {}
            }
        }
    }
}

#[test]
fn an_update_is_sent_again_after_10_s_then_20_up_to_10_min() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    let mut waits = Vec::new();
    let mut last = world.now;
    while waits.len() < 9 {
        world.pass(Duration::from_secs(10));
        world.ping();
        if world.log.drain(..).any(|line| line.starts_with("send t1")) {
            waits.push((world.now - last).as_secs());
            last = world.now;
        }
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
}

#[test]
fn a_framework_that_subscribes_gets_its_heads_at_once_and_their_back_off_begins_anew() {
    let subscribed = |id: &str| FromMaster::FrameworkSubscribed {
        framework_id: FrameworkId::new(id).expect("a valid id"),
    };
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.run_task("t2");
    world.launched("t2");
    world.acknowledge_head("t2");
    world.acknowledge_head("t2");
    world.pass(Duration::from_secs(15));
    world.log.clear();
    world.frame(subscribed("m-0001"));
    world.frame(subscribed("m-0000"));
    check(
        &world,
        &expect!["send t1 TASK_STARTING latest TASK_RUNNING"],
    );
    world.log.clear();
    let mut waits = Vec::new();
    let mut last = world.now;
    while waits.len() < 3 {
        world.pass(Duration::from_secs(5));
        world.ping();
        let lines = world.log.drain(..);
        for _ in lines.filter(|line| line.starts_with("send t1")) {
            waits.push((world.now - last).as_secs());
            last = world.now;
        }
    }
    assert_eq!(waits, [10, 20, 40], "one stream of retries");
}

#[test]
fn an_acknowledgement_of_another_update_changes_nothing() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    world.frame(FromMaster::AcknowledgeUpdate {
        framework_id: framework_id(),
        task_id: task_id("t1"),
        uuid: model::StatusUuid([7; 16]),
    });
    check(
        &world,
        &expect!["ignored acknowledgement 07070707-0707-0707-0707-070707070707 for task t1"],
    );
}

#[test]
fn a_kill_is_terminate_then_kill_and_a_later_one_can_only_shorten() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    world.kill("t1", None);
    world.pass(Duration::from_millis(500));
    world.kill("t1", Some(Duration::from_secs(60)));
    world.kill("t1", Some(Duration::from_secs(1)));
    world.pass(Duration::from_secs(1));
    world.kill("t1", None);
    world.exited("t1", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            kill t1 Terminate
            t1 TASK_KILLING
            kill t1 Kill
            kill t1 Kill
            t1 TASK_KILLED "Command terminated with signal Killed""#]],
    );
}

#[test]
fn a_kill_during_the_launch_ends_the_task_as_soon_as_it_is_there() {
    let mut world = World::registered();
    world.run_task("t1");
    world.kill("t1", None);
    world.launched("t1");
    world.exited("t1", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            launch t1
            kill t1 Kill
            kill t1 Kill
            t1 TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH "Task was killed during its launch"
            send t1 TASK_KILLED latest TASK_KILLED"#]],
    );
}

#[test]
fn a_task_past_its_completion_time_fails_with_that_reason() {
    let mut world = World::registered();
    let mut spec = task("t1");
    spec.max_completion_time = Some(Duration::from_secs(5));
    world.run_spec(spec);
    world.launched("t1");
    world.log.clear();
    world.pass(Duration::from_secs(5));
    world.exited("t1", ExitStatus::Signal(9));
    check(
        &world,
        &expect![[r#"
            kill t1 Kill
            t1 TASK_FAILED REASON_MAX_COMPLETION_TIME_REACHED "Command terminated with signal Killed""#]],
    );
}

#[test]
fn a_memory_limit_fails_the_task_in_the_agents_name() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    let container = world.container("t1");
    world.step(Event::Exited {
        container,
        exit: Exit {
            status: ExitStatus::Signal(9),
            limit: Some(Limit::Memory(MemoryLimit {
                limit_bytes: 64 << 20,
                used_bytes_max: 64 << 20,
                statistics: String::new(),
            })),
            lacks: Lacks::NONE,
        },
    });
    check(
        &world,
        &expect![[
            r#"t1 TASK_FAILED REASON_CONTAINER_LIMITATION_MEMORY "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB""#
        ]],
    );
}

#[test]
fn what_is_not_supported_fails_with_its_words_and_a_launch_that_fails_with_its_cause() {
    let mut world = World::registered();
    let mut spec = task("t1");
    spec.unsupported = Some("custom executors are not supported by this agent yet".into());
    world.run_spec(spec);
    world.run_task("t2");
    let container = world.container("t2");
    world.step(Event::LaunchFailed {
        container,
        message: "unknown user: nobody-here".into(),
    });
    check(
        &world,
        &expect![[r#"
            t1 TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED "custom executors are not supported by this agent yet"
            send t1 TASK_FAILED latest TASK_FAILED
            launch t2
            t2 TASK_FAILED REASON_CONTAINER_LAUNCH_FAILED "unknown user: nobody-here"
            send t2 TASK_FAILED latest TASK_FAILED"#]],
    );
}

#[test]
fn a_launch_for_other_resources_is_dropped_or_lost_by_what_the_framework_knows() {
    for (partition, state) in [(Aware, TaskState::Dropped), (Unaware, TaskState::Lost)] {
        let mut world = World::registered();
        let mut fw = framework();
        fw.partition = partition;
        world.frame(FromMaster::RunTask {
            framework: fw,
            task: task("t1"),
            resource_version: vec![9; 16],
            expected: Expected::New,
        });
        let status = world.status("t1");
        assert_eq!(
            (status.state, status.reason),
            (state, Some(Reason::InvalidOffers))
        );
    }
}

#[test]
fn a_framework_that_is_shut_down_hears_nothing_more() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    world.frame(FromMaster::ShutdownFramework {
        framework_id: framework_id(),
    });
    world.frame(FromMaster::FrameworkSubscribed {
        framework_id: framework_id(),
    });
    world.pass(Duration::from_secs(3));
    world.exited("t1", ExitStatus::Signal(9));
    world.pass(Duration::from_secs(11));
    check(
        &world,
        &expect![[r#"
            kill t1 Terminate
            kill t1 Kill"#]],
    );
    assert_eq!(world.agent.tasks().count(), 0);
    assert_eq!(world.agent.frameworks().count(), 0);
}

#[test]
fn tasks_the_agent_does_not_hold_are_answered_for() {
    let mut world = World::registered();
    world.run_task("t1");
    world.log.clear();
    world.frame(FromMaster::ReconcileTasks {
        tasks: vec![
            (framework_id(), task_id("t1")),
            (framework_id(), task_id("t2")),
        ],
    });
    check(
        &world,
        &expect![[r#"
            t2 TASK_DROPPED REASON_RECONCILIATION "Reconciliation: task unknown to the agent"
            send t2 TASK_DROPPED latest TASK_DROPPED"#]],
    );
}

#[test]
fn an_answer_for_a_task_that_is_not_here_is_sent_again_as_long_as_its_link_lasts() {
    let mut world = World::registered();
    let tasks = vec![(framework_id(), task_id("t2"))];
    world.frame(FromMaster::ReconcileTasks { tasks });
    world.log.clear();
    world.pass(Duration::from_secs(10));
    world.frame(FromMaster::FrameworkSubscribed {
        framework_id: framework_id(),
    });
    check(
        &world,
        &expect![[r#"
            send t2 TASK_DROPPED latest TASK_DROPPED
            send t2 TASK_DROPPED latest TASK_DROPPED"#]],
    );
    world.frame(FromMaster::ShutdownFramework {
        framework_id: framework_id(),
    });
    world.log.clear();
    world.pass(Duration::from_secs(60));
    check(&world, &expect![[""]]);
}

#[test]
fn a_lost_link_is_opened_again_after_a_random_wait_and_the_heads_are_sent_at_once() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    let before = world.now;
    let link = world.link;
    world.step(Event::LinkClosed { link });
    world.next_deadline();
    assert!(world.now - before < Duration::from_secs(1));
    world.exited("t1", ExitStatus::Code(7));
    world.open_and_register();
    check(
        &world,
        &expect![[r#"
            open link 2
            t1 TASK_FAILED "Command exited with status 7"
            register agent S1 with t1 TASK_FAILED
            registered
            send t1 TASK_STARTING latest TASK_FAILED"#]],
    );
}

#[test]
fn silence_and_a_disconnected_ping_both_end_the_link() {
    let mut world = World::registered();
    world.ping();
    assert_eq!(world.log, ["pong"]);
    world.pass(Duration::from_secs(76));
    assert_eq!(world.log[1], "close link 1");
    let mut world = World::registered();
    world.frame(FromMaster::Ping {
        sequence: 1,
        standing: Standing::Disconnected,
    });
    assert_eq!(world.log, ["close link 1"]);
}

#[test]
fn frames_of_older_epochs_incarnations_and_links_are_dropped() {
    let mut world = World::registered();
    let ping = || FromMaster::Ping {
        sequence: 1,
        standing: Standing::Connected,
    };
    for (link, epoch, incarnation) in [(1, 4, 1), (1, 6, 1), (1, 5, 0), (1, 5, 2), (9, 5, 1)] {
        world.step(Event::Frame {
            link: agent_core::LinkId(link),
            epoch,
            incarnation,
            frame: ping(),
        });
    }
    assert!(
        world
            .log
            .iter()
            .all(|line| line.starts_with("ignored frame")),
        "{:?}",
        world.log
    );
    assert_eq!(world.log.len(), 5);
}

#[test]
fn a_refusal_is_asked_again_later_or_ends_the_agent_and_its_id() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    world.frame(FromMaster::Refused {
        reason: "marked gone".into(),
        verdict: Verdict::Never,
    });
    world.exited("t1", ExitStatus::Signal(15));
    assert!(
        world
            .history
            .iter()
            .flatten()
            .any(|e| *e == Effect::Store(Fact::Expelled))
    );
    check(
        &world,
        &expect![[r#"
            kill t1 Terminate
            t1 TASK_KILLING
            t1 TASK_KILLED "Command terminated with signal Terminated"
            close link 1
            end Refused("marked gone")"#]],
    );
    let mut world = World::registered();
    world.frame(FromMaster::Refused {
        reason: "busy".into(),
        verdict: Verdict::Later,
    });
    assert_eq!(
        world.log,
        ["ignored registration refused for now: busy", "close link 1"]
    );
}

#[test]
fn an_agent_that_is_stopped_kills_its_tasks_and_ends_even_if_one_does_not_go() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    world.log.clear();
    world.step(Event::Stop(Stop::Leave));
    world.pass(Duration::from_secs(4));
    world.pass(Duration::from_secs(7));
    check(
        &world,
        &expect![[r#"
            kill t1 Terminate
            t1 TASK_KILLING
            kill t1 Kill
            send t1 TASK_STARTING latest TASK_KILLING
            unregister
            close link 1
            end Stopped"#]],
    );
    assert!(matches!(
        world.history.last().and_then(|effects| effects.last()),
        Some(Effect::End { end: End::Stopped })
    ));
}

#[test]
fn after_a_restart_the_id_stays_and_what_is_not_alive_has_ended() {
    let mut world = World::registered();
    world.run_task("ran");
    world.launched("ran");
    world.run_task("launching");
    let mut world = world.restarted(&[]);
    world.open_and_register();
    check(
        &world,
        &expect![[r#"
            launching TASK_DROPPED REASON_AGENT_RESTARTED "The agent restarted during the task's launch"
            ran TASK_FAILED REASON_AGENT_RESTARTED "The agent restarted and the task did not outlive it"
            open link 1
            register agent S1 with launching TASK_DROPPED ran TASK_FAILED
            registered
            send launching TASK_DROPPED latest TASK_DROPPED
            send ran TASK_STARTING latest TASK_FAILED"#]],
    );
    assert_eq!(world.agent.registration().incarnation, 2);
}

#[test]
fn after_a_restart_what_is_alive_goes_on() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    let mut world = world.restarted(&["t1"]);
    world.open_and_register();
    world.exited("t1", ExitStatus::Code(0));
    assert_eq!(world.status("t1").state, TaskState::Finished);
}

#[derive(Debug, Clone)]
enum Act {
    Run(u8),
    Launched(u8),
    LaunchFails(u8),
    Exit(u8),
    Kill(u8),
    Acknowledge(u8),
    AcknowledgeWrongly(u8),
    ShutdownFramework,
    FrameworkSubscribes,
    LoseLink,
    Pass(u16),
    Restart,
    RestartFromCompacted,
}

fn act() -> impl Strategy<Value = Act> {
    let task = 0..4u8;
    prop_oneof![
        4 => task.clone().prop_map(Act::Run),
        4 => task.clone().prop_map(Act::Launched),
        1 => task.clone().prop_map(Act::LaunchFails),
        3 => task.clone().prop_map(Act::Exit),
        2 => task.clone().prop_map(Act::Kill),
        6 => task.clone().prop_map(Act::Acknowledge),
        1 => task.prop_map(Act::AcknowledgeWrongly),
        1 => Just(Act::ShutdownFramework),
        2 => Just(Act::FrameworkSubscribes),
        1 => Just(Act::LoseLink),
        3 => (0..2000u16).prop_map(Act::Pass),
        1 => Just(Act::Restart),
        1 => Just(Act::RestartFromCompacted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens in whatever order: one terminal update a task at most, updates in the
    /// order in which they were made, none sent that is not stored.
    #[test]
    fn no_task_ends_twice_and_updates_keep_their_order(acts in prop::collection::vec(act(), 1..120)) {
        let mut world = World::registered();
        let name = |n: u8| format!("t{n}");
        for act in acts {
            match act {
                Act::Run(n) => world.run_task(&name(n)),
                Act::Launched(n) => world.launched(&name(n)),
                Act::LaunchFails(n) => world.launch_failed(&name(n)),
                Act::Exit(n) => world.exited(&name(n), ExitStatus::Code(n)),
                Act::Kill(n) => world.kill(&name(n), None),
                Act::Acknowledge(n) => world.acknowledge_head(&name(n)),
                Act::AcknowledgeWrongly(n) => world.frame(FromMaster::AcknowledgeUpdate {
                    framework_id: framework_id(),
                    task_id: task_id(&name(n)),
                    uuid: model::StatusUuid([n; 16]),
                }),
                Act::ShutdownFramework => world.frame(FromMaster::ShutdownFramework {
                    framework_id: framework_id(),
                }),
                Act::FrameworkSubscribes => world.frame(FromMaster::FrameworkSubscribed {
                    framework_id: framework_id(),
                }),
                Act::LoseLink => {
                    let link = world.link;
                    world.step(Event::LinkClosed { link });
                }
                Act::Pass(seconds) => {
                    world.pass(Duration::from_secs(seconds.into()));
                    world.open_and_register();
                }
                Act::Restart => {
                    world = world.restarted(&[]);
                    world.open_and_register();
                }
                Act::RestartFromCompacted => {
                    let before = world.snapshot();
                    world.facts = world.agent.facts();
                    let after = world.replayed();
                    prop_assert_eq!(before, after);
                    world = world.restarted(&[]);
                    world.open_and_register();
                }
            }
            world.check_invariants();
        }
    }
}
