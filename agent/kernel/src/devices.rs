//! Devices: the program at a container's cgroup that says which device files its processes may use.
//!
//! A device file that gets in by whatever way is dead then, and none can be made beyond the rules.
//! Containers with the same rules share a program.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use model::sandbox::{DeviceKind, DeviceRule};

use crate::bpf::{Assembly, BpfError, Hook, Instruction, Program, Register, When};

/// Most agents have one list of rules, and some a few.
const KEPT_MAX: usize = 8;

/// `struct bpf_cgroup_dev_ctx`: how and what kind in one word, then the numbers.
const ACCESS_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// Programs that are loaded already, by their rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters {
    loaded: Arc<Mutex<Vec<Filter>>>,
}

#[derive(Debug)]
struct Filter {
    rules: Vec<DeviceRule>,
    program: Arc<Program>,
}

impl Filters {
    /// Lets the processes of a cgroup, and of those beneath it, use what the rules say and no other
    /// device.
    ///
    /// # Errors
    /// The kernel has no such programs, or not for this agent.
    pub(crate) fn attach(&self, rules: &[DeviceRule], cgroup: impl AsFd) -> Result<(), BpfError> {
        self.program(rules)?.attach(cgroup)
    }

    fn program(&self, rules: &[DeviceRule]) -> Result<Arc<Program>, BpfError> {
        // What is pushed or taken out is whole.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = loaded.iter().find(|filter| filter.rules == rules) {
            return Ok(Arc::clone(&filter.program));
        }
        let program = Program::load(Hook::Device, "tepui_devices", &assemble(rules)?)?;
        let program = Arc::new(program);
        if loaded.len() == KEPT_MAX {
            loaded.remove(0);
        }
        loaded.push(Filter {
            rules: rules.to_vec(),
            program: Arc::clone(&program),
        });
        Ok(program)
    }
}

/// One block a rule; what no rule lets through is refused (EPERM).
fn assemble(rules: &[DeviceRule]) -> Result<Vec<Instruction>, BpfError> {
    let (kind, access, major, minor) = (Register::R2, Register::R3, Register::R4, Register::R5);
    let mut program = Assembly::default();
    program.load_context(kind, ACCESS_TYPE);
    program.copy(access, kind);
    program.and(kind, 0xffff);
    program.shift_right(access, 16);
    program.load_context(major, MAJOR);
    program.load_context(minor, MINOR);
    for rule in rules {
        let next = program.label();
        let wanted = match rule.kind {
            DeviceKind::Block => BLOCK,
            DeviceKind::Character => CHARACTER,
        };
        program.jump_if(kind, When::NotEqual, wanted, next);
        // Nothing is asked for but what the rule gives. The bits are those of the kernel.
        program.copy(Register::CONTEXT, access);
        program.and(Register::CONTEXT, rule.access.bits().into());
        program.jump_if_register(Register::CONTEXT, When::NotEqual, access, next);
        for (register, number) in [(major, rule.major), (minor, rule.minor)] {
            if let Some(number) = number {
                program.jump_if(register, When::NotEqual, number.cast_signed(), next);
            }
        }
        program.exit(1);
        program.here(next);
    }
    program.exit(0);
    program.finish()
}
