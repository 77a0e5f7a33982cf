//! Draining: agents deactivated, drained and reactivated.

use expect_test::expect;

use crate::world::check;

#[test]
fn a_deactivated_agent_keeps_its_tasks_and_is_not_offered_until_it_is_reactivated() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 refuse=0 t1:cpus:1;mem:64
         wait 1
         deactivate m-S0
         deactivate m-S0
         close l1
         register cpus:4;mem:1024 id=m-S0 incarnation=2 tasks=m-0000/t1/RUNNING/cpus:1;mem:64
         reactivate m-S0
         reactivate m-S0
         deactivate zz",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 refuse=0 t1:cpus:1;mem:64
              l1 run t1 for a
            > wait 1
              s1 OFFERS m-O1 m-S0 a cpus:3;mem:960
            > deactivate m-S0
              store cluster [Deactivated(m-S0)]
              s1 RESCIND m-O1
              r1 Ok
            > deactivate m-S0
              store cluster [Deactivated(m-S0)]
              r2 Ok
            > close l1
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_AGENT_DISCONNECTED: Agent host disconnected
            > register cpus:4;mem:1024 id=m-S0 incarnation=2 tasks=m-0000/t1/RUNNING/cpus:1;mem:64
              l2 registered m-S0
              s1 UPDATE t1 on m-S0 TASK_RUNNING REASON_AGENT_REREGISTERED: Agent reregistered
            > reactivate m-S0
              store cluster [Reactivated(m-S0)]
              r3 Ok
              s1 OFFERS m-O2 m-S0 a cpus:3;mem:960
            > reactivate m-S0
              r4 BadRequest("Agent is not deactivated")
            > deactivate zz
              r5 BadRequest("Unknown agent")
        "#]],
    );
}

#[test]
fn an_agent_has_drained_when_the_ends_of_its_tasks_are_acknowledged() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         drain m-S0 grace=3
         reactivate m-S0
         update l1 m-0000 t1 KILLED uuid=1
         ack m-0000 t1 1
         reactivate m-S0
         drain m-S0
         drain zz",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for a
            > drain m-S0 grace=3
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Draining, config: DrainConfig { max_grace_ns: Some(3), mark_gone: false } })]
              l1 drain DrainConfig { max_grace_ns: Some(3), mark_gone: false }
              r1 Ok
            > reactivate m-S0
              r2 BadRequest("Agent is still in the DRAINING state")
            > update l1 m-0000 t1 KILLED uuid=1
              s1 UPDATE t1 TASK_KILLED
            > ack m-0000 t1 1
              l1 acknowledge t1 1
              store cluster [Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: Some(3), mark_gone: false } })]
            > reactivate m-S0
              store cluster [Reactivated(m-S0)]
              r3 Ok
              s1 OFFERS m-O1 m-S0 a cpus:4;mem:1024
            > drain m-S0
              s1 RESCIND m-O1
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
              r4 Ok
            > drain zz
              r5 BadRequest("Unknown agent")
        "#]],
    );
}

#[test]
fn an_agent_that_is_to_be_gone_is_when_nothing_is_left() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024
         drain m-S0 gone=
         register cpus:4;mem:1024 id=m-S0 incarnation=2
         drain m-S0",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > drain m-S0 gone=
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Draining, config: DrainConfig { max_grace_ns: None, mark_gone: true } })]
              s1 RESCIND m-O0
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: true }
              r1 Ok
              store gone m-S0
              l1 shut down: Agent has been marked gone
              l1 closed
              s1 FAILURE m-S0 None
            > register cpus:4;mem:1024 id=m-S0 incarnation=2
              l2 refused: Agent has been marked gone
              l2 closed
            > drain m-S0
              r2 BadRequest("Unknown agent")
        "#]],
    );
}

