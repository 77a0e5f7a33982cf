//! Operations on resources: in order, acknowledged, taken back.

use expect_test::expect;

use crate::world::{World, check};

#[test]
fn operations_of_an_accept_build_on_each_other() {
    check(
        "registry
         subscribe roles=web caps=7
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk(web):10;cpus(web):1 create:disk(web):4@v launch:t1:cpus:1;mem:64 refuse=0
         operation l1 0 FINISHED uuid=1
         operation l1 1 FINISHED uuid=2
         operation l1 1 FINISHED uuid=2
         wait 1",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk(web):10;cpus(web):1 create:disk(web):4@v launch:t1:cpus:1;mem:64 refuse=0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10; cpus(reservations: [(DYNAMIC,web)]):1
              l1 apply CREATE disk(reservations: [(DYNAMIC,web)])[v:data]:4
              l1 run t1 for web
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):6;cpus(reservations: [(DYNAMIC,web)]):1;disk(reservations: [(DYNAMIC,web)])[v:data]:4;cpus:2;mem:960;disk:90
            > operation l1 0 FINISHED uuid=1
              l1 acknowledge operation 1
            > operation l1 1 FINISHED uuid=2
              l1 acknowledge operation 2
            > operation l1 1 FINISHED uuid=2
              l1 acknowledge operation 2
            > wait 1
        "#]],
    );
}

#[test]
fn an_operation_with_an_id_is_answered_and_waits_for_its_acknowledgement() {
    check(
        "registry
         subscribe roles=web caps=7
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk(web):1000#o1 reserve:disk(web):10#o2 refuse=0
         reconcile-operations m-0000
         operation l1 0 FINISHED uuid=1
         reconcile-operations m-0000 o2 o3 agent=m-S0
         reconcile-operations m-0000 o3 agent=m-S7
         reconcile-operations m-0000 o3
         ack-operation m-0000 o2 9
         ack-operation m-0000 o2 1
         reconcile-operations m-0000
         operate m-0000 offers=m-O7 reserve:disk(web):10#o4",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk(web):1000#o1 reserve:disk(web):10#o2 refuse=0
              s1 OPERATION_ERROR o1 on -: cpus(allocated: web):4; mem(allocated: web):1024; disk(allocated: web):100 does not contain disk(allocated: web):1000
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):10;cpus:4;mem:1024;disk:90
            > reconcile-operations m-0000
              s1 OPERATION_PENDING o2 on m-S0
            > operation l1 0 FINISHED uuid=1
              s1 OPERATION_FINISHED o2 on m-S0 uuid=1
            > reconcile-operations m-0000 o2 o3 agent=m-S0
              s1 OPERATION_FINISHED o2 on m-S0
              s1 OPERATION_UNKNOWN o3 on m-S0: Reconciliation: Operation is unknown
            > reconcile-operations m-0000 o3 agent=m-S7
              s1 OPERATION_UNKNOWN o3 on m-S7: Reconciliation: Both operation and agent are unknown
            > reconcile-operations m-0000 o3
              s1 OPERATION_UNKNOWN o3 on -: Reconciliation: Operation is unknown and no 'agent_id' was provided
            > ack-operation m-0000 o2 9
            > ack-operation m-0000 o2 1
              l1 acknowledge operation 1
            > reconcile-operations m-0000
            > operate m-0000 offers=m-O7 reserve:disk(web):10#o4
              s1 OPERATION_ERROR o4 on -: Operation attempted with invalid offers: Offer m-O7 is no longer valid
        "#]],
    );
}

#[test]
fn what_the_agent_did_not_do_is_taken_back() {
    check(
        "registry
         subscribe roles=web caps=7
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk(web):10#o1 reserve:disk(web):20 refuse=0
         wait 1
         operation l1 0 DROPPED uuid=1 total=cpus:4;mem:1024;disk:100
         wait 1",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk(web):10#o1 reserve:disk(web):20 refuse=0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):20
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):30;cpus:4;mem:1024;disk:70
            > wait 1
            > operation l1 0 DROPPED uuid=1 total=cpus:4;mem:1024;disk:100
              s1 RESCIND m-O1
              s1 OPERATION_DROPPED o1 on m-S0 uuid=1
              s1 OFFERS m-O2 m-S0 web disk(reservations: [(DYNAMIC,web)]):20;cpus:4;mem:1024;disk:80
            > wait 1
        "#]],
    );
}

