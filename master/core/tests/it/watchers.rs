//! What operators who watch are told.

use expect_test::expect;

use crate::world::check;

#[test]
fn the_life_of_a_task_is_told_one_state_at_a_time() {
    check(
        "registry
         watch
         subscribe roles=web
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=1000
         update l1 m-0000 t1 RUNNING uuid=1
         update l1 m-0000 t1 RUNNING uuid=2
         update l1 m-0000 t1 FINISHED uuid=3
         ack m-0000 t1 3",
        &expect![[r#"
            > registry
            > watch
            > subscribe roles=web
              w FRAMEWORK_ADDED m-0000
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              w AGENT_ADDED m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=1000
              w TASK_ADDED m-0000 t1 TASK_STAGING
              l1 run t1 for web
            > update l1 m-0000 t1 RUNNING uuid=1
              s1 UPDATE t1 TASK_RUNNING
              w TASK_UPDATED m-0000 TASK_RUNNING: t1 TASK_RUNNING
            > update l1 m-0000 t1 RUNNING uuid=2
              s1 UPDATE t1 TASK_RUNNING
            > update l1 m-0000 t1 FINISHED uuid=3
              s1 UPDATE t1 TASK_FINISHED
              w TASK_UPDATED m-0000 TASK_FINISHED: t1 TASK_FINISHED
              s1 OFFERS m-O1 m-S0 web cpus:4;mem:1024
            > ack m-0000 t1 3
              l1 acknowledge t1 3
        "#]],
    );
}

#[test]
fn a_framework_is_told_with_its_end_and_that_of_its_tasks() {
    check(
        "registry
         watch
         subscribe roles=web failover=10
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=1000
         close s1
         subscribe id=m-0000 roles=web
         teardown m-0000",
        &expect![[r#"
            > registry
            > watch
            > subscribe roles=web failover=10
              w FRAMEWORK_ADDED m-0000
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              w AGENT_ADDED m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=1000
              w TASK_ADDED m-0000 t1 TASK_STAGING
              l1 run t1 for web
            > close s1
            > subscribe id=m-0000 roles=web
              w FRAMEWORK_UPDATED m-0000
              s2 SUBSCRIBED m-0000
              s2 HEARTBEAT
              l1 updated m-0000
              l1 subscribed m-0000
              s2 OFFERS m-O1 m-S0 web cpus:3;mem:512
            > teardown m-0000
              w TASK_UPDATED m-0000 TASK_KILLED: UPDATE t1 on m-S0 TASK_KILLED REASON_FRAMEWORK_REMOVED: Framework m-0000 removed
              l1 shut down m-0000
              s2 closed
              w FRAMEWORK_REMOVED m-0000
        "#]],
    );
}

#[test]
fn an_agent_is_told_when_it_comes_and_when_it_is_removed_but_not_when_it_is_unreachable() {
    check(
        "registry admitted=old-S0
         watch
         register cpus:1;mem:64 id=old-S0 frameworks=f tasks=f/t1/RUNNING/cpus:1
         close l1
         register cpus:1;mem:64 id=old-S0 incarnation=2
         unregister l2
         register cpus:1;mem:64
         silent l3
         wait 100",
        &expect![[r#"
            > registry admitted=old-S0
            > watch
            > register cpus:1;mem:64 id=old-S0 frameworks=f tasks=f/t1/RUNNING/cpus:1
              l1 registered old-S0
              w AGENT_ADDED old-S0
              w FRAMEWORK_ADDED f
              w TASK_ADDED f t1 TASK_RUNNING
            > close l1
            > register cpus:1;mem:64 id=old-S0 incarnation=2
              l2 registered old-S0
              l2 reconcile [(f, t1)]
            > unregister l2
              store remove old-S0
              w TASK_UPDATED f TASK_LOST: UPDATE t1 on old-S0 TASK_LOST REASON_AGENT_REMOVED: Agent host removed: the agent unregistered
              l2 closed
              w AGENT_REMOVED old-S0
            > register cpus:1;mem:64
              store admit m-S0
              l3 registered m-S0
              w AGENT_ADDED m-S0
            > silent l3
            > wait 100
              store unreachable m-S0
              l3 closed
        "#]],
    );
}
