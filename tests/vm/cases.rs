//! The cases, each a promise of the SPECIFICATION; a name is a sentence.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::{Lab, SILENCE_MAX, finish};
use crate::{clients, disk, failures, images, masters, pid_1, upgrades, xfs};

/// A case: fails with what it saw.
pub(crate) type Case = fn(&mut Lab) -> Result<()>;

/// What two nodes do, in order.
const BASICS: &[(&str, Case)] = &[
    ("a_task_prints_and_its_exit_code_is_ours", prints_and_exits),
    (
        "a_task_sees_only_itself_and_may_do_little",
        sees_only_itself,
    ),
    ("a_task_sees_its_own_limits_in_proc", own_limits),
    (
        "a_task_past_its_memory_limit_fails_for_that_reason",
        memory_limit,
    ),
    ("a_fork_bomb_ends_within_its_limits", fork_bomb),
    ("a_launch_that_fails_says_which_step", launch_fails),
    (
        "a_call_that_seccomp_stopped_is_told_with_its_rule",
        stopped_call_is_told,
    ),
    ("a_killed_task_is_told_so", killed),
    (
        "a_mapped_port_is_reached_from_the_host_and_the_container_by_nothing_else",
        mapped_port,
    ),
    ("a_detached_task_is_listed_read_and_killed", detached),
    ("a_node_says_what_it_is", node_endpoints),
    ("pymesos_runs_twenty_tasks_on_two_nodes", clients::pymesos),
    (
        "a_revocable_task_is_ended_for_one_that_waits_for_what_it_was_given",
        clients::preempted,
    ),
    (
        "containers_that_come_and_go_leave_nothing_on_a_node",
        short_soak,
    ),
];

/// Single nodes, and in the end what takes the nodes away.
const ENDS: &[(&str, Case)] = &[
    (
        "a_bad_setting_is_named_and_the_node_powers_off",
        bad_setting,
    ),
    (
        "a_known_disk_is_mounted_again_after_a_power_cut",
        known_disk,
    ),
    (
        "every_launch_test_passes_as_pid_1_of_a_node",
        pid_1::launch_tests,
    ),
    (
        "a_node_of_the_old_kernel_runs_tasks_and_powers_off",
        old_kernel,
    ),
    (
        "a_node_that_loses_power_becomes_unreachable_and_its_scheduler_hears",
        node_lost,
    ),
    ("nodes_power_off_in_good_order", power_off),
];

/// Every case, in order.
pub(crate) fn all() -> impl Iterator<Item = &'static (&'static str, Case)> {
    BASICS
        .iter()
        .chain(disk::ALL)
        .chain(images::ALL)
        .chain(failures::ALL)
        .chain(upgrades::ALL)
        .chain(masters::ALL)
        .chain(xfs::ALL)
        .chain(ENDS)
}

fn prints_and_exits(lab: &mut Lab) -> Result<()> {
    let words = [
        "--cpus",
        "0.5",
        "--mem",
        "64",
        "--",
        "echo hello from $(hostname); exit 7",
    ];
    let output = lab.run(&words)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        text.starts_with("hello from ") && text.lines().count() == 1,
        "{output:?}"
    );
    ensure!(output.status.code() == Some(7), "{output:?}");
    Ok(())
}

/// More than a launch takes, and less than a node has run by then.
const YOUNG_S: u64 = 20;

