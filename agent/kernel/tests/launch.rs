//! Containers really started on this host: what a task sees, what it cannot do, and how it ends.
//!
//! The launcher is this very program, run again as `launch`; hence no standard test harness. Where
//! the host gives no root, no static busybox or no mounts, the tests are left out and say so.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_kernel::launch::{self, Host, LaunchError, Launched};
use agent_kernel::{cgroup, process};
use model::ContainerId;
use model::sandbox::{
    Access, CgroupLimits, Content, DeviceNode, Devices, ExitStatus, IdRange, LaunchPlan, Missing,
    Mount, Namespace, Process, Root, Sandbox, User,
};
use nix::sys::signal::Signal;

type Outcome = Result<(), Box<dyn Error>>;

const BUSYBOX: &str = "/bin/busybox";
const SANDBOX: &str = "/mnt/mesos/sandbox";
const IDS: IdRange = IdRange {
    first: 1_000_000,
    length: 65_536,
};
const TESTS: &[(&str, fn(&World) -> Outcome)] = &[
    ("exit_codes_arrive_exactly", exit_codes_arrive_exactly),
    (
        "death_by_a_signal_is_told_from_exit",
        death_by_a_signal_is_told_from_exit,
    ),
    (
        "every_namespace_is_the_containers_own",
        every_namespace_is_the_containers_own,
    ),
    (
        "there_are_no_capabilities_in_any_set",
        there_are_no_capabilities_in_any_set,
    ),
    (
        "the_root_is_read_only_and_the_sandbox_is_not",
        the_root_is_read_only_and_the_sandbox_is_not,
    ),
    (
        "a_user_of_the_container_owns_its_sandbox",
        a_user_of_the_container_owns_its_sandbox,
    ),
    (
        "only_its_own_processes_are_visible",
        only_its_own_processes_are_visible,
    ),
    (
        "no_descriptor_of_the_agent_leaks",
        no_descriptor_of_the_agent_leaks,
    ),
    (
        "the_nodes_files_are_out_of_reach",
        the_nodes_files_are_out_of_reach,
    ),
    (
        "devices_work_and_none_can_be_made",
        devices_work_and_none_can_be_made,
    ),
    (
        "signals_are_as_a_program_expects_them",
        signals_are_as_a_program_expects_them,
    ),
    (
        "sigterm_reaches_every_process",
        sigterm_reaches_every_process,
    ),
    ("orphans_are_reaped_inside", orphans_are_reaped_inside),
    (
        "what_is_left_over_ends_with_the_task",
        what_is_left_over_ends_with_the_task,
    ),
    (
        "a_killed_container_is_seen_as_killed",
        a_killed_container_is_seen_as_killed,
    ),
    (
        "a_program_that_is_not_there_is_named",
        a_program_that_is_not_there_is_named,
    ),
    (
        "the_step_that_went_wrong_is_named",
        the_step_that_went_wrong_is_named,
    ),
    (
        "output_is_appended_and_links_are_refused",
        output_is_appended_and_links_are_refused,
    ),
    (
        "a_nested_user_namespace_gains_nothing",
        a_nested_user_namespace_gains_nothing,
    ),
    (
        "many_threads_may_launch_at_once",
        many_threads_may_launch_at_once,
    ),
    (
        "the_launcher_by_hand_explains_itself",
        the_launcher_by_hand_explains_itself,
    ),
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("launch") {
        launch::enter();
    }
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let world = match World::new() {
        Ok(world) => world,
        Err(reason) => {
            println!("launch tests left out: {reason}");
            return;
        }
    };
    let mut failures = 0;
    for (name, test) in TESTS {
        if filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            continue;
        }
        let start = Instant::now();
        match test(&world) {
            Ok(()) => println!("test {name} ... ok ({} ms)", start.elapsed().as_millis()),
            Err(error) => {
                failures += 1;
                println!("test {name} ... FAILED: {error}");
            }
        }
    }
    drop(world);
    std::process::exit(i32::from(failures > 0));
}

