//! The boot image: a folder with the kernel, the initramfs and their manifest.
//!
//! The archive is packed by the `initramfs` crate, which the caller brings along: as a function, or
//! as a program to be run. Nothing is done where the image on disk is whole and made of the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Kernel;
use crate::manifest::{Manifest, ManifestError, Sum, hex};
use crate::parts::{self, Parts, PartsError, Refresh, Xfs};

/// The archive's name in an image's folder; `vmlinuz` and the manifest are beside it.
pub const INITRAMFS: &str = "initramfs.cpio.zst";

/// What decides what is packed, and how: an image packed by other code is not the same.
const PACKER: &str = concat!(
    include_str!("../../initramfs/src/contents.rs"),
    include_str!("../../initramfs/src/cpio.rs"),
    include_str!("../../initramfs/src/lib.rs"),
);

/// What image is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which kernel.
    pub kernel: Kernel,
    /// The static program that becomes PID 1.
    pub init: PathBuf,
    /// The folder for the image, which holds nothing else.
    pub out: PathBuf,
    /// The folder for packages and parts.
    pub cache: PathBuf,
    /// Whether to look for newer packages.
    pub refresh: Refresh,
    /// Whether it can mount a work disk that is XFS.
    pub xfs: Xfs,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The parts are not to be had.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// There is no program to become PID 1.
    #[error(
        "no program at {0} to become PID 1: build the agent first \
         (cargo build --release --target x86_64-unknown-linux-musl -p agent)"
    )]
    NoInit(PathBuf),
    /// A file cannot be described.
    #[error("describe the image")]
    Manifest(#[from] ManifestError),
    /// The archive was not packed.
    #[error("pack the initramfs")]
    Pack(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file cannot be put in its place.
    #[error("make {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What packs an archive: given the parts and what image is wanted of them, it writes the compressed
/// archive to the path.
pub type Pack<'a> =
    &'a dyn Fn(&Parts, &Wanted, &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Makes the image, or finds it made; `say` gets a line for each step that takes time.
///
/// # Errors
/// Packages are not to be had, or a file cannot be made.
pub fn build(
    wanted: &Wanted,
    pack: Pack<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Manifest, BootError> {
    if !wanted.init.is_file() {
        return Err(BootError::NoInit(wanted.init.clone()));
    }
    let parts = parts::prepare(&wanted.cache, wanted.kernel, wanted.refresh, say)?;
    let mut inputs = BTreeMap::from([
        ("init".to_owned(), Sum::of(&wanted.init)?.sha256),
        ("parts".to_owned(), parts.manifest.digest()),
        ("packer".to_owned(), hex(&Sha256::digest(PACKER))),
    ]);
    match wanted.xfs {
        Xfs::Yes => drop(inputs.insert("xfs".to_owned(), "yes".to_owned())),
        Xfs::No => {}
    }
    match unchanged(&wanted.out, &inputs) {
        Ok(Some(manifest)) => return Ok(manifest),
        Ok(None) => {}
        Err(error) => say(&format!("{error}: making the image again")),
    }
    say("packing the initramfs");
    // A new folder takes the old one's place in one step: who starts a guest meanwhile finds either
    // image whole.
    let out = &wanted.out;
    let parent = out.parent().unwrap_or(Path::new("."));
    at(parent, fs::create_dir_all(parent))?;
    let scratch = at(parent, tempfile::tempdir_in(parent))?;
    let fresh = scratch.path().join("image");
    at(&fresh, fs::create_dir(&fresh))?;
    at(
        out,
        fs::copy(parts.folder.join("vmlinuz"), fresh.join("vmlinuz")),
    )?;
    pack(&parts, wanted, &fresh.join(INITRAMFS)).map_err(BootError::Pack)?;
    let manifest = Manifest::of(&fresh, &parts.manifest.kernel_release, inputs)?;
    manifest.save(&fresh)?;
    if out.exists() {
        at(out, fs::rename(out, scratch.path().join("old")))?;
    }
    at(out, fs::rename(&fresh, out))?;
    Ok(manifest)
}

/// One line about an image: what it is and how large.
#[must_use]
pub fn summary(out: &Path, manifest: &Manifest) -> String {
    let size = |name: &str| manifest.files.get(name).map_or(0, |sum| sum.bytes) as f64 / 1e6;
    format!(
        "{}: kernel {} {:.1} MB, initramfs {:.1} MB",
        out.display(),
        manifest.kernel_release,
        size("vmlinuz"),
        size(INITRAMFS),
    )
}

/// The manifest of `out`, where its files are whole and made of `inputs`.
fn unchanged(
    out: &Path,
    inputs: &BTreeMap<String, String>,
) -> Result<Option<Manifest>, ManifestError> {
    let Some(manifest) = Manifest::load(out)? else {
        return Ok(None);
    };
    if manifest.inputs != *inputs {
        return Ok(None);
    }
    manifest.check(out)?;
    Ok(Some(manifest))
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, BootError> {
    result.map_err(|source| BootError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_program_names_what_to_build() {
        let wanted = Wanted {
            kernel: Kernel::V6_12,
            init: "/nowhere/tepui-agent".into(),
            out: "/nowhere/image".into(),
            cache: "/nowhere/cache".into(),
            refresh: Refresh::No,
            xfs: Xfs::No,
        };
        let error = build(&wanted, &|_, _, _| Ok(()), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("cargo build"), "{error}");
    }
}
