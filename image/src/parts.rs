//! The parts of an image, unpacked and picked, in one folder with a manifest.
//!
//! ```text
//! vmlinuz  modules/  xfs/  busybox  applets  ca-certificates.crt  work.ext4.sparse  manifest.json
//! ```
//!
//! Made from packages whose hashes the manifest names; made again when those change, when `RECIPE`
//! does, or when a file is found damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Kernel;
use crate::apt::{self, Apt, AptError};
use crate::manifest::{Manifest, ManifestError};
use crate::modules::{Modules, ModulesError};
use crate::packages::{Packages, PackagesError};
use crate::template::{self, TemplateError};

/// Counted up when this code makes other parts from the same packages.
const RECIPE: &str = "7";

/// Whether to look for newer packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// What is cached is good.
    No,
    /// Ask the mirror.
    Yes,
}

/// Whether an image carries the driver of XFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xfs {
    /// Its nodes make their work disks themselves.
    No,
    /// They can mount one that is XFS.
    Yes,
}

/// The parts, whole and checked.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where they lie.
    pub folder: PathBuf,
    /// Their manifest.
    pub manifest: Manifest,
}

/// Why there are no parts.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// apt cannot be set up, or a package not be unpacked.
    #[error("use Debian's packages")]
    Apt(#[from] AptError),
    /// A package is not to be had.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// The modules cannot be picked.
    #[error("pick kernel modules")]
    Modules(#[from] ModulesError),
    /// The template cannot be made.
    #[error("make the work disk's template")]
    Template(#[from] TemplateError),
    /// A part cannot be described.
    #[error("describe the parts")]
    Manifest(#[from] ManifestError),
    /// A file cannot be put in its place.
    #[error("make {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A package does not hold what it should.
    #[error("no {what} in {package}")]
    Lacks {
        /// What was looked for.
        what: &'static str,
        /// The package's file.
        package: String,
    },
    /// busybox does not run here.
    #[error("ask the busybox for its applets: {0}")]
    Applets(String),
}

/// Makes the parts for `kernel` beneath `folder`, or finds them there; `say` gets a line for each
/// step that takes time and for each damage found.
///
/// # Errors
/// A package cannot be downloaded, or a part not be made from it.
pub fn prepare(
    folder: &Path,
    kernel: Kernel,
    refresh: Refresh,
    say: &mut dyn FnMut(&str),
) -> Result<Parts, PartsError> {
    let place = folder.join("parts").join(kernel.as_str());
    if refresh == Refresh::No
        && let Some(parts) = cached(&place, say)
    {
        return Ok(parts);
    }
    let packages_at = folder.join("packages");
    let pinned = match refresh {
        Refresh::No => Packages::cached(&packages_at, kernel, say),
        Refresh::Yes => None,
    };
    let packages = match pinned {
        Some(packages) => packages,
        None => {
            let apt = Apt::new(&folder.join("apt"))?;
            Packages::fetch(&packages_at, &apt, kernel, say)?
        }
    };
    say(&format!("unpacking {}", packages.kernel.file));
    let made = failed_at(&place, fs::create_dir_all(folder))
        .and_then(|()| failed_at(&place, tempfile::tempdir_in(folder)))?;
    let fresh = made.path().join("parts");
    let release = make(&packages_at, &packages, made.path(), &fresh)?;
    let mut inputs = packages.inputs();
    inputs.insert("recipe".to_owned(), RECIPE.to_owned());
    let manifest = Manifest::of(&fresh, &release, inputs)?;
    manifest.save(&fresh)?;
    replace(&fresh, &place)?;
    Ok(Parts {
        folder: place,
        manifest,
    })
}

/// The parts in `place`, where they are whole and of this recipe.
fn cached(place: &Path, say: &mut dyn FnMut(&str)) -> Option<Parts> {
    let manifest = match Manifest::load(place) {
        Ok(manifest) => manifest?,
        Err(error) => {
            say(&format!("{error}: making the parts again"));
            return None;
        }
    };
    if manifest
        .inputs
        .get("recipe")
        .is_none_or(|recipe| recipe != RECIPE)
    {
        return None;
    }
    if let Err(error) = manifest.check(place) {
        say(&format!("{error}: making the parts again"));
        return None;
    }
    Some(Parts {
        folder: place.to_owned(),
        manifest,
    })
}

/// Unpacks the packages beneath `scratch` and makes the parts in `into`; returns the release.
fn make(
    packages_at: &Path,
    packages: &Packages,
    scratch: &Path,
    into: &Path,
) -> Result<String, PartsError> {
    failed_at(into, fs::create_dir_all(into))?;
    let kernel = scratch.join("kernel");
    apt::unpack(&packages_at.join(&packages.kernel.file), &kernel)?;
    let release = release_in(&kernel).ok_or_else(|| PartsError::Lacks {
        what: "boot/vmlinuz-<release>",
        package: packages.kernel.file.clone(),
    })?;
    copy(
        &kernel.join(format!("boot/vmlinuz-{release}")),
        &into.join("vmlinuz"),
    )?;
    let places = ["lib/modules", "usr/lib/modules"].map(|place| kernel.join(place).join(&release));
    let modules = places.iter().find(|place| place.is_dir());
    let modules = modules.ok_or_else(|| PartsError::Lacks {
        what: "lib/modules/<release>",
        package: packages.kernel.file.clone(),
    })?;
    Modules::find(modules)?.pick(&into.join("modules"), &into.join("xfs"))?;

    let busybox = scratch.join("busybox");
    apt::unpack(&packages_at.join(&packages.busybox.file), &busybox)?;
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| busybox.join(place));
    let found = places.iter().find(|place| place.is_file());
    let found = found.ok_or_else(|| PartsError::Lacks {
        what: "bin/busybox",
        package: packages.busybox.file.clone(),
    })?;
    let busybox = into.join("busybox");
    copy(found, &busybox)?;
    let path = into.join("applets");
    failed_at(&path, fs::write(&path, applets(&busybox)?))?;

    let authorities = scratch.join("ca-certificates");
    apt::unpack(
        &packages_at.join(&packages.ca_certificates.file),
        &authorities,
    )?;
    let bundle = certificates(&authorities.join("usr/share/ca-certificates/mozilla"))?;
    let path = into.join("ca-certificates.crt");
    failed_at(&path, fs::write(&path, bundle))?;

    template::make(&into.join("work.ext4.sparse"))?;
    Ok(release)
}

/// The release of the one kernel in an unpacked package.
fn release_in(kernel: &Path) -> Option<String> {
    let entries = fs::read_dir(kernel.join("boot")).ok()?;
    entries.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("vmlinuz-").map(str::to_owned)
    })
}

