//! Fault domains: who is let in by them, and by which an agent is offered.

use expect_test::expect;
use master_core::Config;

use crate::world::{check, check_of, config};

#[test]
fn an_agent_is_offered_by_the_domain_that_it_came_with_last() {
    check(
        "registry
         subscribe role=r
         register cpus:1;mem:64 region=us
         register cpus:1;mem:64 id=m-S0 region=eu
         register cpus:1;mem:64 id=m-S0 region=us",
        &expect![[r#"
            > registry
            > subscribe role=r
              s1 SUBSCRIBED m-0000
              s1 HEARTBEAT
            > register cpus:1;mem:64 region=us
              store admit m-S0
              l1 registered m-S0
            > register cpus:1;mem:64 id=m-S0 region=eu
              l1 closed
              l2 registered m-S0
              s1 OFFERS m-O0 m-S0 r cpus:1;mem:64
            > register cpus:1;mem:64 id=m-S0 region=us
              s1 RESCIND m-O0
              l2 closed
              l3 registered m-S0
        "#]],
    );
}

#[test]
fn an_agent_is_refused_for_its_domain_and_may_come_again() {
    let none = Config {
        region: None,
        ..config()
    };
    let strict = Config {
        require_agent_domain: true,
        ..config()
    };
    let script = "registry
                  register cpus:1;mem:64 region=eu
                  register cpus:1;mem:64 id=m-S7 region=eu
                  register cpus:1;mem:64
                  register cpus:1;mem:64 id=m-S8";
    check_of(
        none,
        script,
        &expect![[r#"
        > registry
        > register cpus:1;mem:64 region=eu
          l1 refused: the agent has a domain, in region eu, and the master has none: give the master --domain, or take it from the agent
          l1 closed
        > register cpus:1;mem:64 id=m-S7 region=eu
          l2 refused: the agent has a domain, in region eu, and the master has none: give the master --domain, or take it from the agent
          l2 closed
        > register cpus:1;mem:64
          store admit m-S0
          l3 registered m-S0
        > register cpus:1;mem:64 id=m-S8
          store admit m-S8
          l4 registered m-S8
    "#]],
    );
    check_of(
        strict,
        script,
        &expect![[r#"
        > registry
        > register cpus:1;mem:64 region=eu
          store admit m-S0
          l1 registered m-S0
        > register cpus:1;mem:64 id=m-S7 region=eu
          store admit m-S7
          l2 registered m-S7
        > register cpus:1;mem:64
          l3 refused: the agent has no domain, and the master wants one (--require_agent_domain): give the agent --domain
          l3 closed
        > register cpus:1;mem:64 id=m-S8
          l4 refused: the agent has no domain, and the master wants one (--require_agent_domain): give the agent --domain
          l4 closed
    "#]],
    );
}
