//! Maintenance: schedules, machines that go down, inverse offers.

use expect_test::expect;

use crate::world::check;

#[test]
fn offers_of_a_scheduled_machine_are_made_again_and_asked_back() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024 address=10.0.0.1:5051
         register cpus:2;mem:1024 address=10.0.0.2:5051
         schedule HOST/10.0.0.1@50
         accept-inverse m-0000 offers=m-O3 refuse=2
         wait 1.8
         wait 0.3
         schedule",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > register cpus:2;mem:1024 address=10.0.0.2:5051
              store admit m-S1
              l2 registered m-S1
              s1 OFFERS m-O1 m-S1 a cpus:2;mem:1024
            > schedule HOST/10.0.0.1@50
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("HOST"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
              s1 RESCIND m-O0
              r1 Ok
              s1 OFFERS m-O2 m-S0 a cpus:4;mem:1024
              s1 INVERSE_OFFERS m-O3 m-S0 from 50
            > accept-inverse m-0000 offers=m-O3 refuse=2
            > wait 1.8
            > wait 0.3
              s1 INVERSE_OFFERS m-O4 m-S0 from 50
            > schedule
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [] }, down: {} })]
              s1 RESCIND m-O2
              s1 RESCIND_INVERSE_OFFER m-O4
              r2 Ok
              s1 OFFERS m-O5 m-S0 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn who_has_tasks_there_is_asked_again_after_its_refusal_and_whoever_comes_back() {
    check(
        "registry
         subscribe roles=a failover=60
         register cpus:4;mem:1024 address=10.0.0.1:5051
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         schedule host/10.0.0.1@50
         decline-inverse m-0000 offers=m-O1
         decline-inverse m-0000 offers=m-O1,nonsense
         revive m-0000
         close s1
         subscribe roles=a id=m-0000
         unregister l1",
        &expect![[r#"
            > registry
            > subscribe roles=a failover=60
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for a
            > schedule host/10.0.0.1@50
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
              r1 Ok
              s1 INVERSE_OFFERS m-O1 m-S0 from 50
            > decline-inverse m-0000 offers=m-O1
            > decline-inverse m-0000 offers=m-O1,nonsense
            > revive m-0000
              s1 INVERSE_OFFERS m-O2 m-S0 from 50
            > close s1
            > subscribe roles=a id=m-0000
              s2 SUBSCRIBED m-0000
              s2 HEARTBEAT
              l1 updated m-0000
              l1 subscribed m-0000
              s2 INVERSE_OFFERS m-O3 m-S0 from 50
            > unregister l1
              s2 RESCIND_INVERSE_OFFER m-O3
              store remove m-S0
              s2 UPDATE t1 on m-S0 TASK_LOST REASON_AGENT_REMOVED: Agent host removed: the agent unregistered
              l1 closed
              s2 FAILURE m-S0 None
        "#]],
    );
}

#[test]
fn an_inverse_offer_expires_as_offers_do() {
    check(
        "offer-timeout 10
         registry
         subscribe roles=a
         register cpus:4;mem:1024 address=10.0.0.1:5051
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         schedule host/10.0.0.1@50
         wait 10",
        &expect![[r#"
            > offer-timeout 10
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for a
            > schedule host/10.0.0.1@50
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
              r1 Ok
              s1 INVERSE_OFFERS m-O1 m-S0 from 50
            > wait 10
              s1 RESCIND_INVERSE_OFFER m-O1
              s1 INVERSE_OFFERS m-O2 m-S0 from 50
        "#]],
    );
}

#[test]
fn a_machine_goes_down_with_its_agents_and_lets_them_in_when_it_is_up() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024 address=10.0.0.1:5051
         accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
         down host/10.0.0.1
         schedule host/10.0.0.1@50
         down host/10.0.0.1
         register cpus:4;mem:1024 address=10.0.0.1:5051
         register cpus:4;mem:1024 address=10.0.0.1:5051 id=m-S0
         register cpus:4;mem:1024 address=10.0.0.2:5051
         schedule other@50
         up host/10.0.0.1
         up host/10.0.0.1
         down host/10.0.0.1
         down zz
         register cpus:4;mem:1024 address=10.0.0.1:5051",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:4;mem:1024
              l1 run t1 for a
            > down host/10.0.0.1
              r1 BadRequest("Machine '{\"hostname\":\"host\",\"ip\":\"10.0.0.1\"}' is not in DRAINING mode and cannot be brought down")
            > schedule host/10.0.0.1@50
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
              r2 Ok
              s1 INVERSE_OFFERS m-O1 m-S0 from 50
            > down host/10.0.0.1
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {Machine { hostname: Some("host"), ip: Some("10.0.0.1") }} })]
              l1 shut down: Operator initiated 'Machine DOWN'
              s1 RESCIND_INVERSE_OFFER m-O1
              store remove m-S0
              r3 Ok
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_AGENT_REMOVED: Agent host removed: Operator initiated 'Machine DOWN'
              l1 closed
              s1 FAILURE m-S0 None
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              l2 refused: Machine is `DOWN`
              l2 closed
            > register cpus:4;mem:1024 address=10.0.0.1:5051 id=m-S0
              l3 refused: Machine is `DOWN`
              l3 closed
            > register cpus:4;mem:1024 address=10.0.0.2:5051
              store admit m-S1
              l4 registered m-S1
              s1 OFFERS m-O2 m-S1 a cpus:4;mem:1024
            > schedule other@50
              r4 BadRequest("Machine '{\"hostname\":\"host\",\"ip\":\"10.0.0.1\"}' is deactivated and cannot be removed from the schedule")
            > up host/10.0.0.1
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [] }, down: {} })]
              r5 Ok
            > up host/10.0.0.1
              r6 BadRequest("Machine '{\"hostname\":\"host\",\"ip\":\"10.0.0.1\"}' is not in DOWN mode and cannot be brought up")
            > down host/10.0.0.1
              r7 BadRequest("Machine '{\"hostname\":\"host\",\"ip\":\"10.0.0.1\"}' is not in DRAINING mode and cannot be brought down")
            > down zz
              r8 BadRequest("Machine '{\"hostname\":\"zz\"}' is not part of a maintenance schedule")
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S2
              l5 registered m-S2
              s1 OFFERS m-O3 m-S2 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn requests_that_meet_do_not_undo_each_other() {
    check(
        "registry
         slow registry
         schedule a+b@50
         down a
         down b
         schedule b@60
         up a
         stored
         stored
         stored
         stored",
        &expect![[r#"
            > registry
            > slow registry
            > schedule a+b@50
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("a"), ip: None }, Machine { hostname: Some("b"), ip: None }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
            > down a
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("a"), ip: None }, Machine { hostname: Some("b"), ip: None }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {Machine { hostname: Some("a"), ip: None }} })]
            > down b
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("a"), ip: None }, Machine { hostname: Some("b"), ip: None }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {Machine { hostname: Some("a"), ip: None }, Machine { hostname: Some("b"), ip: None }} })]
            > schedule b@60
              r4 BadRequest("Machine '{\"hostname\":\"a\"}' is deactivated and cannot be removed from the schedule")
            > up a
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("b"), ip: None }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {Machine { hostname: Some("b"), ip: None }} })]
            > stored
              r1 Ok
            > stored
              r2 Ok
            > stored
              r3 Ok
            > stored
              r5 Ok
        "#]],
    );
}

