//! Floods: as much of something as there is to be had.
//!
//! Each takes the number at which it has worked, that is, past which nothing bounds it. Whoever is killed
//! on the way has met a bound, too.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::raw::{Answer, Errno, at, at_mut, call, exit, fork};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[
    ("forks", forks),
    ("zombies", zombies),
    ("threads", threads),
    ("memory", memory),
    ("shared_memory", shared_memory),
    ("memfd", memfd),
    ("locked_memory", locked_memory),
    ("maps", maps),
    ("descriptors", descriptors),
    ("open_files", open_files),
    ("fill", fill),
    ("inodes", inodes),
    ("pipes", pipes),
    ("sockets", sockets),
    ("inotify", inotify),
    ("epoll", epoll),
    ("timers", timers),
    ("signals", signals),
    ("keys", keys),
    ("queues", queues),
    ("environment", environment),
    ("absent_names", absent_names),
    ("spin", spin),
    ("writeback", writeback),
    ("output", output),
    ("deep", deep),
];

const MEGABYTE: usize = 1 << 20;

fn wanted(arguments: &[String], place: usize) -> usize {
    let word = arguments.get(place).and_then(|word| word.parse().ok());
    word.unwrap_or(usize::MAX)
}

/// Takes one after the other until there are enough or no more.
fn until(wanted: usize, mut take: impl FnMut(usize) -> Answer) -> Tried {
    for number in 0..wanted {
        if let Err(errno) = take(number) {
            // So long that the neighbour notices where it lacks what is held here.
            std::thread::sleep(Duration::from_millis(1500));
            return Tried::Refused(format!("{errno} after {number}"));
        }
    }
    Tried::Worked(format!("{wanted}, and more were to be had"))
}

/// Ends all children.
fn end(children: &[usize]) {
    for pid in children {
        let _killed = call(libc::SYS_kill, &[*pid, libc::SIGKILL as usize]);
    }
    for pid in children {
        let _waited = call(libc::SYS_wait4, &[*pid, 0, 0, 0]);
    }
}

fn forks(arguments: &[String]) -> Tried {
    let mut children = Vec::new();
    let tried = until(wanted(arguments, 0), |_| {
        let pid = fork()?;
        if pid == 0 {
            loop {
                let _signal = call(libc::SYS_pause, &[]);
            }
        }
        children.push(pid);
        Ok(pid)
    });
    end(&children);
    tried
}

fn zombies(arguments: &[String]) -> Tried {
    let mut children = Vec::new();
    let tried = until(wanted(arguments, 0), |_| {
        let pid = fork()?;
        if pid == 0 {
            exit(0);
        }
        children.push(pid);
        Ok(pid)
    });
    end(&children);
    tried
}

fn threads(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |_| {
        let thread = std::thread::Builder::new().stack_size(16 << 10);
        let spawned = thread.spawn(|| std::thread::sleep(Duration::from_secs(600)));
        spawned.map(|_| 0).map_err(Into::into)
    })
}

fn map(flags: i32, descriptor: usize) -> Answer {
    let flags = flags.cast_unsigned() as usize;
    call(libc::SYS_mmap, &[0, MEGABYTE, 3, flags, descriptor, 0])
}

/// In MB.
fn memory(arguments: &[String]) -> Tried {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    until(wanted(arguments, 0), |_| map(flags, usize::MAX))
}

/// In MB, by System V segments that outlive whoever made them.
fn shared_memory(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |_| {
        let create = libc::IPC_CREAT.cast_unsigned() as usize | 0o600;
        let segment = call(libc::SYS_shmget, &[0, MEGABYTE, create])?;
        let address = call(libc::SYS_shmat, &[segment, 0, 0])?;
        // MADV_POPULATE_WRITE
        call(libc::SYS_madvise, &[address, MEGABYTE, 23])
    })
}

/// In MB.
fn memfd(arguments: &[String]) -> Tried {
    let block = vec![7_u8; MEGABYTE];
    until(wanted(arguments, 0), |_| {
        let file = call(libc::SYS_memfd_create, &[at(c"attack"), 0])?;
        call(libc::SYS_write, &[file, at(block.as_slice()), block.len()])
    })
}

