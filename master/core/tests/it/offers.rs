//! Offers: accept, decline, filters, fairness.

use expect_test::expect;

use crate::world::check;

#[test]
fn declined_resources_return_at_once_and_stay_filtered_for_that_framework() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=b
         register cpus:4;mem:1024
         decline m-0000 offers=m-O0 refuse=5
         decline m-0001 offers=m-O1 refuse=60
         wait 4.8
         wait 0.3",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=b
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > decline m-0000 offers=m-O0 refuse=5
              s2 OFFERS m-O1 m-S0 b cpus:4;mem:1024
            > decline m-0001 offers=m-O1 refuse=60
            > wait 4.8
            > wait 0.3
              s1 OFFERS m-O2 m-S0 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn refusing_for_no_time_waits_for_the_next_batch() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024
         decline m-0000 offers=m-O0 refuse=0
         wait 0.8
         wait 0.2",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > decline m-0000 offers=m-O0 refuse=0
            > wait 0.8
            > wait 0.2
              s1 OFFERS m-O1 m-S0 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn a_revival_forgets_what_was_refused_and_a_suppression_wants_nothing() {
    check(
        "registry
         subscribe roles=a,b suppressed=b
         register cpus:4;mem:1024
         decline m-0000 offers=m-O0 refuse=600
         revive m-0000 roles=zz
         revive m-0000 roles=b
         suppress m-0000
         decline m-0000 offers=m-O1 refuse=0
         wait 3
         revive m-0000",
        &expect![[r#"
            > registry
            > subscribe roles=a,b suppressed=b
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > decline m-0000 offers=m-O0 refuse=600
            > revive m-0000 roles=zz
            > revive m-0000 roles=b
              s1 OFFERS m-O1 m-S0 b cpus:4;mem:1024
            > suppress m-0000
            > decline m-0000 offers=m-O1 refuse=0
            > wait 3
            > revive m-0000
              s1 OFFERS m-O2 m-S0 a cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn several_offers_of_one_agent_are_accepted_together() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024
         accept m-0000 offers=m-O0 t1:cpus:1;mem:512 refuse=0
         wait 1
         update l1 m-0000 t1 FINISHED uuid=1
         accept m-0000 offers=m-O1,m-O2 t2:cpus:4;mem:900 refuse=0
         wait 1",
        &expect![[r#"
            > registry
            > subscribe roles=a
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
            > update l1 m-0000 t1 FINISHED uuid=1
              s1 UPDATE t1 TASK_FINISHED
              s1 OFFERS m-O2 m-S0 a cpus:1;mem:512
            > accept m-0000 offers=m-O1,m-O2 t2:cpus:4;mem:900 refuse=0
              l1 run t2 for a
            > wait 1
              s1 OFFERS m-O3 m-S0 a mem:124
        "#]],
    );
}

#[test]
fn invalid_offers_lose_the_tasks_and_valid_ones_among_them_are_given_back() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=b caps=5
         register cpus:4;mem:1024
         register cpus:4;mem:1024
         accept m-0000 t1:cpus:1
         accept m-0000 offers=m-O0,m-O0 t1:cpus:1 refuse=0
         accept m-0001 offers=zz t1:cpus:1
         operate m-0000 offers=zz reserve:disk(a):1#op1
         operate m-0000 offers=zz reserve:disk(a):1",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=b caps=5
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > register cpus:4;mem:1024
              store admit m-S1
              l2 registered m-S1
              s2 OFFERS m-O1 m-S1 b cpus:4;mem:1024
            > accept m-0000 t1:cpus:1
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_INVALID_OFFERS: Task launched with invalid offers: No offers specified
            > accept m-0000 offers=m-O0,m-O0 t1:cpus:1 refuse=0
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_INVALID_OFFERS: Task launched with invalid offers: Duplicate offer m-O0 in offer list
              s2 OFFERS m-O2 m-S0 b cpus:4;mem:1024
            > accept m-0001 offers=zz t1:cpus:1
              s2 UPDATE t1 on m-S0 TASK_DROPPED REASON_INVALID_OFFERS: Task launched with invalid offers: Offer zz is no longer valid
            > operate m-0000 offers=zz reserve:disk(a):1#op1
              s1 OPERATION_ERROR op1 on -: Operation attempted with invalid offers: Offer zz is no longer valid
            > operate m-0000 offers=zz reserve:disk(a):1
        "#]],
    );
}

#[test]
fn agents_are_shared_fairly_between_roles_and_their_frameworks() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=b/x
         subscribe roles=b/y
         subscribe roles=b/y
         register cpus:1;mem:100
         register cpus:1;mem:100
         register cpus:1;mem:100
         register cpus:1;mem:100
         register cpus:1;mem:100
         register cpus:1;mem:100",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=b/x
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > subscribe roles=b/y
              s3 SUBSCRIBED m-0002
              s3 HEARTBEAT
            > subscribe roles=b/y
              s4 SUBSCRIBED m-0003
              s4 HEARTBEAT
            > register cpus:1;mem:100
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:1;mem:100
            > register cpus:1;mem:100
              store admit m-S1
              l2 registered m-S1
              s2 OFFERS m-O1 m-S1 b/x cpus:1;mem:100
            > register cpus:1;mem:100
              store admit m-S2
              l3 registered m-S2
              s1 OFFERS m-O2 m-S2 a cpus:1;mem:100
            > register cpus:1;mem:100
              store admit m-S3
              l4 registered m-S3
              s3 OFFERS m-O3 m-S3 b/y cpus:1;mem:100
            > register cpus:1;mem:100
              store admit m-S4
              l5 registered m-S4
              s1 OFFERS m-O4 m-S4 a cpus:1;mem:100
            > register cpus:1;mem:100
              store admit m-S5
              l6 registered m-S5
              s2 OFFERS m-O5 m-S5 b/x cpus:1;mem:100
        "#]],
    );
}

