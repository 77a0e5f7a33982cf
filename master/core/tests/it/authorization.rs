//! What an operator's rules keep frameworks and operators from.

use std::collections::BTreeMap;

use expect_test::expect;
use master_core::authorization::{Acls, Action, Entity, Rule};
use master_core::event::Text;

use crate::world::check_with;

/// Each: an action, principals and objects; `any` and `none` as they read.
fn acls(rules: &[(Action, &str, &str)]) -> Acls {
    let entity = |text: &str| match text {
        "any" => Entity::Any,
        "none" => Entity::None,
        names => Entity::Listed(names.split(',').map(Text::from).collect()),
    };
    let mut acls = Acls {
        permissive: true,
        rules: BTreeMap::new(),
    };
    for (action, subjects, objects) in rules {
        acls.rules.entry(*action).or_default().push(Rule {
            subjects: entity(subjects),
            objects: entity(objects),
        });
    }
    acls
}

#[test]
fn a_framework_has_only_the_roles_that_it_may() {
    let acls = acls(&[
        (Action::RegisterFramework, "alice", "web,eng/%"),
        (Action::RegisterFramework, "any", "none"),
    ]);
    let script = "
        registry
        subscribe principal=alice roles=web,eng/a
        subscribe principal=alice roles=web,eng
        subscribe principal=bob role=web
        subscribe role=web
    ";
    check_with(
        acls,
        script,
        &expect![[r#"
        > registry
        > subscribe principal=alice roles=web,eng/a
          s1 SUBSCRIBED m-0000
          s1 HEARTBEAT
        > subscribe principal=alice roles=web,eng
          s2 ERROR Not authorized to register framework  with roles { eng, web }
          s2 closed
        > subscribe principal=bob role=web
          s3 ERROR Not authorized to register framework  with roles { web }
          s3 closed
        > subscribe role=web
          s4 ERROR Not authorized to register framework  with roles { web }
          s4 closed
    "#]],
    );
}

#[test]
fn a_task_runs_only_as_a_user_that_its_framework_may_have() {
    let acls = acls(&[
        (Action::RunTask, "alice", "nobody"),
        (Action::RunTask, "any", "none"),
    ]);
    let script = "
        registry
        subscribe principal=alice user=nobody
        register cpus:4;mem:1024
        accept m-0000 offers=m-O0 t1:cpus:1;mem:32 refuse=1000
        subscribe principal=bob user=nobody
        accept m-0001 offers=m-O1 t2:cpus:1;mem:32 refuse=0
        wait 2
        group m-0001 offers=m-O2 t3:cpus:1;mem:32
    ";
    check_with(
        acls,
        script,
        &expect![[r#"
            > registry
            > subscribe principal=alice user=nobody
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 * cpus:4;mem:1024
            > accept m-0000 offers=m-O0 t1:cpus:1;mem:32 refuse=1000
              l1 run t1 for *
            > subscribe principal=bob user=nobody
              s2 SUBSCRIBED m-0001
              s2 HEARTBEAT
              s2 OFFERS m-O1 m-S0 * cpus:3;mem:992
            > accept m-0001 offers=m-O1 t2:cpus:1;mem:32 refuse=0
              s2 UPDATE t2 on m-S0 TASK_ERROR REASON_TASK_UNAUTHORIZED: Principal 'bob' no authorized to launch task t2 of framework m-0001 under user 'nobody'
            > wait 2
              s2 OFFERS m-O2 m-S0 * cpus:3;mem:992
            > group m-0001 offers=m-O2 t3:cpus:1;mem:32
              s2 UPDATE t3 on m-S0 TASK_ERROR REASON_TASK_GROUP_UNAUTHORIZED: Task 't3' is not authorized tolaunch task t3 of framework m-0001 under user 'nobody'
        "#]],
    );
}

#[test]
fn resources_change_only_as_the_rules_of_roles_and_principals_have_it() {
    let acls = acls(&[
        (Action::ReserveResources, "any", "web"),
        (Action::ReserveResources, "any", "none"),
        (Action::CreateVolume, "any", "none"),
    ]);
    let script = "
        registry
        subscribe roles=web
        register disk:100;cpus:4;mem:1024
        operate m-0000 offers=m-O0 reserve:disk(web):10#a create:disk(web):4@v#b refuse=0
    ";
    check_with(
        acls,
        script,
        &expect![[r#"
            > registry
            > subscribe roles=web
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register disk:100;cpus:4;mem:1024
              store admit m-S0
              l1 registered m-S0
              s1 OFFERS m-O0 m-S0 web disk:100;cpus:4;mem:1024
            > operate m-0000 offers=m-O0 reserve:disk(web):10#a create:disk(web):4@v#b refuse=0
              l1 apply RESERVE disk(reservations: [(DYNAMIC,web)]):10
              s1 OPERATION_ERROR b on -: Principal '' no authorized to perform create_volumes on 'web'
              s1 OFFERS m-O1 m-S0 web disk(reservations: [(DYNAMIC,web)]):10;disk:90;cpus:4;mem:1024
        "#]],
    );
}

#[test]
fn operators_are_let_in_by_the_action_that_they_ask_for() {
    let acls = acls(&[
        (Action::DrainAgent, "alice", "any"),
        (Action::DrainAgent, "any", "none"),
        (Action::MarkAgentGone, "any", "none"),
        (Action::DeactivateAgent, "any", "none"),
        (Action::StartMaintenance, "any", "none"),
    ]);
    let script = "
        registry
        register cpus:4;mem:1024
        drain m-S0 by=bob
        drain m-S0
        drain m-S0 gone= by=alice
        gone m-S0 by=alice
        deactivate m-S0 by=alice
        down host/10.0.0.1 by=alice
        drain m-S0 by=alice
    ";
    check_with(
        acls,
        script,
        &expect![[r#"
        > registry
        > register cpus:4;mem:1024
          store admit m-S0
          l1 registered m-S0
        > drain m-S0 by=bob
          r1 Forbidden("403 Forbidden.")
        > drain m-S0
          r2 Forbidden("403 Forbidden.")
        > drain m-S0 gone= by=alice
          r3 Forbidden("403 Forbidden.")
        > gone m-S0 by=alice
          r4 Forbidden("403 Forbidden.")
        > deactivate m-S0 by=alice
          r5 Forbidden("403 Forbidden.")
        > down host/10.0.0.1 by=alice
          r6 Forbidden("403 Forbidden.")
        > drain m-S0 by=alice
          store cluster [Deactivated(m-S0), Draining(m-S0, DrainInfo { state: Drained, config: DrainConfig { max_grace_ns: None, mark_gone: false } })]
          l1 drain DrainConfig { max_grace_ns: None, mark_gone: false }
          r7 Ok
    "#]],
    );
}
