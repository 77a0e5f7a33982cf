//! Input and output of containers by pipes and terminals.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use agent_kernel::launch::{Launched, Streams};
use agent_kernel::terminal;
use model::sandbox::{ExitStatus, Io, Namespace, Root, WindowSize};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Outcome;
use crate::world::{World, process_of, same};

pub(crate) fn pipes_carry_input_and_both_outputs_apart(world: &World) -> Outcome {
    let mut plan = world
        .plan("read line; echo \"got $line\"; echo oops >&2; cat; echo again >/proc/self/fd/1")?;
    plan.io = Io::Pipes;
    process_of(&mut plan).user.uid = 1000;
    let mut launched = world.spawn(&plan)?;
    let streams = std::mem::replace(&mut launched.streams, Streams::Apart);
    let Streams::Pipes {
        stdin,
        stdout,
        stderr,
        files,
    } = streams
    else {
        return Err(format!("{streams:?}").into());
    };
    let mut stdin = File::from(stdin);
    stdin.write_all(b"one\ntwo\n")?;
    drop(stdin);
    let read = |fd: OwnedFd| -> Result<String, Box<dyn Error>> {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text)?;
        Ok(text)
    };
    same(read(stdout)?.as_str(), "got one\ntwo\nagain\n", "output")?;
    same(read(stderr)?.as_str(), "oops\n", "errors")?;
    let files = files.ok_or("no files")?;
    File::from(files.stdout).write_all(b"a copy\n")?;
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Exited(0),
        "status",
    )?;
    same(
        world.output(&plan)?.as_str(),
        "a copy\n",
        "the sandbox's file",
    )
}

pub(crate) fn a_terminal_has_a_size_sends_signals_and_hangs_up(world: &World) -> Outcome {
    let mut plan = world.plan(
        "tty; stty size; trap 'stty size; echo resized' WINCH; trap 'echo interrupted' INT
         echo ready; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.1; done; echo over",
    )?;
    plan.io = Io::Terminal(WindowSize {
        rows: 20,
        columns: 70,
    });
    process_of(&mut plan).user.uid = 1000;
    let mut launched = world.spawn(&plan)?;
    let mut screen = Screen::of(&mut launched)?;
    screen.wait_for("ready")?;
    same(screen.text.contains("/dev/pts/0"), true, &screen.text)?;
    same(screen.text.contains("20 70"), true, &screen.text)?;
    let bigger = WindowSize {
        rows: 33,
        columns: 99,
    };
    terminal::resize(&screen.terminal, bigger)?;
    same(terminal::size(&screen.terminal)?, bigger, "the size")?;
    screen.wait_for("33 99")?;
    // Ctrl-C.
    screen.terminal.write_all(b"\x03")?;
    screen.wait_for("interrupted")?;
    screen.wait_for("over")?;
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Exited(0),
        "status",
    )?;
    same(screen.is_over(), true, "the end of the terminal")?;

    let mut plan = world.plan("echo ready; sleep 60")?;
    plan.io = Io::Terminal(WindowSize::default());
    let mut launched = world.spawn(&plan)?;
    let mut screen = Screen::of(&mut launched)?;
    screen.wait_for("ready")?;
    drop(screen);
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Signaled(1),
        "hung up",
    )
}

pub(crate) fn a_debugging_process_has_a_terminal_of_its_container(world: &World) -> Outcome {
    let plan = world.plan("echo up; sleep 60")?;
    let parent = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let mut inside = world.plan("tty; ls /dev/pts; read line; echo \"<$line>\"; exit 5")?;
    inside.container = plan.container.child("shell")?;
    inside.joined = [vec![Namespace::Network], inside.namespaces].concat();
    inside.namespaces = Vec::new();
    inside.hostname = None;
    inside.root = Root::Parent;
    inside.mounts = Vec::new();
    inside.sandbox = None;
    process_of(&mut inside).directory = "/".into();
    inside.io = Io::Terminal(WindowSize::default());
    inside.cgroup.limits = None;
    let mut launched = world.spawn_in(&inside, Some(&parent.pidfd))?;
    let mut screen = Screen::of(&mut launched)?;
    screen.wait_for("ptmx")?;
    same(screen.text.starts_with("/dev/pts/0"), true, &screen.text)?;
    screen.terminal.write_all(b"typed\n")?;
    screen.wait_for("<typed>")?;
    same(
        world.end(&inside, &launched)?,
        ExitStatus::Exited(5),
        "status",
    )?;
    agent_kernel::process::signal(&parent.pidfd, nix::sys::signal::Signal::SIGKILL)?;
    world.end(&plan, &parent)?;
    Ok(())
}

pub(crate) fn a_container_without_traces_has_no_sandbox(world: &World) -> Outcome {
    let mut plan = world.plan("echo lost; read line; [ -z \"$line\" ] && exit 4")?;
    plan.sandbox = None;
    plan.io = Io::Nothing;
    plan.mounts
        .retain(|mount| mount.target != crate::world::SANDBOX);
    process_of(&mut plan).directory = "/".into();
    let launched = world.spawn(&plan)?;
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Exited(4),
        "status",
    )
}

/// What a container has written to its terminal.
struct Screen {
    terminal: File,
    text: String,
}

impl Screen {
    fn of(launched: &mut Launched) -> Result<Self, Box<dyn Error>> {
        match std::mem::replace(&mut launched.streams, Streams::Apart) {
            Streams::Terminal { terminal, .. } => Ok(Self {
                terminal: terminal.into(),
                text: String::new(),
            }),
            other => Err(format!("{other:?}").into()),
        }
    }

    fn wait_for(&mut self, text: &str) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.text.contains(text) {
            if Instant::now() > deadline || !self.read()? {
                return Err(format!("no {text:?} in {:?}", self.text).into());
            }
        }
        Ok(())
    }

    /// Reads what is there, or comes soon; false at the end.
    fn read(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::from(100_u8))?;
        let mut chunk = [0; 1024];
        match self.terminal.read(&mut chunk) {
            Ok(length) => {
                self.text += &String::from_utf8_lossy(&chunk[..length]);
                Ok(length > 0)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn is_over(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(self.read(), Ok(false)) {
                return true;
            }
        }
        false
    }
}
