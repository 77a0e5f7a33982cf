//! The view of `/proc`: whose text a container sees, how it reads it, and what is left when FUSE dies.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use agent_kernel::boot_mounts::{self, Flags};
use agent_kernel::launch::{Host, Launched};
use agent_kernel::process;
use agent_kernel::procview::{Author, ProcView};
use model::sandbox::{
    Content, CpuQuota, Enforcement, ExitStatus, Isolation, LaunchPlan, Mount, Nesting, Run, Shares,
    User, View, ViewFacts, ViewFile,
};
use nix::sys::signal::Signal;

use crate::Outcome;
use crate::nested::nested;
use crate::world::{World, chain, limits_of, same, sandbox};

/// How long a new connection may take.
const MENDED_MAX: Duration = Duration::from_secs(20);

/// The view that all tests are launched with.
pub(crate) fn start() -> Result<ProcView, String> {
    let author = Author { text, cpus };
    ProcView::start(author).map_err(|error| chain(&error))
}

/// What its facts are, in words; twice what changes all the time, with room for many calls between.
fn text(file: ViewFile, facts: &ViewFacts) -> String {
    let mib = facts.memory_bytes_max.map(|bytes| bytes >> 20);
    match file {
        ViewFile::Meminfo => format!("memory {mib:?}\n"),
        ViewFile::OnlineCpus => format!("cpus {}\n", cpus(facts)),
        ViewFile::Uptime => {
            let age = facts.age.as_nanos();
            format!("{age} {:>3000} {age}\n", "")
        }
        ViewFile::Loadavg => format!("tasks {} running {}\n", facts.tasks, facts.load.running),
        ViewFile::Cpuinfo | ViewFile::Stat | ViewFile::Swaps | ViewFile::Diskstats => {
            format!("{file:?}\n")
        }
    }
}

fn cpus(facts: &ViewFacts) -> u32 {
    let quota = facts
        .cpu_quota
        .map(|cpu| cpu.quota_us.div_ceil(cpu.period_us));
    quota
        .and_then(|cpus| u32::try_from(cpus).ok())
        .unwrap_or(facts.cpus)
}

/// A plan with a view of its own.
fn plan(world: &World, script: &str) -> Result<LaunchPlan, Box<dyn Error>> {
    let mut plan = world.plan(script)?;
    see(&mut plan);
    plan.view = Some(View {
        shares: Shares::Node,
        cpus_milli_apart: 0,
    });
    Ok(plan)
}

fn see(plan: &mut LaunchPlan) {
    let mount = |file: ViewFile| Mount {
        target: file.path().into(),
        content: Content::View(file),
    };
    plan.mounts.extend(ViewFile::ALL.map(mount));
}

/// Whether there is a view here; says so where there is none.
fn has(enforcement: &Enforcement) -> bool {
    let mut missing = enforcement.missing.iter();
    match missing.find(|(isolation, _)| *isolation == Isolation::ProcView) {
        Some((_, why)) => println!("  left out: {why}"),
        None => return enforcement.enforced.contains(&Isolation::ProcView),
    }
    false
}

const READ_ALL: &str = "cat /proc/meminfo /proc/cpuinfo /proc/stat /proc/loadavg /proc/swaps \
                        /proc/diskstats /sys/devices/system/cpu/online";

/// A container that is started and waits to be told to go on.
fn waiting(world: &World, plan: &LaunchPlan) -> Result<Launched, Box<dyn Error>> {
    let launched = world.spawn(plan)?;
    world.wait_for(plan, "ready")?;
    Ok(launched)
}

fn go(plan: &LaunchPlan) -> Outcome {
    Ok(fs::write(sandbox(plan).join("go"), "")?)
}

const AWAIT: &str = "echo ready; while [ ! -e go ]; do sleep 0.02; done";

