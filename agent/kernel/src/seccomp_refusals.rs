//! Seccomp refusals: the system calls that the filters of a cgroup's processes stopped, by name.
//!
//! A filter whose refusals are told has the kernel tell its audit subsystem of each
//! (`SECCOMP_FILTER_FLAG_LOG`), and a program at the return of that (`audit_seccomp` of kernel/auditsc.c)
//! sets a bit for the call, by the cgroup of who made it. A call that is allowed costs nothing more than
//! without. The record itself is another matter ([`crate::audit`]).

use std::borrow::Cow;
use std::path::Path;

use crate::bpf::{Assembly, BpfError, Exit, Groups, Instruction, Register, When};
use crate::btf::{self, Wanted};
use crate::cgroup::Cgroup;
use crate::seccomp;

/// Groups that are remembered; of more, those that asked longest ago are forgotten.
const GROUPS_MAX: u32 = 1024;

/// Numbers of calls that are told, 64 a word; Linux 6.18 has 470, and x32 numbers are far above.
const CALLS: i32 = 512;
const SET_WORDS: usize = CALLS as usize / 64;
/// A set of what was stopped, and one of what was let pass with a note.
const WORDS: usize = 2 * SET_WORDS;

const CHECK: Wanted<'static> = Wanted {
    function: "audit_seccomp",
    member: None,
};

/// The arguments of the function, in words of the context.
const CALL: i16 = 0;
const ACTION: i16 = 16;

/// `SECCOMP_RET_LOG` of linux/seccomp.h.
const LOGGED: i32 = 0x7ffc_0000;

/// What filters stop on this machine, as long as this lives.
#[derive(Debug)]
pub struct SeccompRefusals {
    calls: Groups<WORDS>,
    _program: Exit,
}

/// The calls of a container that a filter did not just let pass, by name; by number where this program has
/// no name for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calls {
    /// They were stopped, with an error or otherwise.
    pub stopped: Vec<Cow<'static, str>>,
    /// They were made, and were to be told of.
    pub logged: Vec<Cow<'static, str>>,
}

impl SeccompRefusals {
    /// Whether this kernel describes itself, without which [`Self::watch`] fails.
    #[must_use]
    pub fn may_be_watched() -> bool {
        Path::new(btf::KERNEL).exists()
    }

    /// Begins to note what is stopped.
    ///
    /// # Errors
    /// The kernel takes no such programs, or does not tell where it would run.
    pub fn watch() -> Result<Self, BpfError> {
        let told = btf::of_kernel(CHECK).map_err(|source| BpfError::Types {
            what: "audit_seccomp",
            source,
        })?;
        let calls = Groups::create(b"tepui_calls", GROUPS_MAX)?;
        let program = Exit::of(told.function, "tepui_calls", &assemble(&calls)?)?;
        Ok(Self {
            calls,
            _program: program,
        })
    }

    /// What was stopped of the calls of a container so far; those of containers nested in it have groups of
    /// their own.
    #[must_use]
    pub fn of(&self, cgroup: &Cgroup) -> Calls {
        let words = self.calls.of(cgroup);
        let (stopped, logged) = words.split_at(SET_WORDS);
        Calls {
            stopped: named(stopped),
            logged: named(logged),
        }
    }

    /// Forgets a container.
    pub fn forget(&self, cgroup: &Cgroup) {
        self.calls.forget(cgroup);
    }
}

fn named(words: &[u64]) -> Vec<Cow<'static, str>> {
    let is_set = |number: &usize| words[number / 64] >> (number % 64) & 1 == 1;
    let all = (0..words.len() * 64).filter(is_set);
    all.filter_map(|number| u32::try_from(number).ok())
        .map(|number| {
            seccomp::name(number).map_or_else(|| number.to_string().into(), Cow::Borrowed)
        })
        .collect()
}

fn assemble(calls: &Groups<WORDS>) -> Result<Vec<Instruction>, BpfError> {
    let (context, bit, place) = (Register::R6, Register::R7, Register::R8);
    let mut program = Assembly::default();
    let (end, stopped) = (program.label(), program.label());
    program.copy(context, Register::CONTEXT);
    program.load(Register::R2, context, CALL);
    program.jump_if_whole(Register::R2, When::Above, CALLS - 1, end);
    // The word of the call, in bytes, and its bit in there.
    program.copy(place, Register::R2);
    program.shift_right(place, 3);
    program.and(place, CALLS / 8 - 8);
    program.number(bit, 1);
    program.and(Register::R2, 63);
    program.shift_left_by(bit, Register::R2);
    program.load(Register::R3, context, ACTION);
    program.jump_if(Register::R3, When::NotEqual, LOGGED, stopped);
    program.add(place, CALLS / 8);
    program.here(stopped);
    calls.find(&mut program, end);
    program.add_register(Register::RESULT, place);
    program.set_bits(Register::RESULT, bit);
    program.here(end);
    program.exit(0);
    program.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_names_and_unknown_ones_their_numbers() {
        let mut words = [0; SET_WORDS];
        for name in ["read", "mount", "clone3"] {
            let number = seccomp::names_and_numbers()
                .find_map(|(known, number)| (known == name).then_some(number as usize))
                .expect("a number");
            words[number / 64] |= 1 << (number % 64);
        }
        words[7] |= 1 << 63;
        let mut told = named(&words);
        assert_eq!(told.pop().as_deref(), Some("511"));
        told.sort();
        assert_eq!(told, ["clone3", "mount", "read"]);
    }
}
