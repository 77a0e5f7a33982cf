//! What a container's processes may ask of the kernel.

use std::sync::Arc;

use model::sandbox::{
    ExitStatus, Isolation, LaunchPlan, Seccomp, SeccompAction, SeccompFilter, SeccompRule,
};

use crate::Outcome;
use crate::nested::{debug, run_in};
use crate::world::{World, same};

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
