//! Ports: the program at a container's cgroup that says which ports of the node its processes may bind.
//!
//! Only explicit numbers are asked about: with port 0, and where a socket is not bound at all, the
//! kernel picks one that is free, as every client does.

use std::os::fd::AsFd;

use crate::bpf::{Assembly, BpfError, Hook, Instruction, Program, Register, When};

/// `user_port` of `struct bpf_sock_addr`, as the network orders its bytes.
const PORT: i16 = 24;

/// Where a port is asked for.
const HOOKS: [Hook; 2] = [Hook::Bind4, Hook::Bind6];
const NAME: &str = "tepui_ports";

/// Lets the processes of a cgroup, and of those beneath it, bind the ports of these ranges and no
/// others (EPERM), for every protocol that has ports, of IPv4 and IPv6.
///
/// # Errors
/// The kernel has no such programs, or not for this agent.
pub(crate) fn attach(ranges: &[(u16, u16)], cgroup: impl AsFd) -> Result<(), BpfError> {
    let instructions = assemble(ranges)?;
    for hook in HOOKS {
        Program::load(hook, NAME, &instructions)?.attach(&cgroup)?;
    }
    Ok(())
}

/// Gives a cgroup whose ports are bounded others; one whose are not stays as it is. Whether it is bounded.
///
/// Between the two programs only those ports can be bound that both allow.
///
/// # Errors
/// As [`attach`].
pub(crate) fn replace(ranges: &[(u16, u16)], cgroup: impl AsFd) -> Result<bool, BpfError> {
    let instructions = assemble(ranges)?;
    let mut is_bounded = false;
    for hook in HOOKS {
        let old = Program::attached(hook, &cgroup)?;
        if old.is_empty() {
            continue;
        }
        is_bounded = true;
        Program::load(hook, NAME, &instructions)?.attach(&cgroup)?;
        old.iter().try_for_each(|program| program.detach(&cgroup))?;
    }
    Ok(is_bounded)
}

/// One block a range.
fn assemble(ranges: &[(u16, u16)]) -> Result<Vec<Instruction>, BpfError> {
    let port = Register::R2;
    let mut program = Assembly::default();
    program.load_context(port, PORT);
    program.from_network_16(port);
    for (first, last) in [(0, 0)].iter().chain(ranges) {
        let next = program.label();
        program.jump_if(port, When::Below, (*first).into(), next);
        program.jump_if(port, When::Above, (*last).into(), next);
        program.exit(1);
        program.here(next);
    }
    program.exit(0);
    program.finish()
}