pub(crate) fn a_container_sees_its_own_limits_and_those_of_no_other(world: &World) -> Outcome {
    let mut small = plan(world, &format!("{AWAIT}; {READ_ALL}"))?;
    limits_of(&mut small).cpu_quota = Some(CpuQuota {
        quota_us: 110_000,
        period_us: 100_000,
    });
    let mut large = plan(world, &format!("{AWAIT}; {READ_ALL}"))?;
    limits_of(&mut large).memory_bytes_max = Some(96 << 20);
    limits_of(&mut large).cpu_quota = Some(CpuQuota {
        quota_us: 350_000,
        period_us: 100_000,
    });
    let both = [(small, 64, 2), (large, 96, 4)];
    let mut running = Vec::new();
    for (plan, ..) in &both {
        running.push(waiting(world, plan)?);
    }
    for ((plan, mib, cpus), launched) in both.iter().zip(&running) {
        go(plan)?;
        same(world.end(plan, launched)?, ExitStatus::Exited(0), "its end")?;
        if !has(&launched.enforcement) {
            continue;
        }
        let output = world.output(plan)?;
        let seen: Vec<_> = output.lines().skip(1).collect();
        let expected = [
            format!("memory Some({mib})"),
            "Cpuinfo".into(),
            "Stat".into(),
            seen.get(3).copied().unwrap_or_default().to_string(),
            "Swaps".into(),
            "Diskstats".into(),
            format!("cpus {cpus}"),
        ];
        same(
            seen,
            expected.iter().map(String::as_str).collect(),
            "what it sees",
        )?;
        same(expected[3].starts_with("tasks "), true, &expected[3])?;
    }
    Ok(())
}

pub(crate) fn what_is_nested_sees_its_own_limits_or_those_that_it_shares(world: &World) -> Outcome {
    let mut pod = plan(world, "")?;
    pod.run = Run::Hold(User::default());
    pod.cgroup.nesting = Nesting::Limited;
    let launched = world.spawn(&pod)?;
    let mut shared = nested(world, &pod, "cat /proc/meminfo")?;
    see(&mut shared);
    let mut own = nested(world, &pod, "cat /proc/meminfo")?;
    see(&mut own);
    own.cgroup.limits = pod.cgroup.limits;
    limits_of(&mut own).memory_bytes_max = Some(40 << 20);
    own.view = pod.view;
    let mut seen = Vec::new();
    for plan in [&shared, &own] {
        let inner = world.spawn_in(plan, Some(&launched.pidfd))?;
        world.end(plan, &inner)?;
        seen.push((world.output(plan)?, has(&inner.enforcement)));
    }
    process::signal(&launched.pidfd, Signal::SIGTERM)?;
    world.end(&pod, &launched)?;
    for ((output, has), mib) in seen.iter().zip([64, 40]) {
        if *has {
            same(
                output.as_str(),
                &format!("memory Some({mib})\n"),
                "what it sees",
            )?;
        }
    }
    Ok(())
}

pub(crate) fn a_view_can_be_read_and_nothing_else(world: &World) -> Outcome {
    let plan = plan(
        world,
        "echo x > /proc/meminfo; chmod 777 /proc/stat; rm /proc/uptime; umount /proc/uptime; \
         ls /proc/meminfo/..; stat -c '%a %s %h' /proc/meminfo; \
         grep -c 'ro,nosuid,nodev,noexec.* - fuse ' /proc/self/mountinfo; cat /proc/meminfo",
    )?;
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    if has(&launched.enforcement) {
        let output = world.output(&plan)?;
        let seen: Vec<_> = output.lines().take(3).collect();
        same(seen, vec!["444 4096 1", "8", "memory Some(64)"], &output)?;
        let refused = output.lines().skip(3).count();
        same(refused, 5, &output)?;
    }
    Ok(())
}

pub(crate) fn a_view_goes_through_pipes(world: &World) -> Outcome {
    // busybox' cat tries sendfile(2) first, which takes a file that says it has 0 bytes to be empty.
    let plan = plan(world, "cat /proc/meminfo | wc -l; cat /proc/swaps | cat")?;
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    if !has(&launched.enforcement) {
        return Ok(());
    }
    let output = world.output(&plan)?;
    same(output.as_str(), "1\nSwaps\n", "through a pipe")
}

pub(crate) fn a_reader_sees_one_text_however_many_calls_it_takes(world: &World) -> Outcome {
    let dd = "/bin/busybox dd bs=100 2>/dev/null";
    let plan = plan(
        world,
        &format!("exec 3< /proc/uptime; {dd} count=1 <&3; sleep 0.3; {dd} <&3; cat /proc/uptime"),
    )?;
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    if !has(&launched.enforcement) {
        return Ok(());
    }
    let output = world.output(&plan)?;
    let texts: Vec<Vec<&str>> = output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let [slow, fresh] = texts.as_slice() else {
        return Err(format!("two texts: {output}").into());
    };
    same(slow.first(), slow.last(), "a text in parts")?;
    same(fresh.first(), fresh.last(), "a text at once")?;
    same(slow == fresh, false, "a later reading")
}