/// A directory with a busybox root, and a host to launch with.
struct World {
    directory: PathBuf,
    host: Host,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl World {
    fn new() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("they need root".into());
        }
        if !Path::new(BUSYBOX).exists() {
            return Err(format!("they need a static {BUSYBOX}"));
        }
        let directory = std::env::temp_dir().join(format!("tepui-launch-{}", std::process::id()));
        let tree = cgroup::mount_point()
            .and_then(|mount| cgroup::root_setup(&mount, cgroup::AgentPlace::Stays).ok());
        let host = Host::open(tree, &directory.join("run")).map_err(|error| error.to_string())?;
        let world = Self { directory, host };
        world.make_root().map_err(|error| error.to_string())?;
        let plan = world.plan("true").map_err(|error| error.to_string())?;
        match launch::spawn(&world.host, &plan) {
            Ok(launched) => {
                world
                    .end(&plan, &launched)
                    .map_err(|error| error.to_string())?;
                Ok(world)
            }
            Err(LaunchError::Step { step, source }) if source as i32 == libc::EPERM => {
                Err(format!("this host refuses: {step}: {source}"))
            }
            Err(error) => {
                println!("the first launch: {}", chain(&error));
                std::process::exit(1);
            }
        }
    }

    fn make_root(&self) -> Result<(), Box<dyn Error>> {
        let root = self.root();
        for directory in [
            "bin",
            "etc",
            "dev",
            "proc",
            "sys",
            "tmp",
            "mnt/mesos/sandbox",
        ] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
        fs::copy(BUSYBOX, root.join("bin/busybox"))?;
        for applet in [
            "sh", "cat", "echo", "true", "ls", "readlink", "id", "touch", "sleep", "ps", "kill",
            "hostname", "mkdir", "mknod", "mount", "unshare", "head", "wc", "grep", "seq", "env",
            "pwd", "stat", "setsid", "sort", "tr",
        ] {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// A plan for a line of shell, in a new container with a new sandbox.
    fn plan(&self, script: &str) -> Result<LaunchPlan, Box<dyn Error>> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let container = ContainerId::new(&format!("test-{}-{number}", std::process::id()))?;
        let sandbox = self.directory.join(container.as_str());
        fs::create_dir_all(&sandbox)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Ok(LaunchPlan {
            container,
            hostname: "tepui-test".into(),
            namespaces: vec![
                Namespace::User,
                Namespace::Pid,
                Namespace::Mount,
                Namespace::Ipc,
                Namespace::Uts,
                Namespace::Cgroup,
            ],
            ids: IDS,
            root: Root {
                source: text(&self.root()),
                access: Access::ReadOnly,
            },
            mounts: mounts(),
            sandbox: Sandbox {
                source: text(&sandbox),
                stdout: "stdout".into(),
                stderr: "stderr".into(),
            },
            process: Process {
                program: "/bin/sh".into(),
                arguments: vec!["sh".into(), "-c".into(), script.into()],
                environment: vec![("PATH".into(), "/bin".into())],
                directory: SANDBOX.into(),
                user: User::default(),
                rlimits: Vec::new(),
            },
            capabilities: Vec::new(),
            cgroup: CgroupLimits {
                cpu_weight: 100,
                cpu_quota: None,
                memory_bytes_max: 64 << 20,
                pids_max: 64,
            },
        })
    }

    /// Runs a line of shell to its end; what it wrote, and how it ended.
    fn run(&self, script: &str) -> Result<(String, ExitStatus), Box<dyn Error>> {
        self.run_plan(&self.plan(script)?)
    }

    fn run_plan(&self, plan: &LaunchPlan) -> Result<(String, ExitStatus), Box<dyn Error>> {
        let launched = self.spawn(plan)?;
        let status = self.end(plan, &launched)?;
        Ok((self.output(plan)?, status))
    }

    fn spawn(&self, plan: &LaunchPlan) -> Result<Launched, Box<dyn Error>> {
        launch::spawn(&self.host, plan).map_err(|error| chain(&error).into())
    }

    /// Waits for the end of a container, as the agent does.
    fn end(&self, plan: &LaunchPlan, launched: &Launched) -> Result<ExitStatus, Box<dyn Error>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            // Statuses of other containers are left to whoever started them: by number only.
            if let Some(status) = reaped(launched.pid) {
                if let Some(cgroup) = &launched.cgroup {
                    cgroup.remove()?;
                }
                let status = self.host.exit_status(&plan.container, status);
                self.host.forget(&plan.container);
                return Ok(status);
            }
            if Instant::now() > deadline {
                process::signal(&launched.pidfd, Signal::SIGKILL)?;
                return Err(format!("no end of {}: {}", plan.container, self.output(plan)?).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn output(&self, plan: &LaunchPlan) -> Result<String, Box<dyn Error>> {
        let sandbox = Path::new(&plan.sandbox.source);
        let mut text = fs::read_to_string(sandbox.join("stdout"))?;
        text += &fs::read_to_string(sandbox.join("stderr"))?;
        Ok(text)
    }

    /// Waits until a container has written a line.
    fn wait_for(&self, plan: &LaunchPlan, line: &str) -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.output(plan)?.lines().any(|other| other == line) {
            if Instant::now() > deadline {
                return Err(format!("no {line:?} in {:?}", self.output(plan)?).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// The status of one child, where it has ended; those of others are kept for later calls.
fn reaped(pid: process::Pid) -> Option<ExitStatus> {
    static ENDED: std::sync::Mutex<Vec<(process::Pid, ExitStatus)>> =
        std::sync::Mutex::new(Vec::new());
    let mut ended = ENDED.lock().ok()?;
    ended.extend(process::reap());
    let index = ended.iter().position(|(other, _)| *other == pid)?;
    Some(ended.swap_remove(index).1)
}

fn mounts() -> Vec<Mount> {
    let mount = |target: &str, content| Mount {
        target: target.into(),
        content,
    };
    let node = |name: &str, major, minor| DeviceNode {
        name: name.into(),
        major,
        minor,
    };
    let devices = Devices {
        nodes: vec![node("null", 1, 3), node("zero", 1, 5), node("tty", 5, 0)],
        links: vec![("ptmx".into(), "pts/ptmx".into())],
        directories: vec!["pts".into(), "shm".into()],
    };
    let tmpfs = Content::Tmpfs {
        bytes_max: 1 << 20,
        mode: 0o1777,
    };
    let bind = |source: &str| Content::Bind {
        source: source.into(),
        access: Access::ReadOnly,
        missing: Missing::IsLeftOut,
    };
    vec![
        mount("/proc", Content::Proc),
        mount("/dev", Content::Devices(devices)),
        mount("/dev/pts", Content::Terminals { group: 5 }),
        mount("/dev/shm", tmpfs.clone()),
        mount("/sys", bind("/sys")),
        mount("/sys/fs/cgroup", Content::Cgroup),
        mount("/tmp", tmpfs),
        mount(SANDBOX, Content::Sandbox),
        mount("/etc/hosts", bind("/etc/hosts")),
        mount("/etc/nothing", bind("/nonexistent")),
        mount("/proc/sys", Content::ReadOnly),
        mount("/proc/kcore", Content::Mask),
        mount("/proc/scsi", Content::Mask),
        mount("/proc/no-such-file", Content::Mask),
    ]
}

fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T, what: &str) -> Outcome {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}: {got:?}, not {expected:?}").into())
}

fn exit_codes_arrive_exactly(world: &World) -> Outcome {
    for code in [0, 1, 7, 127, 137, 255] {
        let (_, status) = world.run(&format!("exit {code}"))?;
        same(status, ExitStatus::Exited(code), "status")?;
    }
    Ok(())
}

fn death_by_a_signal_is_told_from_exit(world: &World) -> Outcome {
    for signal in [1, 2, 9, 11, 15] {
        let (output, status) = world.run(&format!("kill -{signal} $$; sleep 5"))?;
        same(status, ExitStatus::Signaled(signal), &output)?;
    }
    Ok(())
}

fn every_namespace_is_the_containers_own(world: &World) -> Outcome {
    let (output, _) = world
        .run("for n in user pid mnt ipc uts cgroup net; do readlink /proc/self/ns/$n; done")?;
    let names = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "net"];
    same(output.lines().count(), names.len(), &output)?;
    for (name, inside) in names.into_iter().zip(output.lines()) {
        let outside = fs::read_link(format!("/proc/self/ns/{name}"))?;
        let shared = outside.to_string_lossy() == inside;
        same(shared, name == "net", &format!("{name} is shared"))?;
    }
    let (output, _) =
        world.run("hostname; cat /proc/self/cgroup /proc/self/uid_map | tr -s ' '")?;
    let expected = ["tepui-test", "0::/", " 0 1000000 65536"];
    for line in expected {
        same(
            output.lines().any(|other| other == line),
            true,
            &format!("{line} in {output}"),
        )?;
    }
    Ok(())
}

fn there_are_no_capabilities_in_any_set(world: &World) -> Outcome {
    // Of the task and of its init, as 0 and as another user.
    for uid in [0, 1000] {
        let mut plan = world.plan("cat /proc/self/status; echo; cat /proc/1/status")?;
        plan.process.user.uid = uid;
        let (output, _) = world.run_plan(&plan)?;
        let lines = |start: &str| {
            output
                .lines()
                .filter(|line| line.starts_with(start))
                .count()
        };
        same(lines("Cap"), 10, &output)?;
        for line in output.lines().filter(|line| line.starts_with("Cap")) {
            same(line.ends_with("\t0000000000000000"), true, line)?;
        }
        same(lines("NoNewPrivs:\t1"), 2, &output)?;
        same(
            lines(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")),
            2,
            &output,
        )?;
    }
    Ok(())
}

fn the_root_is_read_only_and_the_sandbox_is_not(world: &World) -> Outcome {
    let (output, status) = world.run(
        "pwd; for d in / /bin /etc /sys /proc/sys/kernel; do touch $d/x 2>/dev/null && echo wrote $d; done
         echo mine > file && cat file && touch /tmp/a /dev/shm/b && echo done",
    )?;
    same(status, ExitStatus::Exited(0), &output)?;
    same(
        output.as_str(),
        "/mnt/mesos/sandbox\nmine\ndone\n",
        "output",
    )
}

fn a_user_of_the_container_owns_its_sandbox(world: &World) -> Outcome {
    let mut plan = world.plan("id -u; id -g; id -G; touch file; stat -c %u:%g file . /bin")?;
    plan.process.user = User {
        uid: 33,
        gid: 34,
        groups: vec![4],
    };
    let (output, _) = world.run_plan(&plan)?;
    same(
        output.as_str(),
        "33\n34\n34 4\n33:34\n33:34\n65534:65534\n",
        "output",
    )?;
    let file = fs::metadata(Path::new(&plan.sandbox.source).join("file"))?;
    let owner = std::os::unix::fs::MetadataExt::uid(&file);
    same(owner, IDS.first + 33, "owner on the node")
}

fn only_its_own_processes_are_visible(world: &World) -> Outcome {
    let (output, _) = world.run("ls /proc | grep '^[0-9]' | sort -n; echo $$")?;
    let pids: Vec<u32> = output
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    same(pids.first(), Some(&1), &output)?;
    same(pids.last(), Some(&2), "the task's own number")?;
    same(pids.iter().all(|pid| *pid < 10), true, &output)
}

fn no_descriptor_of_the_agent_leaks(world: &World) -> Outcome {
    // A descriptor without close-on-exec, as a library may make one.
    let careless = nix::unistd::dup(&fs::File::open("/etc/passwd")?)?;
    let (output, _) = world.run(
        "sleep 1 & for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do readlink /proc/$!/fd/$f; done")?;
    drop(careless);
    let expected = "/dev/null\n/mnt/mesos/sandbox/stdout\n/mnt/mesos/sandbox/stderr\n";
    same(output.as_str(), expected, "descriptors")
}

fn the_nodes_files_are_out_of_reach(world: &World) -> Outcome {
    let here = world.directory.display();
    let (output, _) = world.run(&format!(
        "ls -d {here} /root /home 2>/dev/null; ls /../../..; cat /proc/kcore | wc -c; ls /proc/scsi | wc -l
         cat /proc/1/environ 2>/dev/null; ls /proc/1/root/ /proc/1/fd 2>/dev/null; grep -c ' / /' /proc/self/mountinfo"
    ))?;
    let top: Vec<_> = output.lines().take(7).collect();
    same(
        top,
        vec!["bin", "dev", "etc", "mnt", "proc", "sys", "tmp"],
        &output,
    )?;
    let rest: Vec<_> = output.lines().skip(7).take(2).collect();
    same(rest, vec!["0", "0"], &output)
}

fn devices_work_and_none_can_be_made(world: &World) -> Outcome {
    let (output, _) = world.run(
        "echo gone > /dev/null && head -c 3 /dev/zero | wc -c; ls /dev/pts /dev/ptmx
         mknod disk b 254 0 2>/dev/null && echo made; mount -t tmpfs none /tmp 2>/dev/null && echo mounted
         kill -0 -1; echo",
    )?;
    same(
        output.contains("made") || output.contains("mounted"),
        false,
        &output,
    )?;
    same(output.lines().next(), Some("3"), &output)?;
    same(
        output.lines().any(|line| line == "/dev/ptmx"),
        true,
        &output,
    )
}

fn signals_are_as_a_program_expects_them(world: &World) -> Outcome {
    // Without a shell, which changes some for its own use.
    let mut plan = world.plan("")?;
    plan.process.program = "grep".into();
    plan.process.arguments = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
        .map(Into::into)
        .to_vec();
    let (output, _) = world.run_plan(&plan)?;
    same(
        output.as_str(),
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n",
        "signals",
    )
}

fn sigterm_reaches_every_process(world: &World) -> Outcome {
    let script = "trap 'echo outer; wait; exit 3' TERM
        sh -c 'trap \"echo inner; exit\" TERM; echo ready; while :; do sleep 0.05; done' &
        wait; wait";
    let plan = world.plan(script)?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "ready")?;
    process::signal(&launched.pidfd, Signal::SIGTERM)?;
    let status = world.end(&plan, &launched)?;
    let output = world.output(&plan)?;
    same(status, ExitStatus::Exited(3), &output)?;
    for line in ["inner", "outer"] {
        same(output.contains(line), true, &output)?;
    }
    // And one that does not listen ends by it.
    let plan = world.plan("echo ready; while :; do sleep 1; done")?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "ready")?;
    process::signal(&launched.pidfd, Signal::SIGTERM)?;
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Signaled(15),
        "status",
    )
}

fn orphans_are_reaped_inside(world: &World) -> Outcome {
    // Twenty processes whose parents end at once; none may stay as a zombie.
    let (output, _) = world.run(
        "for i in $(seq 20); do sh -c 'sleep 0.1 &'; done; sleep 0.5
         grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; ls -d /proc/[0-9]* | wc -l",
    )?;
    let left: u32 = output.trim().parse()?;
    same(left <= 4, true, &output)
}

fn what_is_left_over_ends_with_the_task(world: &World) -> Outcome {
    let plan =
        world.plan("setsid sh -c 'echo ready; while :; do sleep 1; done' & sleep 0.2; exit 4")?;
    let launched = world.spawn(&plan)?;
    // `end` removes the cgroup, which a process left over would not allow.
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Exited(4),
        "status",
    )
}

