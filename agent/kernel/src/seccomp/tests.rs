//! Tests of filters that the kernel runs, each in a child of this process.

use model::sandbox::ExitStatus;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::*;

/// What a child said that is none of the numbers here.
const SURVIVED: i32 = 99;

/// Runs something behind a filter; it must neither allocate nor lock, since the tests have threads.
fn behind(filter: &SeccompFilter, run: fn() -> i32) -> ExitStatus {
    let program = compile(filter).expect("a program");
    // SAFETY: the child makes system calls alone, and ends by one.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Child => {
            let ready = nix::sys::prctl::set_no_new_privs()
                .and_then(|()| install(&program, Refusals::Untold));
            let code = if ready.is_ok() { run() } else { 98 };
            // SAFETY: _exit(2) runs no handlers.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).expect("its end") {
            WaitStatus::Exited(_, code) => ExitStatus::Exited(code.to_le_bytes()[0]),
            WaitStatus::Signaled(_, signal, _) => ExitStatus::Signaled(signal as i32),
            other => panic!("{other:?}"),
        },
    }
}

fn all_allowed() -> SeccompFilter {
    SeccompFilter {
        profile: "open".into(),
        default: SeccompAction::Allow,
        rules: Vec::new(),
        within: None,
    }
}

fn errno_of(number: libc::c_long) -> i32 {
    // SAFETY: without arguments these calls touch no memory.
    match Errno::result(unsafe { libc::syscall(number, 0, 0, 0) }) {
        Ok(_) => SURVIVED,
        Err(errno) => errno as i32,
    }
}

#[test]
fn the_kernel_says_whether_it_has_filters() {
    let told = std::fs::read_to_string("/proc/self/status").expect("a status");
    assert_eq!(is_supported(), told.contains("\nSeccomp:"));
}

#[test]
fn a_refused_call_is_an_error_and_an_unknown_one_is_missing() {
    let filter = of_init();
    let code = |number: i32| ExitStatus::Exited(number.to_le_bytes()[0]);
    let refused = behind(&filter, || errno_of(libc::SYS_getuid));
    assert_eq!(refused, code(libc::EPERM));
    assert_eq!(behind(&filter, || errno_of(400_000)), code(libc::ENOSYS));
    assert_eq!(
        behind(&filter, || errno_of(libc::SYS_getpid)),
        code(SURVIVED)
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn numbers_of_the_x32_interface_are_refused() {
    let status = behind(&all_allowed(), || errno_of(0x4000_0000 | libc::SYS_getpid));
    let missing = libc::ENOSYS.to_le_bytes()[0];
    assert_eq!(status, ExitStatus::Exited(missing));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_32_bit_programs_end_the_process() {
    let status = behind(&all_allowed(), || {
        let mut number = 20_i32;
        // SAFETY: getpid by its number of 32-bit programs; it takes and touches nothing, and of the
        // registers the kernel changes those named.
        unsafe {
            std::arch::asm!("int 0x80", inout("eax") number, out("r8") _, out("r9") _, out("r10") _,
                out("r11") _);
        }
        let _ = number;
        SURVIVED
    });
    // A kernel without calls of 32 bits knows no such interrupt.
    let ends = [libc::SIGSYS, libc::SIGSEGV].map(ExitStatus::Signaled);
    assert!(ends.contains(&status), "{status}");
}

#[test]
fn equal_filters_are_compiled_once_and_old_ones_go() {
    let programs = Programs::default();
    let named = |number: usize| SeccompFilter {
        profile: number.to_string(),
        ..of_init()
    };
    let first = programs.of(&named(0)).expect("a program");
    let again = programs.of(&named(0)).expect("a program");
    assert!(Arc::ptr_eq(&first, &again));
    for number in 1..=KEPT_MAX {
        programs.of(&named(number)).expect("a program");
    }
    let later = programs.of(&named(0)).expect("a program");
    assert!(!Arc::ptr_eq(&first, &later) && first == later);
}
