//! Mounts and namespaces: another view than the one that was given.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::raw::{Answer, at, call, exit, fork};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[
    ("mount", mount),
    ("bind_mount", bind_mount),
    ("remount", remount),
    ("new_mount_api", new_mount_api),
    ("umount", umount),
    ("pivot_root", pivot_root),
    ("chroot_escape", chroot_escape),
    ("unshare", unshare),
    ("unshare_user", unshare_user),
    ("clone3", clone3),
    ("setns", setns),
    ("nested_user_namespace", nested_user_namespace),
];

/// Masks and read-only parts of `/proc` and `/sys`.
const MASKED: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/irq",
    "/sys/firmware",
];

fn text(path: &str) -> Vec<u8> {
    format!("{path}\0").into_bytes()
}

fn mounted(kind: &str, source: &str, at_path: &str, flags: usize, data: &str) -> Answer {
    let [kind, source, path, data] = [kind, source, at_path, data].map(text);
    call(
        libc::SYS_mount,
        &[
            at(source.as_slice()),
            at(path.as_slice()),
            at(kind.as_slice()),
            flags,
            at(data.as_slice()),
        ],
    )
}

/// A file system of this type on `/tmp`; `probe mount TYPE [SOURCE [DATA]]`.
fn mount(arguments: &[String]) -> Tried {
    let word = |place: usize| arguments.get(place).map_or("none", String::as_str);
    let data = arguments.get(2).map_or("", String::as_str);
    Tried::of_any_error(word(0), mounted(word(0), word(1), "/tmp", 0, data))
}

fn bind_mount(_: &[String]) -> Tried {
    let bind = libc::MS_BIND as usize;
    Tried::any(
        ["/proc", "/sys", "/dev", "/"]
            .map(|path| Tried::of_any_error(path, mounted("", path, "/tmp", bind, ""))),
    )
}

/// What is read-only, writable again; what hides nothing, shared with others.
fn remount(_: &[String]) -> Tried {
    let writable = (libc::MS_REMOUNT | libc::MS_BIND) as usize;
    let paths = [
        "/",
        "/proc/sys",
        "/proc/sysrq-trigger",
        "/sys",
        "/sys/fs/cgroup",
    ];
    let all = paths.map(|path| Tried::of_any_error(path, mounted("", "", path, writable, "")));
    let shared = mounted("", "", "/", (libc::MS_SHARED | libc::MS_REC) as usize, "");
    Tried::any(
        all.into_iter()
            .chain([Tried::of_any_error("share the root", shared)]),
    )
}

fn new_mount_api(_: &[String]) -> Tried {
    // OPEN_TREE_CLONE; MOUNT_ATTR_RDONLY taken away.
    let clear = [0_u64, 1, 0, 0];
    let here = libc::AT_FDCWD as isize as usize;
    Tried::any([
        Tried::of("fsopen", call(libc::SYS_fsopen, &[at(c"tmpfs"), 0])),
        Tried::of(
            "open_tree",
            call(libc::SYS_open_tree, &[here, at(c"/proc"), 1]),
        ),
        Tried::of("fspick", call(libc::SYS_fspick, &[here, at(c"/"), 0])),
        Tried::of_any_error(
            "mount_setattr",
            call(
                libc::SYS_mount_setattr,
                &[here, at(c"/"), 0, at(&clear), 32],
            ),
        ),
        Tried::of_any_error(
            "move_mount",
            call(
                libc::SYS_move_mount,
                &[here, at(c"/proc/sys"), here, at(c"/tmp"), 0],
            ),
        ),
    ])
}

fn umount(_: &[String]) -> Tried {
    let detach = libc::MNT_DETACH as usize;
    Tried::any(MASKED.map(|path| {
        let path_0 = text(path);
        let answer = call(libc::SYS_umount2, &[at(path_0.as_slice()), detach]);
        Tried::of_any_error(path, answer)
    }))
}

fn pivot_root(_: &[String]) -> Tried {
    let answer = call(libc::SYS_pivot_root, &[at(c"/tmp"), at(c"/tmp")]);
    Tried::of_any_error("pivot_root", answer)
}

/// Out of a changed root by way of a directory above it. What counts is what is seen there.
fn chroot_escape(_: &[String]) -> Tried {
    let inside = fs::metadata("/").map(|found| (found.dev(), found.ino()));
    let above = fs::File::open("/");
    let (Ok(inside), Ok(above)) = (inside, above) else {
        return Tried::Impossible("open /".into());
    };
    if let Err(error) = fs::create_dir_all("jail") {
        return Tried::Impossible(format!("make a directory: {error}"));
    }
    if let Err(errno) = call(libc::SYS_chroot, &[at(c"jail")]) {
        return Tried::Refused(format!("chroot: {errno}"));
    }
    let number = std::os::fd::AsRawFd::as_raw_fd(&above).cast_unsigned() as usize;
    let mut steps = vec![call(libc::SYS_fchdir, &[number])];
    steps.extend((0..64).map(|_| call(libc::SYS_chdir, &[at(c"..")])));
    steps.push(call(libc::SYS_chroot, &[at(c".")]));
    if let Some(errno) = steps.into_iter().find_map(Result::err) {
        return Tried::Refused(format!("on the way up: {errno}"));
    }
    match fs::metadata("/").map(|found| (found.dev(), found.ino())) {
        Ok(found) if found == inside && !Path::new("/nr").exists() => {
            Tried::Refused("above its root a container finds its root".into())
        }
        found => Tried::Worked(format!("{inside:?} became {found:?}")),
    }
}

