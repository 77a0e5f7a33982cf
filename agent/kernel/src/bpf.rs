//! BPF: programs put together here, loaded by bpf(2) and attached to cgroups.
//!
//! A program is straight code with jumps forward only, made by an [`Assembly`]; the kernel checks it
//! again. One that is attached belongs to its cgroup and goes with it, whatever becomes of the agent.
//! A cgroup without controllers takes programs, too.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

/// Commands of bpf(2), `enum bpf_cmd`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;

/// The most programs that a cgroup has of one kind (`BPF_CGROUP_MAX_PROGS`).
const PROGRAMS_MAX: usize = 64;

/// Programs of the cgroups above run as well, and each has to agree.
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;

/// How much of what the kernel's checker says is kept.
const LOG_BYTES_MAX: usize = 16 << 10;

/// Why there is no program, or why it is not attached.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// A jump goes further than an instruction can say, or nowhere.
    #[error("assemble a BPF program: a jump at instruction {0} has no end")]
    Jump(usize),
    /// The kernel takes no such program.
    #[error("load a BPF program{}", said(.log))]
    Load {
        /// What its checker said, where it said anything.
        log: String,
        /// What the call said.
        source: Errno,
    },
    /// The cgroup takes no such program.
    #[error("attach a BPF program")]
    Attach(#[source] Errno),
    /// The programs of a cgroup cannot be told.
    #[error("find the BPF programs of a cgroup")]
    Find(#[source] Errno),
    /// One of them stays.
    #[error("detach a BPF program")]
    Detach(#[source] Errno),
}

fn said(log: &str) -> String {
    let last = log.trim_end().lines().last();
    last.map_or(String::new(), |line| format!(" ({line})"))
}

/// Where a program of a cgroup is asked, each with the type of program that the kernel wants there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// At each use of a device file; the context is a `struct bpf_cgroup_dev_ctx`.
    Device,
    /// At bind(2) of an IPv4 address; the context is a `struct bpf_sock_addr`.
    Bind4,
    /// At bind(2) of an IPv6 address; the same.
    Bind6,
}

impl Hook {
    /// `enum bpf_prog_type`.
    const fn program_type(self) -> u32 {
        match self {
            Self::Device => 15,
            Self::Bind4 | Self::Bind6 => 18,
        }
    }

    /// `enum bpf_attach_type`.
    const fn attach_type(self) -> u32 {
        match self {
            Self::Device => 6,
            Self::Bind4 => 8,
            Self::Bind6 => 9,
        }
    }
}

/// A register of the machine. [`Register::CONTEXT`] holds the context at the start; 2 to 5 are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u8);

impl Register {
    /// What the program returns.
    const RESULT: Self = Self(0);
    /// The address of the context.
    pub const CONTEXT: Self = Self(1);
    /// Free.
    pub const R2: Self = Self(2);
    /// Free.
    pub const R3: Self = Self(3);
    /// Free.
    pub const R4: Self = Self(4);
    /// Free.
    pub const R5: Self = Self(5);
}

/// When a jump is taken; numbers are without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// They are the same.
    Equal,
    /// They differ.
    NotEqual,
    /// The register is greater.
    Above,
    /// The register is less.
    Below,
}

impl When {
    /// The operation of the class `BPF_JMP`.
    const fn operation(self) -> u8 {
        match self {
            Self::Equal => 0x10,
            Self::Above => 0x20,
            Self::NotEqual => 0x50,
            Self::Below => 0xa0,
        }
    }
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    opcode: u8,
    /// The target in the lower four bits, the source in the upper ones, on a little-endian machine.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A place further on that jumps go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// A program in the making.
#[derive(Debug, Default)]
pub struct Assembly {
    instructions: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    places: Vec<Option<usize>>,
}

impl Assembly {
    /// A place that is not known yet.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The place is here: jumps to it go to the next instruction.
    pub fn here(&mut self, label: Label) {
        self.places[label.0] = Some(self.instructions.len());
    }

    /// `to` becomes the 32-bit word of the context at so many bytes.
    pub fn load_context(&mut self, to: Register, offset: i16) {
        // BPF_LDX | BPF_MEM | BPF_W
        self.push(0x61, to, Register::CONTEXT, offset, 0);
    }

    /// `to` becomes what `from` holds.
    pub fn copy(&mut self, to: Register, from: Register) {
        // BPF_ALU64 | BPF_MOV | BPF_X
        self.push(0xbf, to, from, 0, 0);
    }

    /// `register` keeps these bits alone.
    pub fn and(&mut self, register: Register, mask: i32) {
        // BPF_ALU64 | BPF_AND | BPF_K
        self.push(0x57, register, Register::RESULT, 0, mask);
    }

