//! The kernel's own: programs and modules in it, its clock, its log, its scheduler, other calling ways.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use libc::c_long;

use crate::raw::{Answer, at, at_mut, call, call_32};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[
    ("bpf", bpf),
    ("perf_event_open", perf_event_open),
    ("io_uring", io_uring),
    ("userfaultfd", userfaultfd),
    ("add_key", add_key),
    ("keys_of_others", keys_of_others),
    ("modules", modules),
    ("reboot", reboot),
    ("kexec", kexec),
    ("swapon", swapon),
    ("set_clock", set_clock),
    ("acct", acct),
    ("quotactl", quotactl),
    ("io_ports", io_ports),
    ("kernel_log", kernel_log),
    ("personality", personality),
    ("x32", x32),
    ("int80", int80),
    ("fanotify", fanotify),
    ("vhangup", vhangup),
    ("entropy", entropy),
    ("priorities", priorities),
    ("rlimits", rlimits),
    ("capabilities", capabilities),
    ("hugepages", hugepages),
];

/// Both a program and a map.
fn bpf(_: &[String]) -> Tried {
    // mov r0, 0; exit
    let program: [u64; 2] = [0xb7, 0x95];
    let license = c"GPL";
    let mut load = [0_u64; 16];
    // BPF_PROG_TYPE_SOCKET_FILTER, two instructions.
    load[0] = 1 | (2 << 32);
    load[1] = at(&program) as u64;
    load[2] = at(license) as u64;
    // BPF_MAP_TYPE_ARRAY, a key of 4, a value of 4, one entry.
    let mut map = [0_u64; 16];
    map[0] = 2 | (4 << 32);
    map[1] = 4 | (1 << 32);
    Tried::any([
        Tried::of("load a program", call(libc::SYS_bpf, &[5, at(&load), 128])),
        Tried::of("make a map", call(libc::SYS_bpf, &[0, at(&map), 128])),
    ])
}

/// Of this process, and of a whole processor.
fn perf_event_open(_: &[String]) -> Tried {
    let mut attributes = [0_u64; 8];
    // PERF_TYPE_SOFTWARE, the size of the first version; PERF_COUNT_SW_CPU_CLOCK is 0.
    attributes[0] = 1 | (64 << 32);
    let open = |pid: usize, cpu: usize| {
        call(
            libc::SYS_perf_event_open,
            &[at(&attributes), pid, cpu, usize::MAX, 0],
        )
    };
    Tried::any([
        Tried::of("count this process", open(0, usize::MAX)),
        Tried::of("count a processor", open(usize::MAX, 0)),
    ])
}

fn io_uring(_: &[String]) -> Tried {
    let mut parameters = [0_u64; 15];
    let answer = call(libc::SYS_io_uring_setup, &[4, at_mut(&mut parameters)]);
    Tried::of("io_uring_setup", answer)
}

fn userfaultfd(_: &[String]) -> Tried {
    // UFFD_USER_MODE_ONLY is what an unprivileged process may have where anything.
    let answer = call(libc::SYS_userfaultfd, &[1]);
    Tried::of("userfaultfd", answer)
}

fn add_key(_: &[String]) -> Tried {
    // KEY_SPEC_PROCESS_KEYRING.
    let ring = (-2_isize).cast_unsigned();
    let answer = call(
        libc::SYS_add_key,
        &[at(c"user"), at(c"tepui-attack"), at(b"x"), 1, ring],
    );
    let join = call(libc::SYS_keyctl, &[1, 0]);
    Tried::any([
        Tried::of("add_key", answer),
        Tried::of("join a session keyring", join),
    ])
}

/// The key that the neighbour holds, in every keyring that has a name.
fn keys_of_others(_: &[String]) -> Tried {
    let rings = [-3_isize, -4, -5, -6, -7];
    Tried::any(rings.map(|ring| {
        let ring = ring.cast_unsigned();
        // KEYCTL_SEARCH
        let found = call(
            libc::SYS_keyctl,
            &[10, ring, at(c"user"), at(c"tepui-victim"), 0],
        );
        match found {
            Ok(key) => Tried::Worked(format!("the neighbour's key is {key}")),
            Err(errno) => Tried::Refused(errno.to_string()),
        }
    }))
}

fn modules(_: &[String]) -> Tried {
    let image = [0_u8; 64];
    let init = call(libc::SYS_init_module, &[at(&image), 64, at(c"")]);
    let delete = call(
        libc::SYS_delete_module,
        &[at(c"overlay"), libc::O_NONBLOCK as usize],
    );
    let load = File::open("/bin/busybox")
        .map_err(Into::into)
        .and_then(|file| {
            let number = file.as_raw_fd().cast_unsigned() as usize;
            call(libc::SYS_finit_module, &[number, at(c""), 0])
        });
    // Whoever may load modules is told what is wrong with the image.
    Tried::any([
        Tried::of("init_module", allowed(init)),
        Tried::of("delete_module", allowed(delete)),
        Tried::of("finit_module", allowed(load)),
    ])
}

