//! A node whose work disk is XFS, which an operator made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::Case;
use crate::cluster::{Lab, finish};
use crate::disk;

/// In order.
pub(crate) const ALL: &[(&str, Case)] = &[
    (
        "a_node_whose_disk_is_xfs_stops_a_task_at_what_it_asked_for_and_goes_on",
        works_on_xfs,
    ),
    (
        "an_image_without_xfs_says_what_it_lacks_for_such_a_disk",
        lacks_the_driver,
    ),
];

/// The least that mkfs.xfs makes, and the disk that it is on.
const MADE_BYTES: u64 = 300 << 20;
const DISK_BYTES: u64 = 384 << 20;

fn works_on_xfs(lab: &mut Lab) -> Result<()> {
    let image = image(lab, Path::new(crate::cluster::PROGRAMS).join("tepui-agent"))?;
    let made = disk_image(MADE_BYTES)?;
    let mut lab = Lab::on_disk(&image, 5971, made.path(), DISK_BYTES)?;
    let said = lab.console(1)?;
    ensure!(said.contains("work disk was grown"), "{said}");
    disk::fills(&lab, "No space left")?;
    disk::is_told(&mut lab, true)?;
    let state = lab.get("/master/state")?;
    let offered = state["slaves"][0]["resources"]["disk"].as_f64();
    // Half of a small disk is.
    let least = (MADE_BYTES >> 20) / 2;
    let is_grown = offered.is_some_and(|megabytes| megabytes > least as f64);
    ensure!(is_grown, "{offered:?} MB are offered");
    fill_to_the_end(&lab)?;
    let lines = lab.down()?;
    let in_order = |line: &String| line.ends_with("powered off");
    ensure!(lines.iter().any(in_order), "{lines:?}");
    Ok(())
}

/// Tasks that asked for nothing take together what is there, and the agent still keeps its checkpoint: it
/// hears of more tasks, and tells of their ends.
fn fill_to_the_end(lab: &Lab) -> Result<()> {
    const TASKS: usize = 2;
    let fill = "head -c 400m /dev/zero >filled; df -P . | tail -n 1";
    for _ in 0..TASKS {
        let output = lab.run(&["--cpus", "0.2", "--mem", "64", "--", fill])?;
        println!("  {}", String::from_utf8_lossy(&output.stdout).trim_end());
    }
    let last = lab.run(&["--cpus", "0.1", "--mem", "32", "--", "true"])?;
    let state = lab.get("/master/state")?;
    let active = state["activated_slaves"].as_f64();
    ensure!(active == Some(1.0), "{last:?}: {active:?} agents");
    let said = lab.console(1)?;
    ensure!(!said.contains("checkpoint"), "{last:?}: {said}");
    Ok(())
}

fn lacks_the_driver(lab: &mut Lab) -> Result<()> {
    let made = disk_image(MADE_BYTES)?;
    let append = ["quiet", "tepui.master=10.0.2.2:1"];
    let said = lab.boot_alone(&append, Some(made.path().to_owned()), None)?;
    ensure!(said.contains("make the image with --xfs"), "{said}");
    ensure!(!said.contains("Kernel panic"), "{said}");
    Ok(())
}

/// An image around a program that can mount such a disk; its folder.
pub(crate) fn image(lab: &Lab, init: impl AsRef<Path>) -> Result<PathBuf> {
    let out = lab.root().join("target/image/6.12-xfs");
    let mut make = lab.program("tepui-image");
    make.current_dir(lab.root());
    make.args(["--xfs", "--init"]).arg(init.as_ref());
    make.arg("--out").arg(&out);
    let made = finish(&mut make, Duration::from_secs(300))?;
    ensure!(made.status.success(), "{made:?}");
    Ok(out)
}

/// An XFS with the label of a work disk, as its operator makes it.
pub(crate) fn disk_image(bytes: u64) -> Result<tempfile::NamedTempFile> {
    let disk = tempfile::NamedTempFile::new()?;
    disk.as_file().set_len(bytes)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut format = Command::new("mkfs.xfs");
    format.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    format.args(["-q", "-L", "tepui-work"]).arg(disk.path());
    let status = format
        .status()
        .context("run mkfs.xfs, which ./tests/run install brings (xfsprogs)")?;
    ensure!(status.success(), "mkfs.xfs: {status}");
    Ok(disk)
}