#[test]
fn an_agent_that_comes_back_is_told_again_that_it_drains() {
    check(
        "registry admitted=m-S0 unreachable=m-S1
         drain m-S0
         deactivate m-S1
         register cpus:4;mem:1024 id=m-S0
         subscribe roles=a
         register cpus:2;mem:1024 id=m-S1
         reactivate m-S1",
        &expect![[r#"
            > registry admitted=m-S0 unreachable=m-S1
            > drain m-S0
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Draining, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
              r1 Ok
            > deactivate m-S1
              store cluster [Deactivated(m-S1)]
              r2 Ok
            > register cpus:4;mem:1024 id=m-S0
              l1 registered m-S0
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
              store cluster [Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:2;mem:1024 id=m-S1
              store admit m-S1
              l2 registered m-S1
            > reactivate m-S1
              store cluster [Reactivated(m-S1)]
              r3 Ok
              s1 OFFERS m-O0 m-S1 a cpus:2;mem:1024
        "#]],
    );
}

#[test]
fn agents_in_maintenance_or_of_old_versions_do_not_drain() {
    check(
        "registry
         register cpus:4;mem:1024 address=10.0.0.1:5051
         register cpus:4;mem:1024 address=10.0.0.2:5051 old=
         schedule host/10.0.0.1@50
         drain m-S0
         drain m-S1",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
            > register cpus:4;mem:1024 address=10.0.0.2:5051 old=
              store admit m-S1
              l2 registered m-S1
            > schedule host/10.0.0.1@50
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
              r1 Ok
            > drain m-S0
              r2 BadRequest("Agent m-S0 is part of a maintenance schedule under Machine host (10.0.0.1)")
            > drain m-S1
              r3 BadRequest("Agent m-S1 is not capable of draining")
        "#]],
    );
}

#[test]
fn an_agent_has_drained_when_its_operations_are_acknowledged_too() {
    check(
        "registry
         subscribe roles=web caps=7
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk(web):10#o1
         drain m-S0
         operation l1 0 FINISHED uuid=1
         ack-operation m-0000 o1 1",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk(web):10#o1
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):10;cpus:4;mem:1024;disk:90
            > drain m-S0
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Draining, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
              s1 RESCIND m-O1
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
              r1 Ok
            > operation l1 0 FINISHED uuid=1
              s1 OPERATION_FINISHED o1 on m-S0 uuid=1
            > ack-operation m-0000 o1 1
              l1 acknowledge operation 1
              store cluster [Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
        "#]],
    );
}

#[test]
fn what_operators_set_about_agents_outlives_a_master() {
    check(
        "registry admitted=m-S0,m-S1,m-S2 draining=m-S0 deactivated=m-S1,m-S9
         register cpus:4;mem:1024 id=m-S0
         register cpus:2;mem:1024 id=m-S1
         register cpus:1;mem:1024 id=m-S2
         subscribe roles=a
         reactivate m-S1",
        &expect![[r#"
            > registry admitted=m-S0,m-S1,m-S2 draining=m-S0 deactivated=m-S1,m-S9
              store cluster [Reactivated(m-S9)]
            > register cpus:4;mem:1024 id=m-S0
              l1 registered m-S0
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
              store cluster [Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
            > register cpus:2;mem:1024 id=m-S1
              l2 registered m-S1
            > register cpus:1;mem:1024 id=m-S2
              l3 registered m-S2
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
              s1 OFFERS m-O0 m-S2 a cpus:1;mem:1024
            > reactivate m-S1
              store cluster [Reactivated(m-S1)]
              r1 Ok
              s1 OFFERS m-O1 m-S1 a cpus:2;mem:1024
        "#]],
    );
}

#[test]
fn requests_that_meet_are_checked_against_what_is_on_its_way() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         deactivate m-S0
         slow
         drain m-S0
         reactivate m-S0
         stored
         update l1 m-0000 t1 KILLED uuid=1
         ack m-0000 t1 1
         stored
         reactivate m-S0
         drain m-S0
         stored
         stored",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for a
            > deactivate m-S0
              store cluster [Deactivated(m-S0)]
              r1 Ok
            > slow
            > drain m-S0
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Draining, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
            > reactivate m-S0
              r3 BadRequest("Agent is still in the DRAINING state")
            > stored
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
              r2 Ok
            > update l1 m-0000 t1 KILLED uuid=1
              s1 UPDATE t1 TASK_KILLED
            > ack m-0000 t1 1
              l1 acknowledge t1 1
              store cluster [Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
            > stored
            > reactivate m-S0
              store cluster [Reactivated(m-S0)]
            > drain m-S0
              store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
            > stored
              r4 Ok
            > stored
              l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
              r5 Ok
        "#]],
    );
}
