//! The scenario of many frameworks on few agents, in a tenth of its size; `cargo xtask bench fairness`
//! runs all of it.

use std::time::Duration;

use tests::fairness::{Report, Scenario, Sorter, Sorters, run};

fn reference(roles: Sorter) -> Report {
    let sorters = Sorters {
        roles,
        frameworks: Sorter::Drf,
    };
    run(&Scenario::reference(true, sorters, 1))
}

#[test]
fn every_framework_of_many_launches_all_it_wants_and_none_is_starved() {
    for sorter in [Sorter::Drf, Sorter::Random] {
        let report = reference(sorter);
        for kind in &report.kinds {
            let all = kind.launched_all;
            assert!(
                all.is_some_and(|all| all < Duration::from_secs(30)),
                "{sorter:?}: {kind:?}"
            );
            // Who declined the rest of every agent waits for its filters, which last five seconds.
            assert!(
                kind.wait_max < Duration::from_secs(7),
                "{sorter:?}: {kind:?}"
            );
        }
    }
}

#[test]
fn shares_come_near_ideal_fairness_while_frameworks_launch() {
    let fair = reference(Sorter::Drf);
    assert!(fair.misplaced_mean() < 0.25, "{}", fair.misplaced_mean());
    let last = fair.samples.last().map(|sample| sample.misplaced);
    assert!(
        last.is_some_and(|last| last < 1e-6),
        "all have all: {last:?}"
    );
    assert_eq!(
        fair,
        reference(Sorter::Drf),
        "a run is a function of its scenario"
    );
}