/// An error that comes after the question whether one may.
fn allowed(answer: Answer) -> Answer {
    match answer {
        Err(errno) if ![libc::EPERM, libc::EACCES, libc::ENOSYS].contains(&errno.0) => Ok(0),
        other => other,
    }
}

/// Restarts the machine where it may.
fn reboot(_: &[String]) -> Tried {
    let magic = [0xfee1_dead, 672_274_793, 0x0123_4567];
    Tried::of("reboot", call(libc::SYS_reboot, &magic))
}

fn kexec(_: &[String]) -> Tried {
    let file = call(
        libc::SYS_kexec_file_load,
        &[usize::MAX, usize::MAX, 0, 0, 0],
    );
    Tried::any([
        // Nothing to load: takes away what is loaded.
        Tried::of("kexec_load", call(libc::SYS_kexec_load, &[0, 0, 0, 0])),
        Tried::of("kexec_file_load", allowed(file)),
    ])
}

/// Wants the path of a file that mkswap(8) has prepared.
fn swapon(arguments: &[String]) -> Tried {
    let Some(path) = arguments.first() else {
        return Tried::Impossible("which file?".into());
    };
    let path = format!("{path}\0");
    let answer = call(libc::SYS_swapon, &[at(path.as_bytes()), 0]);
    Tried::of("swapon", answer)
}

/// To what it is already, so that nothing breaks where it works.
fn set_clock(_: &[String]) -> Tried {
    let mut now = [0_i64; 2];
    let read = call(libc::SYS_clock_gettime, &[0, at_mut(&mut now)]);
    if let Err(errno) = read {
        return Tried::Impossible(format!("clock_gettime: {errno}"));
    }
    let of_day = [now[0], now[1] / 1000];
    let mut timex = [0_u64; 26];
    // ADJ_FREQUENCY, to 0.
    timex[0] = 2;
    Tried::any([
        Tried::of(
            "clock_settime",
            call(libc::SYS_clock_settime, &[0, at(&now)]),
        ),
        Tried::of(
            "settimeofday",
            call(libc::SYS_settimeofday, &[at(&of_day), 0]),
        ),
        Tried::of("adjtimex", call(libc::SYS_adjtimex, &[at_mut(&mut timex)])),
    ])
}

fn acct(_: &[String]) -> Tried {
    Tried::of("acct", call(libc::SYS_acct, &[0]))
}

/// The quota of a project raised, on the file system of the working directory.
fn quotactl(_: &[String]) -> Tried {
    let Ok(here) = File::open(".") else {
        return Tried::Impossible("open .".into());
    };
    let number = here.as_raw_fd().cast_unsigned() as usize;
    let mut quota = [0_u64; 9];
    let set = |kind: usize, quota: &mut [u64; 9]| {
        // Q_SETQUOTA of users and of projects.
        let command = (0x80_0008 << 8) | kind;
        call(
            libc::SYS_quotactl_fd,
            &[number, command, 1000, at_mut(quota)],
        )
    };
    Tried::any([0, 2].map(|kind| match set(kind, &mut quota) {
        // There is no quota to change.
        Err(errno) if errno.0 == libc::EINVAL => Tried::Refused(errno.to_string()),
        answer => Tried::of("quotactl_fd", answer),
    }))
}

fn io_ports(_: &[String]) -> Tried {
    Tried::any([
        Tried::of("iopl", call(libc::SYS_iopl, &[3])),
        Tried::of("ioperm", call(libc::SYS_ioperm, &[0x80, 1, 1])),
    ])
}

fn kernel_log(_: &[String]) -> Tried {
    let mut buffer = [0_u8; 4096];
    let read = call(libc::SYS_syslog, &[3, at_mut(&mut buffer), buffer.len()]);
    Tried::any([
        Tried::of("read the log", read),
        Tried::of("clear the log", call(libc::SYS_syslog, &[5])),
        Tried::of("silence the console", call(libc::SYS_syslog, &[6])),
        Tried::of_any_error(
            "open /dev/kmsg",
            File::open("/dev/kmsg").map(|_| 0).map_err(Into::into),
        ),
    ])
}

/// Where nothing is at random any more, exploits are easy.
fn personality(_: &[String]) -> Tried {
    // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
    Tried::any([0x004_0000, 0x040_0000].map(|bits| {
        Tried::of(
            &format!("personality({bits:#x})"),
            call(libc::SYS_personality, &[bits]),
        )
    }))
}

