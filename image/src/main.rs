//! `tepui-image`: makes a boot image. `cargo xtask image` does the same; this one is what a cluster
//! is started with, since it needs little to be built.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use image::boot::{self, Wanted};
use image::{Kernel, Parts, Refresh, Xfs};

/// Makes a boot image: Debian's kernel, and an initramfs around a program.
#[derive(Parser)]
#[command(name = "tepui-image")]
struct Args {
    /// The kernel: 6.12, or 6.1.
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// The static program that becomes PID 1.
    #[arg(long, value_name = "PATH")]
    init: PathBuf,
    /// The folder for the image.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The folder for packages and parts.
    #[arg(long, value_name = "DIR", default_value = "target/image")]
    cache: PathBuf,
    /// Look for newer packages, even where those in the cache would do.
    #[arg(long)]
    refresh: bool,
    /// Carry the kernel's XFS, for nodes whose work disk is one (mkfs.xfs -L tepui-work).
    #[arg(long)]
    xfs: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let own = std::env::current_exe().context("find this program")?;
    let packer = own.with_file_name("tepui-initramfs");
    let wanted = Wanted {
        kernel: args.kernel,
        init: args.init,
        out: args.out,
        cache: args.cache,
        refresh: match args.refresh {
            true => Refresh::Yes,
            false => Refresh::No,
        },
        xfs: match args.xfs {
            true => Xfs::Yes,
            false => Xfs::No,
        },
    };
    let pack = |parts: &Parts, wanted: &Wanted, out: &Path| {
        let packed = Command::new(&packer)
            .args(match wanted.xfs {
                Xfs::Yes => Some("--xfs"),
                Xfs::No => None,
            })
            .arg(format!(
                "--kernel-release={}",
                parts.manifest.kernel_release
            ))
            .arg("--parts")
            .arg(&parts.folder)
            .arg("--init")
            .arg(&wanted.init)
            .arg("--out")
            .arg(out)
            .status();
        match packed {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{} ended with {status}", packer.display()).into()),
            Err(error) => Err(format!("run {}: {error}", packer.display()).into()),
        }
    };
    let mut say = |line: &str| eprintln!("image: {line}");
    let manifest = boot::build(&wanted, &pack, &mut say)?;
    let taken = started.elapsed().as_secs_f64();
    say(&format!(
        "{} ({taken:.1} s)",
        boot::summary(&wanted.out, &manifest)
    ));
    Ok(())
}