fn a_killed_container_is_seen_as_killed(world: &World) -> Outcome {
    let plan = world.plan("trap '' TERM; echo ready; while :; do sleep 1; done")?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "ready")?;
    match &launched.cgroup {
        Some(cgroup) => {
            same(cgroup.is_populated(), true, "populated")?;
            cgroup.kill()?;
        }
        None => process::signal(&launched.pidfd, Signal::SIGKILL)?,
    }
    same(
        world.end(&plan, &launched)?,
        ExitStatus::Signaled(9),
        "status",
    )
}

fn a_program_that_is_not_there_is_named(world: &World) -> Outcome {
    for (program, errno) in [
        ("/no/such", "ENOENT"),
        ("such", "ENOENT"),
        ("/etc", "EACCES"),
    ] {
        let mut plan = world.plan("")?;
        plan.process.program = program.into();
        let error = launch::spawn(&world.host, &plan)
            .err()
            .ok_or("it started")?;
        let text = chain(&error);
        let expected = format!("execute {program:?}: {errno}");
        same(text.starts_with(&expected), true, &text)?;
        same(leftovers(world, &plan), false, "something is left over")?;
    }
    let mut plan = world.plan("")?;
    plan.process.program = "echo".into();
    plan.process.arguments = vec!["echo".into(), "by name".into()];
    same(world.run_plan(&plan)?.0.as_str(), "by name\n", "output")
}

