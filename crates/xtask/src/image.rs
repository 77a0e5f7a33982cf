//! The boot image: Debian's kernel, and an initramfs around the agent.
//!
//! Nothing is done where the image on disk is whole and made of the same things.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use image::manifest::Sum;
use image::{Kernel, Manifest, Parts, Refresh};
use initramfs::Contents;

/// The archive's name in an image's folder; `vmlinuz` and the manifest are beside it.
pub(crate) const INITRAMFS: &str = "initramfs.cpio.zst";

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
    let root = root()?;
    let cache = root.join("target/image");
    let out = match &args.out {
        Some(out) => out.clone(),
        None => cache.join(args.kernel.as_str()),
    };
    let init = match &args.init {
        Some(init) => init.clone(),
        None => root.join("target").join(AGENT),
    };
    let refresh = match args.refresh {
        true => Refresh::Yes,
        false => Refresh::No,
    };
    let mut say = |line: &str| eprintln!("image: {line}");
    let parts = image::prepare(&cache, args.kernel, refresh, &mut say)?;
    let manifest = build(&parts, &init, &out, &mut say)?;
    let size = |name: &str| manifest.files.get(name).map_or(0, |sum| sum.bytes) as f64 / 1e6;
    say(&format!(
        "{}: kernel {} {:.1} MB, initramfs {:.1} MB ({:.1} s)",
        out.display(),
        manifest.kernel_release,
        size("vmlinuz"),
        size(INITRAMFS),
        started.elapsed().as_secs_f64(),
    ));
    Ok(())
}

/// Puts `parts` and `init` together in the folder `out`, unless it holds just that already.
pub(crate) fn build(
    parts: &Parts,
    init: &Path,
    out: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Manifest> {
    if !init.is_file() {
        bail!(
            "no program at {} to become PID 1: build the agent first \
             (cargo build --release --target x86_64-unknown-linux-musl -p agent)",
            init.display()
        );
    }
    let inputs = BTreeMap::from([
        ("init".to_owned(), Sum::of(init)?.sha256),
        ("parts".to_owned(), parts.manifest.digest()),
        ("recipe".to_owned(), initramfs::RECIPE.to_owned()),
    ]);
    match unchanged(out, &inputs) {
        Ok(Some(manifest)) => return Ok(manifest),
        Ok(None) => {}
        Err(error) => say(&format!("{error}: making the image again")),
    }
    let release = &parts.manifest.kernel_release;
    let contents = Contents {
        init: init.to_owned(),
        kernel_release: release.clone(),
        modules: parts.folder.join("modules"),
        busybox: parts.folder.join("busybox"),
        applets: parts.folder.join("applets"),
        ca_certificates: parts.folder.join("ca-certificates.crt"),
        template: parts.folder.join("work.ext4"),
    };
    say("compressing the initramfs");
    let archive = contents.archive()?.to_bytes();
    let compressed = initramfs::compress(&archive).context("compress the initramfs")?;

    // A new folder takes the old one's place in one step: a running QEMU has read its files, and
    // one that starts meanwhile finds either image whole.
    let parent = out.parent().context("an image needs a folder to be in")?;
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    let fresh = tempfile::tempdir_in(parent)
        .with_context(|| format!("make a folder in {}", parent.display()))?;
    fs::copy(parts.folder.join("vmlinuz"), fresh.path().join("vmlinuz"))
        .context("copy the kernel")?;
    fs::write(fresh.path().join(INITRAMFS), compressed).context("write the initramfs")?;
    let manifest = Manifest::of(fresh.path(), release, inputs)?;
    manifest.save(fresh.path())?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("remove {}", out.display()))?;
    }
    fs::rename(fresh.keep(), out).with_context(|| format!("make {}", out.display()))?;
    Ok(manifest)
}

/// The manifest of `out`, where its files are whole and made of `inputs`.
fn unchanged(out: &Path, inputs: &BTreeMap<String, String>) -> Result<Option<Manifest>> {
    let Some(manifest) = Manifest::load(out)? else {
        return Ok(None);
    };
    if manifest.inputs != *inputs {
        return Ok(None);
    }
    manifest.check(out)?;
    Ok(Some(manifest))
}
