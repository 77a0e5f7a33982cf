//! The limits of a container's cgroup, where this host's version 2 has controllers.

use std::fs;
use std::time::{Duration, Instant};

use agent_kernel::cgroup::Resource as Wait;
use agent_kernel::launch::Streams;
use agent_kernel::{block, facts, process};
use model::sandbox::{
    CpuList, CpuQuota, CpuSet, ExitStatus, HugePages, Io, IoMax, Isolation, Rlimit,
};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;

use crate::Outcome;
use crate::world::{World, limits_of, process_of, same};

/// Whether a controller is there to be tested; says so where it is not.
fn has(world: &World, controller: &str) -> bool {
    let tree = world.host.cgroups();
    let has = tree.is_some_and(|tree| tree.controllers().contains(&controller));
    if !has {
        println!("  left out: cgroup v2 has no {controller} controller here");
    }
    has
}

pub(crate) fn an_init_keeps_next_to_no_memory(world: &World) -> Outcome {
    /// A page for each of a few things; without giving back it is several hundred kB more.
    const ANONYMOUS_KB_MAX: u64 = if cfg!(target_env = "musl") { 160 } else { 400 };
    let plan = world.plan("echo up; sleep 60")?;
    let launched = world.spawn(&plan)?;
    world.wait_for(&plan, "up")?;
    let rollup = format!("/proc/{}/smaps_rollup", launched.pid);
    let deadline = Instant::now() + Duration::from_secs(10);
    let kept = loop {
        // It gives back beside the task's start.
        let rollup = fs::read_to_string(&rollup)?;
        let line = rollup.lines().find(|line| line.starts_with("Anonymous:"));
        let kb = line.and_then(|line| line.split_whitespace().nth(1));
        let kb: u64 = kb.ok_or("no such line")?.parse()?;
        if kb <= ANONYMOUS_KB_MAX || Instant::now() > deadline {
            break kb;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    process::signal(&launched.pidfd, Signal::SIGKILL)?;
    world.end(&plan, &launched)?;
    println!("  {kept} kB");
    same(kept <= ANONYMOUS_KB_MAX, true, &format!("{kept} kB"))
}

pub(crate) fn the_report_tells_what_is_enforced_and_what_is_not(world: &World) -> Outcome {
    let plan = world.plan("true")?;
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let report = launched.enforcement;
    for (isolation, controller) in [
        (Isolation::Cpu, "cpu"),
        (Isolation::Memory, "memory"),
        (Isolation::Pids, "pids"),
    ] {
        let is_enforced = report.enforced.contains(&isolation);
        same(is_enforced, has(world, controller), &format!("{report:?}"))?;
        let is_missing = report.missing.iter().any(|(other, _)| *other == isolation);
        same(is_missing, !is_enforced, &format!("{report:?}"))?;
    }
    same(report.enforced.contains(&Isolation::Root), true, "the root")
}

pub(crate) fn memory_past_the_limit_ends_the_whole_container(world: &World) -> Outcome {
    if !has(world, "memory") {
        return Ok(());
    }
    let mut plan = world.plan("trap '' TERM; sleep 100 & echo ready; head -c 200m /dev/zero | tail -n 1; echo alive; sleep 100")?;
    limits_of(&mut plan).memory_bytes_max = Some(32 << 20);
    let launched = world.spawn(&plan)?;
    let status = world.wait(&plan, &launched)?;
    let cgroup = launched.cgroup.as_ref().ok_or("no cgroup")?;
    let (was_killed, limit) = (cgroup.oom_killed(), cgroup.memory_bytes_max());
    let peak = cgroup.usage().memory_peak_bytes;
    world.forget(&plan, &launched)?;
    same(status, ExitStatus::Signaled(9), &world.output(&plan)?)?;
    same(was_killed, true, "killed for lack of memory")?;
    same(limit, Some(32 << 20), "limit")?;
    same(peak.is_none_or(|bytes| bytes <= 32 << 20), true, "peak")?;
    same(world.output(&plan)?.as_str(), "ready\n", "output")?;
    // A task that keeps within its limit is not blamed.
    let plan = world.plan("exit 1")?;
    let launched = world.spawn(&plan)?;
    world.wait(&plan, &launched)?;
    let was_killed = launched
        .cgroup
        .as_ref()
        .is_some_and(|cgroup| cgroup.oom_killed());
    world.forget(&plan, &launched)?;
    same(was_killed, false, "killed for lack of memory")
}

pub(crate) fn no_more_processes_than_allowed(world: &World) -> Outcome {
    if !has(world, "pids") {
        return Ok(());
    }
    let mut plan = world.plan("for i in $(seq 40); do sleep 5 & done 2>/dev/null; echo all")?;
    limits_of(&mut plan).pids_max = 16;
    let (output, status) = world.run_plan(&plan)?;
    same(output.contains("all"), false, &output)?;
    same(status == ExitStatus::Exited(0), false, &format!("{status}"))
}

pub(crate) fn a_container_reads_its_own_limits_and_cannot_change_them(world: &World) -> Outcome {
    if !(has(world, "cpu") && has(world, "memory") && has(world, "pids")) {
        return Ok(());
    }
    let mut plan = world.plan(
        "cd /sys/fs/cgroup; cat cpu.weight cpu.max memory.max memory.oom.group pids.max
         cat memory.swap.max 2>/dev/null || echo 0
         echo max > memory.max; echo 0 > /sys/fs/cgroup/cgroup.procs; mkdir sub",
    )?;
    limits_of(&mut plan).cpu_weight = 250;
    limits_of(&mut plan).cpu_quota = Some(CpuQuota {
        quota_us: 50_000,
        period_us: 100_000,
    });
    let (output, status) = world.run_plan(&plan)?;
    let lines: Vec<_> = output.lines().take(6).collect();
    let expected = vec!["250", "50000 100000", "67108864", "1", "64", "0"];
    same(lines, expected, &output)?;
    same(status, ExitStatus::Exited(1), "mkdir")?;
    same(output.matches("Read-only file system").count(), 3, &output)
}

pub(crate) fn files_in_memory_are_bounded_in_number(world: &World) -> Outcome {
    let (output, _) = world.run(
        "i=0; while [ $i -lt 300 ]; do true >/tmp/f$i || break; i=$((i+1)); done 2>/dev/null
         i=0; while [ $i -lt 300 ]; do true >/dev/shm/f$i || break; i=$((i+1)); done 2>/dev/null
         ls /tmp | wc -l; ls /dev/shm | wc -l",
    )?;
    // The root directory of each is one of the hundred.
    same(output.as_str(), "99\n99\n", "files")
}

pub(crate) fn writes_to_a_disk_are_no_faster_than_allowed(world: &World) -> Outcome {
    if !has(world, "io") {
        return Ok(());
    }
    let Some((major, minor)) = block::disk_of(&world.directory) else {
        println!("  left out: the tests' files are on no disk");
        return Ok(());
    };
    const MEGABYTE: u64 = 1 << 20;
    let mut plan = world.plan(
        "i=0; while [ $i -lt 4 ]; do head -c 1m /dev/zero >file$i; i=$((i+1)); done; sync; echo done",
    )?;
    limits_of(&mut plan).io_max = Some(IoMax {
        major,
        minor,
        read_bytes_s: None,
        write_bytes_s: Some(MEGABYTE),
    });
    let launched = world.spawn(&plan)?;
    let begun = Instant::now();
    let status = world.end(&plan, &launched)?;
    let report = &launched.enforcement;
    same(
        report.enforced.contains(&Isolation::Io),
        true,
        &format!("{report:?}"),
    )?;
    same(status, ExitStatus::Exited(0), &world.output(&plan)?)?;
    let taken = begun.elapsed();
    println!("  4 MB at 1 MB/s: {taken:?}");
    same(taken > Duration::from_secs(2), true, &format!("{taken:?}"))
}

pub(crate) fn waiting_for_memory_shows_as_pressure(world: &World) -> Outcome {
    if !has(world, "memory") {
        return Ok(());
    }
    let mut plan = world.plan("head -c 200m /dev/zero | tail -n 1")?;
    limits_of(&mut plan).memory_bytes_max = Some(32 << 20);
    let launched = world.spawn(&plan)?;
    world.wait(&plan, &launched)?;
    let cgroup = launched.cgroup.as_ref().ok_or("no cgroup")?;
    let found = Wait::ALL.map(|resource| cgroup.pressure(resource));
    let swap = cgroup.usage().swap_bytes;
    world.forget(&plan, &launched)?;
    for (resource, found) in Wait::ALL.into_iter().zip(found) {
        match found {
            Some(found) => println!("  {}: {found:?}", resource.name()),
            // A kernel may keep no such account.
            None => println!("  no pressure of {} here", resource.name()),
        }
    }
    // A container that is killed at its limit waited for memory before.
    let [_, memory, _] = found;
    same(
        memory.is_none_or(|found| found.some > Duration::ZERO),
        true,
        "waited",
    )?;
    same(swap.unwrap_or(0), 0, "swap")
}

pub(crate) fn processor_time_is_shared_by_weight(world: &World) -> Outcome {
    if !has(world, "cpu") {
        return Ok(());
    }
    let busy = |weight| {
        // On one processor, so that there is something to share.
        let mut plan = world.plan("taskset -p 1 $$ >/dev/null; while :; do :; done")?;
        limits_of(&mut plan).cpu_weight = weight;
        world.spawn(&plan).map(|launched| (plan, launched))
    };
    let containers = [busy(100)?, busy(400)?];
    std::thread::sleep(Duration::from_secs(3));
    let mut used = Vec::new();
    for (plan, launched) in &containers {
        let usage = launched.cgroup.as_ref().map(|cgroup| cgroup.usage());
        used.push(usage.and_then(|usage| usage.cpu_user).unwrap_or_default());
        process::signal(&launched.pidfd, Signal::SIGKILL)?;
        world.end(plan, launched)?;
    }
    let ratio = used[1].as_secs_f64() / used[0].as_secs_f64();
    println!("  weights 100 and 400: {used:?}, ratio {ratio:.2}");
    same((2.5..6.0).contains(&ratio), true, &format!("ratio {ratio}"))
}

pub(crate) fn processors_are_a_containers_own_and_change_while_it_runs(world: &World) -> Outcome {
    if !has(world, "cpuset") {
        return Ok(());
    }
    let all: Vec<u32> = facts::processors().iter().map(|(cpu, ..)| *cpu).collect();
    // On a machine of one processor it only stays there.
    let last = all.last().copied().ok_or("no processors")?;
    let mut plan = world.plan(
        "allowed() { grep Cpus_allowed_list /proc/self/status | cut -f 2; }
         allowed; echo up; while [ \"$(allowed)\" != 0 ]; do sleep 0.05; done; allowed
         echo 0-1 > /sys/fs/cgroup/cpuset.cpus",
    )?;
    plan.cgroup.cpus = Some(CpuSet::Own(CpuList(vec![last])));
    let launched = world.spawn(&plan)?;
    let report = &launched.enforcement;
    let is_enforced = report.enforced.contains(&Isolation::Cpuset);
    same(is_enforced, true, &format!("{report:?}"))?;
    world.wait_for(&plan, "up")?;
    let cgroup = launched.cgroup.as_ref().ok_or("no cgroup")?;
    cgroup.run_on(&CpuList(vec![0]))?;
    let status = world.end(&plan, &launched)?;
    let output = world.output(&plan)?;
    let lines: Vec<_> = output.lines().take(3).collect();
    let last = last.to_string();
    same(lines, vec![&*last, "up", "0"], &output)?;
    same(output.contains("Read-only file system"), true, &output)?;
    same(status, ExitStatus::Exited(1), "status")?;
    // What is wanted and not there is told, and the container runs where the others are.
    let mut plan = world.plan("grep Cpus_allowed_list /proc/self/status | cut -f 2")?;
    plan.cgroup.cpus = Some(CpuSet::Lacking {
        shared: CpuList(vec![0]),
        wanted: 9,
    });
    let launched = world.spawn(&plan)?;
    world.end(&plan, &launched)?;
    let missing = &launched.enforcement.missing;
    let why = missing.iter().find(|(one, _)| *one == Isolation::Cpuset);
    let (_, why) = why.ok_or("it is not told")?;
    same(why.contains("9 processors"), true, why)?;
    same(world.output(&plan)?.as_str(), "0\n", "processors")
}

pub(crate) fn memory_is_kept_from_others_and_its_use_slowed_down(world: &World) -> Outcome {
    if !has(world, "memory") {
        return Ok(());
    }
    if block::disk_of(&world.directory).is_none() {
        // What is of no file is not taken back without swap.
        println!("  left out: the tests' files are on no disk");
        return Ok(());
    }
    let mut plan = world.plan(
        "group=/sys/fs/cgroup
         cat $group/memory.min $group/memory.low $group/memory.high $group/memory.max
         head -c 20m /dev/zero > file && stat -c %s file
         grep ^high $group/memory.events",
    )?;
    limits_of(&mut plan).memory_bytes_min = 8 << 20;
    limits_of(&mut plan).memory_bytes_low = 8 << 20;
    limits_of(&mut plan).memory_bytes_high = Some(16 << 20);
    let (output, status) = world.run_plan(&plan)?;
    let lines: Vec<_> = output.lines().collect();
    let marks = vec!["8388608", "8388608", "16777216", "67108864"];
    same(lines.get(..4).unwrap_or_default().to_vec(), marks, &output)?;
    // It goes on, and was held up.
    same(lines.get(4), Some(&"20971520"), &output)?;
    let held_up = lines.get(5).and_then(|line| line.strip_prefix("high "));
    let held_up: u64 = held_up.ok_or("no count")?.parse()?;
    same(held_up > 0, true, &output)?;
    same(status, ExitStatus::Exited(0), "status")
}

pub(crate) fn huge_pages_are_for_those_who_may_have_them(world: &World) -> Outcome {
    if !has(world, "hugetlb") {
        return Ok(());
    }
    const PAGE: u64 = 2 << 20;
    for (allowed, expected) in [
        (0, "No space left on device\n"),
        (PAGE, "No space left on device\n"),
        (2 * PAGE, "taken\n"),
    ] {
        let mut plan = world.plan("probe probe huge_pages")?;
        limits_of(&mut plan).huge_pages = HugePages::of(|size| match size {
            "2MB" => allowed,
            _ => 0,
        });
        let launched = world.spawn(&plan)?;
        world.end(&plan, &launched)?;
        let report = &launched.enforcement;
        let is_enforced = report.enforced.contains(&Isolation::HugePages);
        same(is_enforced, true, &format!("{report:?}"))?;
        same(world.output(&plan)?.as_str(), expected, "pages")?;
    }
    Ok(())
}

/// Inside a container: takes two huge pages, of a file in memory.
pub(crate) fn take_huge_pages() {
    let taken = memfd_create("pages", MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB)
        .and_then(|file| fallocate(&file, FallocateFlags::empty(), 0, 4 << 20));
    match taken {
        Ok(()) => println!("taken"),
        Err(errno) => println!("{}", errno.desc()),
    }
}

pub(crate) fn limits_of_a_task_bind_it_and_not_its_init(world: &World) -> Outcome {
    let mut plan = world.plan("ulimit -n; ulimit -c; ulimit -f; echo x >file; ulimit -Hn")?;
    // The C library's numbers are signed or not, by the library.
    let limit = |resource: Resource, soft, hard| Rlimit {
        resource: resource as u32,
        soft,
        hard,
    };
    process_of(&mut plan).rlimits = vec![
        limit(Resource::RLIMIT_NOFILE, 77, 88),
        limit(Resource::RLIMIT_CORE, 0, 0),
        // Files of no bytes: the task ends by SIGXFSZ, and its init can still tell so.
        limit(Resource::RLIMIT_FSIZE, 0, 0),
    ];
    plan.io = Io::Pipes;
    let launched = world.spawn(&plan)?;
    let Streams::Pipes { stdout, .. } = &launched.streams else {
        return Err("no pipes".into());
    };
    let status = world.end(&plan, &launched)?;
    let mut text = [0; 64];
    let length = nix::unistd::read(stdout, &mut text)?;
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    same(text.as_str(), "77\n0\n0\n", "limits")?;
    same(status, ExitStatus::Signaled(libc::SIGXFSZ), "status")
}
