//! Nodes whose agent is upgraded in place, with tasks that must not notice, and a node whose hardware's
//! watchdog has to start it again.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qemu::Guest;
use qemu::guest::Watchdog;
use serde_json::Value;

use crate::cases::Case;
use crate::cluster::{Lab, PROGRAMS, finish};
use crate::failures::{self, container, counter, get, lines};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const ALL: &[(&str, Case)] = &[
    (
        "an_agent_is_upgraded_as_pid_1_and_its_tasks_do_not_notice",
        upgraded,
    ),
    (
        "the_hardwares_watchdog_starts_a_node_again_that_stands_still",
        stands_still,
    ),
];

fn key(root: &Path) -> PathBuf {
    root.join("target/vm-test-upgrade.pem")
}

/// The setting of nodes that know the key of these tests, which is made where it is not there.
pub(crate) fn setting(root: &Path) -> Result<String> {
    let tepui = root.join(PROGRAMS).join("tepui");
    let mut command = Command::new(tepui);
    let output = command.arg("key").arg(key(root)).output()?;
    ensure!(output.status.success(), "{output:?}");
    let public = String::from_utf8(output.stdout)?;
    Ok(format!("tepui.upgrade_keys={}", public.trim()))
}

/// A program in a file, for `tepui upgrade`.
fn file(lab: &Lab, name: &str, program: &[u8]) -> Result<PathBuf> {
    let path = lab.root().join(format!("target/vm-test-{name}"));
    std::fs::write(&path, program)?;
    Ok(path)
}

fn upgrade(lab: &Lab, node: usize, program: &Path) -> Result<std::process::Output> {
    let (name, key) = (format!("node{node}"), key(lab.root()));
    let words = ["upgrade", &name, "--key"];
    let mut command = lab.tepui(&words);
    finish(command.arg(key).arg(program), PATIENCE)
}

/// An ELF program for this machine of a few instructions.
fn tiny(code: &[u8]) -> Vec<u8> {
    let at = 0x40_0000_u64;
    let length = 120 + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // ET_EXEC, EM_X86_64.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for number in [at + 120, 64, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for number in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    // One segment, to be read and executed.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for number in [0, at, at, length, length, 4096] {
        file.extend(number.to_le_bytes());
    }
    file.extend(code);
    file
}

fn upgraded(lab: &mut Lab) -> Result<()> {
    // Its view of /proc is held open, and asked all the time.
    let script = "exec 3</proc/meminfo; i=0; while true; do cat /proc/uptime >/dev/null || exit 1; \
                  echo $i; i=$((i+1)); sleep 0.1; done";
    let (node, before) = counter(lab, script)?;
    let own = std::fs::read(lab.root().join(PROGRAMS).join("tepui-agent"))?;
    let mut foreign = own.clone();
    foreign[18] = 243;
    for (name, program, why) in [
        ("text", b"#!/bin/sh\n".to_vec(), "it is no program"),
        ("foreign", foreign, "a program for riscv"),
        (
            "torn",
            own[..own.len() / 2].to_vec(),
            "the program is refused",
        ),
        ("crashes", tiny(b"\x0f\x0b"), "ended without an answer"),
    ] {
        let refused = upgrade(lab, node, &file(lab, name, &program)?)?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(
            !refused.status.success() && said.contains(why),
            "{name}: {said}"
        );
        same(lab, node, &before)?;
    }
    for number in 1..=2_u8 {
        let another = file(lab, "another", &[own.as_slice(), &[number]].concat())?;
        let session = Session::begin(lab)?;
        let begun = Instant::now();
        let done = upgrade(lab, node, &another)?;
        ensure!(done.status.success(), "{done:?}");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        for words in [
            "one command of `tepui exec` ends",
            "until node",
            "the program of its image",
        ] {
            ensure!(said.contains(words), "{words:?} is not in {said:?}");
        }
        session.interrupted()?;
        println!(
            "  upgraded in {:.2} s, from the first byte on: {}",
            begun.elapsed().as_secs_f64(),
            String::from_utf8_lossy(&done.stdout).trim()
        );
        same(lab, node, &before)?;
    }
    // One that fails once it has taken the place.
    failures::ask_to_fail(lab, node, "signal&next=true")?;
    let another = file(lab, "fails", &[own.as_slice(), &[3]].concat())?;
    let undone = upgrade(lab, node, &another)?;
    let said = String::from_utf8_lossy(&undone.stderr).into_owned();
    ensure!(!undone.status.success(), "{undone:?}");
    ensure!(
        said.contains("since the other one failed: SIGSEGV"),
        "{said}"
    );
    same(lab, node, &before)?;
    let state = get(lab, node, "/state")?;
    let counts = &state["tepui_upgrade"]["counts"];
    ensure!(counts["upgrades"].as_f64() == Some(3.0), "{state:#}");
    ensure!(counts["undone"].as_f64() == Some(1.0), "{state:#}");
    ensure!(counts["refused"].as_f64() == Some(4.0), "{state:#}");
    let kill = finish(&mut lab.tepui(&["kill", "counter"]), PATIENCE)?;
    ensure!(kill.status.success(), "{kill:?}");
    let deadline = Instant::now() + PATIENCE;
    while get(lab, node, "/containers")? != Value::Array(Vec::new()) {
        ensure!(Instant::now() < deadline, "the container is still there");
    }
    ensure!(lab.shell("echo still here")? == "still here\n");
    Ok(())
}

