//! Processes: the container's init, which is the agent's program, and those of others.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;

use crate::raw::{Errno, at, at_mut, call, exit, fork};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[
    ("ptrace_init", ptrace_init),
    ("memory_of_init", memory_of_init),
    ("descriptors_of_init", descriptors_of_init),
    ("kill_init", kill_init),
    ("stop_init", stop_init),
    ("kill_everyone", kill_everyone),
    ("strangers", strangers),
    ("open_descriptors", open_descriptors),
    ("overwrite_init", overwrite_init),
    ("euid", euid),
    ("unmapped_ids", unmapped_ids),
    ("inject_input", inject_input),
];

/// Process ids go up to 4 194 304 on 64-bit machines; those of a young node are low.
const PIDS_MAX: usize = 70_000;

fn ptrace_init(_: &[String]) -> Tried {
    Tried::any([
        // PTRACE_SEIZE, PTRACE_ATTACH
        Tried::of("seize init", call(libc::SYS_ptrace, &[0x4206, 1, 0, 0])),
        Tried::of("attach to init", call(libc::SYS_ptrace, &[16, 1, 0, 0])),
    ])
}

fn memory_of_init(_: &[String]) -> Tried {
    let mut buffer = [0_u8; 64];
    // The start of this program is the start of any that is not moved; what counts is the permission.
    let local = [at_mut(&mut buffer), 64];
    let remote = [0x40_0000_usize, 64];
    let read = call(
        libc::SYS_process_vm_readv,
        &[1, at(&local), 1, at(&remote), 1, 0],
    );
    let read = match read {
        // The address is not there, and the reading was allowed.
        Err(Errno(libc::EFAULT)) => Ok(0),
        other => other,
    };
    let open = |path: &str| {
        let opened = File::open(path).map(|_| 0).map_err(Into::into);
        Tried::of_any_error(path, opened)
    };
    let mut all = vec![Tried::of("process_vm_readv", read)];
    all.extend(
        [
            "/proc/1/mem",
            "/proc/1/maps",
            "/proc/1/environ",
            "/proc/1/auxv",
        ]
        .map(open),
    );
    Tried::any(all)
}

fn descriptors_of_init(_: &[String]) -> Tried {
    // The list is anybody's of the same user; where they lead to is not.
    let entries = fs::read_dir("/proc/1/fd").into_iter().flatten().flatten();
    let listed = Tried::any(entries.map(|entry| {
        let led = fs::read_link(entry.path());
        Tried::of_any_error("where one leads to", led.map(|_| 0).map_err(Into::into))
    }));
    let taken = call(libc::SYS_pidfd_open, &[1, 0])
        .and_then(|init| call(libc::SYS_pidfd_getfd, &[init, 0, 0]));
    Tried::any([
        listed,
        Tried::of("take one", taken),
        Tried::of_any_error(
            "see its root",
            fs::read_dir("/proc/1/root").map(|_| 0).map_err(Into::into),
        ),
        Tried::of_any_error(
            "see its directory",
            fs::read_dir("/proc/1/cwd").map(|_| 0).map_err(Into::into),
        ),
    ])
}