fn the_step_that_went_wrong_is_named(world: &World) -> Outcome {
    let changes: [(&str, fn(&mut LaunchPlan)); 6] = [
        ("launch: enter directory /none: ENOENT", |plan| {
            plan.process.directory = "/none".into()
        }),
        ("launch: open sandbox /none: ENOENT", |plan| {
            plan.sandbox.source = "/none".into()
        }),
        ("launch: open root /none: ENOENT", |plan| {
            plan.root.source = "/none".into()
        }),
        ("launch: make mount /tmp: ENOENT", |plan| {
            plan.mounts[6].content = Content::Bind {
                source: "/none".into(),
                access: Access::ReadOnly,
                missing: Missing::Fails,
            };
        }),
        ("launch: sethostname: EINVAL", |plan| {
            plan.hostname = "x".repeat(65)
        }),
        ("launch: user 70000:0 is outside", |plan| {
            plan.process.user.uid = 70_000
        }),
    ];
    for (expected, change) in changes {
        let mut plan = world.plan("true")?;
        change(&mut plan);
        let error = launch::spawn(&world.host, &plan)
            .err()
            .ok_or("it started")?;
        same(chain(&error).starts_with(expected), true, &chain(&error))?;
        same(leftovers(world, &plan), false, "something is left over")?;
    }
    Ok(())
}

