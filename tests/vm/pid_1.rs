//! The launch tests of agent-kernel as PID 1 of machines of their own.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::{Lab, finish};
use crate::xfs;

/// All of them on ext4 under both kernels, and on XFS those that are about the disk.
pub(crate) fn launch_tests(lab: &mut Lab) -> Result<()> {
    let target = "x86_64-unknown-linux-musl";
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(lab.root()).args([
        "test",
        "--package",
        "agent-kernel",
        "--test",
        "launch",
        "--target",
        target,
        "--no-run",
        "--message-format",
        "json",
    ]);
    let built = finish(&mut cargo, Duration::from_secs(400))?;
    let said = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "{said}");
    let text = String::from_utf8_lossy(&built.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == "launch")
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .context("cargo built no test program")?;
    for kernel in ["6.12", "6.1"] {
        boot_tests(lab, &program, kernel, ext4()?, &[])?;
    }
    // Of what depends on the file system, on the other one.
    let disk = xfs::disk_image(512 << 20)?;
    boot_tests(
        lab,
        &program,
        "6.12",
        disk,
        &["--xfs", "--append", "tests=disk::"],
    )
}

/// A disk that counts what projects take.
fn ext4() -> Result<tempfile::NamedTempFile> {
    let disk = tempfile::NamedTempFile::new()?;
    disk.as_file().set_len(512 << 20)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut format = Command::new("mke2fs");
    format.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    format.args(["-q", "-t", "ext4", "-O", "quota,project"]);
    format
        .args(["-E", "quotatype=usrquota:grpquota:prjquota"])
        .arg(disk.path());
    ensure!(format.status()?.success(), "mke2fs");
    Ok(disk)
}

/// Runs the launch tests as PID 1 under a kernel. Their files are on a disk: the old one maps no ids of
/// files in memory.
fn boot_tests(
    lab: &Lab,
    program: &str,
    kernel: &str,
    disk: tempfile::NamedTempFile,
    more: &[&str],
) -> Result<()> {
    let mut boot = lab.program("tepui-qemu");
    boot.current_dir(lab.root());
    boot.args(["boot", "--accel", "auto", "--memory", "512"]);
    boot.args(["--kernel", kernel, "--init", program, "--disk"]);
    boot.arg(disk.path()).args(more);
    let booted = finish(&mut boot, Duration::from_secs(200))?;
    let console = String::from_utf8_lossy(&booted.stdout).into_owned();
    let said = String::from_utf8_lossy(&booted.stderr);
    let result = console
        .lines()
        .find(|line| line.starts_with("test result:"));
    let passed = result.is_some_and(|line| line.contains("ok."));
    ensure!(passed, "{console}{said}");
    ensure!(!console.contains("left out"), "{console}");
    println!("  {kernel}: {}", result.unwrap_or_default());
    Ok(())
}
