//! World: a node's ground for containers, and the agent's own way to start one on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use agent_core::sandbox::{
    self, Accounts, Class, Command, Demand, DiskFacts, NodeFacts, ParentsNetwork, Policy, Profile,
    RootSpec, Rules, SwitchUser, Wishes,
};
use agent_kernel::cgroup::{self, AgentPlace};
use agent_kernel::launch::{self, Host, Launched};
use agent_kernel::network::Space;
use agent_kernel::process;
use model::ContainerId;
use model::sandbox::{Io, LaunchPlan};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use std::os::fd::AsFd;

use crate::{Options, Outcome, STAMP};

/// What a task of the benchmark asks for.
const DEMAND: fn() -> Demand = || Demand {
    cpus_milli: 100,
    memory_bytes: 32 << 20,
    ..Demand::default()
};

/// Where a static busybox may be: in the initramfs, on a host.
const BUSYBOX: [&str; 2] = ["/usr/share/tepui/rootfs/bin/busybox", "/bin/busybox"];

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// The node's.
    Node,
    /// One of its own. The agent has some ready, as a node's pool does; the others make theirs.
    Own,
}

impl Network {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Own => "own",
        }
    }
}

/// The ground.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) runtimes: PathBuf,
    host: Host,
    policy: Policy,
    seccomp: Profile,
    next: AtomicU32,
}

/// A container to start.
pub(crate) struct Prepared {
    pub(crate) plan: LaunchPlan,
    pub(crate) sandbox: PathBuf,
    space: Option<Space>,
}

impl World {
    pub(crate) fn make(options: &Options) -> Outcome<Self> {
        let folder = PathBuf::from(&options.folder);
        let tree = cgroup::mount_point()
            .and_then(|mount| cgroup::root_setup(&mount, AgentPlace::Stays).ok());
        if tree.is_none() {
            eprintln!("no cgroup v2 within reach: nobody is placed or limited");
        }
        // A node keeps it in memory, an agent on a host with its work.
        let runtime = match std::process::id() {
            1 => PathBuf::from("/run/bench"),
            _ => folder.join("run"),
        };
        let world = Self {
            host: Host::with_program(tree, &runtime, Path::new(&options.agent))?,
            runtimes: PathBuf::from(&options.runtimes),
            policy: Policy::default(),
            seccomp: Profile::built_in(),
            next: AtomicU32::new(0),
            folder,
        };
        world.make_root()?;
        Ok(world)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn make_root(&self) -> Outcome<()> {
        let root = self.root();
        let folders = [
            "bin",
            "etc",
            "dev",
            "proc",
            "sys",
            "tmp",
            "mnt/mesos/sandbox",
        ];
        for folder in folders {
            fs::create_dir_all(root.join(folder))?;
        }
        for file in ["hosts", "hostname", "resolv.conf"] {
            fs::write(root.join("etc").join(file), "")?;
        }
        let found = BUSYBOX.into_iter().find(|path| Path::new(path).exists());
        let busybox = found.ok_or("no static busybox here")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        if fs::symlink_metadata(root.join("bin/sh")).is_err() {
            symlink("busybox", root.join("bin/sh"))?;
        }
        fs::copy("/proc/self/exe", root.join("bin").join(STAMP))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// A new container that runs the stamp, which stays where it is told to.
    pub(crate) fn prepare(&self, network: Network, stays: bool) -> Outcome<Prepared> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let container = ContainerId::new(&format!("bench-{}-{index}", std::process::id()))?;
        let sandbox = self.folder.join("sandboxes").join(container.as_str());
        fs::create_dir_all(&sandbox)?;
        let value = format!("/bin/{STAMP}");
        let mut arguments = vec![value.clone()];
        arguments.extend(stays.then(|| "stays".to_owned()));
        let command = Command::Program { value, arguments };
        let wishes = Wishes {
            network: match network {
                Network::Node => sandbox::Network::Shared,
                Network::Own => sandbox::Network::Loopback,
            },
            ..Wishes::default()
        };
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (root, etc, own) = (
            text(&self.root()),
            text(&self.root().join("etc")),
            text(&sandbox),
        );
        let task = sandbox::TaskSpec {
            container: &container,
            class: Class::Task,
            command: Some(&command),
            environment: &[],
            user: None,
            demand: DEMAND(),
            root: RootSpec::Default,
            directory: None,
            sandbox: Some(&own),
            io: Io::Files,
            volumes: &[],
            wishes: &wishes,
            parents_network: ParentsNetwork::Nodes,
            ports: &[],
        };
        let node = NodeFacts {
            root: &root,
            hostname: "bench",
            etc: &etc,
            ids: sandbox::id_range(index % 1000).ok_or("no ids")?,
            switch_user: SwitchUser::No,
            accounts: Accounts {
                passwd: "",
                group: "",
            },
            rules: Rules::default(),
            connection: None,
            cpus: None,
            disk: DiskFacts::default(),
            policy: &self.policy,
            seccomp: &self.seccomp,
            usual_seccomp: &self.seccomp,
            view: None,
        };
        let plan = sandbox::plan(&task, &node)?;
        let space = match plan.network {
            model::sandbox::Network::Ready { .. } => Some(Space::make()?),
            _ => None,
        };
        Ok(Prepared {
            plan,
            sandbox,
            space,
        })
    }

    /// Starts it, as the agent does.
    pub(crate) fn spawn(&self, prepared: &Prepared) -> Outcome<Launched> {
        let space = prepared.space.as_ref();
        Ok(launch::spawn_in(&self.host, &prepared.plan, None, space)?)
    }

    /// Waits for its end and clears away what is left but its sandbox: an agent, too, keeps that for a
    /// while, and ext4 looks for a new file's place among all that were removed lately.
    pub(crate) fn end(&self, prepared: &Prepared, launched: &Launched) -> Outcome<()> {
        if !process::is_reaped(&launched.pidfd) {
            waitid(Id::PIDFd(launched.pidfd.as_fd()), WaitPidFlag::WEXITED)?;
        }
        self.host.forget(&prepared.plan.container);
        if let Some(cgroup) = &launched.cgroup {
            cgroup.remove()?;
        }
        Ok(())
    }
}