fn own_limits(lab: &mut Lab) -> Result<()> {
    // 32 MB, and as much for the executor that the task is reported with. When the task began is told in
    // ticks since the container's own start.
    let text = lab.shell(
        "grep ^MemTotal /proc/meminfo; grep ^SwapTotal /proc/meminfo; cat /proc/swaps | wc -l; \
         nproc; cat /sys/devices/system/cpu/online; grep -c ^processor /proc/cpuinfo; \
         cat /proc/loadavg; head -n 1 /proc/stat; \
         echo $(cut -d. -f1 /proc/uptime) $(cut -d' ' -f22 /proc/self/stat)",
    )?;
    let lines: Vec<_> = text.lines().collect();
    let [
        total,
        swap,
        swaps,
        nproc,
        online,
        described,
        load,
        times,
        ages,
    ] = lines.as_slice()
    else {
        bail!("{text}");
    };
    ensure!(*total == "MemTotal:          65536 kB", "{text}");
    ensure!(*swap == "SwapTotal:             0 kB", "{text}");
    // The nodes have one processor.
    let counts = [*swaps, *nproc, *online, *described];
    ensure!(counts == ["1", "1", "0", "1"], "{text}");
    ensure!(load.split(' ').count() == 5, "{text}");
    ensure!(times.split_whitespace().count() == 11, "{text}");
    let (age, began) = ages.split_once(' ').context("two ages")?;
    let (age, began): (u64, u64) = (age.parse()?, began.parse()?);
    ensure!(
        began / 100 <= age && age < YOUNG_S,
        "the node's uptime: {text}"
    );
    Ok(())
}

fn sees_only_itself(lab: &mut Lab) -> Result<()> {
    let text = lab.shell(
        "grep -E '^(CapEff|CapPrm|CapBnd|CapInh|CapAmb|NoNewPrivs):' /proc/self/status; \
         echo pids $(ls /proc | grep -c '^[0-9]'); \
         cat /proc/self/uid_map; pwd; echo sandbox $MESOS_SANDBOX; \
         touch written && echo wrote; touch /bin/x 2>/dev/null || echo root is read-only; \
         ls /var/lib/mesos 2>/dev/null || echo no node files; \
         mount -t tmpfs t /tmp 2>/dev/null || echo no mount; \
         test -e /dev/vda || echo no disk",
    )?;
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        ensure!(
            text.contains(&format!("{set}:\t0000000000000000")),
            "{set}: {text}"
        );
    }
    let id_map = text
        .lines()
        .find(|line| line.split_whitespace().count() == 3);
    let outside = id_map
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no uid_map")?;
    ensure!(
        outside.parse::<u64>()? > 0,
        "the task's root is the node's: {text}"
    );
    for wanted in [
        "NoNewPrivs:\t1",
        "wrote",
        "root is read-only",
        "no node files",
        "no mount",
        "no disk",
    ] {
        ensure!(text.contains(wanted), "{wanted}: {text}");
    }
    let pids = text.lines().find_map(|line| line.strip_prefix("pids "));
    ensure!(
        pids.is_some_and(|n| n.trim().parse().is_ok_and(|n: u32| n < 8)),
        "{text}"
    );
    let sandbox = text
        .lines()
        .find_map(|line| line.strip_prefix("sandbox "))
        .unwrap_or_default();
    ensure!(
        !sandbox.is_empty() && text.lines().any(|line| line == sandbox),
        "{text}"
    );
    Ok(())
}

fn memory_limit(lab: &mut Lab) -> Result<()> {
    let script = "dd if=/dev/zero of=/dev/null bs=150M count=1; echo survived";
    let output = lab.run(&["--cpus", "0.5", "--mem", "64", "--", script])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        said.contains("REASON_CONTAINER_LIMITATION_MEMORY"),
        "{output:?}"
    );
    ensure!(said.contains("TASK_FAILED"), "{output:?}");
    ensure!(!output.stdout.starts_with(b"survived"), "{output:?}");
    // The node goes on.
    ensure!(lab.shell("echo still here")? == "still here\n");
    let active = lab.get("/master/state")?["activated_slaves"].as_f64();
    ensure!(active == Some(2.0), "{active:?}");
    Ok(())
}

fn fork_bomb(lab: &mut Lab) -> Result<()> {
    let script =
        "i=0; while [ $i -lt 20000 ]; do sleep 30 & i=$((i+1)); done 2>/dev/null; echo done";
    let output = lab.run(&["--cpus", "0.5", "--mem", "64", "--", script])?;
    ensure!(
        !output.status.success(),
        "20 000 processes were allowed: {output:?}"
    );
    ensure!(lab.shell("echo still here")? == "still here\n");
    Ok(())
}

