//! Containers in containers: what they share with their parent, what is their own, and their ends.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use agent_kernel::launch::Launched;
use agent_kernel::process;
use agent_kernel::sockets::{self, Family};
use model::sandbox::{
    Content, ExitStatus, Isolation, LaunchPlan, Mount, Namespace, Nesting, Network, Root, Run, User,
};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{SockaddrIn, connect};

use crate::Outcome;
use crate::world::{World, process_of, same, sandbox};

/// A container that only holds its namespaces.
fn pod(world: &World) -> Result<(LaunchPlan, Launched), Box<dyn Error>> {
    let mut plan = world.plan("")?;
    plan.run = Run::Hold(User::default());
    plan.cgroup.nesting = Nesting::Limited;
    plan.hostname = Some("the-pod".into());
    let launched = world.spawn(&plan)?;
    Ok((plan, launched))
}

/// A container nested in another, as pods have them.
pub(crate) fn nested(
    world: &World,
    parent: &LaunchPlan,
    script: &str,
) -> Result<LaunchPlan, Box<dyn Error>> {
    let mut plan = world.plan(script)?;
    plan.container = parent.container.child(plan.container.as_str())?;
    plan.hostname = None;
    plan.joined = vec![
        Namespace::User,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Network,
        Namespace::Time,
    ];
    plan.namespaces = vec![Namespace::Pid, Namespace::Mount, Namespace::Cgroup];
    plan.cgroup.limits = None;
    for mount in &mut plan.mounts {
        if mount.target == "/dev/shm" {
            mount.content = Content::OfParent;
        }
    }
    Ok(plan)
}

/// A process in another container.
pub(crate) fn debug(
    world: &World,
    parent: &LaunchPlan,
    script: &str,
) -> Result<LaunchPlan, Box<dyn Error>> {
    let mut plan = nested(world, parent, script)?;
    plan.joined.append(&mut plan.namespaces);
    plan.root = Root::Parent;
    plan.landlock = None;
    plan.mounts.clear();
    Ok(plan)
}

/// Runs a nested container to its end.
pub(crate) fn run_in(
    world: &World,
    parent: &Launched,
    plan: &LaunchPlan,
) -> Result<(String, ExitStatus), Box<dyn Error>> {
    let launched = world.spawn_in(plan, Some(&parent.pidfd))?;
    let status = world.end(plan, &launched)?;
    Ok((world.output(plan)?, status))
}

fn end_pod(world: &World, (plan, launched): &(LaunchPlan, Launched)) -> Outcome {
    process::signal(&launched.pidfd, Signal::SIGTERM)?;
    let status = world.end(plan, launched)?;
    same(status, ExitStatus::Exited(0), "the pod's end")
}

pub(crate) fn containers_of_a_pod_share_what_pods_share_and_nothing_else(world: &World) -> Outcome {
    const SPACES: &str = "for n in user net ipc uts time pid mnt cgroup; do readlink /proc/self/ns/$n; done; hostname";
    let pod = pod(world)?;
    // Both at a time: the kernel gives the number of a namespace again once it is gone.
    let first = nested(
        world,
        &pod.0,
        &format!("echo left >/dev/shm/f; {SPACES}; echo up; sleep 60"),
    )?;
    let script = format!("{SPACES}; cat /dev/shm/f; ls /proc | grep -c '^[0-9]'");
    let second = nested(world, &pod.0, &script)?;
    let running = world.spawn_in(&first, Some(&pod.1.pidfd))?;
    world.wait_for(&first, "up")?;
    let (second, status) = run_in(world, &pod.1, &second)?;
    same(status, ExitStatus::Exited(0), &second)?;
    let output = world.output(&first)?;
    process::signal(&running.pidfd, Signal::SIGKILL)?;
    world.end(&first, &running)?;
    let first = output;
    let (first, second): (Vec<_>, Vec<_>) = (first.lines().collect(), second.lines().collect());
    same(first.len(), 10, "lines")?;
    same(&first[..5], &second[..5], "shared namespaces")?;
    for index in 5..8 {
        same(first[index] == second[index], false, first[index])?;
    }
    same(first[8], "the-pod", "the host name")?;
    same(second[9], "left", "the shared /dev/shm")?;
    // The init, the shell, ls and grep.
    same(second[10].parse::<u32>()? <= 5, true, second[10])?;
    end_pod(world, &pod)
}