/// In MB.
fn locked_memory(arguments: &[String]) -> Tried {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    until(wanted(arguments, 0), |_| {
        let address = map(flags, usize::MAX)?;
        call(libc::SYS_mlock, &[address, MEGABYTE])
    })
}

/// Areas of one address space, each with rights of its own.
fn maps(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |number| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let flags = flags.cast_unsigned() as usize;
        call(
            libc::SYS_mmap,
            &[0, 4096, 1 + number % 2, flags, usize::MAX, 0],
        )
    })
}

fn descriptors(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |_| call(libc::SYS_dup, &[1]))
}

/// Open files of the whole machine, by processes that each open as many as they may.
fn open_files(arguments: &[String]) -> Tried {
    let mut each = 0;
    while call(
        libc::SYS_openat,
        &[libc::AT_FDCWD as isize as usize, at(c"/dev/null"), 0],
    )
    .is_ok()
    {
        each += 1;
        if each == 100_000 {
            break;
        }
    }
    let mut children = Vec::new();
    let processes = wanted(arguments, 0) / (each + 1) + 1;
    let tried = until(processes, |_| {
        let pid = fork()?;
        if pid == 0 {
            // Copies of descriptors are one open file: each process opens its own.
            for number in 3..each + 3 {
                let _closed = call(libc::SYS_close, &[number]);
            }
            for _ in 0..each {
                let here = libc::AT_FDCWD as isize as usize;
                let _opened = call(libc::SYS_openat, &[here, at(c"/dev/null"), 0]);
            }
            loop {
                let _signal = call(libc::SYS_pause, &[]);
            }
        }
        children.push(pid);
        Ok(pid)
    });
    std::thread::sleep(Duration::from_secs(1));
    end(&children);
    match tried {
        // What each child got is its own; whether others lack files, the neighbour tells.
        Tried::Worked(_) => {
            Tried::Refused(format!("{processes} times {each} files were asked for"))
        }
        other => other,
    }
}

/// `probe fill FOLDER MB`.
fn fill(arguments: &[String]) -> Tried {
    let folder = arguments.first().map_or(".", String::as_str);
    let path = format!("{folder}/attack-fill");
    let mut file = match File::create(&path) {
        Ok(file) => file,
        Err(error) => return Tried::Impossible(format!("make {path}: {error}")),
    };
    let block = vec![7_u8; MEGABYTE];
    let tried = until(wanted(arguments, 1), |_| {
        file.write_all(&block).map(|()| 0).map_err(Into::into)
    });
    let synced = file.sync_all();
    drop(fs::remove_file(&path));
    match (tried, synced) {
        // Taken in by the cache, and never written.
        (Tried::Worked(text), Err(error)) => Tried::Refused(format!("{text}, but {error}")),
        (tried, _) => tried,
    }
}

/// `probe inodes FOLDER N`.
fn inodes(arguments: &[String]) -> Tried {
    let folder = arguments.first().map_or(".", String::as_str);
    let folder = format!("{folder}/attack-inodes");
    if let Err(error) = fs::create_dir_all(&folder) {
        return Tried::Impossible(format!("make {folder}: {error}"));
    }
    let tried = until(wanted(arguments, 1), |number| {
        let made = File::create(format!("{folder}/{number}"));
        made.map(|_| 0).map_err(Into::into)
    });
    drop(fs::remove_dir_all(&folder));
    tried
}

