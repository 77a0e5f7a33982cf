//! Files: those of the node by other ways than paths, and what can be asked of a file system.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use crate::raw::{Answer, Errno, at, at_mut, call};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[
    ("open_by_handle", open_by_handle),
    ("writable_under", writable_under),
    ("readable", readable),
    ("devices", devices),
    ("mknod", mknod),
    ("project_id", project_id),
    ("immutable", immutable),
    ("file_system_orders", file_system_orders),
    ("lease", lease),
    ("fallocate", fallocate),
];

fn number(file: &File) -> usize {
    file.as_raw_fd().cast_unsigned() as usize
}

fn opened(path: &str, mode: &mut fs::OpenOptions) -> Answer {
    mode.open(path).map(|_| 0).map_err(Into::into)
}

/// The root of the file system that the sandbox is on, by its inode number.
fn open_by_handle(_: &[String]) -> Tried {
    let Ok(here) = File::open(".") else {
        return Tried::Impossible("open .".into());
    };
    // 8 bytes of type FILEID_INO32_GEN: inode 2, any generation.
    let handle = [8_u32, 1, 2, 0];
    let flags = libc::O_RDONLY as usize;
    let answer = call(
        libc::SYS_open_by_handle_at,
        &[number(&here), at(&handle), flags],
    );
    match answer {
        // The question was asked of the file system, so it was allowed.
        Err(Errno(libc::ESTALE)) => Tried::Worked("only the handle was wrong".into()),
        other => Tried::of("open_by_handle_at", other),
    }
}

