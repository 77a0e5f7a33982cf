//! `cargo xtask bench unpack`: an image of 1 GB, beside skopeo and umoci.

use anyhow::Result;

/// How large, and how often.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The size of the image.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// How often each pulls it; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
}

/// Sees to the others' programs, builds ours and runs all.
pub(super) fn run(args: &Args) -> Result<()> {
    crate::lab::install(&["musl-tools", "skopeo", "umoci"])?;
    let mut command = crate::release::cargo()?;
    command
        // The static program, as nodes run it.
        .args(["bench", "--target", "x86_64-unknown-linux-musl"])
        .args(["--package", "agent", "--bench", "unpack", "--"])
        .args(["--megabytes", &args.megabytes.to_string()])
        .args(["--rounds", &args.rounds.to_string()]);
    super::finish(&mut command)
}
