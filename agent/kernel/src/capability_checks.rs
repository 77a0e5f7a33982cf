//! Capability checks: what the processes of a cgroup were refused for lack of a capability, by name.
//!
//! A program at the return of the kernel's own check (`cap_capable` of security/commoncap.c) sets a bit for
//! each capability that was asked for and not there, by the cgroup of who asked. Checks that the kernel
//! makes by the way, and would not log either (`CAP_OPT_NOAUDIT`), do not count. It is one more step of a
//! check that fails; nothing is counted, and nothing waits.

use std::fs;
use std::os::unix::fs::MetadataExt;

use model::sandbox::{Capability, Lacks};

use crate::bpf::{Assembly, BpfError, Exit, Instruction, Map, Register, When};
use crate::btf::{self, Wanted};
use crate::cgroup::Cgroup;

/// Groups that are remembered; of more, those that asked longest ago are forgotten.
const GROUPS_MAX: u32 = 4096;

/// The function, the structure and its member that the program goes by.
const CHECK: Wanted<'static> = Wanted {
    function: "cap_capable",
    member: ("cred", "user_ns"),
};

/// The arguments of the check, and what it returns, in words of the context.
const CRED: i16 = 0;
const NAMESPACE: i16 = 8;
const CAPABILITY: i16 = 16;
const OPTIONS: i16 = 24;
const RETURNED: i16 = 32;

/// `CAP_OPT_NOAUDIT` of linux/security.h.
const NO_AUDIT: i32 = 2;

/// Functions of `enum bpf_func_id`.
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const GET_CURRENT_CGROUP_ID: i32 = 80;

/// `BPF_NOEXIST`: what another processor has just put there stays.
const IF_ABSENT: i32 = 1;

/// What is refused on this machine, as long as this lives.
#[derive(Debug)]
pub struct CapabilityChecks {
    refused: Map,
    _program: Exit,
}

impl CapabilityChecks {
    /// Begins to note what is refused.
    ///
    /// # Errors
    /// The kernel takes no such programs, or does not tell where its check is.
    pub fn watch() -> Result<Self, BpfError> {
        let check = btf::of_kernel(CHECK).map_err(|source| BpfError::Types {
            what: "cap_capable, and the namespace of its caller,",
            source,
        })?;
        let refused = Map::create(b"tepui_refused", GROUPS_MAX)?;
        let offset = i16::try_from(check.offset).unwrap_or(i16::MAX);
        let program = Exit::of(
            check.function,
            "tepui_refused",
            &assemble(&refused, offset)?,
        )?;
        Ok(Self {
            refused,
            _program: program,
        })
    }

    /// What the processes of a container were refused so far; those of containers nested in it have
    /// groups of their own.
    #[must_use]
    pub fn of(&self, cgroup: &Cgroup) -> Lacks {
        let all = groups(cgroup).filter_map(|group| self.refused.get(group));
        let [own, others] = all.fold([0; 2], |[own, others], more| {
            [own | more[0], others | more[1]]
        });
        Lacks {
            own: set(own),
            others: set(others),
        }
    }

    /// Forgets a container.
    pub fn forget(&self, cgroup: &Cgroup) {
        groups(cgroup).for_each(|group| self.refused.remove(group));
    }
}

/// The kernel's numbers of a container's groups.
fn groups(cgroup: &Cgroup) -> impl Iterator<Item = u64> {
    let paths = cgroup.paths_of_processes().into_iter();
    paths.filter_map(|path| fs::metadata(path).ok().map(|file| file.ino()))
}

fn set(bits: u64) -> Vec<Capability> {
    let all = (0..64).filter(|number| bits >> number & 1 == 1);
    all.map(Capability).collect()
}

fn assemble(refused: &Map, user_ns: i16) -> Result<Vec<Instruction>, BpfError> {
    let (context, bit, place) = (Register::R6, Register::R7, Register::R8);
    let (key, value) = (-8, -24);
    let mut program = Assembly::default();
    let (end, own, known) = (program.label(), program.label(), program.label());
    program.copy(context, Register::CONTEXT);
    program.load(Register::RESULT, context, RETURNED);
    program.jump_if(Register::RESULT, When::Equal, 0, end);
    program.load(Register::RESULT, context, OPTIONS);
    program.and(Register::RESULT, NO_AUDIT);
    program.jump_if(Register::RESULT, When::NotEqual, 0, end);
    program.number(bit, 1);
    program.load(Register::R2, context, CAPABILITY);
    program.and(Register::R2, 63);
    program.shift_left_by(bit, Register::R2);
    // The first word of a value is of checks against the namespace of whoever asks, the second of others.
    program.number(place, 0);
    program.load(Register::R2, context, CRED);
    program.load(Register::R2, Register::R2, user_ns);
    program.load(Register::R3, context, NAMESPACE);
    program.jump_if_same(Register::R2, Register::R3, own);
    program.number(place, 8);
    program.here(own);
    program.call(GET_CURRENT_CGROUP_ID);
    program.store(Register::FRAME, key, Register::RESULT);
    look_up(&mut program, refused, key);
    program.jump_if_whole(Register::RESULT, When::NotEqual, 0, known);
    program.store_number(Register::FRAME, value, 0);
    program.store_number(Register::FRAME, value + 8, 0);
    arguments(&mut program, refused, key);
    program.copy(Register::R3, Register::FRAME);
    program.add(Register::R3, value.into());
    program.number(Register::R4, IF_ABSENT);
    program.call(MAP_UPDATE_ELEM);
    look_up(&mut program, refused, key);
    program.jump_if_whole(Register::RESULT, When::Equal, 0, end);
    program.here(known);
    program.add_register(Register::RESULT, place);
    program.set_bits(Register::RESULT, bit);
    program.here(end);
    program.exit(0);
    program.finish()
}

fn look_up(program: &mut Assembly, map: &Map, key: i16) {
    arguments(program, map, key);
    program.call(MAP_LOOKUP_ELEM);
}

/// A map and a key of it.
fn arguments(program: &mut Assembly, map: &Map, key: i16) {
    program.map(Register::CONTEXT, map);
    program.copy(Register::R2, Register::FRAME);
    program.add(Register::R2, key.into());
}
