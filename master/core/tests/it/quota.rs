//! Quota and weights: what operators may set, and what it does to offers.

use expect_test::expect;

use crate::world::check;

#[test]
fn a_guarantee_is_kept_for_a_role_until_someone_wants_it() {
    check(
        "registry
         ask update-quota q guarantee=cpus:3 force=
         subscribe roles=a
         register cpus:4;mem:1024
         subscribe roles=q
         accept m-0000 offers=m-O0 t1:cpus:1;mem:1024 refuse=600
         decline m-0001 offers=m-O1 refuse=0
         wait 1",
        &expect![[r#"
            > registry
            > ask update-quota q guarantee=cpus:3 force=
              store quota of q cpus:3 within {}
              r1 Ok
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:1;mem:1024
            > subscribe roles=q
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
              s2 OFFERS m-O1 m-S0 q cpus:3
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:1024 refuse=600
              l1 run t1 for a
            > decline m-0001 offers=m-O1 refuse=0
            > wait 1
              s2 OFFERS m-O2 m-S0 q cpus:3
        "#]],
    );
}

#[test]
fn a_limit_holds_for_all_beneath_a_role_and_shrinks_what_is_offered() {
    check(
        "registry
         ask update-quota a limit=cpus:1;mem:100
         subscribe roles=a/x,a/y
         register cpus:4;mem:1024;ports:[1-9]
         accept m-0000 offers=m-O0 t1:cpus:0.25;mem:50;ports:[1-3] refuse=0
         wait 1
         decline m-0000 offers=m-O1,m-O2,m-O3 refuse=600
         subscribe roles=b",
        &expect![[r#"
            > registry
            > ask update-quota a limit=cpus:1;mem:100
              store quota of a {} within cpus:1; mem:100
              r1 Ok
            > subscribe roles=a/x,a/y
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;ports:[1-9]
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a/x ports:[1-9];cpus:1;mem:100
            > accept m-0000 offers=m-O0 t1:cpus:0.25;mem:50;ports:[1-3] refuse=0
              l1 run t1 for a/x
              s1 OFFERS m-O1 m-S0 a/y ports:[4-9];cpus:0.75;mem:50
            > wait 1
            > decline m-0000 offers=m-O1,m-O2,m-O3 refuse=600
              s1 OFFERS m-O2 m-S0 a/x ports:[4-9];cpus:0.75;mem:50
            > subscribe roles=b
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
              s2 OFFERS m-O3 m-S0 b cpus:3;mem:924
        "#]],
    );
}

#[test]
fn quota_that_is_set_takes_offers_back_that_stand_against_it() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=b
         register cpus:4;mem:1024
         ask update-quota a limit=cpus:1
         ask update-quota b guarantee=cpus:2",
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
            > ask update-quota a limit=cpus:1
              store quota of a {} within cpus:1
              s1 RESCIND m-O0
              r1 Ok
              s2 OFFERS m-O1 m-S0 b cpus:4;mem:1024
            > ask update-quota b guarantee=cpus:2
              store quota of b cpus:2 within {}
              r2 Ok
        "#]],
    );
}

#[test]
fn what_cannot_be_set_is_told_in_the_words_of_mesos() {
    check(
        "registry
         register cpus:4;mem:1024
         ask update-quota a guarantee=cpus:2 limit=cpus:1
         ask update-quota a guarantee=cpus:5
         ask update-quota a guarantee=cpus:-1
         ask update-quota a limit=mem:nan
         ask update-quota a guarantee=cpus:1e18
         ask update-quota a limit=disk:2e12
         ask update-quota a/b guarantee=cpus:1
         ask update-quota -a guarantee=cpus:1
         ask update-quota a b guarantee=cpus:3
         ask set-quota
         ask set-quota a
         ask set-quota a guarantee=cpus:5
         ask set-quota a guarantee=ports:[1-2]
         ask set-quota a guarantee=cpus(x):1
         ask set-quota a/b guarantee=cpus:1
         ask remove-quota a
         ask remove-quota a path=/master/quota/a
         ask weights a:0
         ask weights a:-1.5
         ask weights /a:1
         ask weights a:nan",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > ask update-quota a guarantee=cpus:2 limit=cpus:1
              r1 BadRequest("Invalid QuotaConfig: 'QuotaConfig.guarantees' { cpus: 2 } is not contained within the 'QuotaConfig.limits' { cpus: 1 }")
            > ask update-quota a guarantee=cpus:5
              r2 BadRequest("Invalid QuotaConfig: total quota guarantees 'cpus:5' exceed cluster capacity 'cpus:4; mem:1024' (use 'force' flag to bypass this check)")
            > ask update-quota a guarantee=cpus:-1
              r3 BadRequest("Invalid QuotaConfig: Invalid guarantee configuration {'cpus': -1}: Negative values not supported")
            > ask update-quota a limit=mem:nan
              r4 BadRequest("Invalid QuotaConfig: Invalid limit configuration {'mem': -9.22337203685478e+15}: NaN not supported")
            > ask update-quota a guarantee=cpus:1e18
              r5 BadRequest("Invalid QuotaConfig: Invalid 'QuotaConfig.guarantees': {'cpus': -9.22337203685478e+15} is invalid: values greater than 1 trillion (1000000000000) are not supported")
            > ask update-quota a limit=disk:2e12
              r6 BadRequest("Invalid QuotaConfig: Invalid 'QuotaConfig.limits': {'disk': 2000000000000} is invalid: values greater than 1 exabyte (1099511627776) are not supported")
            > ask update-quota a/b guarantee=cpus:1
              r7 BadRequest("Updating quota on nested role 'a/b' is not supported yet")
            > ask update-quota -a guarantee=cpus:1
              r8 BadRequest("Invalid QuotaConfig: Invalid 'QuotaConfig.role': Role component '-a' is invalid because it starts with a dash")
            > ask update-quota a b guarantee=cpus:3
              r9 BadRequest("Invalid QuotaConfig: total quota guarantees 'cpus:6' exceed cluster capacity 'cpus:4; mem:1024' (use 'force' flag to bypass this check)")
            > ask set-quota
              r10 BadRequest("Failed to validate set quota request: QuotaInfo must specify a role")
            > ask set-quota a
              r11 BadRequest("Failed to validate set quota request: QuotaInfo with empty 'guarantee'")
            > ask set-quota a guarantee=cpus:5
              r12 Conflict("Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees 'cpus:5' exceed cluster capacity 'cpus:4; mem:1024'")
            > ask set-quota a guarantee=ports:[1-2]
              r13 BadRequest("Failed to validate set quota request: QuotaInfo must not include non-scalar resources")
            > ask set-quota a guarantee=cpus(x):1
              r14 BadRequest("Failed to validate set quota request: QuotaInfo must not contain any ReservationInfo")
            > ask set-quota a/b guarantee=cpus:1
              r15 BadRequest("Setting quota on nested role 'a/b' is not supported yet")
            > ask remove-quota a
              r16 BadRequest("Failed to remove quota: Role 'a' has no quota set")
            > ask remove-quota a path=/master/quota/a
              r17 BadRequest("Failed to remove quota for path '/master/quota/a': Role 'a' has no quota set")
            > ask weights a:0
              r18 BadRequest("Failed to validate update weights request JSON for role 'a': Invalid weight '0': Weights must be positive")
            > ask weights a:-1.5
              r19 BadRequest("Failed to validate update weights request JSON for role 'a': Invalid weight '-1.5': Weights must be positive")
            > ask weights /a:1
              r20 BadRequest("Failed to validate update weights request JSON: Invalid role '/a': Role '/a' cannot start with a slash")
            > ask weights a:nan
              r21 BadRequest("Failed to validate update weights request JSON for role 'a': Invalid weight 'nan': Weights must be positive")
        "#]],
    );
}

#[test]
fn what_is_in_use_stands_against_a_lower_limit_unless_forced() {
    check(
        "registry
         subscribe roles=a/b
         register cpus:4;mem:1024;ports:[1-9]
         accept m-0000 offers=m-O0 t1:cpus:1;mem:100;ports:[1-3] refuse=0
         wait 1
         ask update-quota a limit=cpus:0.5
         ask update-quota a limit=cpus:0.5 force=",
        &expect![[r#"
            > registry
            > subscribe roles=a/b
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024;ports:[1-9]
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a/b ports:[1-9];cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:100;ports:[1-3] refuse=0
              l1 run t1 for a/b
            > wait 1
              s1 OFFERS m-O1 m-S0 a/b ports:[4-9];cpus:3;mem:924
            > ask update-quota a limit=cpus:0.5
              r1 BadRequest("Invalid QuotaConfig: Role 'a' is already consuming 'cpus:1; mem:100; ports:3'; this is more than the requested limits 'cpus:0.5' (use 'force' flag to bypass this check)")
            > ask update-quota a limit=cpus:0.5 force=
              store quota of a {} within cpus:0.5
              s1 RESCIND m-O1
              r2 Ok
              s1 OFFERS m-O2 m-S0 a/b ports:[4-9];mem:924
        "#]],
    );
}

#[test]
fn a_quota_is_set_once_in_the_older_form_even_while_it_is_written() {
    check(
        "registry
         register cpus:4;mem:1024
         slow registry
         ask set-quota a guarantee=cpus:3
         ask set-quota a guarantee=cpus:1
         ask set-quota b guarantee=cpus:2
         ask remove-quota a
         ask remove-quota a
         ask set-quota b guarantee=cpus:2
         stored
         stored
         stored",
        &expect![[r#"
            > registry
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
            > slow registry
            > ask set-quota a guarantee=cpus:3
              store quota of a cpus:3 within cpus:3
            > ask set-quota a guarantee=cpus:1
              r2 BadRequest("Failed to validate set quota request: Cannot set quota for role 'a' which already has quota")
            > ask set-quota b guarantee=cpus:2
              r3 Conflict("Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees 'cpus:5' exceed cluster capacity 'cpus:4; mem:1024'")
            > ask remove-quota a
              store no quota of a
            > ask remove-quota a
              r5 BadRequest("Failed to remove quota: Role 'a' has no quota set")
            > ask set-quota b guarantee=cpus:2
              store quota of b cpus:2 within cpus:2
            > stored
              r1 Ok
            > stored
              r4 Ok
            > stored
              r6 Ok
        "#]],
    );
}

#[test]
fn quota_in_the_older_form_takes_back_the_offers_of_an_agent_for_each_framework() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=q
         suppress m-0001
         register cpus:4;mem:1024
         register cpus:4;mem:1024
         ask set-quota q guarantee=cpus:2
         revive m-0001",
        &expect![[r#"
            > registry
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > subscribe roles=q
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
            > suppress m-0001
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:4;mem:1024
            > register cpus:4;mem:1024
              store admit m-S1
              l2 registered m-S1
              s1 OFFERS m-O1 m-S1 a cpus:4;mem:1024
            > ask set-quota q guarantee=cpus:2
              store quota of q cpus:2 within cpus:2
              s1 RESCIND m-O0
              r1 Ok
              s1 OFFERS m-O2 m-S0 a cpus:2;mem:1024
            > revive m-0001
              s2 OFFERS m-O3 m-S0 q cpus:2
        "#]],
    );
}

#[test]
fn weights_take_all_offers_back_where_a_role_is_that_of_anyone() {
    check(
        "registry
         subscribe roles=a
         subscribe roles=b
         register cpus:4;mem:1024
         ask weights c:2
         ask weights b:2 c:1",
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
            > ask weights c:2
              store weight of c 2
              r1 Ok
            > ask weights b:2 c:1
              store weight of b 2, weight of c 1
              s1 RESCIND m-O0
              r2 Ok
              s2 OFFERS m-O1 m-S0 b cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn a_new_master_with_quota_offers_nothing_before_most_agents_are_back() {
    check(
        "registry admitted=m-S1,m-S2 quota=q/cpus:1
         subscribe roles=a
         register cpus:4;mem:1024
         register cpus:4;mem:1024 id=m-S1",
        &expect![[r#"
            > registry admitted=m-S1,m-S2 quota=q/cpus:1
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 a cpus:3;mem:1024
            > register cpus:4;mem:1024 id=m-S1
              l2 registered m-S1
              s1 OFFERS m-O1 m-S1 a cpus:4;mem:1024
        "#]],
    );
    check(
        "registry admitted=m-S1,m-S2,m-S3,m-S4 quota=q/cpus:1
         register cpus:4;mem:1024 id=m-S1
         wait 599
         subscribe roles=a
         wait 1",
        &expect![[r#"
            > registry admitted=m-S1,m-S2,m-S3,m-S4 quota=q/cpus:1
            > register cpus:4;mem:1024 id=m-S1
              l1 registered m-S1
            > wait 599
            > subscribe roles=a
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > wait 1
              store unreachable m-S2
              store unreachable m-S3
              store unreachable m-S4
              s1 OFFERS m-O0 m-S1 a cpus:3;mem:1024
              s1 FAILURE m-S2 None
              s1 FAILURE m-S3 None
              s1 FAILURE m-S4 None
        "#]],
    );
}
