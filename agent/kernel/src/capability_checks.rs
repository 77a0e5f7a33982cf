//! Capability checks: what the processes of a cgroup were refused for lack of a capability, by name.
//!
//! A program at the return of the kernel's own check (`cap_capable` of security/commoncap.c) sets a bit for
//! each capability that was asked for and not there, by the cgroup of who asked. Checks that the kernel
//! makes by the way, and would not log either (`CAP_OPT_NOAUDIT`), do not count. It is one more step of a
//! check that fails; nothing is counted, and nothing waits.

use model::sandbox::{Capability, Lacks};

use crate::bpf::{Assembly, BpfError, Exit, Groups, Instruction, Register, When};
use crate::btf::{self, Wanted};
use crate::cgroup::Cgroup;

/// Groups that are remembered; of more, those that asked longest ago are forgotten.
const GROUPS_MAX: u32 = 4096;

/// The function, the structure and its member that the program goes by.
const CHECK: Wanted<'static> = Wanted {
    function: "cap_capable",
    member: Some(("cred", "user_ns")),
};

/// The arguments of the check, and what it returns, in words of the context.
const CRED: i16 = 0;
const NAMESPACE: i16 = 8;
const CAPABILITY: i16 = 16;
const OPTIONS: i16 = 24;
const RETURNED: i16 = 32;

/// `CAP_OPT_NOAUDIT` of linux/security.h.
const NO_AUDIT: i32 = 2;

/// What is refused on this machine, as long as this lives.
#[derive(Debug)]
pub struct CapabilityChecks {
    refused: Groups<2>,
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
        let refused = Groups::create(b"tepui_refused", GROUPS_MAX)?;
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
        let [own, others] = self.refused.of(cgroup);
        Lacks {
            own: set(own),
            others: set(others),
            calls: Vec::new(),
        }
    }

    /// Forgets a container.
    pub fn forget(&self, cgroup: &Cgroup) {
        self.refused.forget(cgroup);
    }
}

fn set(bits: u64) -> Vec<Capability> {
    let all = (0..64).filter(|number| bits >> number & 1 == 1);
    all.map(Capability).collect()
}

fn assemble(refused: &Groups<2>, user_ns: i16) -> Result<Vec<Instruction>, BpfError> {
    let (context, bit, place) = (Register::R6, Register::R7, Register::R8);
    let mut program = Assembly::default();
    let (end, own) = (program.label(), program.label());
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
    refused.find(&mut program, end);
    program.add_register(Register::RESULT, place);
    program.set_bits(Register::RESULT, bit);
    program.here(end);
    program.exit(0);
    program.finish()
}
