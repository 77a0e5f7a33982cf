//! A host to launch on: a busybox root, a plan that tests change, and the waiting.

use std::error::Error;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_kernel::launch::{self, Host, LaunchError, Launched};
use agent_kernel::{cgroup, process};
use model::ContainerId;
use model::sandbox::{
    Access, Capabilities, CgroupLimits, CgroupPlan, Content, DeviceAccess, DeviceKind, DeviceNode,
    DeviceRule, Devices, ExitStatus, HugePages, IdRange, Io, LaunchPlan, Missing, Mount, Namespace,
    Nesting, Network, Process, Root, Run, Sandbox, SeccompAction, User,
};
use nix::sys::signal::Signal;

use crate::{Outcome, filters};

/// Where a static busybox may be: on a host, in the initramfs.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/share/tepui/rootfs/bin/busybox"];
pub(crate) const SANDBOX: &str = "/mnt/mesos/sandbox";
pub(crate) const IDS: IdRange = IdRange {
    first: 1_000_000,
    length: 65_536,
};

/// A directory with a busybox root, and a host to launch with.
pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) host: Host,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl World {
    pub(crate) fn new() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("they need root".into());
        }
        let busybox = BUSYBOX.into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.ok_or(format!("they need a static {}", BUSYBOX[0]))?;
        let directory = std::env::temp_dir().join(format!("tepui-launch-{}", std::process::id()));
        let tree = cgroup::mount_point()
            .and_then(|mount| cgroup::root_setup(&mount, cgroup::AgentPlace::Stays).ok());
        let host = Host::open(tree, &directory.join("run")).map_err(|error| error.to_string())?;
        let host = host.with_view(crate::procview::start());
        let world = Self { directory, host };
        world
            .make_root(busybox)
            .map_err(|error| error.to_string())?;
        let plan = world.plan("true").map_err(|error| error.to_string())?;
        match launch::spawn(&world.host, &plan, None) {
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

    fn make_root(&self, busybox: &str) -> Result<(), Box<dyn Error>> {
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
        fs::copy(busybox, root.join("bin/busybox"))?;
        // This program, for what a busybox cannot try; it runs there where it is a static one.
        fs::copy("/proc/self/exe", root.join("bin/probe"))?;
        for applet in [
            "sh", "cat", "echo", "true", "ls", "readlink", "id", "touch", "sleep", "ps", "kill",
            "hostname", "mkdir", "mknod", "mount", "unshare", "head", "wc", "grep", "seq", "env",
            "pwd", "stat", "setsid", "sort", "tr", "umount", "tail", "taskset", "tty", "stty",
            "nc", "ping", "cut", "sync", "ip", "ulimit", "rm", "rmdir", "mv", "chmod", "chown",
            "df",
        ] {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// A plan for a line of shell, in a new container with a new sandbox.
    pub(crate) fn plan(&self, script: &str) -> Result<LaunchPlan, Box<dyn Error>> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let container = ContainerId::new(&format!("test-{}-{number}", std::process::id()))?;
        let sandbox = self.directory.join(container.as_str());
        fs::create_dir_all(&sandbox)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Ok(LaunchPlan {
            container,
            hostname: Some("tepui-test".into()),
            joined: Vec::new(),
            namespaces: vec![
                Namespace::User,
                Namespace::Pid,
                Namespace::Mount,
                Namespace::Ipc,
                Namespace::Uts,
                Namespace::Cgroup,
                Namespace::Time,
            ],
            ids: IDS,
            network: Network::Shared,
            root: Root::Directory {
                source: text(&self.root()),
                access: Access::ReadOnly,
            },
            mounts: mounts(),
            sandbox: Some(Sandbox {
                source: text(&sandbox),
                stdout: "stdout".into(),
                stderr: "stderr".into(),
            }),
            io: Io::Files,
            run: Run::Process(Process {
                program: "/bin/sh".into(),
                arguments: vec!["sh".into(), "-c".into(), script.into()],
                environment: vec![("PATH".into(), "/bin".into())],
                directory: SANDBOX.into(),
                user: User::default(),
                rlimits: Vec::new(),
            }),
            capabilities: Capabilities::default(),
            required: Vec::new(),
            landlock: Some(filters::ruleset()),
            seccomp: filters::all_but(&["swapon"], SeccompAction::Errno(1)),
            oom_score_adj: 0,
            cgroup: CgroupPlan {
                limits: Some(CgroupLimits {
                    cpu_weight: 100,
                    cpu_quota: None,
                    memory_bytes_min: 0,
                    memory_bytes_low: 0,
                    memory_bytes_high: None,
                    huge_pages: HugePages::default(),
                    memory_bytes_max: Some(64 << 20),
                    swap_bytes_max: Some(0),
                    pids_max: 64,
                    io_weight: 100,
                    io_max: None,
                }),
                nesting: Nesting::Shared,
                cpus: None,
                ports: None,
                devices: device_rules(),
            },
            view: None,
            disk: None,
        })
    }

    /// Runs a line of shell to its end; what it wrote, and how it ended.
    pub(crate) fn run(&self, script: &str) -> Result<(String, ExitStatus), Box<dyn Error>> {
        self.run_plan(&self.plan(script)?)
    }

    pub(crate) fn run_plan(
        &self,
        plan: &LaunchPlan,
    ) -> Result<(String, ExitStatus), Box<dyn Error>> {
        let launched = self.spawn(plan)?;
        let status = self.end(plan, &launched)?;
        Ok((self.output(plan)?, status))
    }

    pub(crate) fn spawn(&self, plan: &LaunchPlan) -> Result<Launched, Box<dyn Error>> {
        self.spawn_in(plan, None)
    }

    pub(crate) fn spawn_in(
        &self,
        plan: &LaunchPlan,
        parent: Option<&OwnedFd>,
    ) -> Result<Launched, Box<dyn Error>> {
        launch::spawn(&self.host, plan, parent).map_err(|error| chain(&error).into())
    }

    /// Waits for the end of a container, as the agent does.
    pub(crate) fn end(
        &self,
        plan: &LaunchPlan,
        launched: &Launched,
    ) -> Result<ExitStatus, Box<dyn Error>> {
        let status = self.wait(plan, launched)?;
        self.forget(plan, launched)?;
        Ok(status)
    }

    /// The same, with its traces left to look at.
    pub(crate) fn wait(
        &self,
        plan: &LaunchPlan,
        launched: &Launched,
    ) -> Result<ExitStatus, Box<dyn Error>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = reaped(launched.pid) {
                return Ok(self.host.recorded_exit(&plan.container).unwrap_or(status));
            }
            if Instant::now() > deadline {
                process::signal(&launched.pidfd, Signal::SIGKILL)?;
                return Err(format!("no end of {}: {}", plan.container, self.output(plan)?).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn forget(&self, plan: &LaunchPlan, launched: &Launched) -> Outcome {
        self.host.forget(&plan.container);
        match &launched.cgroup {
            Some(cgroup) => Ok(cgroup.remove()?),
            None => Ok(()),
        }
    }

    pub(crate) fn output(&self, plan: &LaunchPlan) -> Result<String, Box<dyn Error>> {
        let sandbox = sandbox(plan);
        let mut text = fs::read_to_string(sandbox.join("stdout"))?;
        text += &fs::read_to_string(sandbox.join("stderr"))?;
        Ok(text)
    }

    /// Waits until a container has written a line.
    pub(crate) fn wait_for(&self, plan: &LaunchPlan, line: &str) -> Outcome {
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

/// The sandbox of a plan on the node.
pub(crate) fn sandbox(plan: &LaunchPlan) -> &Path {
    let sandbox = plan.sandbox.as_ref();
    Path::new(sandbox.map_or("/nonexistent", |sandbox| sandbox.source.as_str()))
}

/// The process of a plan.
pub(crate) fn process_of(plan: &mut LaunchPlan) -> &mut Process {
    match &mut plan.run {
        Run::Process(process) => process,
        Run::Hold(_) => unreachable!("plans of the tests run something"),
    }
}

/// The limits of a plan.
pub(crate) fn limits_of(plan: &mut LaunchPlan) -> &mut CgroupLimits {
    plan.cgroup
        .limits
        .as_mut()
        .expect("plans of the tests have limits")
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

/// Terminals, null, zero and tty.
fn device_rules() -> Vec<DeviceRule> {
    let all = [
        (136, None),
        (5, Some(2)),
        (1, Some(3)),
        (1, Some(5)),
        (5, Some(0)),
    ];
    let rule = |(major, minor)| DeviceRule {
        kind: DeviceKind::Character,
        major: Some(major),
        minor,
        access: DeviceAccess::ALL,
    };
    all.into_iter().map(rule).collect()
}

fn mounts() -> Vec<Mount> {
    let mount = |target: &str, content| Mount {
        target: target.into(),
        content,
    };
    let node = |name: &str, major, minor| DeviceNode {
        name: name.into(),
        kind: DeviceKind::Character,
        mode: 0o666,
        major,
        minor,
    };
    let devices = Devices {
        nodes: vec![node("null", 1, 3), node("zero", 1, 5), node("tty", 5, 0)],
        links: vec![("ptmx".into(), "pts/ptmx".into())],
        directories: vec!["pts".into(), "shm".into(), "mqueue".into()],
    };
    let tmpfs = Content::Tmpfs {
        bytes_max: 1 << 20,
        inodes_max: 100,
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
        mount("/dev/mqueue", Content::Queues),
        mount("/sys", bind("/sys")),
        mount("/sys/fs/cgroup", Content::Cgroup),
        mount("/tmp", tmpfs),
        mount(SANDBOX, Content::Sandbox),
        mount("/etc/hosts", bind("/etc/hosts")),
        mount("/etc/nothing", bind("/nonexistent")),
        mount("/proc/sys", Content::ReadOnly),
        mount("/proc/interrupts", Content::Mask),
        mount("/proc/fs", Content::Mask),
        mount("/proc/no-such-file", Content::Mask),
    ]
}

pub(crate) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T, what: &str) -> Outcome {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what}: {got:?}, not {expected:?}").into())
}
