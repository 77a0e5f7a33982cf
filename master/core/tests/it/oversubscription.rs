//! Oversubscription: revocable resources of agents, offered, held and taken back.

use expect_test::expect;

use crate::world::check;

#[test]
fn revocable_resources_go_to_frameworks_that_know_them_and_with_the_agents_last_word() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=b caps=1
         register cpus:2;mem:512 oversubscribed=~cpus:4
         oversubscribed l1 ~cpus:4
         oversubscribed l1 ~cpus:1;~mem:64
         oversubscribed l1",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=b caps=1
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > register cpus:2;mem:512 oversubscribed=~cpus:4
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:2;mem:512
              s2 OFFERS m-O1 m-S0 b cpus{REV}:4
            > oversubscribed l1 ~cpus:4
            > oversubscribed l1 ~cpus:1;~mem:64
              s2 RESCIND m-O1
              s2 OFFERS m-O2 m-S0 b mem{REV}:64;cpus{REV}:1
            > oversubscribed l1
              s2 RESCIND m-O2
        "#]],
    );
}

#[test]
fn what_tasks_hold_beyond_a_smaller_estimate_is_theirs_and_nothing_of_it_is_offered() {
    check(
        "registry
         subscribe roles=a caps=1
         register cpus:2;mem:512
         oversubscribed l1 ~cpus:4;~mem:512
         accept m-0000 offers=m-O0 refuse=0 t1:cpus:1;mem:64
         accept m-0000 offers=m-O1 refuse=0 t2:~cpus:3;~mem:64
         wait 1
         oversubscribed l1 ~cpus:1
         wait 1
         update l1 m-0000 t2 FINISHED
         wait 1",
        &expect![[r#"
            > registry
            > subscribe roles=a caps=1
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:2;mem:512
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:2;mem:512
            > oversubscribed l1 ~cpus:4;~mem:512
              s1 OFFERS m-O1 m-S0 a mem{REV}:512;cpus{REV}:4
            > accept m-0000 offers=m-O0 refuse=0 t1:cpus:1;mem:64
              l1 run t1 for a
            > accept m-0000 offers=m-O1 refuse=0 t2:~cpus:3;~mem:64
              l1 run t2 for a
              s1 OFFERS m-O2 m-S0 a cpus{REV}:1;mem{REV}:448;cpus:1;mem:448
            > wait 1
            > oversubscribed l1 ~cpus:1
              s1 RESCIND m-O2
              s1 OFFERS m-O3 m-S0 a cpus:1;mem:448
            > wait 1
            > update l1 m-0000 t2 FINISHED
              s1 UPDATE t2 TASK_FINISHED
              s1 OFFERS m-O4 m-S0 a cpus{REV}:1
            > wait 1
        "#]],
    );
}

#[test]
fn an_offer_that_a_new_estimate_took_away_launches_nothing() {
    check(
        "registry
         subscribe roles=a caps=1
         register cpus:2;mem:512 oversubscribed=~cpus:4
         oversubscribed l1 ~cpus:2
         accept m-0000 offers=m-O0 t1:~cpus:3;mem:64
         accept m-0000 offers=m-O1 t2:~cpus:3;mem:64",
        &expect![[r#"
            > registry
            > subscribe roles=a caps=1
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:2;mem:512 oversubscribed=~cpus:4
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus{REV}:4;cpus:2;mem:512
            > oversubscribed l1 ~cpus:2
              s1 RESCIND m-O0
              s1 OFFERS m-O1 m-S0 a cpus{REV}:2;cpus:2;mem:512
            > accept m-0000 offers=m-O0 t1:~cpus:3;mem:64
              s1 UPDATE t1 on m-S0 TASK_LOST REASON_INVALID_OFFERS: Task launched with invalid offers: Offer m-O0 is no longer valid
            > accept m-0000 offers=m-O1 t2:~cpus:3;mem:64
              s1 UPDATE t2 on m-S0 TASK_ERROR REASON_TASK_INVALID: Total resources cpus(allocated: a){REV}:3; mem(allocated: a):64 required by task and its executor is more than available cpus(allocated: a){REV}:2; cpus(allocated: a):2; mem(allocated: a):512
        "#]],
    );
}

#[test]
fn a_master_that_comes_later_learns_the_estimate_and_who_holds_of_it() {
    check(
        "registry m-S0
         register cpus:2;mem:512 id=m-S0 oversubscribed=~cpus:4 frameworks=f tasks=f/t1/RUNNING/~cpus:3
         subscribe id=f roles=a caps=1
         wait 1",
        &expect![[r#"
            > registry m-S0
            > register cpus:2;mem:512 id=m-S0 oversubscribed=~cpus:4 frameworks=f tasks=f/t1/RUNNING/~cpus:3
              store admit m-S0
              l1 registered m-S0
            > subscribe id=f roles=a caps=1
              s1 SUBSCRIBED f
              s1 HEARTBEAT
              l1 updated f
              l1 subscribed f
              s1 OFFERS m-O0 m-S0 a cpus{REV}:1;cpus:2;mem:512
            > wait 1
        "#]],
    );
}

#[test]
fn an_operation_that_failed_takes_no_estimate_with_it() {
    check(
        "registry
         subscribe roles=web caps=1,7
         register cpus:2;mem:512;disk:100 oversubscribed=~cpus:4
         operate m-0000 offers=m-O0 refuse=0 reserve:cpus(web):1
         operation l1 0 ERROR uuid=1 total=cpus:2;mem:512;disk:100
         wait 1",
        &expect![[r#"
            > registry
            > subscribe roles=web caps=1,7
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:2;mem:512;disk:100 oversubscribed=~cpus:4
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web cpus{REV}:4;cpus:2;mem:512;disk:100
            > operate m-0000 offers=m-O0 refuse=0 reserve:cpus(web):1
              l1 apply RESERVE cpus(reservations: [(DYNAMIC,web)]):1
              s1 OFFERS m-O1 m-S0 web cpus{REV}:4;cpus(reservations: [(DYNAMIC,web)]):1;cpus:1;mem:512;disk:100
            > operation l1 0 ERROR uuid=1 total=cpus:2;mem:512;disk:100
              s1 RESCIND m-O1
              l1 acknowledge operation 1
              s1 OFFERS m-O2 m-S0 web cpus{REV}:4;cpus:2;mem:512;disk:100
            > wait 1
        "#]],
    );
}
