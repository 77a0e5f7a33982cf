//! Subscription, failover and the end of frameworks.

use std::sync::Arc;

use expect_test::expect;
use master_core::Config;
use master_core::tasks::Task;

use crate::world::{World, check, config};

#[test]
fn a_subscription_is_answered_with_a_heartbeat_at_once_and_every_15_seconds() {
    check(
        "registry
         subscribe roles=web
         wait 31",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > wait 31
              s1 HEARTBEAT
              s1 HEARTBEAT
        "#]],
    );
}

#[test]
fn an_invalid_subscription_gets_one_error_and_the_end_of_its_stream() {
    check(
        "registry
         subscribe roles=a,a
         subscribe roles=/a
         subscribe roles=a/
         subscribe roles=a//b
         subscribe roles=-a
         subscribe roles=a/*
         subscribe roles=a/..
         subscribe caps=6 role=web
         subscribe roles=web suppressed=zz
         subscribe role=..
         subscribe failover=1e300
         subscribe failover=-1e300",
        &expect![[r#"
            > registry
            > subscribe roles=a,a
              s1 ERROR 'FrameworkInfo.roles' contains duplicate items: { a }
              s1 closed
            > subscribe roles=/a
              s2 ERROR 'FrameworkInfo.roles' contains invalid role: Role '/a' cannot start with a slash
              s2 closed
            > subscribe roles=a/
              s3 ERROR 'FrameworkInfo.roles' contains invalid role: Role 'a/' cannot end with a slash
              s3 closed
            > subscribe roles=a//b
              s4 ERROR 'FrameworkInfo.roles' contains invalid role: Role 'a//b' cannot contain two adjacent slashes
              s4 closed
            > subscribe roles=-a
              s5 ERROR 'FrameworkInfo.roles' contains invalid role: Role component '-a' is invalid because it starts with a dash
              s5 closed
            > subscribe roles=a/*
              s6 ERROR 'FrameworkInfo.roles' contains invalid role: Role 'a/*' cannot include '*' as a component
              s6 closed
            > subscribe roles=a/..
              s7 ERROR 'FrameworkInfo.roles' contains invalid role: Role 'a/..' cannot include '..' as a component
              s7 closed
            > subscribe caps=6 role=web
              s8 ERROR 'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable
              s8 closed
            > subscribe roles=web suppressed=zz
              s9 ERROR Suppressed role 'zz' is not contained in the list of roles
              s9 closed
            > subscribe role=..
              s10 ERROR 'FrameworkInfo.role' is not a valid role: Role '..' cannot include '..' as a component
              s10 closed
            > subscribe failover=1e300
              s11 ERROR The framework failover_timeout (1e+300) is invalid
              s11 closed
            > subscribe failover=-1e300
              s12 ERROR The framework failover_timeout (-1e+300) is invalid
              s12 closed
        "#]],
    );
}

#[test]
fn a_second_subscription_takes_over_and_the_first_stream_ends() {
    check(
        "registry
         register cpus:4;mem:1024
         subscribe roles=web failover=60
         subscribe roles=web failover=60 id=m-0000
         subscribe roles=web failover=60 id=m-0000 user=nobody
         close s1",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > subscribe roles=web failover=60
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > subscribe roles=web failover=60 id=m-0000
              s1 ERROR Framework failed over
              s1 closed
              s2 SUBSCRIBED m-0000
              s2 HEARTBEAT
              s2 OFFERS m-O1 m-S0 web cpus:4;mem:1024
            > subscribe roles=web failover=60 id=m-0000 user=nobody
              s2 ERROR Framework failed over
              s2 closed
              s3 SUBSCRIBED m-0000
              s3 HEARTBEAT
              s3 OFFERS m-O2 m-S0 web cpus:4;mem:1024
            > close s1
        "#]],
    );
}

#[test]
fn a_framework_that_comes_back_in_time_keeps_its_tasks_and_one_that_does_not_loses_them() {
    check(
        "registry
         register cpus:4;mem:1024
         subscribe roles=web failover=60
         accept m-0000 offers=m-O0 t1:cpus:1;mem:64
         close s1
         wait 59
         subscribe roles=web failover=60 id=m-0000
         wait 2
         reconcile m-0000
         close s2
         wait 61
         subscribe roles=web failover=60 id=m-0000",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > subscribe roles=web failover=60
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:64
              l1 run t1 for web
            > close s1
            > wait 59
            > subscribe roles=web failover=60 id=m-0000
              s2 SUBSCRIBED m-0000
              s2 HEARTBEAT
              l1 updated m-0000
              l1 subscribed m-0000
              s2 OFFERS m-O1 m-S0 web cpus:3;mem:960
            > wait 2
            > reconcile m-0000
              s2 UPDATE t1 on m-S0 TASK_STAGING REASON_RECONCILIATION: Reconciliation: Latest task state
            > close s2
            > wait 61
              l1 shut down m-0000
            > subscribe roles=web failover=60 id=m-0000
              s3 ERROR Framework has been removed
              s3 closed
        "#]],
    );
}

#[test]
fn a_framework_that_subscribes_again_is_told_to_the_agents_with_tasks_or_executors_of_it() {
    check(
        "registry
         subscribe roles=web failover=60 checkpoint=
         register cpus:1;mem:64
         accept m-0000 offers=m-O0 t1:cpus:1;mem:64
         register cpus:1.1;mem:64
         accept m-0000 offers=m-O1 agent=m-S1 t2@e:cpus:1;mem:64
         update l2 m-0000 t2 FINISHED uuid=1
         ack m-0000 t2 1 agent=m-S1
         register cpus:1;mem:64
         register cpus:1;mem:64
         accept m-0000 offers=m-O4 agent=m-S3 t3:cpus:1;mem:64
         close l4
         subscribe roles=web failover=60 checkpoint= id=m-0000 suppressed=web
         subscribe roles=web suppressed=web",
        &expect![[r#"
            > registry
            > subscribe roles=web failover=60 checkpoint=
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:1;mem:64
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:1;mem:64
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:64
              l1 run t1 for web
            > register cpus:1.1;mem:64
              store admit m-S1
              l2 registered m-S1
              s1 OFFERS m-O1 m-S1 web cpus:1.1;mem:64
            > accept m-0000 offers=m-O1 agent=m-S1 t2@e:cpus:1;mem:64
              l2 run t2 for web
            > update l2 m-0000 t2 FINISHED uuid=1
              s1 UPDATE t2 TASK_FINISHED
              s1 OFFERS m-O2 m-S1 web cpus:1;mem:64
            > ack m-0000 t2 1 agent=m-S1
              l2 acknowledge t2 1
            > register cpus:1;mem:64
              store admit m-S2
              l3 registered m-S2
              s1 OFFERS m-O3 m-S2 web cpus:1;mem:64
            > register cpus:1;mem:64
              store admit m-S3
              l4 registered m-S3
              s1 OFFERS m-O4 m-S3 web cpus:1;mem:64
            > accept m-0000 offers=m-O4 agent=m-S3 t3:cpus:1;mem:64
              l4 run t3 for web
            > close l4
            > subscribe roles=web failover=60 checkpoint= id=m-0000 suppressed=web
              s1 ERROR Framework failed over
              s1 closed
              s2 SUBSCRIBED m-0000
              s2 HEARTBEAT
              l1 updated m-0000
              l2 updated m-0000
              l1 subscribed m-0000
              l2 subscribed m-0000
            > subscribe roles=web suppressed=web
              s3 SUBSCRIBED m-0001
              s3 HEARTBEAT
        "#]],
    );
}

#[test]
fn a_teardown_ends_the_stream_and_frees_what_the_tasks_held() {
    check(
        "registry
         register cpus:4;mem:1024
         subscribe roles=web
         accept m-0000 offers=m-O0 t1:cpus:1;mem:64
         teardown m-0000
         subscribe role=ops",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:64
              l1 run t1 for web
            > teardown m-0000
              l1 shut down m-0000
              s1 closed
            > subscribe role=ops
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
              s2 OFFERS m-O1 m-S0 ops cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn an_update_of_roles_takes_the_offers_of_the_old_ones_back() {
    check(
        "registry
         register cpus:4;mem:1024
         subscribe roles=web
         update-framework m-0000 roles=ops",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > update-framework m-0000 roles=ops
              s1 RESCIND m-O0
              s1 OFFERS m-O1 m-S0 ops cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn what_is_over_is_remembered_up_to_its_bounds_and_the_newest_of_it() {
    let mut world = World::of(Config {
        completed_frameworks_max: 2,
        completed_tasks_per_framework_max: 2,
        unreachable_tasks_per_framework_max: 2,
        ..config()
    });
    let names = ["t1", "t2", "t3", "t4", "u1", "u2", "u3", "u4"];
    let tasks = names.map(|name| format!("{name}:cpus:1;mem:64"));
    world.line("registry");
    world.line("register cpus:8;mem:8192");
    world.line("subscribe roles=web caps=5 checkpoint=");
    world.line(&format!("accept m-0000 offers=m-O0 {}", tasks.join(" ")));
    for task in &names[..4] {
        world.line(&format!("update l1 m-0000 {task} FINISHED uuid=1"));
        world.line(&format!("ack m-0000 {task} 1"));
    }
    for number in 0..40 {
        // Of several in a row with one state the last is kept.
        let state = ["STARTING", "RUNNING"][number % 2];
        world.line(&format!("update l1 m-0000 u4 {state} uuid={number}"));
        world.line(&format!("ack m-0000 u4 {number}"));
    }
    let id = |task: &Arc<Task>| task.id.to_string();
    let framework = world.master.view().frameworks().next();
    let framework = framework.expect("it is there");
    let completed: Vec<String> = framework.completed_tasks.iter().map(id).collect();
    assert_eq!(completed, ["t3", "t4"]);
    let talkative = framework.tasks.values().find(|task| id(task) == "u4");
    assert_eq!(talkative.map(|task| task.statuses.len()), Some(32));

    world.line("silent l1");
    world.line("wait 100");
    let framework = world.master.view().frameworks().next();
    let unreachable = framework.into_iter().flat_map(|one| &one.unreachable_tasks);
    let unreachable: Vec<String> = unreachable.map(id).collect();
    assert_eq!(unreachable, ["u3", "u4"]);

    for number in 1..=3 {
        world.line("subscribe roles=web");
        world.line(&format!("teardown m-000{number}"));
    }
    let over = world.master.view().completed_frameworks();
    let over: Vec<String> = over.map(|framework| framework.id.to_string()).collect();
    assert_eq!(over, ["m-0002", "m-0003"]);
}