/// In MB, as much as each pipe may hold.
fn pipes(arguments: &[String]) -> Tried {
    let block = vec![7_u8; MEGABYTE];
    let (mut bytes, mut ends) = (0, 0);
    let goal = wanted(arguments, 0).saturating_mul(MEGABYTE);
    while bytes < goal {
        let mut pair = [0_i32; 2];
        let flags = libc::O_NONBLOCK as usize;
        if let Err(errno) = call(libc::SYS_pipe2, &[at_mut(&mut pair), flags]) {
            return Tried::Refused(format!("{errno} after {ends} pipes with {bytes} bytes"));
        }
        let write = pair[1].cast_unsigned() as usize;
        // F_SETPIPE_SZ, as far as it is given.
        let _larger = call(libc::SYS_fcntl, &[write, 1031, MEGABYTE]);
        bytes += call(libc::SYS_write, &[write, at(block.as_slice()), MEGABYTE]).unwrap_or(0);
        ends += 1;
    }
    Tried::Worked(format!("{ends} pipes hold {bytes} bytes"))
}

/// In MB, that nobody reads.
fn sockets(arguments: &[String]) -> Tried {
    let block = vec![7_u8; 64 << 10];
    let (mut bytes, mut pairs) = (0, 0);
    let goal = wanted(arguments, 0).saturating_mul(MEGABYTE);
    while bytes < goal {
        let mut pair = [0_i32; 2];
        let kind = (libc::SOCK_STREAM | libc::SOCK_NONBLOCK).cast_unsigned() as usize;
        if let Err(errno) = call(libc::SYS_socketpair, &[1, kind, 0, at_mut(&mut pair)]) {
            return Tried::Refused(format!("{errno} after {pairs} pairs with {bytes} bytes"));
        }
        let write = pair[0].cast_unsigned() as usize;
        let size = 64_i32 << 20;
        // SOL_SOCKET, SO_SNDBUF
        let _larger = call(libc::SYS_setsockopt, &[write, 1, 7, at(&size), 4]);
        while let Ok(sent) = call(libc::SYS_write, &[write, at(block.as_slice()), block.len()]) {
            bytes += sent;
        }
        pairs += 1;
    }
    Tried::Worked(format!("{pairs} pairs hold {bytes} bytes"))
}

/// Instances, which the kernel counts for each user.
fn inotify(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |_| {
        let instance = call(libc::SYS_inotify_init1, &[0])?;
        call(libc::SYS_inotify_add_watch, &[instance, at(c"/tmp"), 2])
    })
}

/// Watches: every instance watches the same pipe.
fn epoll(arguments: &[String]) -> Tried {
    let mut pair = [0_i32; 2];
    if let Err(errno) = call(libc::SYS_pipe2, &[at_mut(&mut pair), 0]) {
        return Tried::Impossible(errno.to_string());
    }
    let mut copies = vec![pair[0].cast_unsigned() as usize];
    while copies.len() < 400
        && let Ok(copy) = call(libc::SYS_dup, &[copies[0]])
    {
        copies.push(copy);
    }
    let event = [1_u64; 2];
    let mut instance = 0;
    until(wanted(arguments, 0), |number| {
        let place = number % copies.len();
        if place == 0 {
            instance = call(libc::SYS_epoll_create1, &[0])?;
        }
        call(
            libc::SYS_epoll_ctl,
            &[instance, 1, copies[place], at(&event)],
        )
    })
}

fn timers(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |_| {
        let mut id = 0_i32;
        // SIGEV_NONE
        let mut event = [0_u64; 8];
        event[1] = 1 << 32;
        call(libc::SYS_timer_create, &[1, at(&event), at_mut(&mut id)])
    })
}

/// Of real time, that wait for whoever blocks them.
fn signals(arguments: &[String]) -> Tried {
    let all = u64::MAX;
    let _blocked = call(libc::SYS_rt_sigprocmask, &[0, at(&all), 0, 8]);
    let own = std::process::id() as usize;
    let mut info = [0_i32; 32];
    info[2] = -1;
    until(wanted(arguments, 0), |_| {
        call(libc::SYS_rt_sigqueueinfo, &[own, 40, at(&info)])
    })
}

fn keys(arguments: &[String]) -> Tried {
    let payload = vec![7_u8; 32 << 10];
    until(wanted(arguments, 0), |number| {
        let name = format!("attack-{number}\0");
        let ring = (-2_isize).cast_unsigned();
        call(
            libc::SYS_add_key,
            &[
                at(c"user"),
                at(name.as_bytes()),
                at(payload.as_slice()),
                payload.len(),
                ring,
            ],
        )
    })
}

