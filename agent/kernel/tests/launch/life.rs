//! How containers start, take signals and end.

use std::error::Error;
use std::fs;

use agent_kernel::process;
use model::sandbox::ExitStatus;
use nix::sys::signal::Signal;

use crate::Outcome;
use crate::world::{World, process_of, same};

pub(crate) fn exit_codes_arrive_exactly(world: &World) -> Outcome {
    for code in [0, 1, 7, 127, 137, 255] {
        let (_, status) = world.run(&format!("exit {code}"))?;
        same(status, ExitStatus::Exited(code), "status")?;
    }
    Ok(())
}

pub(crate) fn death_by_a_signal_is_told_from_exit(world: &World) -> Outcome {
    for signal in [1, 2, 9, 11, 15] {
        let (output, status) = world.run(&format!("kill -{signal} $$; sleep 5"))?;
        same(status, ExitStatus::Signaled(signal), &output)?;
    }
    Ok(())
}

pub(crate) fn signals_are_as_a_program_expects_them(world: &World) -> Outcome {
    // Without a shell, which changes some for its own use.
    let mut plan = world.plan("")?;
    process_of(&mut plan).program = "grep".into();
    process_of(&mut plan).arguments = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
        .map(Into::into)
        .to_vec();
    let (output, _) = world.run_plan(&plan)?;
    same(
        output.as_str(),
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n",
        "signals",
    )
}

pub(crate) fn sigterm_reaches_every_process(world: &World) -> Outcome {
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

pub(crate) fn orphans_are_reaped_inside(world: &World) -> Outcome {
    // Twenty processes whose parents end at once; none may stay as a zombie.
    let (output, _) = world.run(
        "for i in $(seq 20); do sh -c 'sleep 0.1 &'; done; sleep 0.5
         grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; ls -d /proc/[0-9]* | wc -l",
    )?;
    let left: u32 = output.trim().parse()?;
    same(left <= 4, true, &output)
}

pub(crate) fn what_is_left_over_ends_with_the_task(world: &World) -> Outcome {
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

pub(crate) fn a_killed_container_is_seen_as_killed(world: &World) -> Outcome {
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

pub(crate) fn many_threads_may_launch_at_once(world: &World) -> Outcome {
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

/// The launcher runs in this program's memory for a while: what belongs to a memory must stay as it is.
pub(crate) fn a_launch_changes_nothing_of_the_agent_itself(world: &World) -> Outcome {
    const RANK: &str = "/proc/self/oom_score_adj";
    let before = fs::read_to_string(RANK)?;
    fs::write(RANK, "7")?;
    let ran = world.run("cat /proc/self/oom_score_adj; grep THP_enabled /proc/self/status");
    let own = fs::read_to_string(RANK)?;
    fs::write(RANK, before.trim())?;
    let status = fs::read_to_string("/proc/self/status")?;
    let (output, _) = ran?;
    same(own.trim(), "7", "the agent's rank")?;
    let lines: Vec<&str> = output.lines().collect();
    same(lines.first().copied(), Some("0"), "the task's rank")?;
    // A kernel before 5.0 does not tell.
    let huge_pages = status.lines().find(|line| line.starts_with("THP_"));
    same(lines.get(1).copied(), huge_pages, "huge pages")
}
