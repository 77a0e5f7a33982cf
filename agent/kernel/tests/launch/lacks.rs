//! What a container was refused for lack of a capability, as the kernel's own check tells it, and which
//! system calls its filter stopped.

use agent_kernel::capability_checks::CapabilityChecks;
use agent_kernel::launch::{Host, spawn};
use agent_kernel::seccomp::Refusals;
use agent_kernel::seccomp_refusals::{Calls, SeccompRefusals};
use model::sandbox::{Capability, Lacks, Seccomp, SeccompAction};

use crate::Outcome;
use crate::filters::all_but;
use crate::world::{World, same};

const CHOWN: Capability = Capability(0);
const NET_BIND_SERVICE: Capability = Capability(10);
const SYS_ADMIN: Capability = Capability(21);

/// The checks of this machine; says so where they cannot be watched.
fn checks() -> Option<CapabilityChecks> {
    match CapabilityChecks::watch() {
        Ok(checks) => Some(checks),
        Err(error) => {
            println!("  left out: {}", crate::world::chain(&error));
            None
        }
    }
}

/// What a line of shell lacks.
fn lacked(world: &World, checks: &CapabilityChecks, script: &str) -> Result<Lacks, String> {
    let run = || {
        let plan = world.plan(script)?;
        let launched = world.spawn(&plan)?;
        world.wait(&plan, &launched)?;
        let cgroup = launched.cgroup.as_ref().ok_or("no cgroup")?;
        let lacks = checks.of(cgroup);
        checks.forget(cgroup);
        same(checks.of(cgroup), Lacks::default(), "forgotten")?;
        world.forget(&plan, &launched)?;
        Ok(lacks)
    };
    run().map_err(|error: Box<dyn std::error::Error>| error.to_string())
}

pub(crate) fn a_capability_that_was_lacking_is_told_by_name(world: &World) -> Outcome {
    let Some(checks) = checks() else {
        return Ok(());
    };
    let lacked = |script| lacked(world, &checks, script);
    // A launch with all its steps, and a shell that lists and reads what it may, lack nothing.
    let nothing =
        lacked("ls -l / /proc/self >/dev/null; cat /etc/passwd; id; ps; touch file; exit 1")?;
    same(nothing, Lacks::default(), "nothing")?;
    let own = |capability| Lacks {
        own: vec![capability],
        ..Lacks::NONE
    };
    same(lacked("touch file; chown 5 file")?, own(CHOWN), "chown")?;
    same(lacked("hostname other")?, own(SYS_ADMIN), "hostname")?;
    let ports = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?;
    if ports.trim().parse::<u16>()? > 99 {
        // The network is the node's: with the capability over its own the task could not do it either.
        let expected = Lacks {
            others: vec![NET_BIND_SERVICE],
            ..Lacks::NONE
        };
        same(lacked("nc -l -p 99 -w 1")?, expected, "port")?;
    }
    Ok(())
}

pub(crate) fn a_call_that_a_filter_stopped_is_told_by_name(world: &World) -> Outcome {
    let refusals = match SeccompRefusals::watch() {
        Ok(refusals) => refusals,
        Err(error) => {
            println!("  left out: {}", crate::world::chain(&error));
            return Ok(());
        }
    };
    let run = |told, filter: Seccomp, script| -> Result<Calls, Box<dyn std::error::Error>> {
        let host = Host::open(world.host.cgroups().cloned(), &world.directory.join("run2"))?;
        let host = host.with_refusals(told);
        let mut plan = world.plan(script)?;
        plan.seccomp = filter;
        let launched = spawn(&host, &plan, None)?;
        world.wait(&plan, &launched)?;
        let cgroup = launched.cgroup.as_ref().ok_or("no cgroup")?;
        let calls = refusals.of(cgroup);
        refusals.forget(cgroup);
        same(refusals.of(cgroup), Calls::default(), "forgotten")?;
        world.forget(&plan, &launched)?;
        Ok(calls)
    };
    let sync = || all_but(&["sync", "syncfs"], SeccompAction::Errno(1));
    let of = |stopped: &[&'static str], logged: &[&'static str]| {
        let all = |names: &[&'static str]| names.iter().map(|name| (*name).into()).collect();
        Calls {
            stopped: all(stopped),
            logged: all(logged),
        }
    };
    let told = |filter, script| run(Refusals::Told, filter, script);
    same(
        told(sync(), "sync; echo; exit 1")?,
        of(&["sync"], &[]),
        "an error",
    )?;
    same(
        told(sync(), "ls -l / /proc/self >/dev/null; ps")?,
        of(&[], &[]),
        "nothing",
    )?;
    let killing = all_but(&["sync"], SeccompAction::KillProcess);
    same(told(killing, "sync")?, of(&["sync"], &[]), "an end")?;
    let logging = all_but(&["sync"], SeccompAction::Log);
    same(told(logging, "sync")?, of(&[], &["sync"]), "a note")?;
    same(
        run(Refusals::Untold, sync(), "sync")?,
        of(&[], &[]),
        "untold",
    )
}