#[test]
fn reserved_resources_go_to_their_role_and_those_beneath() {
    check(
        "registry
         subscribe roles=other
         subscribe roles=eng/dev
         register cpus(eng):2;mem(eng):64;cpus:1;mem:64",
        &expect![[r#"
            > registry
            > subscribe roles=other
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=eng/dev
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus(eng):2;mem(eng):64;cpus:1;mem:64
              store admit m-S0
              l1 registered m-S0
              s2 OFFERS m-O0 m-S0 eng/dev cpus(reservations: [(STATIC,eng)]):2;mem(reservations: [(STATIC,eng)]):64;cpus:1;mem:64
        "#]],
    );
}

#[test]
fn agents_with_gpus_are_kept_for_those_who_ask() {
    check(
        "registry
         subscribe roles=a
         register cpus:4;mem:1024;gpus:1
         subscribe roles=a caps=3",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;gpus:1
              store admit m-S0
              l1 registered m-S0
            > subscribe roles=a caps=3
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
              s2 OFFERS m-O0 m-S0 a cpus:4;mem:1024;gpus:1
        "#]],
    );
}

#[test]
fn an_offer_that_is_not_answered_in_time_is_rescinded_and_made_again() {
    check(
        "offer-timeout 5
         registry
         subscribe roles=a
         register cpus:4;mem:1024
         wait 4.9
         wait 0.2
         decline m-0000 offers=m-O0
         decline m-0000 offers=m-O1 refuse=60
         wait 5",
        &expect![[r#"
            > offer-timeout 5
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > wait 4.9
            > wait 0.2
              s1 RESCIND m-O0
              s1 OFFERS m-O1 m-S0 a cpus:4;mem:1024
            > decline m-0000 offers=m-O0
            > decline m-0000 offers=m-O1 refuse=60
            > wait 5
        "#]],
    );
}

#[test]
fn a_framework_is_offered_only_the_agents_that_it_wants() {
    check(
        "registry
         subscribe roles=web hosts=a[0-9]+
         register cpus:1;mem:64 host=a1
         register cpus:2;mem:64 host=b1
         subscribe roles=web hosts=(
         update-framework m-0000 roles=web hosts=b.
         update-framework m-0000 roles=web",
        &expect![[r#"
            > registry
            > subscribe roles=web hosts=a[0-9]+
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:1;mem:64 host=a1
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus:1;mem:64
            > register cpus:2;mem:64 host=b1
              store admit m-S1
              l2 registered m-S1
            > subscribe roles=web hosts=(
              s2 ERROR A role web has an invalid 'AttributeConstraint': Failed to construct regex from pattern '(': missing ): (
              s2 closed
            > update-framework m-0000 roles=web hosts=b.
              s1 OFFERS m-O1 m-S1 web cpus:2;mem:64
            > update-framework m-0000 roles=web
        "#]],
    );
}

#[test]
fn an_offer_holds_what_makes_it_worth_while() {
    check(
        "registry
         subscribe roles=web
         register cpus:0.009;mem:31 address=a
         register cpus:0.01 address=b
         register mem:32 address=c
         subscribe roles=web min=cpus:1;mem:64|disk:10
         subscribe roles=web min=cpus:-1
         suppress m-0000
         register cpus:1;mem:32 address=d
         register cpus:1;mem:64 address=e
         register disk:10 address=f",
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:0.009;mem:31 address=a
              store admit m-S0
              l1 registered m-S0
            > register cpus:0.01 address=b
              store admit m-S1
              l2 registered m-S1
              s1 OFFERS m-O0 m-S1 web cpus:0.01
            > register mem:32 address=c
              store admit m-S2
              l3 registered m-S2
              s1 OFFERS m-O1 m-S2 web mem:32
            > subscribe roles=web min=cpus:1;mem:64|disk:10
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > subscribe roles=web min=cpus:-1
              s3 ERROR Invalid resource quantity for 'cpus': Negative values not supported
              s3 closed
            > suppress m-0000
            > register cpus:1;mem:32 address=d
              store admit m-S3
              l4 registered m-S3
            > register cpus:1;mem:64 address=e
              store admit m-S4
              l5 registered m-S4
              s2 OFFERS m-O2 m-S4 web cpus:1;mem:64
            > register disk:10 address=f
              store admit m-S5
              l6 registered m-S5
              s2 OFFERS m-O3 m-S5 web disk:10
        "#]],
    );
}