/// Every kind but a user namespace.
fn unshare(_: &[String]) -> Tried {
    let kinds = [
        ("mount", libc::CLONE_NEWNS),
        ("uts", libc::CLONE_NEWUTS),
        ("ipc", libc::CLONE_NEWIPC),
        ("pid", libc::CLONE_NEWPID),
        ("network", libc::CLONE_NEWNET),
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("time", 0x80),
    ];
    Tried::any(kinds.map(|(name, flag)| {
        Tried::of(
            name,
            call(libc::SYS_unshare, &[flag.cast_unsigned() as usize]),
        )
    }))
}

fn unshare_user(_: &[String]) -> Tried {
    let flag = libc::CLONE_NEWUSER as usize;
    Tried::of("a user namespace", call(libc::SYS_unshare, &[flag]))
}

/// The same by a call whose flags no filter can see.
fn clone3(_: &[String]) -> Tried {
    let kinds = [
        ("user", libc::CLONE_NEWUSER),
        ("mount", libc::CLONE_NEWNS),
        ("network", libc::CLONE_NEWNET),
    ];
    Tried::any(kinds.map(|(name, flag)| {
        let mut arguments = [0_u64; 11];
        arguments[0] = u64::from(flag.cast_unsigned());
        arguments[4] = libc::SIGCHLD as u64;
        match call(libc::SYS_clone3, &[at(&arguments), 88]) {
            Ok(0) => exit(0),
            answer => Tried::of(name, answer),
        }
    }))
}

/// Into each namespace of a process in sight that is not one's own.
fn setns(_: &[String]) -> Tried {
    let mut all = vec![Tried::Refused("no other namespace is in sight".into())];
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.map(|entry| entry.path()) {
        for kind in ["mnt", "net", "pid", "user", "uts", "ipc", "cgroup", "time"] {
            let path = process.join("ns").join(kind);
            let own = fs::metadata(format!("/proc/self/ns/{kind}")).map(|found| found.ino());
            let other = fs::metadata(&path).map(|found| found.ino());
            let (Ok(own), Ok(other)) = (own, other) else {
                continue;
            };
            if own == other {
                continue;
            }
            let what = path.display().to_string();
            let answer = fs::File::open(&path).map_err(Into::into).and_then(|file| {
                let number = std::os::fd::AsRawFd::as_raw_fd(&file).cast_unsigned() as usize;
                call(libc::SYS_setns, &[number, 0])
            });
            all.push(Tried::of_any_error(&what, answer));
        }
    }
    Tried::any(all)
}

/// As root of a user namespace of one's own: whether a mask or a read-only mount gives way, or the
/// kernel's file systems come new and without them.
fn nested_user_namespace(_: &[String]) -> Tried {
    let flags = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET)
        as usize;
    if let Err(errno) = call(libc::SYS_unshare, &[flags]) {
        return Tried::Refused(format!("unshare: {errno}"));
    }
    // The first child is in the new pid namespace, where a new /proc could be had.
    match fork() {
        Ok(0) => {
            let tried = inside();
            println!("{tried:?}");
            exit(match tried {
                Tried::Worked(_) => 0,
                Tried::Refused(_) => 1,
                Tried::Impossible(_) => 2,
            })
        }
        Ok(pid) => {
            let mut status = 0_i32;
            let waited = call(
                libc::SYS_wait4,
                &[pid, crate::raw::at_mut(&mut status), 0, 0],
            );
            match (waited, libc::WEXITSTATUS(status)) {
                (Ok(_), 0) => Tried::Worked("see above".into()),
                (Ok(_), 1) => Tried::Refused("nothing gave way".into()),
                other => Tried::Impossible(format!("wait: {other:?}")),
            }
        }
        Err(errno) => Tried::Refused(format!("fork: {errno}")),
    }
}

fn inside() -> Tried {
    let shown = |what: &str, path: &str| match fs::read_dir(path) {
        Ok(_) => Tried::Worked(format!("{what} is seen at {path}")),
        Err(error) => Tried::Refused(format!("{what}: {error}")),
    };
    let mut all = Vec::new();
    for path in MASKED {
        let path_0 = text(path);
        let answer = call(
            libc::SYS_umount2,
            &[at(path_0.as_slice()), libc::MNT_DETACH as usize],
        );
        all.push(Tried::of_any_error(path, answer));
    }
    let writable = (libc::MS_REMOUNT | libc::MS_BIND) as usize;
    for path in ["/", "/proc/sys", "/sys"] {
        all.push(Tried::of_any_error(
            path,
            mounted("", "", path, writable, ""),
        ));
    }
    for kind in ["proc", "sysfs", "cgroup2", "debugfs", "bpf", "binfmt_misc"] {
        all.push(Tried::of_any_error(
            kind,
            mounted(kind, "none", "/tmp", 0, ""),
        ));
    }
    for path in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"] {
        let open = fs::OpenOptions::new().write(true).open(path);
        all.push(Tried::of_any_error(
            path,
            open.map(|_| 0).map_err(Into::into),
        ));
    }
    all.push(shown("the node's root", "/nr"));
    Tried::any(all)
}
