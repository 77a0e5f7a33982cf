//! Seccomp: which system calls a container's processes may make.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// What is made of system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Every call reaches the kernel.
    Unconfined,
    /// A filter decides.
    Filter(SeccompFilter),
}

/// A filter, with every choice that depends on the container made.
///
/// Calls of another architecture than the node's own end the process, numbers of the x32 interface are
/// answered with ENOSYS, whatever the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompFilter {
    /// The profile that it was made of.
    pub profile: String,
    /// What becomes of a call that no rule speaks of. Where that is an error, a call that is newer than
    /// all that the rules name is answered with ENOSYS instead, by which C libraries know to fall back.
    pub default: SeccompAction,
    /// The rules. Of several that match a call the strictest counts, of equally strict ones the first.
    pub rules: Vec<Arc<SeccompRule>>,
    /// What no call gets beyond, whatever the rules say: of both answers the stricter counts, of equally
    /// strict ones that of the rules.
    pub within: Option<Arc<SeccompFilter>>,
}

/// What becomes of some calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompRule {
    /// The calls by the kernel's names; a name that this architecture has not is passed over.
    pub calls: Vec<Cow<'static, str>>,
    /// What their arguments are to be like, all of it.
    pub conditions: Vec<SeccompCondition>,
    /// What is done.
    pub action: SeccompAction,
    /// Why.
    pub why: Cow<'static, str>,
}

/// What becomes of a call, by growing strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeccompAction {
    /// It is made.
    Allow,
    /// It is made, and the kernel's log tells of it.
    Log,
    /// A tracer decides, and gets this number; without one it is answered with ENOSYS.
    Trace(u16),
    /// It is not made; the caller sees this error.
    Errno(u16),
    /// It is not made; the caller gets SIGSYS.
    Trap,
    /// The calling thread ends.
    KillThread,
    /// The calling process ends.
    KillProcess,
}

impl fmt::Display for SeccompAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Log => f.write_str("log"),
            Self::Trace(number) => write!(f, "trace {number}"),
            Self::Errno(number) => write!(f, "errno {number}"),
            Self::Trap => f.write_str("trap"),
            Self::KillThread => f.write_str("kill thread"),
            Self::KillProcess => f.write_str("kill process"),
        }
    }
}

/// What one argument is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeccompCondition {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// How much of it the kernel reads: the rest can be anything.
    pub width: ArgumentWidth,
    /// What it is compared with.
    pub test: ArgumentTest,
}

/// How many bits of an argument the kernel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentWidth {
    /// The lower 32, of an `int`.
    Half,
    /// All 64.
    Whole,
}

/// A comparison of an argument, without a sign, with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentTest {
    /// The same.
    Equal(u64),
    /// Another.
    NotEqual(u64),
    /// Below.
    Less(u64),
    /// Below, or the same.
    LessOrEqual(u64),
    /// Above.
    Greater(u64),
    /// Above, or the same.
    GreaterOrEqual(u64),
    /// The bits of the mask are those of the value.
    Masked {
        /// The bits that are looked at.
        mask: u64,
        /// What they are to be.
        value: u64,
    },
}

impl ArgumentTest {
    /// Whether an argument passes.
    #[must_use]
    pub const fn passes(self, argument: u64) -> bool {
        match self {
            Self::Equal(value) => argument == value,
            Self::NotEqual(value) => argument != value,
            Self::Less(value) => argument < value,
            Self::LessOrEqual(value) => argument <= value,
            Self::Greater(value) => argument > value,
            Self::GreaterOrEqual(value) => argument >= value,
            Self::Masked { mask, value } => argument & mask == value,
        }
    }
}

impl SeccompCondition {
    /// Whether the arguments of a call fulfil it.
    #[must_use]
    pub fn holds(&self, arguments: &[u64; 6]) -> bool {
        let argument = arguments.get(usize::from(self.argument)).copied();
        let argument = argument.unwrap_or(0);
        self.test.passes(match self.width {
            ArgumentWidth::Half => argument & u64::from(u32::MAX),
            ArgumentWidth::Whole => argument,
        })
    }
}

impl SeccompFilter {
    /// What becomes of a call by its name; the meaning that a compiled filter has to have.
    #[must_use]
    pub fn decide(&self, call: &str, arguments: &[u64; 6]) -> SeccompAction {
        let matching = self.rules.iter().filter(|rule| {
            rule.calls.iter().any(|name| name == call)
                && rule.conditions.iter().all(|one| one.holds(arguments))
        });
        let strictest = matching.map(|rule| rule.action).reduce(SeccompAction::or);
        let own = strictest.unwrap_or(self.default);
        let within = self.within.as_ref();
        within.map_or(own, |within| own.or(within.decide(call, arguments)))
    }
}

/// How a filter can stop a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The profile whose filter it is.
    pub profile: &'a str,
    /// The rule; unset where it stops what no rule allows.
    pub rule: Option<&'a SeccompRule>,
    /// What it does.
    pub action: SeccompAction,
}

impl SeccompFilter {
    /// How this filter, and those around it, can stop a call of this name, whatever its arguments.
    #[must_use]
    pub fn refusals(&self, call: &str) -> Vec<Refusal<'_>> {
        let refusal = |rule, action| Refusal {
            profile: &self.profile,
            rule,
            action,
        };
        let named = self.rules.iter().map(AsRef::as_ref);
        let named = named.filter(|rule| rule.calls.iter().any(|name| name == call));
        let has_answer = named.clone().any(|rule| rule.conditions.is_empty());
        let by_rules = named.map(|rule| refusal(Some(rule), rule.action));
        let by_default = (!has_answer).then(|| refusal(None, self.default));
        let stops = |one: &Refusal<'_>| one.action.is_stricter(SeccompAction::Log);
        let around = self.within.iter().flat_map(|within| within.refusals(call));
        by_rules
            .chain(by_default)
            .filter(stops)
            .chain(around)
            .collect()
    }
}

