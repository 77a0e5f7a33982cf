//! What a container's processes may ask of the kernel.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;

use model::sandbox::{
    Capability, ExitStatus, FileRights, FileRule, Isolation, Landlock, LaunchPlan, Scope, Seccomp,
    SeccompAction, SeccompFilter, SeccompRule,
};

use agent_kernel::landlock::Abi;

use crate::Outcome;
use crate::nested::{debug, run_in};
use crate::world::{SANDBOX, World, process_of, same};

/// A ruleset that keeps to itself and leaves files to the mounts, but for mounts themselves.
pub(crate) fn ruleset() -> Landlock {
    Landlock {
        files: vec![allowed("/", FileRights::Change)],
        sockets: Scope::Container,
        signals: Scope::Namespace,
        ports: None,
    }
}

fn allowed(place: &str, rights: FileRights) -> FileRule {
    FileRule {
        place: place.into(),
        rights,
    }
}

/// Everything is allowed but what is named.
pub(crate) fn all_but(calls: &[&'static str], action: SeccompAction) -> Seccomp {
    Seccomp::Filter(SeccompFilter {
        profile: "test".into(),
        default: SeccompAction::Allow,
        rules: vec![Arc::new(SeccompRule {
            calls: calls.iter().map(|name| (*name).into()).collect(),
            conditions: Vec::new(),
            action,
            why: "".into(),
        })],
        within: None,
    })
}

fn filtered(
    world: &World,
    script: &str,
    seccomp: Seccomp,
) -> Result<LaunchPlan, Box<dyn std::error::Error>> {
    let mut plan = world.plan(script)?;
    plan.seccomp = seccomp;
    Ok(plan)
}

pub(crate) fn refused_calls_are_errors_and_others_are_made(world: &World) -> Outcome {
    let refused = all_but(
        &["mkdir", "mkdirat"],
        SeccompAction::Errno(libc::EXDEV as u16),
    );
    let plan = filtered(
        world,
        "mkdir /tmp/a; touch /tmp/b && echo made; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status",
        refused,
    )?;
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let enforced = &launched.enforcement.enforced;
    same(enforced.contains(&Isolation::Seccomp), true, "told")?;
    let output = world.output(&plan)?;
    let expected = "made\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    same(output.starts_with(expected), true, &output)?;
    let error = "mkdir: can't create directory '/tmp/a': Invalid cross-device link";
    same(output.contains(error), true, &output)?;
    // Without a filter that is told, too.
    let script = "mkdir /tmp/a; grep ^Seccomp: /proc/self/status";
    let plan = filtered(world, script, Seccomp::Unconfined)?;
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let missing = &launched.enforcement.missing;
    let of_seccomp = missing.iter().any(|(what, _)| *what == Isolation::Seccomp);
    same(of_seccomp, true, &format!("{missing:?}"))?;
    same(world.output(&plan)?.as_str(), "Seccomp:\t0\n", "output")
}

pub(crate) fn a_call_that_kills_ends_the_task_by_sigsys(world: &World) -> Outcome {
    let killed = all_but(&["mkdir", "mkdirat"], SeccompAction::KillProcess);
    let plan = filtered(world, "exec mkdir /tmp/a", killed)?;
    let (output, status) = world.run_plan(&plan)?;
    same(status, ExitStatus::Signaled(libc::SIGSYS), &output)
}

pub(crate) fn the_init_of_a_container_has_a_filter_of_its_own(world: &World) -> Outcome {
    let (output, _) = world.run(
        "i=0; while [ $i -lt 50 ]; do grep -q '^Seccomp:.2' /proc/1/status && break; i=$((i+1)); sleep 0.1; done
         grep ^Seccomp: /proc/1/status; sleep 0 & sh -c 'sleep 0 &'; wait; echo end",
    )?;
    same(output.as_str(), "Seccomp:\t2\nend\n", "output")
}

pub(crate) fn a_debugging_process_has_a_filter_too(world: &World) -> Outcome {
    let plan = world.plan("echo up; sleep 60")?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let mut inside = debug(
        world,
        &plan,
        "grep ^Seccomp: /proc/self/status; mkdir /tmp/a",
    )?;
    inside.seccomp = all_but(&["mkdir", "mkdirat"], SeccompAction::Errno(1));
    let (output, _) = run_in(world, &launched, &inside)?;
    agent_kernel::process::signal(&launched.pidfd, nix::sys::signal::Signal::SIGKILL)?;
    world.end(&plan, &launched)?;
    let expected = "Seccomp:\t2\nmkdir: can't create directory '/tmp/a': Operation not permitted\n";
    same(output.as_str(), expected, "output")
}

pub(crate) fn what_no_rule_allows_cannot_be_done_whatever_the_mounts_say(world: &World) -> Outcome {
    let script = format!(
        "touch {SANDBOX}/a /dev/shm/b; touch /tmp/c && echo made; echo gone >/dev/null && echo wrote
         cat /bin/sh | head -c 4 | tail -c 3; echo; echo x >/dev/shm/x; cat /proc/self/comm
         mkdir /tmp/d /tmp/e; touch /tmp/d/f; mv /tmp/d/f /tmp/e/f && echo moved
         echo 500 > /proc/self/oom_score_adj && echo scored"
    );
    let mut plan = world.plan(&script)?;
    let files = vec![
        allowed("/", FileRights::Read),
        allowed("/proc", FileRights::Write),
        allowed("/dev", FileRights::Devices),
        allowed("/tmp", FileRights::Change),
        allowed("/nowhere", FileRights::Change),
    ];
    plan.landlock = Some(Landlock { files, ..ruleset() });
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let (abi, report) = (Abi::current(), launched.enforcement);
    same(report.landlock_abi, abi.0, "ABI")?;
    let told = report.enforced.contains(&Isolation::Landlock);
    same(told, abi.files().is_ok(), &format!("{report:?}"))?;
    if abi.files().is_err() {
        println!("  left out: landlock ABI {}", abi.0);
        return Ok(());
    }
    let output = world.output(&plan)?;
    let kept = "made\nwrote\nELF\ncat\nmoved\nscored\n";
    same(output.starts_with(kept), true, &output)?;
    for refused in [
        "sandbox/a: Permission",
        "shm/b: Permission",
        "shm/x: Permission",
    ] {
        same(
            output.contains(refused),
            true,
            &format!("{refused} in {output}"),
        )?;
    }
    Ok(())
}

pub(crate) fn mounts_are_changed_only_without_rules_for_files(world: &World) -> Outcome {
    let mounting = |files: Vec<FileRule>| {
        let mut plan = world.plan("mount -t tmpfs none /tmp 2>/dev/null && echo mounted")?;
        plan.landlock = Some(Landlock { files, ..ruleset() });
        plan.capabilities.effective = vec![Capability(21)];
        plan.capabilities.bounding = vec![Capability(21)];
        world.run_plan(&plan).map(|(output, _)| output)
    };
    same(mounting(Vec::new())?.as_str(), "mounted\n", "without")?;
    if Abi::current().files().is_ok() {
        same(mounting(ruleset().files)?.as_str(), "", "with rules")?;
    }
    Ok(())
}

pub(crate) fn a_debugging_process_looks_into_what_it_is_beside(world: &World) -> Outcome {
    let mut plan =
        world.plan("trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done")?;
    plan.landlock = Some(Landlock {
        signals: Scope::Container,
        ..ruleset()
    });
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let inside = debug(
        world,
        &plan,
        "readlink /proc/2/cwd; kill -TERM 2 && echo sent",
    )?;
    let (output, _) = run_in(world, &launched, &inside)?;
    same(output, format!("{SANDBOX}\nsent\n"), "beside")?;
    let status = world.end(&plan, &launched)?;
    same(status, ExitStatus::Exited(3), "the task's end")
}

pub(crate) fn abstract_sockets_of_the_node_are_out_of_reach(world: &World) -> Outcome {
    let name = format!("tepui-launch-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name)?;
    let _listener = UnixListener::bind_addr(&address)?;
    let connecting = |sockets| -> Result<_, Box<dyn std::error::Error>> {
        let mut plan = world.plan("")?;
        let process = process_of(&mut plan);
        process.program = "/bin/probe".into();
        process.arguments = ["probe", "probe", &name].map(String::from).to_vec();
        plan.landlock = Some(Landlock {
            sockets,
            ..ruleset()
        });
        let launched = world.spawn(&plan)?;
        world.end(&plan, &launched)?;
        Ok((world.output(&plan)?, launched.enforcement))
    };
    let (open, _) = match connecting(Scope::Namespace) {
        Err(error) if error.to_string().ends_with("No such file or directory") => {
            println!("  left out: this program is not a static one");
            return Ok(());
        }
        other => other?,
    };
    same(open.as_str(), "connected\n", "without a scope")?;
    let (tried, report) = connecting(Scope::Container)?;
    let has_scopes = Abi::current().scopes().is_ok();
    let told = report.enforced.contains(&Isolation::Scopes);
    same(told, has_scopes, &format!("{report:?}"))?;
    let refused = tried.starts_with("Operation not permitted");
    same(refused, has_scopes, &tried)
}

/// What [`abstract_sockets_of_the_node_are_out_of_reach`] runs inside.
pub(crate) fn probe(name: &str) {
    let connected =
        SocketAddr::from_abstract_name(name).and_then(|address| UnixStream::connect_addr(&address));
    match connected {
        Ok(_) => println!("connected"),
        Err(error) => println!("{error}"),
    }
}

pub(crate) fn a_container_that_gets_less_than_the_minimum_is_not_started(world: &World) -> Outcome {
    let mut plan = filtered(world, "echo ran", Seccomp::Unconfined)?;
    plan.required = vec![Isolation::Root, Isolation::Seccomp];
    let Err(refused) = world.spawn(&plan) else {
        return Err("it was started".into());
    };
    let words = "seccomp is required on this agent (--isolation_minimum) and missing: the container is unconfined, as it asked";
    same(refused.to_string().as_str(), words, "refused")?;
    plan.seccomp = all_but(&["swapon"], SeccompAction::Errno(1));
    let (output, _) = world.run_plan(&plan)?;
    same(output.as_str(), "ran\n", "with all that is required")
}

pub(crate) fn a_filter_within_another_allows_what_both_do(world: &World) -> Outcome {
    // What a container brings as a document: it forgets seccomp(2), and would allow mkdir(2).
    let Seccomp::Filter(outer) = all_but(
        &["mkdir", "mkdirat"],
        SeccompAction::Errno(libc::EXDEV as u16),
    ) else {
        return Err("no filter".into());
    };
    let Seccomp::Filter(own) = all_but(
        &["seccomp", "symlink", "symlinkat"],
        SeccompAction::Errno(1),
    ) else {
        return Err("no filter".into());
    };
    let within = Seccomp::Filter(SeccompFilter {
        within: Some(Arc::new(outer)),
        ..own
    });
    let script = "mkdir /tmp/a; ln -s a /tmp/b; touch /tmp/c && echo made";
    let (output, _) = world.run_plan(&filtered(world, script, within)?)?;
    for told in [
        "made\n",
        "mkdir: can't create directory '/tmp/a': Invalid cross-device link",
        "ln: /tmp/b: Operation not permitted",
    ] {
        same(output.contains(told), true, &output)?;
    }
    Ok(())
}
