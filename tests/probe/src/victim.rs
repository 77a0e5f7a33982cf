//! The neighbour: holds a secret in every place that a neighbour could look at, and tells each second that
//! its work goes on.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::raw::{Answer, at, at_mut, call};
use crate::{Attack, Tried};

pub(crate) const ALL: &[Attack] = &[("victim", victim)];

/// The key of its System V objects.
pub(crate) const KEY: usize = 0x7e9;
/// The time between two lines.
const BEAT: Duration = Duration::from_millis(500);

/// `probe victim SECRET`, for ever. Its own environment has the secret, too.
fn victim(arguments: &[String]) -> Tried {
    let secret = arguments.first().map_or("", String::as_str);
    let mut held = Vec::new();
    for path in ["secret", "/tmp/secret", "/dev/shm/secret"] {
        if let Err(error) = std::fs::write(path, secret) {
            return Tried::Impossible(format!("write {path}: {error}"));
        }
    }
    let create = libc::IPC_CREAT.cast_unsigned() as usize | 0o666;
    held.push((
        "shared memory",
        call(libc::SYS_shmget, &[KEY, 4096, create]),
    ));
    held.push(("a queue", call(libc::SYS_msgget, &[KEY, create])));
    held.push(("semaphores", call(libc::SYS_semget, &[KEY, 1, create])));
    let open = (libc::O_CREAT | libc::O_RDWR) as usize;
    held.push((
        "a POSIX queue",
        call(libc::SYS_mq_open, &[at(c"tepui-victim"), open, 0o666, 0]),
    ));
    // KEY_SPEC_SESSION_KEYRING
    let ring = (-3_isize).cast_unsigned();
    held.push((
        "a key",
        call(
            libc::SYS_add_key,
            &[
                at(c"user"),
                at(c"tepui-victim"),
                at(secret.as_bytes()),
                secret.len(),
                ring,
            ],
        ),
    ));
    let mut address = vec![1_u8, 0, 0];
    address.extend(b"tepui-victim");
    let listening = call(libc::SYS_socket, &[1, 1, 0]).and_then(|socket| {
        call(
            libc::SYS_bind,
            &[socket, at(address.as_slice()), address.len()],
        )?;
        call(libc::SYS_listen, &[socket, 8])
    });
    held.push(("an abstract socket", listening));
    for (what, answer) in held {
        // What is forbidden to all cannot be held, nor taken.
        if let Err(errno) = answer {
            println!("without {what}: {errno}");
        }
    }
    beat()
}

fn beat() -> Tried {
    let begun = Instant::now();
    for number in 1_u64.. {
        let mut sum = number;
        for round in 0..200_000_u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(round));
        }
        let work =
            std::fs::write("work", sum.to_string()).and_then(|()| std::fs::read_to_string("work"));
        let at = begun.elapsed().as_millis();
        match work {
            Ok(text) if text == sum.to_string() => println!("beat {number} at {at} ms"),
            other => println!("lacks a file at {at} ms: {other:?}"),
        }
        for (what, answer) in needs() {
            if let Err(errno) = answer {
                println!("lacks {what} at {at} ms: {errno}");
            }
        }
        if std::io::stdout().flush().is_err() {
            return Tried::Impossible("stdout is gone".into());
        }
        std::thread::sleep(BEAT);
    }
    Tried::Impossible("time has ended".into())
}

/// Things that the kernel bounds, and that are to be had whatever others take.
fn needs() -> Vec<(&'static str, Answer)> {
    let close = |descriptor: usize| call(libc::SYS_close, &[descriptor]);
    let watch = call(libc::SYS_inotify_init1, &[0]).and_then(|instance| {
        let watched = call(libc::SYS_inotify_add_watch, &[instance, at(c"/tmp"), 2]);
        close(instance)?;
        watched
    });
    let mut id = 0_i32;
    let timer = call(libc::SYS_timer_create, &[1, 0, at_mut(&mut id)]).and_then(|_| {
        call(
            libc::SYS_timer_delete,
            &[usize::try_from(id).unwrap_or_default()],
        )
    });
    let mut pair = [0_i32; 2];
    let pipe = call(libc::SYS_pipe2, &[at_mut(&mut pair), 0]).and_then(|_| {
        close(pair[0].cast_unsigned() as usize)?;
        close(pair[1].cast_unsigned() as usize)
    });
    let socket = call(libc::SYS_socket, &[1, 1, 0]).and_then(close);
    let epoll = call(libc::SYS_epoll_create1, &[0]).and_then(close);
    let page = call(libc::SYS_mmap, &[0, 4096, 3, 0x22, usize::MAX, 0]).and_then(|address| {
        call(libc::SYS_mlock, &[address, 4096])?;
        call(libc::SYS_munmap, &[address, 4096])
    });
    let thread = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(|| ());
    let thread = thread.map(|thread| drop(thread.join()));
    let open = (libc::O_CREAT | libc::O_RDWR) as usize;
    let queue = call(libc::SYS_mq_open, &[at(c"tepui-beat"), open, 0o600, 0]).and_then(|queue| {
        close(queue)?;
        call(libc::SYS_mq_unlink, &[at(c"tepui-beat")])
    });
    vec![
        ("inotify", watch),
        ("a timer", timer),
        ("a pipe", pipe),
        ("a socket", socket),
        ("epoll", epoll),
        ("a locked page", page),
        ("a thread", thread.map(|()| 0).map_err(Into::into)),
        ("a message queue", queue),
    ]
}