pub(crate) fn a_task_that_reads_in_a_loop_waits_itself(world: &World) -> Outcome {
    // An open is one request.
    let opens = "i=0; while [ $i -lt 3000 ]; do : < /proc/swaps; i=$((i+1)); done";
    let greedy = plan(world, &format!("{AWAIT}; {opens}; echo done"))?;
    let launched = waiting(world, &greedy)?;
    let modest = plan(world, "cat /sys/devices/system/cpu/online")?;
    let begun = Instant::now();
    go(&greedy)?;
    let other = world.spawn(&modest)?;
    world.end(&modest, &other)?;
    world.end(&greedy, &launched)?;
    if !has(&launched.enforcement) {
        return Ok(());
    }
    same(
        world.output(&greedy)?.ends_with("done\n"),
        true,
        "all were answered",
    )?;
    // 2000 are answered at once, and as many in each second.
    let waited = begun.elapsed() >= Duration::from_millis(450);
    same(
        waited,
        true,
        &format!("{:?} for 3000 requests", begun.elapsed()),
    )
}

pub(crate) fn tasks_outlive_the_connection_and_the_next_one_serves_them(world: &World) -> Outcome {
    let script = format!(
        "stat -c %d /proc/uptime; exec 3< /proc/uptime; {AWAIT}; cat <&3 || echo dead; \
         cat /proc/meminfo"
    );
    let old = plan(world, &script)?;
    let launched = waiting(world, &old)?;
    if !has(&launched.enforcement) {
        go(&old)?;
        world.end(&old, &launched)?;
        return Ok(());
    }
    let output = world.output(&old)?;
    let device: u64 = output.lines().next().unwrap_or_default().parse()?;
    abort(world, nix::sys::stat::minor(device))?;
    // New containers tell when the next connection is there.
    let deadline = Instant::now() + MENDED_MAX;
    loop {
        let new = plan(world, "cat /proc/meminfo")?;
        let launched = world.spawn(&new)?;
        let status = world.end(&new, &launched)?;
        same(status, ExitStatus::Exited(0), "a launch without a view")?;
        if launched.enforcement.enforced.contains(&Isolation::ProcView) {
            same(
                world.output(&new)?.as_str(),
                "memory Some(64)\n",
                "a new container",
            )?;
            break;
        }
        same(Instant::now() < deadline, true, "a new connection in time")?;
        std::thread::sleep(Duration::from_millis(20));
    }
    go(&old)?;
    let status = world.end(&old, &launched)?;
    let output = world.output(&old)?;
    same(status, ExitStatus::Exited(0), &output)?;
    let seen: Vec<_> = output.lines().skip(2).take(2).collect();
    same(seen, vec!["dead", "memory Some(64)"], &output)
}

/// Ends a FUSE connection, by the number of its device.
fn abort(world: &World, device: u64) -> Outcome {
    let control = world.directory.join("fusectl");
    fs::create_dir_all(&control)?;
    boot_mounts::mount("fusectl", &control, "fusectl", Flags::empty(), "")?;
    let written = fs::write(control.join(device.to_string()).join("abort"), "1");
    nix::mount::umount(&control)?;
    Ok(written?)
}

pub(crate) fn a_launch_goes_on_without_a_view_and_says_so(world: &World) -> Outcome {
    let host = Host::open(world.host.cgroups().cloned(), &world.directory.join("run2"))?;
    let host = host.with_view(Err("switched off".into()));
    let plan = plan(world, "cat /proc/meminfo")?;
    let launched = agent_kernel::launch::spawn(&host, &plan, None)?;
    let status = world.end(&plan, &launched)?;
    same(status, ExitStatus::Exited(0), "its end")?;
    let wanted = (Isolation::ProcView, "switched off".to_string());
    same(
        launched.enforcement.missing.contains(&wanted),
        true,
        "what is missing",
    )?;
    let output = world.output(&plan)?;
    same(output.starts_with("MemTotal:"), true, "the kernel's own")
}
