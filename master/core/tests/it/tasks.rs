//! Tasks: launch, updates, kills, reconciliation.

use std::time::Duration;

use expect_test::expect;
use master_core::event::{Call, Event, Text};
use model::FrameworkId;

use crate::world::{World, check};

#[test]
fn a_task_runs_to_its_end_and_stays_until_the_end_is_acknowledged() {
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024;ports:[31000-31009]
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512;ports:[31003-31004] refuse=0
         update l1 m-0000 t1 RUNNING uuid=1
         reconcile m-0000
         ack m-0000 t1 1
         wait 1
         update l1 m-0000 t1 FINISHED uuid=2
         reconcile m-0000
         ack m-0000 t1 9
         reconcile m-0000
         ack m-0000 t1 2
         reconcile m-0000
         kill m-0000 t1",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;ports:[31000-31009]
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web ports:[31000-31009];cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512;ports:[31003-31004] refuse=0
              l1 run t1 for web
            > update l1 m-0000 t1 RUNNING uuid=1
              s1 UPDATE t1 TASK_RUNNING
            > reconcile m-0000
              s1 UPDATE t1 on m-S0 TASK_RUNNING REASON_RECONCILIATION: Reconciliation: Latest task state
            > ack m-0000 t1 1
              l1 acknowledge t1 1
            > wait 1
              s1 OFFERS m-O1 m-S0 web ports:[31000-31002, 31005-31009];cpus:3;mem:512
            > update l1 m-0000 t1 FINISHED uuid=2
              s1 UPDATE t1 TASK_FINISHED
              s1 OFFERS m-O2 m-S0 web ports:[31003-31004];cpus:1;mem:512
            > reconcile m-0000
              s1 UPDATE t1 on m-S0 TASK_FINISHED REASON_RECONCILIATION: Reconciliation: Latest task state
            > ack m-0000 t1 9
              l1 acknowledge t1 9
            > reconcile m-0000
              s1 UPDATE t1 on m-S0 TASK_FINISHED REASON_RECONCILIATION: Reconciliation: Latest task state
            > ack m-0000 t1 2
              l1 acknowledge t1 2
            > reconcile m-0000
            > kill m-0000 t1
              s1 UPDATE t1 on - TASK_LOST REASON_RECONCILIATION: Reconciliation: Task is unknown
        "#]],
    );
}

#[test]
fn an_invalid_task_ends_in_error_and_the_others_run() {
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024;ports:[31000-32000]
         accept m-0000 offers=m-O0 a/b:cpus:1 :cpus:1 t1: t3:cpus:0;mem:32 t4:cpus:1 t4:cpus:1 t5:flux:3 t6:cpus:1;ports:[1-2] t7:cpus:[1-2] refuse=0",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;ports:[31000-32000]
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web ports:[31000-32000];cpus:4;mem:1024
            > accept m-0000 offers=m-O0 a/b:cpus:1 :cpus:1 t1: t3:cpus:0;mem:32 t4:cpus:1 t4:cpus:1 t5:flux:3 t6:cpus:1;ports:[1-2] t7:cpus:[1-2] refuse=0
              s1 UPDATE a/b on m-S0 TASK_ERROR REASON_TASK_INVALID: 'a/b' contains invalid characters
              s1 UPDATE  on m-S0 TASK_ERROR REASON_TASK_INVALID: ID must not be empty
              s1 UPDATE t1 on m-S0 TASK_ERROR REASON_TASK_INVALID: Task uses no resources
              l1 run t3 for web
              l1 run t4 for web
              s1 UPDATE t4 on m-S0 TASK_ERROR REASON_TASK_INVALID: Task has duplicate ID: t4
              s1 UPDATE t5 on m-S0 TASK_ERROR REASON_TASK_INVALID: Total resources flux(allocated: web):3 required by task and its executor is more than available ports(allocated: web):[31000-32000]; cpus(allocated: web):3; mem(allocated: web):992
              s1 UPDATE t6 on m-S0 TASK_ERROR REASON_TASK_INVALID: Total resources cpus(allocated: web):1; ports(allocated: web):[1-2] required by task and its executor is more than available ports(allocated: web):[31000-32000]; cpus(allocated: web):3; mem(allocated: web):992
              s1 UPDATE t7 on m-S0 TASK_ERROR REASON_TASK_INVALID: Total resources cpus(allocated: web):[1-2] required by task and its executor is more than available ports(allocated: web):[31000-32000]; cpus(allocated: web):3; mem(allocated: web):992
        "#]],
    );
    // Resources are looked at before anything else, those of all tasks at once.
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1 t2:cpus:-1 a/b:cpus:1",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1 t2:cpus:-1 a/b:cpus:1
              s1 UPDATE t1 on m-S0 TASK_ERROR REASON_TASK_INVALID: Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0
              s1 UPDATE t2 on m-S0 TASK_ERROR REASON_TASK_INVALID: Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0
              s1 UPDATE a/b on m-S0 TASK_ERROR REASON_TASK_INVALID: Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0
        "#]],
    );
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 agent=other t1:cpus:1",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 agent=other t1:cpus:1
              s1 UPDATE t1 on other TASK_ERROR REASON_TASK_INVALID: Task uses invalid agent other while agent m-S0 is expected
        "#]],
    );
}