    /// `register` is shifted to the right by so many bits.
    pub fn shift_right(&mut self, register: Register, bits: u8) {
        // BPF_ALU64 | BPF_RSH | BPF_K
        self.push(0x77, register, Register::RESULT, 0, bits.into());
    }

    /// `register` holds 16 bits as the network orders them, and then as this machine does.
    pub fn from_network_16(&mut self, register: Register) {
        // BPF_ALU | BPF_END | BPF_TO_BE: turns them around on a little-endian machine, both ways.
        self.push(0xdc, register, Register::RESULT, 0, 16);
    }

    /// Goes to a label where a register compares so with a number.
    pub fn jump_if(&mut self, register: Register, when: When, number: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        // BPF_JMP32 | BPF_K
        let opcode = 0x06 | when.operation();
        self.push(opcode, register, Register::RESULT, 0, number);
    }

    /// Goes to a label where a register compares so with another.
    pub fn jump_if_register(
        &mut self,
        register: Register,
        when: When,
        other: Register,
        label: Label,
    ) {
        self.jumps.push((self.instructions.len(), label));
        // BPF_JMP32 | BPF_X
        self.push(0x0e | when.operation(), register, other, 0, 0);
    }

    /// Ends with this result.
    pub fn exit(&mut self, result: i32) {
        // BPF_ALU64 | BPF_MOV | BPF_K, then BPF_JMP | BPF_EXIT
        self.push(0xb7, Register::RESULT, Register::RESULT, 0, result);
        self.push(0x95, Register::RESULT, Register::RESULT, 0, 0);
    }

    /// The whole program.
    ///
    /// # Errors
    /// A jump goes nowhere, backwards or too far.
    pub fn finish(mut self) -> Result<Vec<Instruction>, BpfError> {
        for (at, label) in self.jumps {
            let distance = self.places[label.0].and_then(|place| place.checked_sub(at + 1));
            let distance = distance.and_then(|distance| i16::try_from(distance).ok());
            self.instructions[at].offset = distance.ok_or(BpfError::Jump(at))?;
        }
        Ok(self.instructions)
    }

    fn push(&mut self, opcode: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        self.instructions.push(Instruction {
            opcode,
            registers: from.0 << 4 | to.0,
            offset,
            immediate,
        });
    }
}

/// A program that the kernel has taken.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    hook: Hook,
}

/// The part of `union bpf_attr` for `BPF_PROG_LOAD`, up to what is set here.
#[repr(C)]
#[derive(Debug, Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// The part of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
#[derive(Debug)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// The part of `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Debug)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    /// Up to a whole number of words; the kernel wants it zero.
    rest: u32,
}

/// The part of `union bpf_attr` for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Debug)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

impl Program {
    /// Loads a program under a name that `bpftool` shows; 15 bytes of it at most.
    ///
    /// # Errors
    /// The kernel takes none (ENOSYS, EPERM), or not this one.
    pub fn load(hook: Hook, name: &str, instructions: &[Instruction]) -> Result<Self, BpfError> {
        // No helper is called that is for programs of another licence alone.
        let license = c"Dual MIT/GPL";
        let mut attr = LoadAttr {
            prog_type: hook.program_type(),
            insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
            insns: address(instructions.as_ptr()),
            license: address(license.as_ptr()),
            expected_attach_type: hook.attach_type(),
            ..LoadAttr::default()
        };
        let length = name.len().min(attr.prog_name.len() - 1);
        attr.prog_name[..length].copy_from_slice(&name.as_bytes()[..length]);
        let failed = match Self::load_with(&attr) {
            Ok(fd) => return Ok(Self { fd, hook }),
            Err(errno) => errno,
        };
        // Once more for the reason: with a log the check takes longer.
        let mut log = vec![0_u8; LOG_BYTES_MAX];
        attr.log_level = 1;
        attr.log_size = u32::try_from(log.len()).unwrap_or(0);
        attr.log_buf = address(log.as_mut_ptr());
        if let Ok(fd) = Self::load_with(&attr) {
            return Ok(Self { fd, hook });
        }
        let length = log.iter().position(|byte| *byte == 0);
        log.truncate(length.unwrap_or(LOG_BYTES_MAX));
        Err(BpfError::Load {
            log: String::from_utf8_lossy(&log).into_owned(),
            source: failed,
        })
    }

