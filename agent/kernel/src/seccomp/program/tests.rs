//! Tests of programs: each is run here as the kernel would run it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// A call as the kernel shows it to a filter.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    architecture: u32,
    arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let mut data = [0; 64];
        data[0..4].copy_from_slice(&self.number.to_ne_bytes());
        data[4..8].copy_from_slice(&self.architecture.to_ne_bytes());
        for (argument, place) in self.arguments.iter().zip(data[16..].chunks_mut(8)) {
            place.copy_from_slice(&argument.to_ne_bytes());
        }
        let at = offset as usize;
        u32::from_ne_bytes(data[at..at + 4].try_into().expect("four bytes"))
    }
}

/// What a program says of a call, and in how many steps.
fn run(program: &Program, call: &Call) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let one = program.0[at];
        (at, steps) = (at + 1, steps + 1);
        let code = u32::from(one.code);
        match code & 7 {
            libc::BPF_LD => accumulator = call.word(one.k),
            libc::BPF_ALU => accumulator &= one.k,
            libc::BPF_RET => return (one.k, steps),
            libc::BPF_JMP if code & 0xf0 == libc::BPF_JA => at += one.k as usize,
            libc::BPF_JMP => {
                let holds = match code & 0xf0 {
                    libc::BPF_JEQ => accumulator == one.k,
                    libc::BPF_JGT => accumulator > one.k,
                    libc::BPF_JGE => accumulator >= one.k,
                    other => panic!("comparison {other:#x}"),
                };
                at += usize::from(if holds { one.jt } else { one.jf });
            }
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn rule(
    calls: &[&'static str],
    action: SeccompAction,
    conditions: &[(u8, ArgumentWidth, ArgumentTest)],
) -> Arc<SeccompRule> {
    let condition = |&(argument, width, test)| SeccompCondition {
        argument,
        width,
        test,
    };
    Arc::new(SeccompRule {
        calls: calls.iter().map(|name| (*name).into()).collect(),
        conditions: conditions.iter().map(condition).collect(),
        action,
        why: "".into(),
    })
}

fn filter(default: SeccompAction, rules: Vec<Arc<SeccompRule>>) -> SeccompFilter {
    SeccompFilter {
        profile: "p".into(),
        default,
        rules,
        within: None,
    }
}

/// What a filter makes of a call of this architecture.
fn decide(filter: &SeccompFilter, number: u32, arguments: [u64; 6]) -> u32 {
    let program = compile(filter).expect("a program");
    let call = Call {
        number,
        architecture: ARCHITECTURE,
        arguments,
    };
    run(&program, &call).0
}

#[test]
fn calls_of_another_architecture_end_the_process_and_x32_numbers_are_missing() {
    let filter = filter(SeccompAction::Allow, Vec::new());
    let program = compile(&filter).expect("a program");
    let call = |number, architecture| Call {
        number,
        architecture,
        arguments: [0; 6],
    };
    // AUDIT_ARCH_I386: calls by `int 0x80` have other numbers.
    let foreign = call(0, 0x4000_0003);
    assert_eq!(run(&program, &foreign).0, libc::SECCOMP_RET_KILL_PROCESS);
    let missing = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    for number in [X32, X32 | 1, X32 | 512, u32::MAX] {
        assert_eq!(run(&program, &call(number, ARCHITECTURE)).0, missing);
    }
    let own = call(X32 - 1, ARCHITECTURE);
    assert_eq!(run(&program, &own).0, libc::SECCOMP_RET_ALLOW);
}

#[test]
fn what_is_newer_than_the_rules_is_missing_and_not_forbidden() {
    let errno = |number: i32| libc::SECCOMP_RET_ERRNO | number as u32;
    let close = calls::number("close").expect("a number");
    let denying = filter(
        SeccompAction::Errno(libc::EPERM as u16),
        vec![rule(&["close"], SeccompAction::Allow, &[])],
    );
    assert_eq!(decide(&denying, close, [0; 6]), libc::SECCOMP_RET_ALLOW);
    assert_eq!(decide(&denying, close - 1, [0; 6]), errno(libc::EPERM));
    assert_eq!(decide(&denying, close + 1, [0; 6]), errno(libc::ENOSYS));
    let killing = SeccompFilter {
        default: SeccompAction::KillProcess,
        ..denying
    };
    let kill = libc::SECCOMP_RET_KILL_PROCESS;
    assert_eq!(decide(&killing, close + 1, [0; 6]), kill);
}

#[test]
fn what_is_too_long_is_refused_by_name() {
    let many = vec![(0, ArgumentWidth::Whole, ArgumentTest::NotEqual(1)); 49];
    let long = filter(
        SeccompAction::Allow,
        vec![rule(&["read"], SeccompAction::Trap, &many)],
    );
    assert_eq!(
        compile(&long).expect_err("too long").to_string(),
        "seccomp profile \"p\" has a rule with 49 conditions; 48 are the most"
    );
    // Neighbours that end alike are one.
    let all: Vec<_> = calls::all().map(|(name, _)| name).step_by(2).collect();
    let long = filter(
        SeccompAction::Allow,
        vec![rule(&all, SeccompAction::Trap, &many[..40])],
    );
    assert!(matches!(compile(&long), Err(TooLong::Program { .. })));
}

#[test]
fn a_filter_that_multiplies_with_the_one_around_it_is_refused_and_takes_no_memory() {
    let tests: Vec<_> = (0..2000)
        .map(|value| [(1, ArgumentWidth::Whole, ArgumentTest::Equal(value))])
        .collect();
    let rules = tests
        .iter()
        .map(|test| rule(&["ioctl"], SeccompAction::Trap, test));
    let outer = filter(SeccompAction::Allow, rules.clone().collect());
    let inner = SeccompFilter {
        within: Some(Arc::new(outer)),
        ..filter(SeccompAction::Allow, rules.collect())
    };
    assert!(matches!(
        compile(&inner),
        Err(TooLong::Program {
            length: 4_004_001,
            ..
        })
    ));
}

#[test]
fn a_program_survives_the_orders() {
    let filter = filter(
        SeccompAction::Errno(7),
        vec![rule(&["read"], SeccompAction::Allow, &[])],
    );
    let program = compile(&filter).expect("a program");
    assert_eq!(Program::from_words(&program.words()), program);
}

#[test]
fn a_call_is_found_in_few_steps() {
    let all: Vec<_> = calls::all().map(|(name, _)| name).step_by(2).collect();
    let filter = filter(
        SeccompAction::Errno(1),
        vec![rule(&all, SeccompAction::Allow, &[])],
    );
    let program = compile(&filter).expect("a program");
    for number in 0..500 {
        let call = Call {
            number,
            architecture: ARCHITECTURE,
            arguments: [0; 6],
        };
        let (_, steps) = run(&program, &call);
        assert!(steps <= 20, "{number} takes {steps} steps");
    }
}

/// Calls with neighbouring numbers, and some far away.
const NAMES: [&str; 8] = [
    "read", "write", "openat", "close", "ioctl", "socket", "clone", "mseal",
];

fn value() -> impl Strategy<Value = u64> {
    let near = prop_oneof![0_u64..4, Just(u64::from(u32::MAX))];
    (near, 0_u64..3).prop_map(|(low, high)| low | high << 32)
}

fn condition() -> impl Strategy<Value = (u8, ArgumentWidth, ArgumentTest)> {
    let width = prop_oneof![Just(ArgumentWidth::Half), Just(ArgumentWidth::Whole)];
    let test = (0..7_u8, value(), value()).prop_map(|(kind, value, mask)| match kind {
        0 => ArgumentTest::Equal(value),
        1 => ArgumentTest::NotEqual(value),
        2 => ArgumentTest::Less(value),
        3 => ArgumentTest::LessOrEqual(value),
        4 => ArgumentTest::Greater(value),
        5 => ArgumentTest::GreaterOrEqual(value),
        _ => ArgumentTest::Masked { mask, value },
    });
    (0..6_u8, width, test)
}

fn action() -> impl Strategy<Value = SeccompAction> {
    prop_oneof![
        Just(SeccompAction::Allow),
        Just(SeccompAction::Log),
        Just(SeccompAction::KillThread),
        Just(SeccompAction::KillProcess),
        Just(SeccompAction::Trap),
        (1..4_u16).prop_map(SeccompAction::Errno),
        (1..4_u16).prop_map(SeccompAction::Trace),
    ]
}

fn filters(most: usize) -> impl Strategy<Value = SeccompFilter> {
    let calls = prop::sample::subsequence(NAMES.to_vec(), 1..4);
    let conditions = prop::collection::vec(condition(), 0..4);
    let rules = (calls, action(), conditions)
        .prop_map(|(calls, action, conditions)| rule(&calls, action, &conditions));
    let rules = prop::collection::vec(rules, 0..most);
    (action(), rules).prop_map(|(default, rules)| filter(default, rules))
}

/// What a filter says of a call by itself, with what it does not know missing.
fn said(filter: &SeccompFilter, name: &str, arguments: &[u64; 6]) -> SeccompAction {
    let alone = SeccompFilter {
        within: None,
        ..filter.clone()
    };
    let named = filter.rules.iter().flat_map(|rule| &rule.calls);
    let newest = named.filter_map(|name| calls::number(name)).max();
    match alone.decide(name, arguments) {
        SeccompAction::Errno(_)
            if newest.is_some_and(|newest| calls::number(name) > Some(newest)) =>
        {
            MISSING
        }
        action => action,
    }
}

proptest! {
    #[test]
    fn a_program_decides_as_its_filter_says(
        filter in filters(8),
        outer in prop::option::of(filters(5)),
        arguments in prop::collection::vec(prop::array::uniform6(value()), 8),
    ) {
        let filter = SeccompFilter { within: outer.map(Arc::new), ..filter };
        let program = compile(&filter).expect("a program");
        for name in NAMES {
            let number = calls::number(name).expect("a number");
            for arguments in &arguments {
                let call = Call { number, architecture: ARCHITECTURE, arguments: *arguments };
                let mut expected = said(&filter, name, arguments);
                if let Some(outer) = &filter.within {
                    expected = expected.or(said(outer, name, arguments));
                }
                prop_assert_eq!(run(&program, &call).0, done(expected).k, "{} {:?}", name, arguments);
            }
        }
    }
}
