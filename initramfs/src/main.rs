//! `tepui-initramfs`: packs the parts of an image and a program into a compressed archive.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use initramfs::Contents;

/// Packs a node's initramfs.
#[derive(Parser)]
#[command(name = "tepui-initramfs")]
struct Args {
    /// The folder of the parts.
    #[arg(long, value_name = "DIR")]
    parts: PathBuf,
    /// The kernel's release, as `uname -r` prints it.
    #[arg(long)]
    kernel_release: String,
    /// The static program that becomes PID 1.
    #[arg(long, value_name = "PATH")]
    init: PathBuf,
    /// The archive.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Put the kernel's XFS in.
    #[arg(long)]
    xfs: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let mut contents = Contents::of_parts(&args.parts, &args.kernel_release, &args.init);
    if args.xfs {
        contents = contents.with_xfs(&args.parts);
    }
    initramfs::pack(&contents, &args.out).context("pack the initramfs")
}