    fn load_with(attr: &LoadAttr) -> Result<OwnedFd, Errno> {
        let attr: *const LoadAttr = attr;
        let size = size_of::<LoadAttr>();
        // SAFETY: `attr` is a whole structure of this size with zero in all that is not set. The
        // addresses in it are those of the instructions, of a static text, and of a buffer that is as
        // large as it says and is not looked at meanwhile; all outlive the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, attr, size) };
        let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The programs that an open cgroup has itself at a hook.
    ///
    /// # Errors
    /// The descriptor is no cgroup of version 2, or the kernel does not tell (before 4.15).
    pub fn attached(hook: Hook, cgroup: impl AsFd) -> Result<Vec<Self>, BpfError> {
        let mut ids = [0_u32; PROGRAMS_MAX];
        let mut attr = QueryAttr {
            target_fd: number(cgroup.as_fd()),
            attach_type: hook.attach_type(),
            query_flags: 0,
            attach_flags: 0,
            prog_ids: address(ids.as_mut_ptr()),
            prog_cnt: u32::try_from(ids.len()).unwrap_or(0),
            rest: 0,
        };
        let size = size_of::<QueryAttr>();
        // SAFETY: `attr` is a whole structure of this size whose one address is that of as many numbers
        // as it says; both outlive the call and are not looked at meanwhile.
        let rc = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attr, size) };
        Errno::result(rc).map_err(BpfError::Find)?;
        let ids = ids.iter().take(attr.prog_cnt as usize);
        ids.map(|id| Self::by_id(hook, *id)).collect()
    }

    fn by_id(hook: Hook, prog_id: u32) -> Result<Self, BpfError> {
        let attr = IdAttr {
            prog_id,
            next_id: 0,
            open_flags: 0,
        };
        let (command, size) = (BPF_PROG_GET_FD_BY_ID, size_of::<IdAttr>());
        // SAFETY: `attr` is a whole structure of this size, of numbers alone, and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size) };
        let fd = Errno::result(fd).and_then(crate::process::owned);
        let fd = fd.map_err(BpfError::Find)?;
        Ok(Self { fd, hook })
    }

    /// Takes it from an open cgroup.
    ///
    /// # Errors
    /// It is not attached there.
    pub fn detach(&self, cgroup: impl AsFd) -> Result<(), BpfError> {
        let attr = AttachAttr {
            target_fd: number(cgroup.as_fd()),
            attach_bpf_fd: number(self.fd.as_fd()),
            attach_type: self.hook.attach_type(),
            attach_flags: 0,
        };
        let size = size_of::<AttachAttr>();
        // SAFETY: `attr` is a whole structure of this size, of numbers alone, and outlives the call.
        let rc = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_DETACH, &raw const attr, size) };
        Errno::result(rc).map(drop).map_err(BpfError::Detach)
    }

    /// Attaches it to an open cgroup, beside those that it has already and those of the groups above.
    ///
    /// # Errors
    /// The descriptor is no cgroup of version 2, a group above allows no others, or it has as many as
    /// the kernel takes (64).
    pub fn attach(&self, cgroup: impl AsFd) -> Result<(), BpfError> {
        let attr = AttachAttr {
            target_fd: number(cgroup.as_fd()),
            attach_bpf_fd: number(self.fd.as_fd()),
            attach_type: self.hook.attach_type(),
            attach_flags: BPF_F_ALLOW_MULTI,
        };
        let size = size_of::<AttachAttr>();
        // SAFETY: `attr` is a whole structure of this size, of numbers alone, and outlives the call.
        let rc = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attr, size) };
        Errno::result(rc).map(drop).map_err(BpfError::Attach)
    }
}

/// A descriptor as bpf(2) wants it.
fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// An address as bpf(2) wants it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_counts_the_instructions_between_and_goes_forward_only() {
        let mut assembly = Assembly::default();
        let end = assembly.label();
        assembly.load_context(Register::R2, 8);
        assembly.jump_if(Register::R2, When::NotEqual, 7, end);
        assembly.exit(1);
        assembly.here(end);
        assembly.exit(0);
        let program = assembly.finish().expect("a program");
        // r2 = *(u32 *)(r1 + 8); if w2 != 7 goto +2; r0 = 1; exit; r0 = 0; exit
        let bytes: Vec<_> = program
            .iter()
            .map(|one| (one.opcode, one.registers, one.offset, one.immediate))
            .collect();
        assert_eq!(
            bytes,
            [
                (0x61, 0x12, 8, 0),
                (0x56, 0x02, 2, 7),
                (0xb7, 0, 0, 1),
                (0x95, 0, 0, 0),
                (0xb7, 0, 0, 0),
                (0x95, 0, 0, 0),
            ]
        );
        let mut nowhere = Assembly::default();
        let never = nowhere.label();
        nowhere.jump_if(Register::R2, When::Equal, 0, never);
        assert!(matches!(nowhere.finish(), Err(BpfError::Jump(0))));
        let mut backwards = Assembly::default();
        let start = backwards.label();
        backwards.here(start);
        backwards.jump_if(Register::R2, When::Equal, 0, start);
        assert!(matches!(backwards.finish(), Err(BpfError::Jump(0))));
    }
}
