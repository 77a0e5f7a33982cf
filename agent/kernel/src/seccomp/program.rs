//! Program: a filter as instructions for the kernel.
//!
//! Not by seccompiler, which knows one action a filter and asks for one call after the other: here
//! every action stands in one program, and a call is found by halving. The kernel runs a new filter
//! once for each number there is to learn what it always allows, so that a short way through it is
//! time that each launch saves.
//!
//! ```text
//! architecture -> x32 -> number by halves -> action, or arguments one after the other -> action
//! ```
//!
//! A filter within another is one program, too: two would need seccomp(2) allowed by the first.

use std::collections::BTreeMap;

use model::sandbox::{
    ArgumentTest, ArgumentWidth, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
};
use nix::libc;

use super::calls;

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;
/// Numbers of the x32 interface begin here (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;
/// The most conditions of a rule. A comparison jumps over 255 instructions at most, and a condition
/// takes up to 5 of them.
const CONDITIONS_MAX: usize = 48;
const _: () = assert!(CONDITIONS_MAX * 5 < 250);

/// Of `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;

/// Where `struct seccomp_data` has the number, the architecture and the first argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What the kernel says of a call that it has not.
const MISSING: SeccompAction = SeccompAction::Errno(libc::ENOSYS as u16);

/// One instruction as the kernel lays it out: code, the two jumps, the constant.
pub(super) type Instruction = libc::sock_filter;

/// A program of the kernel's, in the form that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(pub(super) Vec<Instruction>);

/// Why a filter is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// It has more instructions than the kernel takes.
    #[error(
        "seccomp profile {profile:?} makes {length} instructions; the kernel takes {INSTRUCTIONS_MAX}"
    )]
    Program {
        /// The profile.
        profile: String,
        /// How many it has.
        length: usize,
    },
    /// A rule has too many conditions.
    #[error(
        "seccomp profile {profile:?} has a rule with {length} conditions; {CONDITIONS_MAX} are the most"
    )]
    Rule {
        /// The profile.
        profile: String,
        /// How many it has.
        length: usize,
    },
}

impl Program {
    /// The instructions as one number each, for the launcher's orders.
    pub(crate) fn words(&self) -> Vec<u64> {
        let word = |one: &Instruction| {
            u64::from(one.code)
                | u64::from(one.jt) << 16
                | u64::from(one.jf) << 24
                | u64::from(one.k) << 32
        };
        self.0.iter().map(word).collect()
    }

    /// The same back again.
    pub(crate) fn from_words(words: &[u64]) -> Self {
        let instruction = |word: &u64| {
            let bytes = word.to_le_bytes();
            Instruction {
                code: u16::from_le_bytes([bytes[0], bytes[1]]),
                jt: bytes[2],
                jf: bytes[3],
                k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            }
        };
        Self(words.iter().map(instruction).collect())
    }

    /// How many instructions it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

/// What becomes of one call, by its arguments: the first alternative that holds counts, and the last always
/// does.
type Decision<'a> = Vec<Alternative<'a>>;

#[derive(Clone)]
struct Alternative<'a> {
    conditions: Vec<&'a SeccompCondition>,
    action: SeccompAction,
}

/// What becomes of all calls: a decision counts from its number on to the next.
type Decisions<'a> = BTreeMap<u32, Decision<'a>>;

/// Compiles a filter.
///
/// # Errors
/// It, or one of its rules, is too long.
pub fn compile(filter: &SeccompFilter) -> Result<Program, TooLong> {
    let mut out = vec![
        load(ARCH),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        done(SeccompAction::KillProcess),
        load(NUMBER),
        jump(libc::BPF_JGE, X32, 0, 1),
        done(MISSING),
    ];
    out.extend(tree(&ranges(filter, &decisions(filter)?)?));
    match out.len() {
        length if length > INSTRUCTIONS_MAX => Err(TooLong::Program {
            profile: filter.profile.clone(),
            length,
        }),
        _ => Ok(Program(out)),
    }
}

fn decisions(filter: &SeccompFilter) -> Result<Decisions<'_>, TooLong> {
    let mut rules: BTreeMap<u32, Vec<&SeccompRule>> = BTreeMap::new();
    for rule in &filter.rules {
        for number in rule.calls.iter().filter_map(|call| calls::number(call)) {
            rules.entry(number).or_default().push(rule);
        }
    }
    let always = |action| {
        let conditions = Vec::new();
        vec![Alternative { conditions, action }]
    };
    let mut all = BTreeMap::from([(0, always(filter.default))]);
    // Nothing is newer than what no rule names.
    if let Some((newest, _)) = rules.last_key_value() {
        all.insert(newest + 1, always(newer(filter.default)));
    }
    for (number, rules) in rules {
        all.entry(number + 1)
            .or_insert_with(|| always(filter.default));
        all.insert(number, decision(&rules, filter.default));
    }
    match &filter.within {
        Some(outer) => within(filter, &all, &decisions(outer)?),
        None => Ok(all),
    }
}