impl SeccompAction {
    /// The stricter of two; of equally strict ones this.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match other.is_stricter(self) {
            true => other,
            false => self,
        }
    }

    /// Whether this kind of action is stricter, whatever the number that it carries.
    #[must_use]
    pub const fn is_stricter(self, other: Self) -> bool {
        self.rank() > other.rank()
    }

    /// The kernel's order (seccomp(2)).
    const fn rank(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Log => 1,
            Self::Trace(_) => 2,
            Self::Errno(_) => 3,
            Self::Trap => 4,
            Self::KillThread => 5,
            Self::KillProcess => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn rule(call: &'static str, action: SeccompAction, test: Option<ArgumentTest>) -> SeccompRule {
        let condition = |test| SeccompCondition {
            argument: 1,
            width: ArgumentWidth::Half,
            test,
        };
        SeccompRule {
            calls: vec![call.into()],
            conditions: test.map(condition).into_iter().collect(),
            action,
            why: "".into(),
        }
    }

    #[test]
    fn the_strictest_rule_that_matches_counts_and_of_equals_the_first() {
        use SeccompAction::{Allow, Errno, KillProcess};
        let filter = SeccompFilter {
            profile: "p".into(),
            default: KillProcess,
            within: None,
            rules: vec![
                Arc::new(rule("ioctl", Allow, None)),
                Arc::new(rule("ioctl", Errno(1), Some(ArgumentTest::Equal(7)))),
                Arc::new(rule("ioctl", Errno(2), Some(ArgumentTest::LessOrEqual(7)))),
            ],
        };
        let decide = |argument| filter.decide("ioctl", &[0, argument, 0, 0, 0, 0]);
        assert_eq!(decide(8), Allow);
        assert_eq!(decide(7), Errno(1));
        assert_eq!(decide(6), Errno(2));
        // What the kernel does not read changes nothing.
        assert_eq!(decide(7 | 1 << 40), Errno(1));
        assert_eq!(filter.decide("read", &[0; 6]), KillProcess);
    }

    #[test]
    fn a_filter_within_another_allows_what_both_do_and_refuses_with_the_stricter_answer() {
        use SeccompAction::{Allow, Errno, KillProcess, Log};
        let filter = |default, rules: &[(&'static str, SeccompAction)], within| SeccompFilter {
            profile: "p".into(),
            default,
            rules: rules
                .iter()
                .map(|(call, action)| Arc::new(rule(call, *action, None)))
                .collect(),
            within,
        };
        let outer = [("read", Allow), ("mount", Errno(1)), ("close", Log)];
        let outer = filter(Errno(38), &outer, None);
        let inner = [("read", Errno(7)), ("mount", Allow), ("open", KillProcess)];
        let filter = filter(Allow, &inner, Some(Arc::new(outer)));
        for (call, expected) in [
            ("read", Errno(7)),
            ("mount", Errno(1)),
            ("open", KillProcess),
            ("close", Log),
            ("bpf", Errno(38)),
        ] {
            assert_eq!(filter.decide(call, &[0; 6]), expected, "{call}");
        }
    }

    #[test]
    fn whatever_can_stop_a_call_is_found_with_its_rule() {
        use SeccompAction::{Allow, Errno, Log, Trap};
        let outer = SeccompFilter {
            profile: "outer".into(),
            default: Allow,
            rules: vec![Arc::new(rule("ioctl", Trap, None))],
            within: None,
        };
        let filter = SeccompFilter {
            profile: "inner".into(),
            default: Errno(1),
            rules: vec![
                Arc::new(rule("ioctl", Errno(2), Some(ArgumentTest::Equal(7)))),
                Arc::new(rule("ioctl", Log, Some(ArgumentTest::Equal(8)))),
                Arc::new(rule("read", Allow, None)),
            ],
            within: Some(Arc::new(outer)),
        };
        let found = |call| -> Vec<_> {
            let all = filter.refusals(call).into_iter();
            all.map(|one| (one.profile, one.rule.is_some(), one.action))
                .collect()
        };
        let by_all = [
            ("inner", true, Errno(2)),
            ("inner", false, Errno(1)),
            ("outer", true, Trap),
        ];
        assert_eq!(found("ioctl"), by_all);
        assert_eq!(found("write"), [("inner", false, Errno(1))]);
        assert_eq!(found("read"), []);
    }

    #[test]
    fn every_comparison_is_without_a_sign() {
        use ArgumentTest::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Masked, NotEqual};
        let passing = |test: ArgumentTest| {
            let all = [4, 5, 6, u64::MAX].into_iter();
            all.filter(|argument| test.passes(*argument))
                .collect::<Vec<_>>()
        };
        assert_eq!(passing(Equal(5)), [5]);
        assert_eq!(passing(NotEqual(5)), [4, 6, u64::MAX]);
        assert_eq!(passing(Less(5)), [4]);
        assert_eq!(passing(LessOrEqual(5)), [4, 5]);
        assert_eq!(passing(Greater(5)), [6, u64::MAX]);
        assert_eq!(passing(GreaterOrEqual(5)), [5, 6, u64::MAX]);
        assert_eq!(passing(Masked { mask: 3, value: 1 }), [5]);
    }
}