/// Numbers of the x32 way of calling, which no filter by number sees.
fn x32(_: &[String]) -> Tried {
    const X32: c_long = 0x4000_0000;
    Tried::any([
        Tried::of("getpid by x32", call(X32 | libc::SYS_getpid, &[])),
        // The first of x32's own numbers, rt_sigaction, asked for nothing.
        Tried::of("rt_sigaction by x32", call(X32 | 512, &[10, 0, 0, 8])),
    ])
}

/// The way of 32-bit programs, whose numbers mean other calls.
fn int80(_: &[String]) -> Tried {
    let answer = call_32(20);
    if answer > 0 {
        Tried::Worked(format!("getpid by int 0x80: {answer}"))
    } else {
        Tried::Refused(format!("getpid by int 0x80: {answer}"))
    }
}

fn fanotify(_: &[String]) -> Tried {
    // FAN_CLASS_CONTENT: may hold up every open of others.
    Tried::of("fanotify_init", call(libc::SYS_fanotify_init, &[4, 0]))
}

fn vhangup(_: &[String]) -> Tried {
    Tried::of("vhangup", call(libc::SYS_vhangup, &[]))
}

/// Entropy that nobody gave.
fn entropy(_: &[String]) -> Tried {
    let Ok(random) = File::options().read(true).write(true).open("/dev/random") else {
        return Tried::Refused("/dev/random is read-only".into());
    };
    let number = random.as_raw_fd().cast_unsigned() as usize;
    let bits = 8_i32;
    Tried::any([
        Tried::of(
            "RNDADDTOENTCNT",
            call(libc::SYS_ioctl, &[number, 0x4004_5201, at(&bits)]),
        ),
        Tried::of("RNDRESEEDCRNG", call(libc::SYS_ioctl, &[number, 0x5207, 0])),
    ])
}

/// Before all others.
fn priorities(_: &[String]) -> Tried {
    let highest = (-20_isize).cast_unsigned();
    let one = 1_i32;
    // IOPRIO_CLASS_RT, and a deadline of 10 of 20 ms.
    let deadline = [48_u64 | (6 << 32), 0, 0, 10_000_000, 20_000_000, 20_000_000];
    Tried::any([
        Tried::of("nice -20", call(libc::SYS_setpriority, &[0, 0, highest])),
        Tried::of(
            "SCHED_FIFO",
            call(libc::SYS_sched_setscheduler, &[0, 1, at(&one)]),
        ),
        Tried::of(
            "SCHED_DEADLINE",
            call(libc::SYS_sched_setattr, &[0, at(&deadline), 0]),
        ),
        Tried::of("real-time io", call(libc::SYS_ioprio_set, &[1, 0, 1 << 13])),
    ])
}

/// One's own limits raised.
fn rlimits(_: &[String]) -> Tried {
    // RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING
    let raised = [7_usize, 6, 8, 11].map(|limit| {
        let mut old = [0_u64; 2];
        let read = call(libc::SYS_prlimit64, &[0, limit, 0, at_mut(&mut old)]);
        if read.is_err() || old[1] == u64::MAX {
            return Tried::Refused(format!("limit {limit} is {old:?}"));
        }
        let new = [old[1] + 1, old[1] + 1];
        Tried::of(
            &format!("raise limit {limit} of {old:?}"),
            call(libc::SYS_prlimit64, &[0, limit, at(&new), 0]),
        )
    });
    Tried::any(raised)
}

/// What was dropped, taken again.
fn capabilities(_: &[String]) -> Tried {
    let header = [0x2008_0522_u32, 0];
    let all = [u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX];
    Tried::any([
        Tried::of("capset", call(libc::SYS_capset, &[at(&header), at(&all)])),
        Tried::of(
            "an ambient CAP_SYS_ADMIN",
            // PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE
            call(libc::SYS_prctl, &[47, 2, 21, 0, 0]),
        ),
        // PR_SET_NO_NEW_PRIVS cannot be taken back: EINVAL.
        Tried::of_any_error(
            "new privileges again",
            call(libc::SYS_prctl, &[38, 0, 0, 0, 0]),
        ),
    ])
}

fn hugepages(_: &[String]) -> Tried {
    let map = |flags: usize| call(libc::SYS_mmap, &[0, 2 << 20, 3, flags, usize::MAX, 0]);
    // MAP_PRIVATE, MAP_ANONYMOUS, MAP_HUGETLB, MAP_POPULATE
    Tried::of("a huge page", map(0x2 | 0x20 | 0x4_0000 | 0x8000))
}