const fn newer(default: SeccompAction) -> SeccompAction {
    match default {
        SeccompAction::Errno(_) => MISSING,
        other => other,
    }
}

/// What becomes of one call: the strictest rules are asked first.
fn decision<'a>(rules: &[&'a SeccompRule], default: SeccompAction) -> Decision<'a> {
    let mut rules = rules.to_vec();
    // The sort is stable: among equals the first stays first.
    rules.sort_by(|one, other| {
        let stricter = one.action.is_stricter(other.action);
        let milder = other.action.is_stricter(one.action);
        milder.cmp(&stricter)
    });
    let mut out: Decision<'_> = Vec::new();
    for rule in rules {
        out.push(Alternative {
            conditions: rule.conditions.iter().collect(),
            action: rule.action,
        });
        if rule.conditions.is_empty() {
            return out;
        }
    }
    out.push(Alternative {
        conditions: Vec::new(),
        action: default,
    });
    out
}

/// The stricter of two decisions for each call: every alternative of the one with every one of the other, in
/// the order of both, so that the first pair that holds is that of what each would have decided.
fn within<'a>(
    filter: &SeccompFilter,
    inner: &Decisions<'a>,
    outer: &Decisions<'a>,
) -> Result<Decisions<'a>, TooLong> {
    let mut all = BTreeMap::new();
    for number in inner.keys().chain(outer.keys()) {
        let both = [inner, outer].map(|one| one.range(..=number).next_back());
        let [Some((_, own)), Some((_, others))] = both else {
            continue;
        };
        let length = own.len() * others.len();
        if length > INSTRUCTIONS_MAX {
            return Err(TooLong::Program {
                profile: filter.profile.clone(),
                length,
            });
        }
        let pairs = own
            .iter()
            .flat_map(|own| others.iter().map(move |other| (own, other)));
        let pair = |(own, other): (&Alternative<'a>, &Alternative<'a>)| Alternative {
            conditions: [own.conditions.as_slice(), &other.conditions].concat(),
            action: own.action.or(other.action),
        };
        all.insert(*number, pairs.map(pair).collect());
    }
    Ok(all)
}

/// Numbers from one on that end alike.
struct Range {
    first: u32,
    end: Vec<Instruction>,
}

/// All numbers from 0 up, with neighbours that end alike as one.
fn ranges(filter: &SeccompFilter, decisions: &Decisions<'_>) -> Result<Vec<Range>, TooLong> {
    let mut all: Vec<Range> = Vec::new();
    for (&first, decision) in decisions {
        let end = instructions(filter, decision)?;
        if all.last().is_none_or(|last| last.end != end) {
            all.push(Range { first, end });
        }
    }
    Ok(all)
}

fn instructions(
    filter: &SeccompFilter,
    decision: &Decision<'_>,
) -> Result<Vec<Instruction>, TooLong> {
    let mut out = Vec::new();
    for Alternative { conditions, action } in decision {
        if conditions.len() > CONDITIONS_MAX {
            return Err(TooLong::Rule {
                profile: filter.profile.clone(),
                length: conditions.len(),
            });
        }
        // Where one condition fails the next alternative is asked: to there are all that follow it here.
        let mut block = vec![done(*action)];
        for condition in conditions.iter().rev() {
            let past = u8::try_from(block.len()).unwrap_or(u8::MAX - 3);
            let mut test = test(condition, past);
            test.append(&mut block);
            block = test;
        }
        out.append(&mut block);
    }
    Ok(out)
}

/// What a comparison is to say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

/// An argument in the data that the kernel shows, and how far on the next rule is.
struct Argument {
    low: u32,
    high: u32,
    width: ArgumentWidth,
    past: u8,
}