#[test]
fn operations_that_ask_for_too_much_are_refused_in_the_words_of_mesos() {
    check(
        "registry
         subscribe roles=web principal=alice
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk:1#o1 reserve:disk(db):1#o2 unreserve:disk:1#o3 create:disk:1@v#o4 destroy:disk(web):1@v#o5 shrink:disk(web):2@v-2#o6 grow:disk(web):2@v+0#o7 destroy-disk:disk(web):1#o8 reserve:disk(web):1#o9 refuse=0",
        &expect![[r#"
            > registry
            > subscribe roles=web principal=alice
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk:1#o1 reserve:disk(db):1#o2 unreserve:disk:1#o3 create:disk:1@v#o4 destroy:disk(web):1@v#o5 shrink:disk(web):2@v-2#o6 grow:disk(web):2@v+0#o7 destroy-disk:disk(web):1#o8 reserve:disk(web):1#o9 refuse=0
              s1 OPERATION_ERROR o1 on -: Resource disk(allocated: web):1 is not dynamically reserved; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o2 on -: A reserve operation was attempted by principal 'alice', but there is a reserved resource in the request with no principal set; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o3 on -: Resource disk(allocated: web):1 is not dynamically reserved; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o4 on -: Invalid resources: Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o5 on -: Persistent volumes not found; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o6 on -: Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o7 on -: The size of 'GrowVolume.addition' field must be greater than zero; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o8 on -: 'source' is not managed by a resource provider; on agent m-S0 at slave(1)@ (host)
              s1 OPERATION_ERROR o9 on -: A reserve operation was attempted by principal 'alice', but there is a reserved resource in the request with no principal set; on agent m-S0 at slave(1)@ (host)
        "#]],
    );
}

#[test]
fn an_operator_takes_offers_back_as_far_as_it_must() {
    check(
        "registry
         subscribe roles=web caps=7
         register cpus:4;mem:1024;disk:100
         operator reserve:disk(ops):10
         operator reserve:disk(ops):1000
         operator create:disk(ops):4@v
         operator unreserve:disk(ops):10
         operator destroy:disk(ops):4@w
         operator destroy:disk(ops):4@v
         operator unreserve:disk(ops):10
         operator reserve:disk(ops):1 agent=m-S9
         operation l1 0 FINISHED uuid=1
         wait 6",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operator reserve:disk(ops):10
              s1 RESCIND m-O0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,ops)]):10
              r1 Accepted
            > operator reserve:disk(ops):1000
              r1 Conflict("cpus:4; mem:1024; disk:90; disk(reservations: [(DYNAMIC,ops)]):10 does not contain disk:1000")
            > operator create:disk(ops):4@v
              l1 apply CREATE disk(reservations: [(DYNAMIC,ops)])[v:data]:4
              r1 Accepted
            > operator unreserve:disk(ops):10
              r1 Conflict("cpus:4; mem:1024; disk:90; disk(reservations: [(DYNAMIC,ops)]):6; disk(reservations: [(DYNAMIC,ops)])[v:data]:4 does not contain disk(reservations: [(DYNAMIC,ops)]):10")
            > operator destroy:disk(ops):4@w
              r1 BadRequest("Invalid DESTROY operation: Persistent volumes not found")
            > operator destroy:disk(ops):4@v
              l1 apply DESTROY disk(reservations: [(DYNAMIC,ops)])[v:data]:4
              r1 Accepted
            > operator unreserve:disk(ops):10
              l1 apply UNRESERVE disk(reservations: [(DYNAMIC,ops)]):10
              r1 Accepted
            > operator reserve:disk(ops):1 agent=m-S9
              r1 BadRequest("No agent found with specified ID")
            > operation l1 0 FINISHED uuid=1
              l1 acknowledge operation 1
            > wait 6
              s1 OFFERS m-O1 m-S0 web cpus:4;mem:1024;disk:100
        "#]],
    );
}

#[test]
fn a_shared_volume_is_used_by_several_and_destroyed_by_none_meanwhile() {
    check(
        "registry
         subscribe roles=web caps=4,7
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk(web):10 create:disk(web):4@v! refuse=0
         wait 1
         operate m-0000 offers=m-O1 launch:t1:cpus:1;mem:64;disk(web):4@v! launch:t2:cpus:1;mem:64;disk(web):4@v! refuse=0
         wait 1
         operate m-0000 offers=m-O2 destroy:disk(web):4@v!#o1 refuse=0
         update l1 m-0000 t1 FINISHED uuid=1
         update l1 m-0000 t2 FINISHED uuid=2
         wait 1
         operate m-0000 offers=m-O3,m-O4 destroy:disk(web):4@v!#o2 refuse=0
         operate m-0000 offers=m-O5 destroy:disk(web):4@v!#o3 refuse=0",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=4,7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk(web):10 create:disk(web):4@v! refuse=0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              l1 apply CREATE disk(reservations: [(DYNAMIC,web)])[v:data]<SHARED>:4
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):6;disk(reservations: [(DYNAMIC,web)])[v:data]<SHARED>:4<1>;cpus:4;mem:1024;disk:90
            > wait 1
            > operate m-0000 offers=m-O1 launch:t1:cpus:1;mem:64;disk(web):4@v! launch:t2:cpus:1;mem:64;disk(web):4@v! refuse=0
              l1 run t1 for web
              l1 run t2 for web
              s1 OFFERS m-O2 m-S0 web disk(reservations: [(DYNAMIC,web)]):6;disk(reservations: [(DYNAMIC,web)])[v:data]<SHARED>:4<1>;cpus:2;mem:896;disk:90
            > wait 1
            > operate m-0000 offers=m-O2 destroy:disk(web):4@v!#o1 refuse=0
              s1 OPERATION_ERROR o1 on -: Persistent volumes in use; on agent m-S0 at slave(1)@ (host)
            > update l1 m-0000 t1 FINISHED uuid=1
              s1 UPDATE t1 TASK_FINISHED
              s1 OFFERS m-O3 m-S0 web disk(reservations: [(DYNAMIC,web)]):6;disk(reservations: [(DYNAMIC,web)])[v:data]<SHARED>:4<1>;cpus:3;mem:960;disk:90
            > update l1 m-0000 t2 FINISHED uuid=2
              s1 UPDATE t2 TASK_FINISHED
            > wait 1
              s1 OFFERS m-O4 m-S0 web disk(reservations: [(DYNAMIC,web)])[v:data]<SHARED>:4<1>;cpus:1;mem:64
            > operate m-0000 offers=m-O3,m-O4 destroy:disk(web):4@v!#o2 refuse=0
              s1 OPERATION_ERROR o2 on -: Persistent volume disk(allocated: web)(reservations: [(DYNAMIC,web)])[v:data]<SHARED>:4 cannot be removed due to additional shared copies
            > operate m-0000 offers=m-O5 destroy:disk(web):4@v!#o3 refuse=0
              s1 OPERATION_ERROR o3 on -: Operation attempted with invalid offers: Offer m-O5 is no longer valid
        "#]],
    );
}

