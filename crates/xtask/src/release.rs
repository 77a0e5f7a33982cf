//! Tools whose own speed counts: built for speed, and then run.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Whether this very program is built for speed.
const IS_FAST: bool = !cfg!(debug_assertions);

/// Runs `tool`, or this very command again with a program that is built for speed.
pub(crate) fn run(tool: impl FnOnce() -> Result<()>) -> Result<()> {
    if IS_FAST {
        return tool();
    }
    let mut command = cargo()?;
    command.args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    command.args(std::env::args_os().skip(1));
    let status = command.status().context("run cargo")?;
    match status.success() {
        true => Ok(()),
        // What went wrong was told there.
        false => bail!("the command failed: {status}"),
    }
}

/// Cargo, at the top of the repository.
pub(crate) fn cargo() -> Result<Command> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(crate::image::root()?);
    Ok(command)
}
