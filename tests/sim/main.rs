//! The simulator's short form: some seeds in each `cargo test`; `cargo xtask sim` runs any number.

mod fairness;

use tests::planted::Planted;
use tests::world::{Scenario, run};

/// Seeds of the short form.
const SEEDS: u64 = 100;

#[test]
fn no_seed_of_the_short_form_breaks_a_rule() {
    let mut faults = 0;
    let mut ended = 0;
    let mut operations = 0;
    let mut elections = 0;
    let mut pods = 0;
    let mut probes_failed = 0;
    let mut executor_updates = 0;
    let mut taken_back = 0;
    for seed in 0..SEEDS {
        let report = run(&Scenario::of_seed(seed));
        faults += report.faults;
        ended += report.tasks_ended;
        operations += report.operations;
        let traced = |words: &str| {
            report
                .trace
                .iter()
                .filter(|line| line.contains(words))
                .count()
        };
        elections += traced(" is elected, ");
        pods += traced(" launches pod ");
        probes_failed += traced(" probe of ");
        executor_updates += report.executor_updates;
        taken_back += traced(" takes back what ");
        assert!(
            report.violations.is_empty(),
            "{:#?}\nreplay: cargo xtask sim --seed {seed}",
            report.violations
        );
    }
    assert!(elections > 200, "no more than {elections} elections");
    assert!(faults > 1000, "the world is too kind: {faults} faults");
    assert!(ended > 1000, "the world is too idle: {ended} tasks");
    assert!(operations > 1000, "no more than {operations} operations");
    assert!(pods > 200, "no more than {pods} pods");
    assert!(probes_failed > 100, "no more than {probes_failed} failed");
    assert!(taken_back > 20, "no more than {taken_back} preempted");
    assert!(
        executor_updates > 300,
        "no more than {executor_updates} updates of executors"
    );
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let scenario = Scenario::of_seed(7);
    assert_eq!(run(&scenario).trace, run(&scenario).trace);
}

#[test]
fn every_planted_bug_is_seen() {
    for bug in Planted::ALL {
        let is_seen = (0..bug.seen_within()).any(|seed| {
            let scenario = Scenario {
                planted: Some(bug),
                ..Scenario::of_seed(seed)
            };
            !run(&scenario).violations.is_empty()
        });
        assert!(is_seen, "{} is not seen", bug.name());
    }
}
