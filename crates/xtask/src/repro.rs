//! Whether two builds give one image: made twice, in two folders, and compared by hash.

use std::fs;

use anyhow::{Context, Result, bail};
use image::boot::{self, Wanted};
use image::{Kernel, Refresh, Xfs};

use crate::image as boot_image;

/// What to build twice.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kernel: 6.12, or 6.1.
    #[arg(long, default_value_t)]
    kernel: Kernel,
    /// The static program that becomes PID 1 [default: the agent's release build].
    #[arg(long, value_name = "PATH")]
    init: Option<std::path::PathBuf>,
}

/// Builds twice and compares.
pub(crate) fn run(args: &Args) -> Result<()> {
    let target = boot_image::root()?.join("target");
    let init = match &args.init {
        Some(init) => init.clone(),
        None => target.join(boot_image::AGENT),
    };
    let scratch = tempfile::tempdir_in(&target).context("make a folder for the two builds")?;
    let mut digests = Vec::new();
    for name in ["one", "the other one"] {
        // Packages come from the cache; all that is made of them is made anew.
        let folder = scratch.path().join(name);
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let packages = target.join("image/packages");
        if packages.exists() {
            let to = folder.join("packages");
            fs::create_dir(&to).with_context(|| format!("make {}", to.display()))?;
            for entry in fs::read_dir(&packages)
                .context("read the cached packages")?
                .flatten()
            {
                fs::copy(entry.path(), to.join(entry.file_name())).context("copy a package")?;
            }
        }
        let wanted = Wanted {
            kernel: args.kernel,
            init: init.clone(),
            out: folder.join("image"),
            cache: folder.clone(),
            refresh: Refresh::No,
            xfs: Xfs::No,
        };
        let mut say = |line: &str| eprintln!("repro: {name}: {line}");
        let manifest = boot::build(&wanted, &boot_image::pack, &mut say)?;
        for (file, sum) in &manifest.files {
            println!("{}  {name}/{file}", sum.sha256);
        }
        digests.push(manifest.digest());
    }
    match digests.windows(2).all(|pair| pair[0] == pair[1]) {
        true => println!("reproducible: {}", digests[0]),
        false => bail!("two builds of the same things differ"),
    }
    Ok(())
}