/// Whether a launch that failed left its cgroup or a child behind.
fn leftovers(world: &World, plan: &LaunchPlan) -> bool {
    let tree = world.host.cgroups();
    let cgroup = tree.is_some_and(|tree| tree.container(&plan.container).path().exists());
    cgroup || world.host.recorded_exit(&plan.container).is_some() || !process::reap().is_empty()
}

fn output_is_appended_and_links_are_refused(world: &World) -> Outcome {
    let plan = world.plan("echo two")?;
    let stdout = Path::new(&plan.sandbox.source).join("stdout");
    fs::write(&stdout, "one\n")?;
    same(world.run_plan(&plan)?.0.as_str(), "one\ntwo\n", "output")?;
    fs::remove_file(&stdout)?;
    symlink("/etc/passwd", &stdout)?;
    let error = launch::spawn(&world.host, &plan)
        .err()
        .ok_or("it followed the link")?;
    let expected = "launch: open stdout in the sandbox: ELOOP";
    same(chain(&error).starts_with(expected), true, &chain(&error))
}

fn a_nested_user_namespace_gains_nothing(world: &World) -> Outcome {
    // Inside one of its own a task has capabilities again, but neither masks nor the root give way.
    let (output, _) = world.run(
        "unshare -Urm sh -c 'umount /proc/kcore && echo unmasked; mount -o remount,rw / && touch /x && echo wrote
         mount -t proc proc /proc && echo proc' 2>/dev/null; echo end",
    )?;
    same(output.as_str(), "end\n", "output")
}