/// Every file of a tree that opens for writing; nothing is written.
fn writable_under(arguments: &[String]) -> Tried {
    let Some(root) = arguments.first() else {
        return Tried::Impossible("under which directory?".into());
    };
    let mut found = Vec::new();
    let mut seen = 0_usize;
    let mut waiting = vec![Path::new(root).to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() {
                seen += 1;
                if File::options().write(true).open(&path).is_ok() {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    match (found.is_empty(), seen) {
        (false, _) => {
            found.truncate(20);
            Tried::Worked(found.join(" "))
        }
        (true, 0) => Tried::Refused(format!("{root} cannot be read")),
        (true, _) => Tried::Refused(format!("none of {seen} files")),
    }
}

/// Files with something in them that are nobody's in a container.
fn readable(arguments: &[String]) -> Tried {
    Tried::any(arguments.iter().map(|path| {
        let mut buffer = [0_u8; 1];
        let read = File::open(path).and_then(|mut file| file.read(&mut buffer));
        match read {
            Ok(0) => Tried::Refused(format!("{path} is empty")),
            Ok(_) => Tried::Worked(format!("{path} tells something")),
            Err(error) => Tried::Refused(format!("{path}: {error}")),
        }
    }))
}

/// Devices that are there and open.
fn devices(arguments: &[String]) -> Tried {
    Tried::any(arguments.iter().map(|path| {
        let read = opened(path, File::options().read(true));
        let write = opened(path, File::options().write(true));
        Tried::of_any_error(path, read.or(write))
    }))
}

/// A device node made: `probe mknod FOLDER`; where it can be made, it must not open.
fn mknod(arguments: &[String]) -> Tried {
    let folder = arguments.first().map_or(".", String::as_str);
    // The first disk, memory, the kernel's log, the terminal of QEMU's console, loop-control, fuse.
    let wanted = [
        ("disk", libc::S_IFBLK, 254_u32, 0_u32),
        ("mem", libc::S_IFCHR, 1, 1),
        ("kmsg", libc::S_IFCHR, 1, 11),
        ("ttyS0", libc::S_IFCHR, 4, 64),
        ("loop-control", libc::S_IFCHR, 10, 237),
        ("fuse", libc::S_IFCHR, 10, 229),
    ];
    Tried::any(wanted.map(|(name, kind, major, minor)| {
        let path = format!("{folder}/attack-{name}\0");
        let mode = (kind | 0o666) as usize;
        let device = ((major << 8) | minor) as usize;
        let made = call(libc::SYS_mknod, &[at(path.as_bytes()), mode, device]);
        if let Err(errno) = made {
            return Tried::Refused(format!("{name}: {errno}"));
        }
        let path = path.trim_end_matches('\0');
        Tried::of_any_error(name, opened(path, File::options().read(true)))
    }))
}

/// Flags and project of a file (`struct fsxattr`).
fn attributes(file: &File) -> Result<[u32; 7], Errno> {
    let mut found = [0_u32; 7];
    // FS_IOC_FSGETXATTR
    call(
        libc::SYS_ioctl,
        &[number(file), 0x801c_581f, at_mut(&mut found)],
    )?;
    Ok(found)
}

/// Out of the project that a quota counts: a file's own, and what new files of a directory get.
fn project_id(_: &[String]) -> Tried {
    let made = File::create("project").and_then(|file| Ok((file, File::open(".")?)));
    let (file, folder) = match made {
        Ok(made) => made,
        Err(error) => return Tried::Impossible(format!("make a file: {error}")),
    };
    Tried::any(
        [(&file, "a file"), (&folder, "the directory")].map(|(file, what)| {
            let mut wanted = match attributes(file) {
                Ok(found) => found,
                Err(errno) => return Tried::Refused(format!("{what}: {errno}")),
            };
            // The project, and FS_XFLAG_PROJINHERIT the other way.
            wanted[3] = if wanted[3] == 0 { 77 } else { 0 };
            wanted[0] ^= 0x200;
            // FS_IOC_FSSETXATTR; outside of the first user namespace the kernel says EINVAL.
            let answer = call(libc::SYS_ioctl, &[number(file), 0x401c_5820, at(&wanted)]);
            Tried::of_any_error(what, answer)
        }),
    )
}

/// Files that nobody could remove any more.
fn immutable(_: &[String]) -> Tried {
    let Ok(file) = File::create("immutable") else {
        return Tried::Impossible("make a file".into());
    };
    // FS_IMMUTABLE_FL, FS_APPEND_FL
    Tried::any([0x10_u64, 0x20].map(|flag| {
        let answer = call(libc::SYS_ioctl, &[number(&file), 0x4008_6602, at(&flag)]);
        Tried::of("FS_IOC_SETFLAGS", answer)
    }))
}

/// Freezes, shuts down, trims and resizes the file system beneath.
fn file_system_orders(_: &[String]) -> Tried {
    let Ok(here) = File::open(".") else {
        return Tried::Impossible("open .".into());
    };
    let range = [0_u64, u64::MAX, 0];
    let none = [0_u64; 3];
    let orders = [
        ("FIFREEZE", 0xc004_5877_usize, at(&none)),
        ("EXT4_IOC_SHUTDOWN", 0x8004_587d, at(&none)),
        ("FITRIM", 0xc018_5879, at(&range)),
        ("EXT4_IOC_RESIZE_FS", 0x4008_6610, at(&range)),
    ];
    // What the file system beneath does not know (ENOTTY) is refused, too.
    Tried::any(orders.map(|(name, order, argument)| {
        Tried::of_any_error(
            name,
            call(libc::SYS_ioctl, &[number(&here), order, argument]),
        )
    }))
}

/// A lease on one's output, so that whoever opens it waits until it is given back. Held for longer than the
/// kernel takes it away (45 s); the harness reads the file meanwhile.
fn lease(_: &[String]) -> Tried {
    // SIGIO tells that somebody waits, and would end whoever does not care.
    let everything = u64::MAX;
    let blocked = call(libc::SYS_rt_sigprocmask, &[0, at(&everything), 0, 8]);
    if let Err(errno) = blocked {
        return Tried::Impossible(format!("block SIGIO: {errno}"));
    }
    // F_SETLEASE, F_WRLCK
    let held = [1, 2].map(|number| call(libc::SYS_fcntl, &[number, 1024, 1]));
    if held.iter().any(Result::is_ok) {
        std::thread::sleep(std::time::Duration::from_secs(40));
    }
    Tried::Refused(format!("leases on both outputs: {held:?}"))
}

/// A file of this many MB, taken in one call: `probe fallocate MB`.
fn fallocate(arguments: &[String]) -> Tried {
    let megabytes: usize = arguments
        .first()
        .and_then(|word| word.parse().ok())
        .unwrap_or(1024);
    let Ok(file) = File::create("taken") else {
        return Tried::Impossible("make a file".into());
    };
    let answer = call(libc::SYS_fallocate, &[number(&file), 0, 0, megabytes << 20]);
    drop(fs::remove_file("taken"));
    Tried::of(&format!("{megabytes} MB"), answer)
}