/// Goes on with the next instruction where the condition holds, else past as many as given.
fn test(condition: &SeccompCondition, past: u8) -> Vec<Instruction> {
    let at = ARGUMENTS + 8 * u32::from(condition.argument.min(5));
    let (low, high) = match cfg!(target_endian = "little") {
        true => (at, at + 4),
        false => (at + 4, at),
    };
    let argument = Argument {
        low,
        high,
        width: condition.width,
        past,
    };
    let fits = |value: u64| condition.width == ArgumentWidth::Whole || value >> 32 == 0;
    match condition.test {
        ArgumentTest::Equal(value) if fits(value) => argument.equal(value, Wanted::Yes),
        ArgumentTest::NotEqual(value) if fits(value) => argument.equal(value, Wanted::No),
        ArgumentTest::Greater(value) if fits(value) => {
            argument.above(libc::BPF_JGT, value, Wanted::Yes)
        }
        ArgumentTest::LessOrEqual(value) if fits(value) => {
            argument.above(libc::BPF_JGT, value, Wanted::No)
        }
        ArgumentTest::GreaterOrEqual(value) if fits(value) => {
            argument.above(libc::BPF_JGE, value, Wanted::Yes)
        }
        ArgumentTest::Less(value) if fits(value) => {
            argument.above(libc::BPF_JGE, value, Wanted::No)
        }
        ArgumentTest::Masked { mask, value } if fits(value) => argument.masked(mask, value),
        // Whatever half a number is, it is below one that no half can be.
        ArgumentTest::NotEqual(_) | ArgumentTest::Less(_) | ArgumentTest::LessOrEqual(_) => {
            Vec::new()
        }
        ArgumentTest::Equal(_)
        | ArgumentTest::Greater(_)
        | ArgumentTest::GreaterOrEqual(_)
        | ArgumentTest::Masked { .. } => vec![always(past.into())],
    }
}

impl Argument {
    fn equal(&self, value: u64, wanted: Wanted) -> Vec<Instruction> {
        let (low, high) = halves(value);
        let mut out = Vec::new();
        if self.width == ArgumentWidth::Whole {
            let unequal = match wanted {
                Wanted::Yes => self.past + 2,
                Wanted::No => 2,
            };
            out.extend([load(self.high), jump(libc::BPF_JEQ, high, 0, unequal)]);
        }
        out.extend([load(self.low), self.last(libc::BPF_JEQ, low, wanted)]);
        out
    }

    /// The upper halves decide unless they are equal.
    fn above(&self, comparison: u32, value: u64, wanted: Wanted) -> Vec<Instruction> {
        let (low, high) = halves(value);
        let mut out = Vec::new();
        if self.width == ArgumentWidth::Whole {
            let (above, below) = match wanted {
                Wanted::Yes => (3, self.past + 2),
                Wanted::No => (self.past + 3, 2),
            };
            out.extend([
                load(self.high),
                jump(libc::BPF_JGT, high, above, 0),
                jump(libc::BPF_JEQ, high, 0, below),
            ]);
        }
        out.extend([load(self.low), self.last(comparison, low, wanted)]);
        out
    }

    fn masked(&self, mask: u64, value: u64) -> Vec<Instruction> {
        let ((low_mask, high_mask), (low, high)) = (halves(mask), halves(value));
        let mut out = Vec::new();
        if self.width == ArgumentWidth::Whole && (high_mask, high) != (0, 0) {
            out.extend([
                load(self.high),
                and(high_mask),
                jump(libc::BPF_JEQ, high, 0, self.past + 3),
            ]);
        }
        let last = self.last(libc::BPF_JEQ, low, Wanted::Yes);
        out.extend([load(self.low), and(low_mask), last]);
        out
    }

    fn last(&self, comparison: u32, value: u32, wanted: Wanted) -> Instruction {
        match wanted {
            Wanted::Yes => jump(comparison, value, 0, self.past),
            Wanted::No => jump(comparison, value, self.past, 0),
        }
    }
}

/// The lower and the upper half.
const fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

/// Finds the range of a number by halves.
fn tree(ranges: &[Range]) -> Vec<Instruction> {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let Some(first) = upper.first() else {
        return Vec::new();
    };
    if lower.is_empty() {
        return first.end.clone();
    }
    let (below, above) = (tree(lower), tree(upper));
    let mut out = match u8::try_from(below.len()) {
        Ok(length) => vec![jump(libc::BPF_JGE, first.first, length, 0)],
        Err(_) => vec![
            jump(libc::BPF_JGE, first.first, 0, 1),
            always(u32::try_from(below.len()).unwrap_or(u32::MAX)),
        ],
    };
    out.extend(below);
    out.extend(above);
    out
}

fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn and(mask: u32) -> Instruction {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask)
}

fn jump(comparison: u32, value: u32, yes: u8, no: u8) -> Instruction {
    instruction(libc::BPF_JMP | comparison | libc::BPF_K, yes, no, value)
}

fn always(past: u32) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, past)
}

fn done(action: SeccompAction) -> Instruction {
    let value = match action {
        SeccompAction::Allow => libc::SECCOMP_RET_ALLOW,
        SeccompAction::Log => libc::SECCOMP_RET_LOG,
        SeccompAction::Trace(number) => libc::SECCOMP_RET_TRACE | u32::from(number),
        // The kernel takes no number above the largest error (`MAX_ERRNO`) for one.
        SeccompAction::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
        SeccompAction::Trap => libc::SECCOMP_RET_TRAP,
        SeccompAction::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        SeccompAction::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
    };
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    Instruction { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
