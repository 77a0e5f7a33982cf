//! Disks that tasks fill: they are stopped at what they asked for, and the node and its neighbours go on.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cases::Case;
use crate::cluster::Lab;

/// In order.
pub(crate) const ALL: &[(&str, Case)] = &[
    (
        "a_task_that_fills_its_disk_is_stopped_there_and_the_node_goes_on",
        fills_the_disk,
    ),
    (
        "a_task_that_asked_for_no_disk_leaves_what_others_were_promised",
        asks_for_nothing,
    ),
    (
        "a_task_that_makes_files_without_end_is_stopped_and_the_node_goes_on",
        fills_the_inodes,
    ),
    (
        "what_a_task_keeps_on_the_disk_is_told_with_its_limit",
        |lab| is_told(lab, false),
    ),
];

/// One megabyte after another, as long as it goes; how many went is told on a file that is there, whose
/// room was taken before.
const FILL: &str = "i=0; while [ $i -lt 6000 ]; do head -c 1m /dev/zero 2>/dev/null | cat >f$i 2>/tmp/said || break; \
     i=$((i+1)); done; rm f0; grep -oE 'quota exceeded|No space left' /tmp/said; echo wrote $i";

fn fills_the_disk(lab: &mut Lab) -> Result<()> {
    fills(lab, "quota exceeded")
}

/// A task that fills its disk is told so in these words, and the node goes on.
pub(crate) fn fills(lab: &Lab, refusal: &str) -> Result<()> {
    let words = ["--cpus", "0.2", "--mem", "64", "--disk", "24", "--", FILL];
    let output = lab.run(&words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains(refusal), "{output:?}");
    let wrote = number(&text, "wrote ")?;
    ensure!((20..=24).contains(&wrote), "{output:?}");
    ensure!(lab.shell("echo still here >f && cat f")? == "still here\n");
    Ok(())
}

fn asks_for_nothing(lab: &mut Lab) -> Result<()> {
    // All that is offered is less than the disk; a node of the tests has 2 GB.
    let text = lab.shell("stat -f -c '%b %S' . ")?;
    let mut numbers = text.split_whitespace();
    let blocks: u64 = numbers.next().context("no blocks")?.parse()?;
    let size: u64 = numbers.next().context("no size")?.parse()?;
    let state = lab.get("/master/state")?;
    let offered = state["slaves"][0]["resources"]["disk"].as_f64();
    let offered = offered.context("no disk")?;
    #[expect(clippy::cast_precision_loss, reason = "megabytes of a small disk")]
    let own = (blocks * size) as f64 / f64::from(1 << 20);
    ensure!(own < offered * 1.5, "{own} MB beside {offered} MB");
    Ok(())
}

fn fills_the_inodes(lab: &mut Lab) -> Result<()> {
    let script = "i=0; while [ $i -lt 3000 ]; do true >f$i || break; i=$((i+1)); done 2>/dev/null; echo made $i";
    let output = lab.run(&["--cpus", "0.2", "--mem", "64", "--disk", "16", "--", script])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let made = number(&text, "made ")?;
    ensure!((900..1_024).contains(&made), "{output:?}");
    ensure!(lab.shell("true >f && echo still here")? == "still here\n");
    Ok(())
}

/// On a node whose disk goes by the weights of containers, or does not.
pub(crate) fn is_told(lab: &mut Lab, goes_by_weights: bool) -> Result<()> {
    let script = "head -c 3m /dev/zero >kept; echo up; sleep 300";
    let mut child = lab
        .tepui(&["run", "--name", "keeper", "--disk", "32", "--", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().context("no output")?, &mut first)?;
    let node = crate::cases::node_of(lab, "keeper")?;
    let address = lab.cluster()?.node(node)?.address.clone();
    let (_, body) = qemu::http::get(&address, "/monitor/statistics")?;
    let explained = lab.tepui(&["explain", "keeper"]).output()?;
    let explained = String::from_utf8(explained.stdout)?;
    let pid = child.id().to_string();
    // So that it kills its task.
    ensure!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()?
            .success()
    );
    child.wait()?;
    let all: Value = serde_json::from_slice(&body)?;
    let all = all.as_array().context("no list")?;
    let statistics = all.iter().map(|one| &one["statistics"]);
    let megabyte = f64::from(1 << 20);
    let mut found = statistics.filter(|one| {
        let used = one["disk_used_bytes"].as_f64().unwrap_or(0.0);
        one["disk_limit_bytes"].as_f64() == Some(32.0 * megabyte)
            && (3.0 * megabyte..5.0 * megabyte).contains(&used)
    });
    ensure!(found.next().is_some(), "{all:#?}");
    let mut rows = explained.lines().map(str::trim_start);
    let io = rows.find(|row| row.starts_with("io "));
    let io = io.context("nothing is told of the disk")?;
    ensure!(io.contains(" enforced ") == goes_by_weights, "{io}");
    ensure!(io.contains("goes by weights") != goes_by_weights, "{io}");
    Ok(())
}

fn number(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .with_context(|| format!("no {name:?} in {text:?}"))?
        .trim()
        .parse()?)
}
