//! BPF: programs put together here, loaded by bpf(2) and attached to cgroups.
//!
//! A program is straight code with jumps forward only, made by an [`Assembly`]; the kernel checks it
//! again. One that is attached belongs to its cgroup and goes with it, whatever becomes of the agent.
//! A cgroup without controllers takes programs, too.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

mod assembly;
mod groups;
mod map;
mod tracing;

pub use assembly::{Assembly, Instruction, Label, Register, When};
pub(crate) use groups::Groups;
pub(crate) use map::Map;
pub(crate) use tracing::Exit;

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
    /// The kernel makes no such map.
    #[error("create a BPF map")]
    Map(#[source] Errno),
    /// The types of the kernel do not tell what is needed.
    #[error("find {what} in {}", crate::btf::KERNEL)]
    Types {
        /// What is looked for.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
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
    /// Of the program's own types, which have none.
    own_types: [u64; 4],
    own_types_end: u32,
    /// The function of the kernel that a tracing program is for.
    attach_btf_id: u32,
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
        load(name, &mut attr).map(|fd| Self { fd, hook })
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

/// Loads a program under a name, all else of which is set.
fn load(name: &str, attr: &mut LoadAttr) -> Result<OwnedFd, BpfError> {
    let length = name.len().min(attr.prog_name.len() - 1);
    attr.prog_name[..length].copy_from_slice(&name.as_bytes()[..length]);
    let failed = match load_with(attr) {
        Ok(fd) => return Ok(fd),
        Err(errno) => errno,
    };
    // Once more for the reason: with a log the check takes longer.
    let mut log = vec![0_u8; LOG_BYTES_MAX];
    attr.log_level = 1;
    attr.log_size = u32::try_from(log.len()).unwrap_or(0);
    attr.log_buf = address(log.as_mut_ptr());
    if let Ok(fd) = load_with(attr) {
        return Ok(fd);
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
    Errno::result(fd).and_then(crate::process::owned)
}

/// A descriptor as bpf(2) wants it.
fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// An address as bpf(2) wants it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// As the kernel has it (`union bpf_attr` of linux/bpf.h).
const _: () = assert!(std::mem::offset_of!(LoadAttr, attach_btf_id) == 108);
