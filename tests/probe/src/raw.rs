//! Raw system calls: what no library offers, and no task is to make.
//!
//! The only unsafe code of the attack suite. Addresses are made by [`at`] and [`at_mut`] of values that
//! live through the call.

#![expect(
    unsafe_code,
    reason = "a probe makes the calls that no task is to make"
)]

use std::ffi::c_long;
use std::fmt;
use std::io;

/// An error of the kernel, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// What a call gives back, or its error.
pub(crate) type Answer = Result<usize, Errno>;

/// The address of a value that the kernel reads.
pub(crate) fn at<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>().addr()
}

/// The address of a value that the kernel writes.
pub(crate) fn at_mut<T: ?Sized>(value: &mut T) -> usize {
    std::ptr::from_mut(value).cast::<u8>().expose_provenance()
}

/// Makes a system call with up to six arguments; those that are not given are 0.
pub(crate) fn call(number: c_long, arguments: &[usize]) -> Answer {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or(0);
    // SAFETY: the call changes no memory of this program but what `at_mut` gave the address of, which
    // outlives it. A call that the kernel carries out against expectation may end this process: that is
    // what it is for.
    let answer = unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    };
    usize::try_from(answer).map_err(|_| io::Error::last_os_error().into())
}

/// Makes a system call without arguments by the way of 32-bit programs; its answer as the kernel gave it.
pub(crate) fn call_32(number: u32) -> i32 {
    let mut answer = number;
    // SAFETY: a trap gate that the kernel serves whatever the program; the registers that it may change are
    // named.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("eax") answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    answer.cast_signed()
}

/// Forks: the child's id in the parent, 0 in the child.
pub(crate) fn fork() -> Answer {
    // Only one thread runs, so that nothing is locked in the child.
    call(libc::SYS_fork, &[])
}

/// Ends this process at once.
pub(crate) fn exit(code: usize) -> ! {
    loop {
        // Cannot fail.
        let _never = call(libc::SYS_exit_group, &[code]);
    }
}
