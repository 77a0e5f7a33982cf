//! Gone: agents that operators give up.

use expect_test::expect;

use crate::world::check;

#[test]
fn tasks_of_a_gone_agent_end_and_the_agent_does_not_come_back() {
    check(
        "registry
         subscribe roles=a caps=5
         subscribe roles=b
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 refuse=0 t1:cpus:1;mem:64
         accept m-0001 offers=m-O1 refuse=0 t2:cpus:1;mem:64
         gone m-S0
         gone m-S0
         gone zz
         reconcile m-0000 t1 agent=m-S0
         register cpus:4;mem:1024 id=m-S0 incarnation=2",
        &expect![[r#"
            > registry
            > subscribe roles=a caps=5
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=b
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 refuse=0 t1:cpus:1;mem:64
              l1 run t1 for a
              s2 OFFERS m-O1 m-S0 b cpus:3;mem:960
            > accept m-0001 offers=m-O1 refuse=0 t2:cpus:1;mem:64
              l1 run t2 for b
            > gone m-S0
              store gone m-S0
              l1 shut down: Agent has been marked gone
              s1 UPDATE t1 on m-S0 TASK_GONE_BY_OPERATOR REASON_AGENT_REMOVED_BY_OPERATOR: Agent has been marked gone
              s2 UPDATE t2 on m-S0 TASK_LOST REASON_AGENT_REMOVED: Agent has been marked gone
              l1 closed
              s1 FAILURE m-S0 None
              s2 FAILURE m-S0 None
              r1 Ok
            > gone m-S0
              r2 Ok
            > gone zz
              r3 NotFound("Agent 'zz' not found")
            > reconcile m-0000 t1 agent=m-S0
              s1 UPDATE t1 on m-S0 TASK_GONE_BY_OPERATOR REASON_RECONCILIATION: Reconciliation: Task is gone
            > register cpus:4;mem:1024 id=m-S0 incarnation=2
              l2 refused: Agent has been marked gone
              l2 closed
        "#]],
    );
}

#[test]
fn unreachable_tasks_end_with_their_agent() {
    check(
        "registry
         subscribe roles=a caps=5 checkpoint=
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         close l1
         wait 80
         gone m-S0
         reconcile m-0000 t1 agent=m-S0",
        &expect![[r#"
            > registry
            > subscribe roles=a caps=5 checkpoint=
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for a
            > close l1
            > wait 80
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              store unreachable m-S0
              s1 UPDATE t1 on m-S0 TASK_UNREACHABLE REASON_AGENT_REMOVED: health check timed out
              s1 FAILURE m-S0 None
            > gone m-S0
              store gone m-S0
              s1 UPDATE t1 on m-S0 TASK_GONE_BY_OPERATOR REASON_AGENT_REMOVED_BY_OPERATOR: Agent has been marked gone
              r1 Ok
            > reconcile m-0000 t1 agent=m-S0
              s1 UPDATE t1 on m-S0 TASK_GONE_BY_OPERATOR REASON_RECONCILIATION: Reconciliation: Task is gone
        "#]],
    );
}

#[test]
fn an_agent_expected_back_can_be_gone_and_who_asks_meanwhile_is_refused() {
    check(
        "registry admitted=m-S0 gone=m-S1
         slow registry
         gone m-S0
         gone m-S0
         drain m-S0
         register cpus:4;mem:1024 id=m-S0
         stored
         register cpus:4;mem:1024 id=m-S1
         gone m-S1",
        &expect![[r#"
            > registry admitted=m-S0 gone=m-S1
            > slow registry
            > gone m-S0
              store gone m-S0
            > gone m-S0
              r2 Unavailable("Agent 'm-S0' is already being transitioned to gone")
            > drain m-S0
              r3 Conflict("Agent is currently being marked gone")
            > register cpus:4;mem:1024 id=m-S0
            > stored
              r1 Ok
              l1 refused: Agent has been marked gone
              l1 closed
            > register cpus:4;mem:1024 id=m-S1
              l2 refused: Agent has been marked gone
              l2 closed
            > gone m-S1
              r4 Ok
        "#]],
    );
}

#[test]
fn an_agent_that_is_being_admitted_is_not_forgotten_for_its_age() {
    check(
        "registry
         register cpus:1;mem:64
         silent l1
         wait 100
         wait 1296000
         register cpus:4;mem:1024
         silent l2
         slow
         wait 100
         register cpus:1;mem:64 id=m-S0 incarnation=2
         stored
         stored
         stored",
        &expect![[r#"
            > registry
            > register cpus:1;mem:64
              store admit m-S0
              l1 registered m-S0
            > silent l1
            > wait 100
              store unreachable m-S0
              l1 closed
            > wait 1296000
            > register cpus:4;mem:1024
              store admit m-S1
              l2 registered m-S1
            > silent l2
            > slow
            > wait 100
              store unreachable m-S1
            > register cpus:1;mem:64 id=m-S0 incarnation=2
              store admit m-S0
            > stored
              l2 closed
            > stored
              l3 registered m-S0
            > stored
        "#]],
    );
}