#[test]
fn operations_on_an_agent_that_is_lost_are_told_to_be() {
    check(
        "registry
         subscribe roles=web caps=7
         register cpus:4;mem:1024;disk:100
         silent l1
         operate m-0000 offers=m-O0 reserve:disk(web):10#o1 refuse=0
         wait 90
         reconcile-operations m-0000 o1 agent=m-S0",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > silent l1
            > operate m-0000 offers=m-O0 reserve:disk(web):10#o1 refuse=0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):10;cpus:4;mem:1024;disk:90
            > wait 90
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 HEARTBEAT
              s1 RESCIND m-O1
              store unreachable m-S0
              s1 OPERATION_UNREACHABLE o1 on m-S0: Agent was marked unreachable
              l1 closed
              s1 FAILURE m-S0 None
            > reconcile-operations m-0000 o1 agent=m-S0
              s1 OPERATION_UNREACHABLE o1 on m-S0: Reconciliation: Agent is unreachable
        "#]],
    );
}

#[test]
fn an_agent_that_comes_back_tells_of_operations_and_is_asked_after_the_others() {
    check(
        "registry
         subscribe roles=web caps=7 checkpoint= failover=60
         register cpus:4;mem:1024;disk:100
         operate m-0000 offers=m-O0 reserve:disk(web):10#o1 refuse=0
         close l1
         register cpus:4;mem:1024;disk:100 id=m-S0 operations=m-0000/FINISHED/reserve:disk(web):5#o2
         operation l2 0 DROPPED total=cpus:4;mem:1024;disk:100
         reconcile-operations m-0000
         ack-operation m-0000 o2 8
         reconcile-operations m-0000 o1 o2 agent=m-S0",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=7 checkpoint= failover=60
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;disk:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:4;mem:1024;disk:100
            > operate m-0000 offers=m-O0 reserve:disk(web):10#o1 refuse=0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):10;cpus:4;mem:1024;disk:90
            > close l1
              s1 RESCIND m-O1
            > register cpus:4;mem:1024;disk:100 id=m-S0 operations=m-0000/FINISHED/reserve:disk(web):5#o2
              l2 registered m-S0
              l2 reconcile 1 operations
              s1 OFFERS m-O2 m-S0 web cpus:4;mem:1024;disk:100
            > operation l2 0 DROPPED total=cpus:4;mem:1024;disk:100
              s1 OPERATION_DROPPED o1 on m-S0
            > reconcile-operations m-0000
              s1 OPERATION_FINISHED o2 on -
            > ack-operation m-0000 o2 8
              l2 acknowledge operation 8
            > reconcile-operations m-0000 o1 o2 agent=m-S0
              s1 OPERATION_UNKNOWN o1 on m-S0: Reconciliation: Operation is unknown
              s1 OPERATION_UNKNOWN o2 on m-S0: Reconciliation: Operation is unknown
        "#]],
    );
}

#[test]
fn an_operation_lists_its_resources_up_to_a_bound() {
    let list = |count| vec!["disk(web):1"; count].join(";");
    let taken = |count| {
        let mut world = World::new();
        for line in [
            "registry",
            "subscribe roles=web caps=7",
            "register disk:1000;cpus:1;mem:64",
        ] {
            world.line(line);
        }
        world.line(&format!(
            "operate m-0000 offers=m-O0 reserve:{}#o1",
            list(count)
        ));
        !world
            .transcript
            .contains("resources are listed, more than 256")
    };
    assert!(taken(256) && !taken(257));
}
