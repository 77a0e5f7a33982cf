//! Agents: admission, partition, return.

use expect_test::expect;

use crate::world::check;

#[test]
fn an_agent_is_told_that_it_is_admitted_only_when_that_is_stored() {
    check(
        "register cpus:4;mem:1024
         registry
         slow registry
         subscribe roles=web
         register cpus:4;mem:1024
         stored
         register cpus:2;mem:1024
         close l3
         stored
         stored",
        &expect![[r#"
            > register cpus:4;mem:1024
              l1 refused: the master has not read its registry yet
              l1 closed
            > registry
            > slow registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
            > stored
              l2 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > register cpus:2;mem:1024
              store admit m-S1
            > close l3
            > stored
              store remove m-S1
            > stored
        "#]],
    );
}

#[test]
fn nothing_is_started_on_a_new_agent_before_it_has_shown_that_it_knows_its_id() {
    check(
        "registry
         subscribe roles=web
         silent l1
         register cpus:4;mem:1024
         wait 5
         close l1
         register cpus:4;mem:1024",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > silent l1
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > wait 5
            > close l1
              store remove m-S0
              s1 FAILURE m-S0 None
            > register cpus:4;mem:1024
              store admit m-S1
              l2 registered m-S1
              s1 OFFERS m-O0 m-S1 web cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn an_agent_that_never_showed_that_it_knows_its_id_is_not_offered_by_an_operators_word_and_is_removed()
 {
    check(
        "registry
         subscribe roles=web
         silent l1
         register cpus:4;mem:1024
         deactivate m-S0
         reactivate m-S0
         wait 80",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > silent l1
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > deactivate m-S0
              store cluster [Deactivated(m-S0)]
              r1 Ok
            > reactivate m-S0
              store cluster [Reactivated(m-S0)]
              r2 Ok
            > wait 80
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              store remove m-S0
              l1 closed
              s1 FAILURE m-S0 None
        "#]],
    );
}

#[test]
fn an_agent_that_does_not_answer_is_unreachable_when_that_is_stored() {
    check(
        "registry
         slow registry
         subscribe roles=web
         subscribe roles=web caps=5
         register cpus:4;mem:1024
         stored
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
         accept m-0001 offers=m-O1 t2:cpus:1;mem:256
         silent l1
         wait 91
         register cpus:4;mem:1024 id=m-S0 tasks=m-0000/t1/RUNNING/cpus:1;mem:512
         stored
         reconcile m-0000 t1 agent=m-S0
         reconcile m-0001 t2
         stored
         reconcile m-0001 t2 agent=m-S0",
        &expect![[r#"
            > registry
            > slow registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=web caps=5
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
            > stored
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
              l1 run t1 for web
              s2 OFFERS m-O1 m-S0 web cpus:3;mem:512
            > accept m-0001 offers=m-O1 t2:cpus:1;mem:256
              l1 run t2 for web
            > silent l1
            > wait 91
              s2 OFFERS m-O2 m-S0 web cpus:2;mem:256
              s1 HEARTBEAT
              s2 HEARTBEAT
              s1 HEARTBEAT
              s2 HEARTBEAT
              s1 HEARTBEAT
              s2 HEARTBEAT
              s1 HEARTBEAT
              s2 HEARTBEAT
              s1 HEARTBEAT
              s2 HEARTBEAT
              s1 HEARTBEAT
              s2 HEARTBEAT
              s2 RESCIND m-O2
              store unreachable m-S0
            > register cpus:4;mem:1024 id=m-S0 tasks=m-0000/t1/RUNNING/cpus:1;mem:512
            > stored
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_AGENT_REMOVED: health check timed out
              s2 UPDATE t2 on m-S0 TASK_UNREACHABLE REASON_AGENT_REMOVED: health check timed out
              l1 closed
              s1 FAILURE m-S0 None
              s2 FAILURE m-S0 None
              store admit m-S0
            > reconcile m-0000 t1 agent=m-S0
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_RECONCILIATION: Reconciliation: Task is unreachable
            > reconcile m-0001 t2
              s2 UPDATE t2 on - TASK_UNKNOWN REASON_RECONCILIATION: Reconciliation: Task is unknown
            > stored
              l2 registered m-S0
              s1 UPDATE t1 on m-S0 TASK_RUNNING REASON_AGENT_REREGISTERED: Unreachable agent re-reregistered
              s2 OFFERS m-O3 m-S0 web cpus:3;mem:512
            > reconcile m-0001 t2 agent=m-S0
              s2 UPDATE t2 on m-S0 TASK_GONE REASON_RECONCILIATION: Reconciliation: Task is unknown to the agent
        "#]],
    );
}

#[test]
fn a_broken_link_loses_the_tasks_of_frameworks_that_do_not_checkpoint() {
    check(
        "registry
         subscribe roles=a checkpoint=
         subscribe roles=b caps=5
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
         accept m-0001 offers=m-O1 t2:cpus:1;mem:256 refuse=600
         close l1
         reconcile m-0001 t2
         register cpus:4;mem:1024 id=m-S0 tasks=m-0000/t1/RUNNING/cpus:1;mem:512+m-0001/t2/RUNNING/cpus:1;mem:256
         reconcile m-0000
         reconcile m-0001",
        &expect![[r#"
            > registry
            > subscribe roles=a checkpoint=
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=b caps=5
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
              l1 run t1 for a
              s2 OFFERS m-O1 m-S0 b cpus:3;mem:512
            > accept m-0001 offers=m-O1 t2:cpus:1;mem:256 refuse=600
              l1 run t2 for b
            > close l1
              s2 UPDATE t2 on m-S0 TASK_LOST REASON_AGENT_DISCONNECTED: Agent host disconnected
            > reconcile m-0001 t2
              s2 UPDATE t2 on - TASK_UNKNOWN REASON_RECONCILIATION: Reconciliation: Task is unknown
            > register cpus:4;mem:1024 id=m-S0 tasks=m-0000/t1/RUNNING/cpus:1;mem:512+m-0001/t2/RUNNING/cpus:1;mem:256
              l2 registered m-S0
              s2 UPDATE t2 on m-S0 TASK_RUNNING REASON_AGENT_REREGISTERED: Agent reregistered
            > reconcile m-0000
              s1 UPDATE t1 on m-S0 TASK_RUNNING REASON_RECONCILIATION: Reconciliation: Latest task state
            > reconcile m-0001
              s2 UPDATE t2 on m-S0 TASK_RUNNING REASON_RECONCILIATION: Reconciliation: Latest task state
        "#]],
    );
}

#[test]
fn an_agent_that_comes_back_is_asked_for_a_task_whose_end_nobody_acknowledged() {
    check(
        "registry
         subscribe roles=a checkpoint=
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
         update l1 m-0000 t1 DROPPED uuid=1
         register cpus:4;mem:1024 id=m-S0 incarnation=2",
        &expect![[r#"
            > registry
            > subscribe roles=a checkpoint=
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
              l1 run t1 for a
            > update l1 m-0000 t1 DROPPED uuid=1
              s1 UPDATE t1 TASK_DROPPED
              s1 OFFERS m-O1 m-S0 a cpus:4;mem:1024
            > register cpus:4;mem:1024 id=m-S0 incarnation=2
              s1 RESCIND m-O1
              l1 closed
              l2 registered m-S0
              l2 reconcile [(m-0000, t1)]
              s1 OFFERS m-O2 m-S0 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn an_agent_that_comes_back_without_a_task_is_asked_for_it() {
    check(
        "registry
         subscribe roles=a checkpoint=
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
         register cpus:4;mem:1024 id=m-S0 incarnation=2
         update l1 m-0000 t1 RUNNING uuid=1
         update l2 m-0000 t1 LOST uuid=1 epoch=2
         update l2 m-0000 t1 LOST uuid=1",
        &expect![[r#"
            > registry
            > subscribe roles=a checkpoint=
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=600
              l1 run t1 for a
            > register cpus:4;mem:1024 id=m-S0 incarnation=2
              l1 closed
              l2 registered m-S0
              l2 reconcile [(m-0000, t1)]
            > update l1 m-0000 t1 RUNNING uuid=1
            > update l2 m-0000 t1 LOST uuid=1 epoch=2
            > update l2 m-0000 t1 LOST uuid=1
              s1 UPDATE t1 TASK_LOST
              s1 OFFERS m-O1 m-S0 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn an_older_incarnation_is_refused() {
    check(
        "registry
         register cpus:4;mem:1024
         register cpus:4;mem:1024 id=m-S0 incarnation=3
         register cpus:4;mem:1024 id=m-S0 incarnation=2",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > register cpus:4;mem:1024 id=m-S0 incarnation=3
              l1 closed
              l2 registered m-S0
            > register cpus:4;mem:1024 id=m-S0 incarnation=2
              l3 refused: agent m-S0 was seen in incarnation 3
              l3 closed
        "#]],
    );
}

#[test]
fn a_registration_whose_link_ends_while_it_waits_for_the_registry_is_void() {
    check(
        "registry
         register cpus:1;mem:64
         slow registry
         unregister l1
         register cpus:1;mem:64 id=m-S0 incarnation=2
         close l2
         stored
         stored
         subscribe roles=web",
        &expect![[r#"
            > registry
            > register cpus:1;mem:64
              store admit m-S0
              l1 registered m-S0
            > slow registry
            > unregister l1
              store remove m-S0
            > register cpus:1;mem:64 id=m-S0 incarnation=2
            > close l2
            > stored
              l1 closed
            > stored
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
        "#]],
    );
}

#[test]
fn a_new_master_learns_frameworks_and_tasks_from_agents() {
    check(
        "registry admitted=m-S0
         register cpus:4;mem:1024 id=m-S0 frameworks=x-0000 tasks=x-0000/t1/RUNNING/cpus:1;mem:512
         subscribe id=x-0000 checkpoint=
         reconcile x-0000
         subscribe role=ops
         close s1
         wait 1
         register cpus:4;mem:1024 id=m-S0 incarnation=2 frameworks=x-0000 tasks=x-0000/t1/RUNNING/cpus:1;mem:512",
        &expect![[r#"
            > registry admitted=m-S0
            > register cpus:4;mem:1024 id=m-S0 frameworks=x-0000 tasks=x-0000/t1/RUNNING/cpus:1;mem:512
              l1 registered m-S0
            > subscribe id=x-0000 checkpoint=
              s1 SUBSCRIBED x-0000
              s1 HEARTBEAT
              l1 updated x-0000
              l1 subscribed x-0000
              s1 OFFERS m-O0 m-S0 * cpus:3;mem:512
            > reconcile x-0000
              s1 UPDATE t1 on m-S0 TASK_RUNNING REASON_RECONCILIATION: Reconciliation: Latest task state
            > subscribe role=ops
              s2 SUBSCRIBED m-0000
              s2 HEARTBEAT
            > close s1
              l1 shut down x-0000
              s2 OFFERS m-O1 m-S0 ops cpus:4;mem:1024
            > wait 1
            > register cpus:4;mem:1024 id=m-S0 incarnation=2 frameworks=x-0000 tasks=x-0000/t1/RUNNING/cpus:1;mem:512
              s2 RESCIND m-O1
              l1 closed
              l2 registered m-S0
              l2 shut down x-0000
              s2 OFFERS m-O2 m-S0 ops cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn an_agent_of_the_registry_that_does_not_come_back_is_given_up() {
    check(
        "registry admitted=m-S7
         wait 590
         subscribe roles=a
         wait 9
         wait 2",
        &expect![[r#"
            > registry admitted=m-S7
            > wait 590
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > wait 9
            > wait 2
              store unreachable m-S7
              s1 FAILURE m-S7 None
        "#]],
    );
}

#[test]
fn an_agent_that_leaves_in_good_order_is_removed() {
    check(
        "registry
         subscribe roles=a caps=5
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=0
         wait 1
         unregister l1",
        &expect![[r#"
            > registry
            > subscribe roles=a caps=5
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=0
              l1 run t1 for a
            > wait 1
              s1 OFFERS m-O1 m-S0 a cpus:3;mem:512
            > unregister l1
              s1 RESCIND m-O1
              store remove m-S0
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_AGENT_REMOVED: Agent host removed: the agent unregistered
              l1 closed
              s1 FAILURE m-S0 None
        "#]],
    );
}

#[test]
fn an_agent_that_forgot_its_id_replaces_the_one_at_its_address() {
    check(
        "registry
         register cpus:4;mem:1024 address=10.0.0.1:5051
         register cpus:4;mem:1024 address=10.0.0.1:5051",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store remove m-S0
              store admit m-S1
              l1 closed
              l2 registered m-S1
        "#]],
    );
}

#[test]
fn a_late_registration_of_a_program_that_is_no_more_replaces_nobody() {
    check(
        "registry
         register cpus:4;mem:1024 address=10.0.0.1:5051
         register cpus:4;mem:1024 address=10.0.0.1:5051 link=0
         register cpus:4;mem:1024 address=10.0.0.2:5051 link=0",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
            > register cpus:4;mem:1024 address=10.0.0.1:5051 link=0
              l0 closed
            > register cpus:4;mem:1024 address=10.0.0.2:5051 link=0
              store admit m-S1
              l0 registered m-S1
        "#]],
    );
}

#[test]
fn agents_are_given_up_one_by_one_and_those_that_answer_are_spared() {
    check(
        "removal-rate 300
         registry
         subscribe roles=web suppressed=web
         register cpus:1;mem:64 address=a
         register cpus:1;mem:64 address=b
         register cpus:1;mem:64 address=c
         silent l1
         silent l2
         silent l3
         wait 91
         loud l2
         wait 30
         wait 300",
        &expect![[r#"
            > removal-rate 300
            > registry
            > subscribe roles=web suppressed=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:1;mem:64 address=a
              store admit m-S0
              l1 registered m-S0
            > register cpus:1;mem:64 address=b
              store admit m-S1
              l2 registered m-S1
            > register cpus:1;mem:64 address=c
              store admit m-S2
              l3 registered m-S2
            > silent l1
            > silent l2
            > silent l3
            > wait 91
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              store unreachable m-S0
              l1 closed
              s1 FAILURE m-S0 None
            > loud l2
            > wait 30
              s1 HEARTBEAT
              s1 HEARTBEAT
            > wait 300
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              store unreachable m-S2
              l3 closed
              s1 FAILURE m-S2 None
              s1 HEARTBEAT
              s1 HEARTBEAT
        "#]],
    );
}