fn queues(arguments: &[String]) -> Tried {
    until(wanted(arguments, 0), |number| {
        let name = format!("attack-{number}\0");
        let open = (libc::O_CREAT | libc::O_RDWR) as usize;
        call(libc::SYS_mq_open, &[at(name.as_bytes()), open, 0o600, 0])
    })
}

/// Programs with as large an environment as the kernel takes, this many.
fn environment(arguments: &[String]) -> Tried {
    let value = "7".repeat(120 << 10);
    let mut children = Vec::new();
    let tried = until(wanted(arguments, 0), |_| {
        let mut command = Command::new("/bin/sleep");
        command.arg("600").stdin(Stdio::null());
        for number in 0..15 {
            command.env(format!("ATTACK{number}"), &value);
        }
        let child = command.spawn().map_err(Errno::from)?;
        children.push(child.id() as usize);
        Ok(0)
    });
    end(&children);
    tried
}

/// Names that are not there, which the kernel remembers.
fn absent_names(arguments: &[String]) -> Tried {
    let number = wanted(arguments, 0);
    for name in 0..number {
        let _absent = fs::metadata(format!("/tmp/absent-{name:0>200}"));
    }
    Tried::Refused(format!("{number} were looked for"))
}

/// `probe spin PROCESSES SECONDS`.
fn spin(arguments: &[String]) -> Tried {
    let seconds = wanted(arguments, 1).min(600) as u64;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut children = Vec::new();
    for _ in 0..wanted(arguments, 0).min(10_000) {
        match fork() {
            Ok(0) => {
                while Instant::now() < deadline {
                    for round in 0..100_000_u64 {
                        std::hint::black_box(round);
                    }
                }
                exit(0)
            }
            Ok(pid) => children.push(pid),
            Err(_) => break,
        }
    }
    for pid in &children {
        let _waited = call(libc::SYS_wait4, &[*pid, 0, 0, 0]);
    }
    Tried::Refused(format!("{} spun for {seconds} s", children.len()))
}

/// `probe writeback MB ROUNDS`: dirty pages as fast as they are taken.
fn writeback(arguments: &[String]) -> Tried {
    let block = vec![7_u8; MEGABYTE];
    let begun = Instant::now();
    let mut written = 0;
    for round in 0..wanted(arguments, 1).min(1000) {
        let path = format!("attack-writeback-{}", round % 2);
        let Ok(mut file) = File::create(&path) else {
            return Tried::Refused("no more files".into());
        };
        for _ in 0..wanted(arguments, 0).min(4096) {
            match file.write_all(&block) {
                Ok(()) => written += 1,
                Err(error) => return Tried::Refused(format!("{error} after {written} MB")),
            }
        }
        drop(file.sync_all());
    }
    let seconds = begun.elapsed().as_secs_f64();
    Tried::Refused(format!("{written} MB in {seconds:.1} s"))
}

/// `probe output MB`, on stdout.
fn output(arguments: &[String]) -> Tried {
    let line = format!("{}\n", "x".repeat(1023));
    let block = line.repeat(64);
    let mut out = std::io::stdout();
    for _ in 0..wanted(arguments, 0).min(1 << 20) * MEGABYTE / block.len() {
        if let Err(error) = out.write_all(block.as_bytes()) {
            return Tried::Refused(format!("stdout: {error}"));
        }
    }
    Tried::Refused("all was taken".into())
}

/// Directories in directories, this deep.
fn deep(arguments: &[String]) -> Tried {
    let depth = wanted(arguments, 0).min(100_000);
    for number in 0..depth {
        let name = c"deep";
        let made = call(libc::SYS_mkdir, &[at(name), 0o700]);
        let below = made.and_then(|_| call(libc::SYS_chdir, &[at(name)]));
        if let Err(errno) = below {
            return Tried::Refused(format!("{errno} at {number}"));
        }
    }
    Tried::Refused(format!("{depth} deep"))
}
