//! What must hold before a commit.

use anyhow::Result;

/// Which checks.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs them all.
pub(crate) fn run(_args: &Args) -> Result<()> {
    Ok(())
}