fn many_threads_may_launch_at_once(world: &World) -> Outcome {
    let one = |number: u8| -> Result<bool, String> {
        let text = |error: Box<dyn Error>| error.to_string();
        let plan = world.plan(&format!("exit {number}")).map_err(text)?;
        let (_, status) = world.run_plan(&plan).map_err(text)?;
        Ok(status == ExitStatus::Exited(number))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    (0..8)
                        .map(|n| one(thread * 8 + n))
                        .collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        for thread in threads {
            let good = thread.join().map_err(|_| "a thread panicked")??;
            same(good.iter().all(|good| *good), true, "statuses")?;
        }
        Ok(())
    })
}

fn the_launcher_by_hand_explains_itself(_: &World) -> Outcome {
    let program = std::env::current_exe()?;
    for (arguments, expected) in [
        (vec!["launch"], "started by the agent only"),
        (vec!["launch", "77"], "descriptor 77: EBADF"),
        (vec!["launch", "0"], "not a launch plan"),
    ] {
        // The harness's own reaping stays out of the way: one thread, one child, waited for here.
        let output = std::process::Command::new(&program)
            .args(&arguments)
            .stdin(fs::File::open("/dev/null")?)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        same(text.contains(expected), true, &text)?;
        same(output.status.code(), Some(127), "exit code")?;
    }
    Ok(())
}
