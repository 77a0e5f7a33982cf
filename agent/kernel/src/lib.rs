//! Agent kernel: carries out what a plan says, one module a facility of the Linux kernel.
//!
//! The only crate with `unsafe`. Nothing here decides: limits, mounts, ids and sets come in as the
//! values of `model::sandbox`, and what the kernel made of them goes back as values or errors.
#![expect(
    unsafe_code,
    reason = "system calls that no crate wraps; each block says why it is sound"
)]

pub mod audit;
pub mod block;
pub mod boot_mounts;
pub mod bpf;
mod btf;
mod capabilities;
pub mod capability_checks;
pub mod cgroup;
pub mod clock;
pub mod confine;
pub mod console;
mod devices;
pub mod facts;
pub mod files;
pub mod kept;
pub mod landlock;
pub mod launch;
pub mod loop_device;
pub mod modules;
pub mod mounts;
mod namespaces;
pub mod netlink;
pub mod network;
mod overlay;
mod ports;
pub mod power;
pub mod process;
pub mod procview;
pub mod program;
pub mod quota;
pub mod reexec;
pub mod seccomp;
pub mod seccomp_refusals;
pub mod sockets;
mod stage;
pub mod terminal;
pub mod watchdog;
pub mod worker;
pub mod xfs;

pub use nix::errno::Errno;