pub(crate) fn the_end_of_a_nested_container_is_told_exactly_and_touches_no_other(
    world: &World,
) -> Outcome {
    let pod = pod(world)?;
    let long = nested(world, &pod.0, "echo up; sleep 60")?;
    let other = world.spawn_in(&long, Some(&pod.1.pidfd))?;
    for (script, expected) in [
        ("exit 7", ExitStatus::Exited(7)),
        ("kill -9 $$", ExitStatus::Signaled(9)),
        ("kill -15 $$; sleep 9", ExitStatus::Signaled(15)),
    ] {
        let (output, status) = run_in(world, &pod.1, &nested(world, &pod.0, script)?)?;
        same(status, expected, &output)?;
    }
    world.wait_for(&long, "up")?;
    process::signal(&other.pidfd, Signal::SIGTERM)?;
    let status = world.end(&long, &other)?;
    same(status, ExitStatus::Signaled(15), "the other's end")?;
    end_pod(world, &pod)
}

pub(crate) fn containers_of_a_pod_end_with_it(world: &World) -> Outcome {
    let pod = pod(world)?;
    let inner = nested(world, &pod.0, "echo up; sleep 60")?;
    let launched = world.spawn_in(&inner, Some(&pod.1.pidfd))?;
    world.wait_for(&inner, "up")?;
    process::signal(&pod.1.pidfd, Signal::SIGKILL)?;
    let status = world.end(&inner, &launched)?;
    same(status, ExitStatus::Signaled(9), "the nested one's end")?;
    let status = world.end(&pod.0, &pod.1)?;
    same(status, ExitStatus::Signaled(9), "the pod's end")?;
    // Whoever comes late finds no parent.
    let late = nested(world, &pod.0, "true")?;
    match world.spawn_in(&late, Some(&pod.1.pidfd)) {
        Ok(_) => Err("it started in a pod that is gone".into()),
        Err(_) => Ok(()),
    }
}

pub(crate) fn containers_nest_in_nested_ones(world: &World) -> Outcome {
    let pod = pod(world)?;
    let middle = nested(world, &pod.0, "echo up; sleep 60")?;
    let launched = world.spawn_in(&middle, Some(&pod.1.pidfd))?;
    let inner = nested(world, &middle, "hostname; grep ^0:: /proc/self/cgroup")?;
    let (output, _) = run_in(world, &launched, &inner)?;
    same(output.as_str(), "the-pod\n0::/\n", "output")?;
    process::signal(&launched.pidfd, Signal::SIGKILL)?;
    world.end(&middle, &launched)?;
    end_pod(world, &pod)
}

pub(crate) fn a_debugging_process_sees_what_its_container_sees(world: &World) -> Outcome {
    let mut plan = world.plan("echo secret >/tmp/mine; echo up; sleep 60")?;
    process_of(&mut plan).user.uid = 1000;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let mut inside = debug(
        world,
        &plan,
        "cat /tmp/mine; hostname; ps | grep -c '[s]leep 60'; grep ^0:: /proc/self/cgroup; id -u; pwd
         grep Cap /proc/self/status | grep -vc 0000000000000000; exit 3",
    )?;
    process_of(&mut inside).directory = "/tmp".into();
    let (output, status) = run_in(world, &launched, &inside)?;
    let mut lines: Vec<_> = output.lines().collect();
    // Where the container's group is the root, its own is beneath.
    let group = lines.remove(3);
    same(group.starts_with("0::/"), true, group)?;
    let expected = ["secret", "tepui-test", "1", "0", "/tmp", "0"];
    same(lines.as_slice(), &expected, "output")?;
    same(status, ExitStatus::Exited(3), "status")?;
    let (_, status) = run_in(world, &launched, &debug(world, &plan, "kill -15 $$")?)?;
    same(status, ExitStatus::Signaled(15), "a signal")?;
    process::signal(&launched.pidfd, Signal::SIGKILL)?;
    world.end(&plan, &launched)?;
    Ok(())
}

pub(crate) fn a_nested_container_of_its_parents_root_has_mounts_of_its_own(
    world: &World,
) -> Outcome {
    let plan = world.plan("echo parent >/tmp/mine; echo up; sleep 60")?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let mut inner = nested(
        world,
        &plan,
        "cat /tmp/mine; echo nested >file; ls /proc | grep -c '^[0-9]'; cat /proc/interrupts",
    )?;
    inner.root = Root::Parent;
    inner.mounts = vec![
        Mount {
            target: "/proc".into(),
            content: Content::Proc,
        },
        Mount {
            target: "/mnt/mesos/sandbox".into(),
            content: Content::Sandbox,
        },
        Mount {
            target: "/proc/interrupts".into(),
            content: Content::Mask,
        },
    ];
    let (output, status) = run_in(world, &launched, &inner)?;
    same(status, ExitStatus::Exited(0), &output)?;
    let lines: Vec<_> = output.lines().collect();
    same(lines.len(), 2, &output)?;
    same(lines[0], "parent", "the root")?;
    let file = |plan: &LaunchPlan| fs::read_to_string(sandbox(plan).join("file"));
    same(file(&inner)?.as_str(), "nested\n", "the sandbox")?;
    same(file(&plan).is_err(), true, "the parent's sandbox")?;
    process::signal(&launched.pidfd, Signal::SIGKILL)?;
    world.end(&plan, &launched)?;
    Ok(())
}

