//! Rivals: the programs that start the same container, each in its own way.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_kernel::cgroup;
use model::sandbox::{Content, LaunchPlan};

use crate::world::{Network, Prepared, World};
use crate::{Outcome, oci, since_epoch, stamped};

/// A program that starts containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    Tepui,
    Bwrap,
    Crun,
    Runc,
}

impl Rival {
    pub(crate) const ALL: [Self; 4] = [Self::Tepui, Self::Bwrap, Self::Crun, Self::Runc];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tepui => "tepui",
            Self::Bwrap => "bwrap",
            Self::Crun => "crun",
            Self::Runc => "runc",
        }
    }

    /// Starts a container, waits for its end, and gives the time from the call to the first
    /// instruction of the task.
    pub(crate) fn launch(self, world: &World, network: Network) -> Outcome<Duration> {
        let prepared = world.prepare(network, false)?;
        let begun = match self {
            Self::Tepui => {
                let begun = since_epoch();
                let launched = world.spawn(&prepared)?;
                let waited = world_end(world, &prepared, &launched)?;
                return Ok(waited.saturating_sub(begun));
            }
            Self::Bwrap => bwrap(world, &prepared, network)?,
            Self::Crun => bundled(
                world,
                &prepared,
                "usr/bin/crun",
                &["--cgroup-manager=cgroupfs"],
            )?,
            Self::Runc => bundled(world, &prepared, "usr/sbin/runc", &[])?,
        };
        let stamp = stamped(&prepared.sandbox.join("stdout"))?;
        Ok(stamp.saturating_sub(begun))
    }
}

/// The stamp is read before its sandbox goes.
fn world_end(
    world: &World,
    prepared: &Prepared,
    launched: &agent_kernel::launch::Launched,
) -> Outcome<Duration> {
    use std::os::fd::AsFd;
    let pidfd = nix::sys::wait::Id::PIDFd(launched.pidfd.as_fd());
    let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(pidfd, flags)?;
    let stamp = stamped(&prepared.sandbox.join("stdout"));
    world.end(prepared, launched)?;
    stamp
}

fn outputs(sandbox: &Path) -> Outcome<(File, File)> {
    Ok((
        File::create(sandbox.join("stdout"))?,
        File::create(sandbox.join("stderr"))?,
    ))
}

/// A runtime's program with the libraries that came with it; on a node they lie where it looks.
fn program(world: &World, path: &str) -> Command {
    let mut command = Command::new(world.runtimes.join(path));
    if std::process::id() != 1 {
        let folder = |path: &str| world.runtimes.join(path).to_string_lossy().into_owned();
        let folders = [
            folder("lib/x86_64-linux-gnu"),
            folder("usr/lib/x86_64-linux-gnu"),
        ];
        command.env("LD_LIBRARY_PATH", folders.join(":"));
    }
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null());
    command
}

fn finish(mut child: Child, sandbox: &Path) -> Outcome<()> {
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(sandbox.join("stderr")).unwrap_or_default();
    Err(format!("{status}: {}", said.trim()).into())
}

/// bwrap knows no limits: it is put into a group that has them.
fn bwrap(world: &World, prepared: &Prepared, network: Network) -> Outcome<Duration> {
    let plan = &prepared.plan;
    let mut command = program(world, "usr/bin/bwrap");
    command.args([
        "--unshare-user",
        "--uid",
        "0",
        "--gid",
        "0",
        "--unshare-pid",
    ]);
    command.args(["--unshare-ipc", "--unshare-uts", "--unshare-cgroup"]);
    if network == Network::Own {
        command.arg("--unshare-net");
    }
    command.args(["--hostname", "bench", "--new-session", "--cap-drop", "ALL"]);
    command.arg("--ro-bind").arg(world.root()).arg("/");
    for mount in &plan.mounts {
        let target = mount.target.as_str();
        match &mount.content {
            Content::Proc => command.args(["--proc", target]),
            Content::Devices(_) => command.args(["--dev", target]),
            // Its --dev brings both.
            Content::Terminals { .. } => &mut command,
            Content::Tmpfs { .. } if target == "/dev/shm" => &mut command,
            Content::Tmpfs { .. } => command.args(["--tmpfs", target]),
            Content::Bind { source, .. } => command.args(["--ro-bind-try", source, target]),
            Content::Sysfs => command.args(["--ro-bind", "/sys", target]),
            Content::Sandbox => command.arg("--bind").arg(&prepared.sandbox).arg(target),
            Content::Mask if Path::new(target).is_dir() => command.args(["--tmpfs", target]),
            Content::Mask if Path::new(target).exists() => {
                command.args(["--ro-bind", "/dev/null", target])
            }
            Content::ReadOnly if Path::new(target).exists() => {
                command.args(["--ro-bind", target, target])
            }
            _ => &mut command,
        };
    }
    command
        .args(["--chdir", "/mnt/mesos/sandbox"])
        .args(arguments(plan));
    let (stdout, stderr) = outputs(&prepared.sandbox)?;
    command.stdout(stdout).stderr(stderr);
    let begun = since_epoch();
    let group = group(plan)?;
    let child = command.spawn()?;
    if let Some(group) = &group {
        fs::write(group.join("cgroup.procs"), child.id().to_string())?;
    }
    finish(child, &prepared.sandbox)?;
    if let Some(group) = group {
        remove(&group)?;
    }
    Ok(begun)
}

/// Removes a group whose last process may be on its way out.
fn remove(group: &Path) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            removed => return Ok(removed?),
        }
    }
}

/// A group with the limits of the plan, as somebody would make one around bwrap; none on a host
/// without version 2.
fn group(plan: &LaunchPlan) -> Outcome<Option<PathBuf>> {
    let Some(mount) = cgroup::mount_point() else {
        return Ok(None);
    };
    let group = mount.join(format!("bwrap-{}", plan.container));
    fs::create_dir(&group)?;
    let Some(limits) = plan.cgroup.limits else {
        return Ok(Some(group));
    };
    let memory = limits
        .memory_bytes_max
        .map_or("max".into(), |max| max.to_string());
    for (file, value) in [
        ("cpu.weight", limits.cpu_weight.to_string()),
        ("memory.max", memory),
        ("memory.swap.max", "0".into()),
        ("pids.max", limits.pids_max.to_string()),
    ] {
        let file = group.join(file);
        // A controller that is not there limits nobody else either.
        if file.exists() {
            fs::write(file, value)?;
        }
    }
    Ok(Some(group))
}

pub(crate) fn arguments(plan: &LaunchPlan) -> Vec<String> {
    match &plan.run {
        model::sandbox::Run::Process(process) => process.arguments.clone(),
        model::sandbox::Run::Hold(_) => Vec::new(),
    }
}

/// crun and runc read what they are to do from a bundle.
fn bundled(world: &World, prepared: &Prepared, path: &str, options: &[&str]) -> Outcome<Duration> {
    let bundle = world.folder.join("bundle");
    fs::create_dir_all(&bundle)?;
    let document = oci::document(&world.root(), &prepared.sandbox, &prepared.plan);
    fs::write(bundle.join("config.json"), document.to_string())?;
    let mut command = program(world, path);
    command
        .args(options)
        .arg("--root")
        .arg(world.folder.join("state"));
    command.arg("run").arg("--bundle").arg(&bundle);
    command.arg(prepared.plan.container.as_str());
    let (stdout, stderr) = outputs(&prepared.sandbox)?;
    command.stdout(stdout).stderr(stderr);
    let begun = since_epoch();
    let child = command.spawn()?;
    finish(child, &prepared.sandbox)?;
    Ok(begun)
}
