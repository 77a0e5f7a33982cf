//! Clients: frameworks on pymesos, unmodified, that work with the nodes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::{Lab, finish};

/// Twenty tasks, on both nodes.
pub(crate) fn pymesos(lab: &mut Lab) -> Result<()> {
    run(lab, "pymesos_run.py", &["--tasks", "20", "--agents", "2"])
}

/// One node's processors are too few for a busy task and a busy revocable one of the same weight.
pub(crate) fn preempted(lab: &mut Lab) -> Result<()> {
    run(lab, "revocable_run.py", &["--pressure", "--timeout", "180"])
}

/// A script of `tests/compat`, which judges by itself; its last line is a summary.
fn run(lab: &Lab, script: &str, words: &[&str]) -> Result<()> {
    let python = lab.root().join("target/venv/bin/python");
    let mut command = Command::new(python);
    command
        .arg(lab.root().join("tests/compat").join(script))
        .args(["--master", &lab.master()])
        .args(words);
    let output = finish(&mut command, Duration::from_secs(240))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("  {}", said.lines().last().unwrap_or_default());
    Ok(())
}
