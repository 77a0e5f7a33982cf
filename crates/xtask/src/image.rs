//! The boot image: Debian's kernel, and an initramfs around the agent.
//!
//! Nothing is done where the image on disk is whole and made of the same things.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use image::boot::{self, Wanted};
use image::{Kernel, Parts, Refresh, Xfs};
use initramfs::Contents;

/// Where cargo leaves the agent, in its target folder.
pub(crate) const AGENT: &str = "x86_64-unknown-linux-musl/release/tepui-agent";

/// What to put where.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kernel: 6.12, or 6.1.
    #[arg(long, default_value_t)]
    pub(crate) kernel: Kernel,
    /// The static program that becomes PID 1 [default: the agent's release build].
    #[arg(long, value_name = "PATH")]
    pub(crate) init: Option<PathBuf>,
    /// The folder for the image [default: target/image/<kernel>].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Look for newer packages, even where those in the cache would do.
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Carry the kernel's XFS, for nodes whose work disk is one (mkfs.xfs -L tepui-work).
    #[arg(long)]
    pub(crate) xfs: bool,
}

/// The folder of the checkout that this tool was built in.
pub(crate) fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .with_context(|| format!("find the checkout at {}", root.display()))
}

/// Makes the image, and says where it is.
pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let target = root()?.join("target");
    let cache = target.join("image");
    let wanted = Wanted {
        kernel: args.kernel,
        init: args.init.clone().unwrap_or_else(|| target.join(AGENT)),
        out: args
            .out
            .clone()
            .unwrap_or_else(|| cache.join(args.kernel.as_str())),
        cache,
        refresh: match args.refresh {
            true => Refresh::Yes,
            false => Refresh::No,
        },
        xfs: match args.xfs {
            true => Xfs::Yes,
            false => Xfs::No,
        },
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

/// Packs an archive in this process.
pub(crate) fn pack(
    parts: &Parts,
    wanted: &Wanted,
    out: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let release = &parts.manifest.kernel_release;
    let mut contents = Contents::of_parts(&parts.folder, release, &wanted.init);
    if wanted.xfs == Xfs::Yes {
        contents = contents.with_xfs(&parts.folder);
    }
    Ok(initramfs::pack(&contents, out)?)
}