/// Signals that would end it; what counts is whether it still runs.
fn kill_init(_: &[String]) -> Tried {
    for signal in [libc::SIGKILL, libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS] {
        let _answer = call(libc::SYS_kill, &[1, signal as usize]);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    // Where init ends, so does this process.
    Tried::Refused("init runs on".into())
}

fn stop_init(_: &[String]) -> Tried {
    for signal in [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN] {
        let _answer = call(libc::SYS_kill, &[1, signal as usize]);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let status = fs::read_to_string("/proc/1/status").unwrap_or_default();
    let state = status.lines().find(|line| line.starts_with("State:"));
    match state {
        Some(state) if state.contains("(stopped)") => Tried::Worked(state.to_owned()),
        Some(state) => Tried::Refused(format!("init: {state}")),
        None => Tried::Refused("init cannot be seen".into()),
    }
}

/// Whom it reaches, they end; the neighbour is watched from outside.
fn kill_everyone(_: &[String]) -> Tried {
    match fork() {
        Ok(0) => {
            // Of a group of its own, or the shell that waits would end too.
            let _session = call(libc::SYS_setsid, &[]);
            for pid in 2..PIDS_MAX {
                let own = [std::process::id(), std::os::unix::process::parent_id()];
                let is_own = own.contains(&u32::try_from(pid).unwrap_or(0));
                let in_sight = is_own || std::path::Path::new(&format!("/proc/{pid}")).exists();
                if !in_sight {
                    let _answer = call(libc::SYS_kill, &[pid, libc::SIGKILL as usize]);
                }
            }
            exit(0)
        }
        Ok(pid) => {
            let _waited = call(libc::SYS_wait4, &[pid, 0, 0, 0]);
            Tried::Refused("whoever is not in sight was sent SIGKILL".into())
        }
        Err(errno) => Tried::Impossible(format!("fork: {errno}")),
    }
}

/// Processes that are not of this container: by name, and by any id that takes a signal.
fn strangers(_: &[String]) -> Tried {
    let mut found = Vec::new();
    for pid in 2..PIDS_MAX {
        let path = format!("/proc/{pid}");
        let in_sight = std::path::Path::new(&path).exists();
        let command = fs::read(format!("{path}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains("probe victim") {
            found.push(format!("{pid} is {command}"));
        }
        let answers = matches!(
            call(libc::SYS_kill, &[pid, 0]),
            Ok(_) | Err(Errno(libc::EPERM))
        );
        // A thread takes signals and has no entry in the list, though it can be looked up.
        if answers && !in_sight {
            found.push(format!("{pid} takes signals and is not in sight"));
        }
    }
    match found.is_empty() {
        true => Tried::Refused("nobody else is there".into()),
        false => Tried::Worked(found.join("; ")),
    }
}

/// Descriptors beyond input and outputs.
fn open_descriptors(_: &[String]) -> Tried {
    let mut found = Vec::new();
    for number in 3..4096 {
        if call(libc::SYS_fcntl, &[number, libc::F_GETFD as usize]).is_ok() {
            let target = fs::read_link(format!("/proc/self/fd/{number}"));
            found.push(format!("{number}: {target:?}"));
        }
    }
    match found.is_empty() {
        true => Tried::Refused("0, 1 and 2 are all".into()),
        false => Tried::Worked(found.join("; ")),
    }
}

/// The agent's program by way of the init that runs it (CVE-2019-5736), for writing.
fn overwrite_init(_: &[String]) -> Tried {
    let write = |path: &str| {
        let opened = File::options().write(true).open(path);
        Tried::of_any_error(path, opened.map(|_| 0).map_err(Into::into))
    };
    // O_PATH first, then again for writing when nobody runs it any more.
    let again = File::open("/proc/1/exe")
        .map_err(Errno::from)
        .and_then(|file| {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let opened = File::options().write(true).open(path);
            opened.map(|_| 0).map_err(Into::into)
        });
    Tried::any([
        write("/proc/1/exe"),
        Tried::of_any_error("again by its descriptor", again),
    ])
}

/// Whether running this file gave rights: of the user 0, or capabilities.
fn euid(_: &[String]) -> Tried {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.map(|line| line[name.len()..].trim().to_owned())
            .unwrap_or_default()
    };
    let (ids, caps) = (field("Uid:"), field("CapEff:"));
    let effective = ids.split_whitespace().nth(1).unwrap_or_default();
    let real = ids.split_whitespace().next().unwrap_or_default();
    let seen = format!("uids {ids}, capabilities {caps}");
    if effective != real || !caps.trim_matches('0').is_empty() {
        Tried::Worked(seen)
    } else if real == "0" {
        Tried::Impossible(format!("already root: {seen}"))
    } else {
        Tried::Refused(seen)
    }
}

/// Ids that the container does not have.
fn unmapped_ids(_: &[String]) -> Tried {
    let many = 4_000_000_usize;
    Tried::any([
        Tried::of_any_error("setuid", call(libc::SYS_setuid, &[many])),
        Tried::of_any_error("setgid", call(libc::SYS_setgid, &[many])),
        Tried::of_any_error(
            "setgroups",
            call(libc::SYS_setgroups, &[1, at(&4_000_000_u32)]),
        ),
    ])
}

/// Bytes into the terminal as though somebody typed them.
fn inject_input(_: &[String]) -> Tried {
    let open = |path: &str| File::options().read(true).write(true).open(path);
    let Ok(terminal) = open("/dev/tty").or_else(|_| open("/dev/pts/0")) else {
        return Tried::Impossible("no terminal".into());
    };
    let number = terminal.as_raw_fd().cast_unsigned() as usize;
    let answer = call(libc::SYS_ioctl, &[number, 0x5412, at(b"x")]);
    // dev.tty.legacy_tiocsti is 0: EIO.
    Tried::of("TIOCSTI", answer)
}