fn launch_fails(lab: &mut Lab) -> Result<()> {
    let output = lab.run(&["--no-shell", "--", "/no/such/program"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        said.contains("/no/such/program") && said.contains("TASK_FAILED"),
        "{output:?}"
    );
    Ok(())
}

fn stopped_call_is_told(lab: &mut Lab) -> Result<()> {
    let script = "unshare -U true; sleep 600";
    let output = lab.run(&["--name", "stopped", "--detach", "--", script])?;
    ensure!(output.status.success(), "{output:?}");
    let (patience, deadline) = (
        Duration::from_secs(30),
        Instant::now() + Duration::from_secs(60),
    );
    loop {
        let told = finish(&mut lab.tepui(&["explain", "stopped"]), patience)?;
        let text = String::from_utf8_lossy(&told.stdout);
        if text
            .contains("  system call unshare: errno 1 as all that no rule allows (profile default)")
        {
            ensure!(!text.contains("system call read"), "{text}");
            break;
        }
        ensure!(Instant::now() < deadline, "{told:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
    let kill = finish(&mut lab.tepui(&["kill", "stopped"]), patience)?;
    ensure!(kill.status.success(), "{kill:?}");
    Ok(())
}

/// Starts a detached task that runs on; its name.
fn detach(lab: &Lab, name: &str) -> Result<()> {
    let script = "echo begun; i=0; while true; do i=$((i+1)); echo tick $i; sleep 1; done";
    let output = lab.run(&["--name", name, "--detach", "--", script])?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

fn killed(lab: &mut Lab) -> Result<()> {
    let mut command = lab.tepui(&[
        "run",
        "--",
        "trap 'echo got it; exit 3' TERM; echo up; sleep 300 & wait",
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().context("no output")?, &mut first)?;
    ensure!(&first == b"up\n", "{first:?}");
    let pid = child.id().to_string();
    ensure!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()?
            .success()
    );
    let begun = Instant::now();
    let output = child.wait_with_output()?;
    ensure!(
        begun.elapsed() < Duration::from_secs(30),
        "the kill took {:?}",
        begun.elapsed()
    );
    ensure!(output.status.code() == Some(130), "{output:?}");
    ensure!(
        String::from_utf8_lossy(&output.stdout).contains("got it"),
        "{output:?}"
    );
    Ok(())
}

/// What answers on a port of any node, or nothing.
fn answer(lab: &Lab, port: u16) -> Option<String> {
    (1..=2).find_map(|node| {
        let address = lab.node_port(node, port).ok()?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    })
}

fn mapped_port(lab: &mut Lab) -> Result<()> {
    const PORT: u16 = 31_080;
    let serve = "while true; do echo served at $MESOS_CONTAINER_IP | nc -l -p 80 >/dev/null; done";
    let begun = lab.run(&[
        "--name",
        "web",
        "--detach",
        "--network",
        "bridge",
        "--publish",
        "31080:80",
        "--",
        serve,
    ])?;
    ensure!(begun.status.success(), "{begun:?}");
    let deadline = Instant::now() + Duration::from_secs(60);
    let text = loop {
        if let Some(text) = answer(lab, PORT) {
            break text;
        }
        ensure!(Instant::now() < deadline, "nobody answers on port {PORT}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let address = text
        .trim()
        .strip_prefix("served at ")
        .context("no address")?;
    let address = address.to_owned();
    ensure!(address.starts_with("172.17."), "{text}");
    let state = lab.get("/master/state")?.to_string();
    ensure!(state.contains(&address), "{address} is not in the state");
    let (node, name) = web_of(lab)?;
    let script = format!(
        "nc -w 3 {address} 80 </dev/null 2>/dev/null | grep served && echo by its address
         nc -w 3 {node} {PORT} </dev/null 2>/dev/null | grep -q served && echo by its port
         nc -w 3 127.0.0.1 80 </dev/null 2>/dev/null | grep served && echo by the loopback
         ip link set eth0 down 2>/dev/null && echo changed a device; ls /sys/class/net; true"
    );
    let near = lab.run(&["--network", "bridge", "--node", &name, "--", &script])?;
    let near = String::from_utf8_lossy(&near.stdout).into_owned();
    ensure!(near == "by its port\neth0\nlo\n", "a neighbour: {near:?}");
    let killed = finish(&mut lab.tepui(&["kill", "web"]), Duration::from_secs(30))?;
    ensure!(killed.status.success(), "{killed:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Some(text) = answer(lab, PORT) {
        ensure!(Instant::now() < deadline, "it goes on: {text}");
    }
    Ok(())
}

/// The address that guests know the node of the task `web` by, and its name.
fn web_of(lab: &Lab) -> Result<(&'static str, String)> {
    let state = lab.get("/master/state")?;
    let frameworks = state["frameworks"].as_array().context("no frameworks")?;
    let mut tasks = frameworks
        .iter()
        .filter_map(|one| one["tasks"].as_array())
        .flatten();
    let web = tasks
        .find(|task| task["name"] == "web")
        .context("no task")?;
    let agents = state["slaves"].as_array().context("no agents")?;
    let agent = agents.iter().find(|agent| agent["id"] == web["slave_id"]);
    let name = agent.and_then(|agent| agent["hostname"].as_str());
    // Of QEMU's network for its guests.
    Ok(("10.0.2.15", name.context("no node")?.to_owned()))
}

fn detached(lab: &mut Lab) -> Result<()> {
    detach(lab, "clock")?;
    let patience = Duration::from_secs(30);
    let listed = finish(&mut lab.tepui(&["tasks", "--json"]), patience)?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.contains("clock"), "{listed}");
    let deadline = Instant::now() + patience;
    loop {
        let logs = finish(&mut lab.tepui(&["logs", "clock"]), patience)?;
        if String::from_utf8_lossy(&logs.stdout).starts_with("begun\ntick 1\n") {
            break;
        }
        ensure!(Instant::now() < deadline, "{logs:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
    let kill = finish(&mut lab.tepui(&["kill", "clock"]), patience)?;
    ensure!(kill.status.success(), "{kill:?}");
    let listed = finish(&mut lab.tepui(&["tasks", "--json"]), patience)?;
    ensure!(
        !String::from_utf8_lossy(&listed.stdout).contains("clock"),
        "{listed:?}"
    );
    Ok(())
}

fn node_endpoints(lab: &mut Lab) -> Result<()> {
    let address = lab.cluster()?.node(1)?.address.clone();
    for path in ["/state", "/slave(1)/state", "/metrics/snapshot"] {
        let (status, body) = qemu::http::get(&address, path)?;
        ensure!(status == 200, "{path}: {status}");
        let value: Value = serde_json::from_slice(&body)?;
        ensure!(value.is_object(), "{path}: {value}");
    }
    let (_, body) = qemu::http::get(&address, "/state")?;
    let state: Value = serde_json::from_slice(&body)?;
    let resources = &state["resources"];
    ensure!(resources["cpus"].as_f64() == Some(1.0), "{resources}");
    ensure!(resources["ports"] == "[31000-32000]", "{resources}");
    let mem = resources["mem"].as_f64().context("no mem")?;
    ensure!((128.0..512.0).contains(&mem), "{resources}");
    let disk = resources["disk"].as_f64().context("no disk")?;
    ensure!(disk > 1000.0, "the blank disk was not grown: {resources}");
    let (status, _) = qemu::http::get(&address, "/files/browse?path=/etc")?;
    ensure!(status == 404, "/etc is to be had: {status}");
    Ok(())
}

/// The long form is `cargo xtask bench soak` by itself.
fn short_soak(lab: &mut Lab) -> Result<()> {
    let address = lab.cluster()?.node(1)?.address.clone();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(lab.root());
    cargo.args(["run", "--quiet", "--package", "xtask", "--"]);
    cargo.args(["bench", "soak", "--agent", &address]);
    cargo.args(["--containers", "8", "--cycles", "48"]);
    let output = finish(&mut cargo, Duration::from_secs(600))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let figures = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{figures}{said}");
    Ok(())
}

fn bad_setting(lab: &mut Lab) -> Result<()> {
    let append = [
        "quiet",
        "tepui.master=10.0.2.2:1",
        "tepui.port=no-number",
        "tepui.no_such=1",
    ];
    let console = lab.boot_alone(&append, None, None)?;
    for wanted in ["tepui.port", "no-number", "tepui.no_such"] {
        ensure!(console.contains(wanted), "{wanted} is not named: {console}");
    }
    ensure!(!console.contains("Kernel panic"), "{console}");
    Ok(())
}

fn known_disk(lab: &mut Lab) -> Result<()> {
    let disk = lab.root().join("target/vm-test-alone/work.disk");
    std::fs::create_dir_all(disk.parent().context("no folder")?)?;
    std::fs::File::create(&disk)?.set_len(1 << 30)?;
    // An address that nobody answers: the node comes up and goes on trying.
    let append = ["quiet", "tepui.master=10.0.2.2:1"];
    let first = lab.boot_alone(&append, Some(disk.clone()), Some("recovered"))?;
    ensure!(first.contains("disk is blank, and is formatted"), "{first}");
    let second = lab.boot_alone(&append, Some(disk), Some("recovered"))?;
    ensure!(second.contains("work disk is mounted"), "{second}");
    ensure!(!second.contains("is formatted"), "{second}");
    Ok(())
}

fn old_kernel(_: &mut Lab) -> Result<()> {
    let mut lab = Lab::start("6.1", 1, 5961, None)?;
    let release = lab.shell("uname -r")?;
    ensure!(release.starts_with("6.1."), "{release}");
    sees_only_itself(&mut lab)?;
    power_off(&mut lab)
}

/// The node, 1 or 2, on which a detached task runs.
pub(crate) fn node_of(lab: &Lab, task: &str) -> Result<usize> {
    let state = lab.get("/master/state")?;
    let slaves = state["slaves"].as_array().context("no slaves")?;
    let frameworks = state["frameworks"].as_array().context("no frameworks")?;
    let mut tasks = frameworks
        .iter()
        .flat_map(|f| f["tasks"].as_array().into_iter().flatten());
    let found = tasks.find(|t| t["name"] == task).context("no such task")?;
    let slave = slaves
        .iter()
        .find(|s| s["id"] == found["slave_id"])
        .context("no such slave")?;
    match slave["hostname"].as_str() {
        Some("node1") => Ok(1),
        Some("node2") => Ok(2),
        other => bail!("an agent is called {other:?}"),
    }
}

fn node_lost(lab: &mut Lab) -> Result<()> {
    let mut command = lab.tepui(&["run", "--name", "victim", "--", "echo up; sleep 600"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().context("no output")?, &mut first)?;
    let node = node_of(lab, "victim")?;
    lab.cluster()?.kill_node(node)?;
    let begun = Instant::now();
    let patience = SILENCE_MAX + Duration::from_secs(20);
    lab.wait_for("/master/state", patience, |state| {
        state["unreachable_slaves"].as_f64() == Some(1.0)
    })?;
    println!("  unreachable after {:.1} s", begun.elapsed().as_secs_f64());
    let state = lab.get("/master/state")?;
    let frameworks = state["frameworks"].as_array().context("no frameworks")?;
    let mut lost = frameworks
        .iter()
        .flat_map(|f| f["unreachable_tasks"].as_array().into_iter().flatten());
    ensure!(lost.any(|task| task["name"] == "victim"), "{state:#}");
    // The scheduler is told: it says so, and can be told to leave.
    let pid = child.id().to_string();
    std::thread::sleep(Duration::from_secs(1));
    Command::new("kill").args(["-INT", &pid]).status()?;
    std::thread::sleep(Duration::from_millis(500));
    Command::new("kill").args(["-INT", &pid]).status()?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("does not answer"), "{output:?}");
    // The other node serves on.
    ensure!(lab.shell("echo still here")? == "still here\n");
    Ok(())
}

fn power_off(lab: &mut Lab) -> Result<()> {
    let lines = lab.down()?;
    ensure!(
        lines.iter().any(|line| line.ends_with("powered off")),
        "{lines:?}"
    );
    ensure!(
        !lines.iter().any(|line| line.contains("cut off")),
        "{lines:?}"
    );
    Ok(())
}
