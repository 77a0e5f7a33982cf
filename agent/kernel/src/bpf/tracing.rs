//! Tracing: a program that runs whenever a function of the kernel returns.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::{BpfError, Instruction, LoadAttr, address, load, number};

/// `BPF_RAW_TRACEPOINT_OPEN` of `enum bpf_cmd`.
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;

/// `BPF_PROG_TYPE_TRACING` and `BPF_TRACE_FEXIT`.
const TRACING: u32 = 26;
const FEXIT: u32 = 25;

/// A program at the return of a function. Its context holds the arguments and then what is returned, a
/// 64-bit word each.
#[derive(Debug)]
pub(crate) struct Exit {
    /// The program runs as long as this is open.
    _link: OwnedFd,
}

/// The part of `union bpf_attr` for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Debug)]
struct OpenAttr {
    name: u64,
    prog_fd: u32,
    /// Up to a whole number of words; the kernel wants it zero.
    rest: u32,
}

impl Exit {
    /// Has a program run at the return of the function of this number among the kernel's types.
    ///
    /// # Errors
    /// The kernel takes no such program, not this one, or no more at this function.
    pub(crate) fn of(
        function: u32,
        name: &str,
        instructions: &[Instruction],
    ) -> Result<Self, BpfError> {
        // Functions are called that are for programs of this licence alone.
        let license = c"Dual MIT/GPL";
        let mut attr = LoadAttr {
            prog_type: TRACING,
            insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
            insns: address(instructions.as_ptr()),
            license: address(license.as_ptr()),
            expected_attach_type: FEXIT,
            attach_btf_id: function,
            ..LoadAttr::default()
        };
        let program = load(name, &mut attr)?;
        let attr = OpenAttr {
            name: 0,
            prog_fd: number(program.as_fd()),
            rest: 0,
        };
        let (command, size) = (BPF_RAW_TRACEPOINT_OPEN, size_of::<OpenAttr>());
        // SAFETY: `attr` is a whole structure of this size, of numbers alone, and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size) };
        let fd = Errno::result(fd).and_then(crate::process::owned);
        fd.map(|link| Self { _link: link })
            .map_err(BpfError::Attach)
    }
}