#[test]
fn a_kill_reaches_the_agent_or_is_answered_like_a_reconciliation() {
    check(
        "registry
         subscribe roles=web checkpoint=
         subscribe roles=web caps=5
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
         kill m-0000 t1 agent=zz
         kill m-0000 t1 agent=m-S0
         kill m-0000 zz
         kill m-0001 zz
         kill m-0001 zz agent=m-S0
         close l1
         register cpus:4;mem:1024 id=m-S0 tasks=m-0000/t1/STAGING/cpus:1;mem:512",
        &expect![[r#"
            > registry
            > subscribe roles=web checkpoint=
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=web caps=5
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
              l1 run t1 for web
              s2 OFFERS m-O1 m-S0 web cpus:3;mem:512
            > kill m-0000 t1 agent=zz
            > kill m-0000 t1 agent=m-S0
              l1 kill t1
            > kill m-0000 zz
              s1 UPDATE zz on - TASK_LOST REASON_RECONCILIATION: Reconciliation: Task is unknown
            > kill m-0001 zz
              s2 UPDATE zz on - TASK_UNKNOWN REASON_RECONCILIATION: Reconciliation: Task is unknown
            > kill m-0001 zz agent=m-S0
              s2 UPDATE zz on m-S0 TASK_GONE REASON_RECONCILIATION: Reconciliation: Task is unknown to the agent
            > close l1
              s2 RESCIND m-O1
            > register cpus:4;mem:1024 id=m-S0 tasks=m-0000/t1/STAGING/cpus:1;mem:512
              l2 registered m-S0
              l2 kill t1
              s2 OFFERS m-O2 m-S0 web cpus:3;mem:512
        "#]],
    );
}

#[test]
fn reconciliation_knows_what_became_of_each_task() {
    check(
        "registry admitted=m-S7
         subscribe roles=web caps=5
         reconcile m-0000 t1
         reconcile m-0000 t1 agent=m-S7
         reconcile m-0000 t1 agent=m-S8
         register cpus:4;mem:1024 id=m-S7
         reconcile m-0000 t1
         reconcile m-0000 t1 agent=m-S7
         silent l1
         wait 91
         reconcile m-0000 t1 agent=m-S7",
        &expect![[r#"
            > registry admitted=m-S7
            > subscribe roles=web caps=5
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > reconcile m-0000 t1
            > reconcile m-0000 t1 agent=m-S7
            > reconcile m-0000 t1 agent=m-S8
              s1 UPDATE t1 on m-S8 TASK_UNKNOWN REASON_RECONCILIATION: Reconciliation: Task is unknown
            > register cpus:4;mem:1024 id=m-S7
              l1 registered m-S7
              s1 OFFERS m-O0 m-S7 web cpus:4;mem:1024
            > reconcile m-0000 t1
              s1 UPDATE t1 on - TASK_UNKNOWN REASON_RECONCILIATION: Reconciliation: Task is unknown
            > reconcile m-0000 t1 agent=m-S7
              s1 UPDATE t1 on m-S7 TASK_GONE REASON_RECONCILIATION: Reconciliation: Task is unknown to the agent
            > silent l1
            > wait 91
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 RESCIND m-O0
              store unreachable m-S7
              l1 closed
              s1 FAILURE m-S7 None
            > reconcile m-0000 t1 agent=m-S7
              s1 UPDATE t1 on m-S7 TASK_UNREACHABLE REASON_RECONCILIATION: Reconciliation: Task is unreachable
        "#]],
    );
}

#[test]
fn resources_are_free_when_the_agent_knows_of_the_end_whatever_was_forwarded() {
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         update l1 m-0000 t1 RUNNING uuid=1 latest=FINISHED",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for web
            > update l1 m-0000 t1 RUNNING uuid=1 latest=FINISHED
              s1 UPDATE t1 TASK_RUNNING
              s1 OFFERS m-O1 m-S0 web cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn an_update_of_nothing_known_is_forwarded_to_be_acknowledged() {
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024
         update l1 m-0000 zz RUNNING uuid=1
         ack m-0000 zz 1
         update l1 m-9999 zz RUNNING uuid=1
         exited l1 m-0000 e1
         shutdown m-0000 e1 agent=m-S0
         shutdown m-0000 e1 agent=zz",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > update l1 m-0000 zz RUNNING uuid=1
              s1 UPDATE zz TASK_RUNNING
            > ack m-0000 zz 1
              l1 acknowledge zz 1
            > update l1 m-9999 zz RUNNING uuid=1
            > exited l1 m-0000 e1
            > shutdown m-0000 e1 agent=m-S0
              l1 shut down executor e1
            > shutdown m-0000 e1 agent=zz
        "#]],
    );
}

#[test]
fn an_executor_counts_once_for_all_its_tasks_and_until_it_exits() {
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1@e1:cpus:1 t2@e1:cpus:1 t3@:cpus:1 t4@e4:cpus:2 refuse=0
         wait 1
         update l1 m-0000 t1 FINISHED uuid=1
         update l1 m-0000 t2 FINISHED uuid=1
         exited l1 m-0000 e1",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1@e1:cpus:1 t2@e1:cpus:1 t3@:cpus:1 t4@e4:cpus:2 refuse=0
              l1 run t1 for web
              l1 run t2 for web
              s1 UPDATE t3 on m-S0 TASK_ERROR REASON_TASK_INVALID: ID must not be empty
              s1 UPDATE t4 on m-S0 TASK_ERROR REASON_TASK_INVALID: Total resources cpus(allocated: web):2.1 required by task and its executor is more than available cpus(allocated: web):1.9; mem(allocated: web):1024
            > wait 1
              s1 OFFERS m-O1 m-S0 web cpus:1.9;mem:1024
            > update l1 m-0000 t1 FINISHED uuid=1
              s1 UPDATE t1 TASK_FINISHED
              s1 OFFERS m-O2 m-S0 web cpus:1
            > update l1 m-0000 t2 FINISHED uuid=1
              s1 UPDATE t2 TASK_FINISHED
              s1 OFFERS m-O3 m-S0 web cpus:1
            > exited l1 m-0000 e1
              s1 FAILURE m-S0 Some((e1, 9))
              s1 OFFERS m-O4 m-S0 web cpus:0.1
        "#]],
    );
}

#[test]
fn a_group_runs_whole_or_not_at_all() {
    check(
        "registry
         subscribe roles=web
         register cpus:4;mem:1024;disk:100;ports:[1-9]
         group m-0000 offers=m-O0 g1:cpus:1;mem:32 g2:cpus:9 refuse=0
         wait 1
         group m-0000 offers=m-O1 g1:cpus:1;mem:32 g1:cpus:1 refuse=0
         wait 1
         group m-0000 offers=m-O2 g1:cpus:1;mem:32 with=cpus:1;mem:32 refuse=0
         wait 1
         group m-0000 offers=m-O3 g1:cpus:1;mem:32 with=mem:32;disk:1 refuse=0
         wait 1
         group m-0000 offers=m-O4 g1:cpus:1;mem:32 with=cpus:1;mem:16;disk:1 refuse=0
         wait 1
         group m-0000 offers=m-O5 g1:cpus:1;ports:[1-2] g2:cpus:1;ports:[2-3] refuse=0
         wait 1
         group m-0000 offers=m-O6 g1:cpus:1 g2:cpus:1 refuse=0
         wait 1
         group m-0000 offers=m-O7 g3:cpus:1 refuse=0
         update l1 m-0000 g1 RUNNING uuid=1
         kill m-0000 g1
         exited l1 m-0000 pod",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100;ports:[1-9]
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O0 g1:cpus:1;mem:32 g2:cpus:9 refuse=0
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Total resources cpus(allocated: web):10.1; mem(allocated: web):64; disk(allocated: web):16 required by task group and its executor are more than available ports(allocated: web):[1-9]; cpus(allocated: web):4; mem(allocated: web):1024; disk(allocated: web):100
              s1 UPDATE g2 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Total resources cpus(allocated: web):10.1; mem(allocated: web):64; disk(allocated: web):16 required by task group and its executor are more than available ports(allocated: web):[1-9]; cpus(allocated: web):4; mem(allocated: web):1024; disk(allocated: web):100
            > wait 1
              s1 OFFERS m-O1 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O1 g1:cpus:1;mem:32 g1:cpus:1 refuse=0
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Task 'g1' is invalid: Task has duplicate ID: g1
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Task 'g1' is invalid: Task has duplicate ID: g1
            > wait 1
              s1 OFFERS m-O2 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O2 g1:cpus:1;mem:32 with=cpus:1;mem:32 refuse=0
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Executor 'pod' uses no disk
            > wait 1
              s1 OFFERS m-O3 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O3 g1:cpus:1;mem:32 with=mem:32;disk:1 refuse=0
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Executor 'pod' uses less CPUs (None) than the minimum required (0.01)
            > wait 1
              s1 OFFERS m-O4 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O4 g1:cpus:1;mem:32 with=cpus:1;mem:16;disk:1 refuse=0
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: Executor 'pod' uses less memory (16MB) than the minimum required (32MB)
            > wait 1
              s1 OFFERS m-O5 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O5 g1:cpus:1;ports:[1-2] g2:cpus:1;ports:[2-3] refuse=0
              s1 UPDATE g1 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: There are overlapping resources in the task group's task resources [ cpus(allocated: web):1; ports(allocated: web):[1-2], cpus(allocated: web):1; ports(allocated: web):[2-3] ] and/or executor resources [{"allocation_info":{"role":"web"},"name":"cpus","scalar":{"value":0.1},"type":"SCALAR"},{"allocation_info":{"role":"web"},"name":"mem","scalar":{"value":32.0},"type":"SCALAR"},{"allocation_info":{"role":"web"},"name":"disk","scalar":{"value":16.0},"type":"SCALAR"}]
              s1 UPDATE g2 on m-S0 TASK_ERROR REASON_TASK_GROUP_INVALID: There are overlapping resources in the task group's task resources [ cpus(allocated: web):1; ports(allocated: web):[1-2], cpus(allocated: web):1; ports(allocated: web):[2-3] ] and/or executor resources [{"allocation_info":{"role":"web"},"name":"cpus","scalar":{"value":0.1},"type":"SCALAR"},{"allocation_info":{"role":"web"},"name":"mem","scalar":{"value":32.0},"type":"SCALAR"},{"allocation_info":{"role":"web"},"name":"disk","scalar":{"value":16.0},"type":"SCALAR"}]
            > wait 1
              s1 OFFERS m-O6 m-S0 web ports:[1-9];cpus:4;mem:1024;disk:100
            > group m-0000 offers=m-O6 g1:cpus:1 g2:cpus:1 refuse=0
              l1 run in pod for web: g1 g2
            > wait 1
              s1 OFFERS m-O7 m-S0 web ports:[1-9];cpus:1.9;mem:992;disk:84
            > group m-0000 offers=m-O7 g3:cpus:1 refuse=0
              l1 run in pod for web: g3
            > update l1 m-0000 g1 RUNNING uuid=1
              s1 UPDATE g1 TASK_RUNNING
            > kill m-0000 g1
              l1 kill g1
            > exited l1 m-0000 pod
              s1 FAILURE m-S0 Some((pod, 9))
              s1 OFFERS m-O8 m-S0 web ports:[1-9];cpus:1;mem:1024;disk:100
        "#]],
    );
}

#[test]
fn messages_go_both_ways_while_both_ends_are_connected() {
    check(
        "registry
         subscribe roles=web failover=60
         register cpus:4;mem:1024
         message m-0000 e1 hello
         message m-0000 e1 hello agent=zz
         says l1 m-0000 e1 hello
         close s1
         says l1 m-0000 e1 hello",
        &expect![[r#"
            > registry
            > subscribe roles=web failover=60
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > message m-0000 e1 hello
              l1 message for e1: hello
            > message m-0000 e1 hello agent=zz
            > says l1 m-0000 e1 hello
              s1 MESSAGE e1: hello
            > close s1
            > says l1 m-0000 e1 hello
        "#]],
    );
}

#[test]
fn what_is_free_waits_for_a_quiet_moment_ten_milliseconds_at_most() {
    let mut world = World::new();
    world.line("registry");
    world.line("register cpus:4;mem:1024");
    world.line("subscribe roles=a");
    world.line("subscribe roles=b");
    let declined = Call::Decline {
        offer_ids: vec![Text::from("m-O0")],
        refuse_seconds: None,
    };
    let framework_id = FrameworkId::new("m-0000").expect("an id");
    let framework = || framework_id.clone();
    world.step(Event::Call {
        framework_id: framework(),
        call: declined,
    });
    // Events keep coming, and no tick between them.
    let mut waited = Vec::new();
    for _ in 0..12 {
        waited.push(world.transcript.contains("s2 OFFERS"));
        world.now = world.now + Duration::from_millis(1);
        let tasks = vec![(Text::from("t1"), None)];
        world.step(Event::Call {
            framework_id: framework(),
            call: Call::Reconcile { tasks },
        });
    }
    let early = waited.iter().filter(|is_offered| !**is_offered).count();
    assert_eq!(early, 10, "{waited:?}");
}