pub(crate) fn a_network_of_its_own_has_a_loopback_device_that_is_up(world: &World) -> Outcome {
    let mut plan = world.plan(
        "tail -n +3 /proc/net/dev | cut -d: -f1; cat /sys/class/net/lo/operstate >/dev/null
         ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; mkfifo quiet
         nc -l -p 7777 <>quiet >got & for n in $(seq 100); do
             echo hello | nc -w 20 127.0.0.1 7777 2>/dev/null && break; sleep 0.1
         done; wait; cat got",
    )?;
    plan.namespaces.push(Namespace::Network);
    plan.network = Network::Own;
    let (output, _) = world.run_plan(&plan)?;
    let words: Vec<_> = output.split_whitespace().collect();
    same(words.first(), Some(&"lo"), &output)?;
    same(words.last(), Some(&"hello"), &output)
}

pub(crate) fn a_socket_is_made_in_the_network_of_a_container(world: &World) -> Outcome {
    const PORT: u16 = 7778;
    let mut plan = world.plan(&format!("nc -l -p {PORT}"))?;
    plan.namespaces.push(Namespace::Network);
    plan.network = Network::Own;
    let launched = world.spawn(&plan)?;
    let address = SockaddrIn::new(127, 0, 0, 1, PORT);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        let socket = sockets::tcp_within(launched.pidfd.as_fd(), Family::V4)?;
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(false)?;
        match connect(stream.as_raw_fd(), &address) {
            Ok(()) => break stream,
            Err(Errno::ECONNREFUSED) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(errno) => return Err(errno.into()),
        }
    };
    same(
        TcpStream::connect(("127.0.0.1", PORT)).is_err(),
        true,
        "nobody listens on this host",
    )?;
    stream.write_all(b"hello")?;
    drop(stream);
    same(world.end(&plan, &launched)?, ExitStatus::Exited(0), "nc")?;
    same(world.output(&plan)?.trim(), "hello", "what was sent")?;
    let gone = sockets::tcp_within(launched.pidfd.as_fd(), Family::V4);
    same(gone.err(), Some(Errno::ESRCH), "a container that is gone")
}

pub(crate) fn limits_of_nested_containers_are_their_own(world: &World) -> Outcome {
    let controllers = world
        .host
        .cgroups()
        .map(|tree| tree.controllers().contains(&"memory"));
    if controllers != Some(true) {
        println!("  left out: cgroup v2 has no memory controller here");
        return Ok(());
    }
    let pod = pod(world)?;
    let mut small = nested(world, &pod.0, "tail /dev/zero")?;
    small.cgroup.limits =
        world
            .plan("")?
            .cgroup
            .limits
            .map(|limits| model::sandbox::CgroupLimits {
                memory_bytes_max: Some(16 << 20),
                ..limits
            });
    let launched = world.spawn_in(&small, Some(&pod.1.pidfd))?;
    let limited = launched.enforcement.enforced.contains(&Isolation::Memory);
    same(limited, true, &format!("{:?}", launched.enforcement))?;
    let status = world.wait(&small, &launched)?;
    same(status, ExitStatus::Signaled(9), "past the limit")?;
    let killed = launched.cgroup.as_ref().map(|cgroup| cgroup.oom_killed());
    same(killed, Some(true), "for lack of memory")?;
    world.forget(&small, &launched)?;
    let (output, _) = run_in(world, &pod.1, &nested(world, &pod.0, "echo alive")?)?;
    same(output.as_str(), "alive\n", "the pod")?;
    end_pod(world, &pod)
}

pub(crate) fn nothing_of_the_agent_is_left_in_a_joined_container(world: &World) -> Outcome {
    let plan = world.plan("echo up; sleep 60")?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let inside = debug(
        world,
        &plan,
        "for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do readlink /proc/$$/fd/$f; done
         ls /root /home 2>/dev/null; cat /proc/$$/environ | tr '\\0' '\\n'",
    )?;
    let (output, _) = run_in(world, &launched, &inside)?;
    let lines: Vec<_> = output.lines().collect();
    same(lines.len(), 4, &output)?;
    same(lines[0], "/dev/null", "standard input")?;
    same(lines[3], "PATH=/bin", "the environment")?;
    process::signal(&launched.pidfd, Signal::SIGKILL)?;
    world.end(&plan, &launched)?;
    same(Path::new(&world.directory).exists(), true, "the world")
}
