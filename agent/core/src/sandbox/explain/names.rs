//! Names: what the kernel's numbers are called.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::Capability;

/// By number, without `RLIMIT_` (asm-generic/resource.h).
const RLIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// A set by its names.
pub(super) fn capabilities(set: &[Capability]) -> String {
    let names: Vec<_> = set.iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// A limit by its name.
pub(super) fn rlimit(number: u32) -> String {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    match RLIMITS.get(index) {
        Some(name) => format!("RLIMIT_{name}"),
        None => format!("rlimit {number}"),
    }
}

/// A number of bytes for people, exact where it is a whole number of the unit.
pub(super) fn bytes(number: u64) -> String {
    for (unit, name) in [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")] {
        if number >= unit && number.is_multiple_of(unit) {
            return format!("{} {name}", number / unit);
        }
    }
    format!("{number} bytes")
}