/// A command in the task's container, of somebody who waits for its end.
struct Session(std::process::Child);

impl Session {
    /// Begins one, and waits until it runs.
    fn begin(lab: &Lab) -> Result<Self> {
        let mut command = lab.tepui(&["exec", "counter", "sh", "-c", "echo begun; sleep 1234"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut first = [0; 6];
        child
            .stdout
            .as_mut()
            .context("no output")?
            .read_exact(&mut first)?;
        ensure!(&first == b"begun\n", "{first:?}");
        Ok(Self(child))
    }

    /// It ends, with a code that says that it may be tried again, and the reason.
    fn interrupted(mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.0.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It has ended, or is late, which its status tells then.
        self.0.kill()?;
        let ended = self.0.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(
            ended.status.code() == Some(75),
            "{:?}: {said}",
            ended.status
        );
        ensure!(
            said.contains("the agent of this node was upgraded"),
            "{said}"
        );
        Ok(())
    }
}

/// The task goes on, in the same container and without a line that is lost.
fn same(lab: &Lab, node: usize, before: &Value) -> Result<()> {
    let after = container(lab, node)?;
    ensure!(after == *before, "{after:#} was {before:#}");
    let written = lines(lab)?;
    let deadline = Instant::now() + PATIENCE;
    while lines(lab)? < written + 3 {
        ensure!(Instant::now() < deadline, "the task writes no more");
    }
    Ok(())
}

fn stands_still(lab: &mut Lab) -> Result<()> {
    let address = "127.0.59.9:5951".to_owned();
    let append = [
        "quiet",
        "tepui.master=10.0.2.2:1",
        "tepui.watchdog_timeout=10secs",
        failures::SETTING,
    ];
    let guest = Guest {
        watchdog: Watchdog::I6300Esb,
        forward: Some(address.clone()),
        ..lab.alone(&append)?
    };
    let mut frozen = None;
    let text = Lab::boot(lab.root(), &guest, |line, _| {
        if line.contains("the hardware's watchdog is fed") {
            // Fed for longer than it waits.
            std::thread::sleep(Duration::from_secs(12));
            failures::fail(&address, "freeze")?;
            frozen = Some(Instant::now());
        }
        Ok(())
    })?;
    let took = frozen.context("the watchdog is not fed")?.elapsed();
    println!("  started again after {:.1} s", took.as_secs_f64());
    ensure!(took >= Duration::from_secs(5), "{took:?}: {text}");
    ensure!(!text.contains("powering off"), "{text}");
    Ok(())
}
