//! Maps: what a program writes down, read by the agent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::{BpfError, address, number};

/// Commands of bpf(2), `enum bpf_cmd`.
const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_DELETE_ELEM: libc::c_int = 3;

/// `BPF_MAP_TYPE_LRU_HASH`: where it is full, what was not used for longest goes.
const LRU_HASH: u32 = 9;

/// So many words behind a word. It goes with its last descriptor, and that of the program that writes it.
#[derive(Debug)]
pub(crate) struct Map<const WORDS: usize>(OwnedFd);

/// The part of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Debug, Default)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
}

/// The part of `union bpf_attr` for the elements of a map.
#[repr(C)]
#[derive(Debug, Default)]
struct ElementAttr {
    map_fd: u32,
    rest: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl<const WORDS: usize> Map<WORDS> {
    /// One of so many entries.
    ///
    /// # Errors
    /// The kernel has none (ENOSYS), or not for this process (EPERM).
    pub(crate) fn create(name: &[u8], entries_max: u32) -> Result<Self, BpfError> {
        let mut attr = CreateAttr {
            map_type: LRU_HASH,
            key_size: 8,
            value_size: 8 * u32::try_from(WORDS).unwrap_or(u32::MAX / 8),
            max_entries: entries_max,
            ..CreateAttr::default()
        };
        let length = name.len().min(attr.map_name.len() - 1);
        attr.map_name[..length].copy_from_slice(&name[..length]);
        let size = size_of::<CreateAttr>();
        // SAFETY: `attr` is a whole structure of this size, of numbers alone, and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attr, size) };
        let fd = Errno::result(fd).and_then(crate::process::owned);
        fd.map(Self).map_err(BpfError::Map)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The words behind a word.
    pub(crate) fn get(&self, key: u64) -> Option<[u64; WORDS]> {
        let mut value = [0; WORDS];
        let attr = ElementAttr {
            map_fd: number(self.fd()),
            key: address(&raw const key),
            value: address(&raw mut value),
            ..ElementAttr::default()
        };
        let (command, size) = (BPF_MAP_LOOKUP_ELEM, size_of::<ElementAttr>());
        // SAFETY: `attr` is a whole structure of this size; its addresses are those of a word and of as
        // many as are behind one, which are what the map was made for, and which outlive the call.
        let rc = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size) };
        Errno::result(rc).is_ok().then_some(value)
    }

    /// Takes a word out, if it is there.
    pub(crate) fn remove(&self, key: u64) {
        let attr = ElementAttr {
            map_fd: number(self.fd()),
            key: address(&raw const key),
            ..ElementAttr::default()
        };
        let (command, size) = (BPF_MAP_DELETE_ELEM, size_of::<ElementAttr>());
        // SAFETY: `attr` is a whole structure of this size, and its one address that of a word, which
        // outlives the call. That there is no such word is all that can go wrong.
        let _ = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size) };
    }
}