#[test]
fn a_bad_schedule_is_refused_in_the_words_of_mesos() {
    check(
        "registry
         schedule @50
         schedule a@50 A@60
         schedule a/1.2.3@50
         schedule /@50
         down
         down a a
         up a",
        &expect![[r#"
            > registry
            > schedule @50
              r1 BadRequest("List of machines in the maintenance window is empty")
            > schedule a@50 A@60
              r2 BadRequest("Machine '{\"hostname\":\"A\"}' appears more than once in the schedule")
            > schedule a/1.2.3@50
              r3 BadRequest("Failed to parse IPv4: 1.2.3")
            > schedule /@50
              r4 BadRequest("Both 'hostname' and 'ip' for a machine are empty")
            > down
              r5 BadRequest("List of machines is empty")
            > down a a
              r6 BadRequest("Machine '{\"hostname\":\"a\"}' appears more than once in the schedule")
            > up a
              r7 BadRequest("Machine '{\"hostname\":\"a\"}' is not part of a maintenance schedule")
        "#]],
    );
}

#[test]
fn what_is_planned_outlives_a_master() {
    check(
        "registry admitted=m-S0 planned=host/10.0.0.1+host/10.0.0.2@50 down=host/10.0.0.2
         subscribe roles=a
         register cpus:4;mem:1024 address=10.0.0.1:5051 id=m-S0
         register cpus:4;mem:1024 address=10.0.0.2:5051
         up host/10.0.0.2",
        &expect![[r#"
            > registry admitted=m-S0 planned=host/10.0.0.1+host/10.0.0.2@50 down=host/10.0.0.2
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024 address=10.0.0.1:5051 id=m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
              s1 INVERSE_OFFERS m-O1 m-S0 from 50
            > register cpus:4;mem:1024 address=10.0.0.2:5051
              l2 refused: Machine is `DOWN`
              l2 closed
            > up host/10.0.0.2
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {} })]
              r1 Ok
        "#]],
    );
}

#[test]
fn an_agent_that_is_admitted_while_its_machine_goes_down_is_refused() {
    check(
        "registry planned=host/10.0.0.1@50
         slow registry
         down host/10.0.0.1
         register cpus:4;mem:1024 address=10.0.0.1:5051
         fast registry
         stored
         stored",
        &expect![[r#"
            > registry planned=host/10.0.0.1@50
            > slow registry
            > down host/10.0.0.1
              store cluster [Maintenance(Plan { schedule: Schedule { windows: [Window { machines: [Machine { hostname: Some("host"), ip: Some("10.0.0.1") }], unavailability: Unavailability { start_ns: 50, duration_ns: None } }] }, down: {Machine { hostname: Some("host"), ip: Some("10.0.0.1") }} })]
            > register cpus:4;mem:1024 address=10.0.0.1:5051
              store admit m-S0
            > fast registry
            > stored
              r1 Ok
            > stored
              l1 refused: Machine is `DOWN`
              l1 closed
              store remove m-S0
        "#]],
    );
}