/// What the busybox answers to, with the folder each belongs in; its shell too.
fn applets(busybox: &Path) -> Result<String, PartsError> {
    let output = Command::new(busybox)
        .arg("--list-full")
        .output()
        .map_err(|error| PartsError::Applets(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.lines().any(|line| line == "bin/sh") {
        true => Ok(text),
        false => Err(PartsError::Applets("bin/sh is not among them".to_owned())),
    }
}

/// All certificates of a folder, one after the other, in the order of their names.
fn certificates(folder: &Path) -> Result<Vec<u8>, PartsError> {
    let entries = failed_at(folder, fs::read_dir(folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut bundle = Vec::new();
    for path in paths {
        bundle.extend(failed_at(&path, fs::read(&path))?);
        if !bundle.ends_with(b"\n") {
            bundle.push(b'\n');
        }
    }
    Ok(bundle)
}

fn copy(from: &Path, to: &Path) -> Result<(), PartsError> {
    failed_at(to, fs::copy(from, to)).map(drop)
}

/// Puts the folder `fresh` in the place of `place`.
fn replace(fresh: &Path, place: &Path) -> Result<(), PartsError> {
    if let Some(parent) = place.parent() {
        failed_at(parent, fs::create_dir_all(parent))?;
    }
    match fs::remove_dir_all(place) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(PartsError::File {
                path: place.to_owned(),
                source,
            });
        }
    }
    failed_at(place, fs::rename(fresh, place))
}

fn failed_at<T>(path: &Path, result: io::Result<T>) -> Result<T, PartsError> {
    result.map_err(|source| PartsError::File {
        path: path.to_owned(),
        source,
    })
}
