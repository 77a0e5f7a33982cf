//! Benchmarks: each a program of its own, built for speed, with its budget beside it.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// What to measure, and its options.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Pulling and unpacking an image of 1 GB, beside skopeo and umoci.
    Unpack(Unpack),
}

#[derive(clap::Args)]
struct Unpack {
    /// The size of the image.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// How often each pulls it; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
}

/// Builds and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let What::Unpack(unpack) = &args.what;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(crate::image::root()?)
        // The static program, as nodes run it.
        .args(["bench", "--target", "x86_64-unknown-linux-musl"])
        .args(["--package", "agent", "--bench", "unpack", "--"])
        .args(["--megabytes", &unpack.megabytes.to_string()])
        .args(["--rounds", &unpack.rounds.to_string()])
        .status()
        .context("run cargo bench")?;
    match status.success() {
        true => Ok(()),
        false => bail!("the benchmark failed: {status}"),
    }
}
