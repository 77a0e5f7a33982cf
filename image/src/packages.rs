//! Debian's packages that an image is made from: resolved once, pinned by hash, kept.
//!
//! The pin (`packages/<kernel>.json`) lies beside the packages; with both in place nothing goes to
//! the network. A package that is missing or damaged is downloaded again, in its newest version.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Kernel;
use crate::apt::{Apt, AptError};
use crate::manifest::{ManifestError, Sum};

/// Points to the newest kernel of each series.
const KERNEL_META: &str = "linux-image-cloud-amd64";

/// The packages of one image, by their role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// The kernel with its modules.
    pub kernel: Package,
    /// The static busybox.
    pub busybox: Package,
    /// The certificates.
    pub ca_certificates: Package,
}

/// A package's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name in the folder of packages.
    pub file: String,
    /// Its size and hash.
    pub sum: Sum,
}

/// Why packages are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// apt did not do it.
    #[error("download {package} (the network is needed once; afterwards the cache is enough)")]
    Apt {
        /// What was wanted.
        package: String,
        /// Why not.
        source: AptError,
    },
    /// The pin cannot be read or written.
    #[error("keep {path}")]
    Pin {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What arrived is not what the lists promised.
    #[error("check a package that was just downloaded")]
    Arrived(#[from] ManifestError),
}

impl Packages {
    /// The packages pinned for `kernel`, where they are all in `folder` and whole; what is wrong
    /// with them is told to `say`.
    pub fn cached(folder: &Path, kernel: Kernel, say: &mut dyn FnMut(&str)) -> Option<Packages> {
        let text = fs::read(pin(folder, kernel)).ok()?;
        let packages: Packages = match serde_json::from_slice(&text) {
            Ok(packages) => packages,
            Err(error) => {
                let path = pin(folder, kernel);
                say(&format!(
                    "{} is damaged ({error}): resolving anew",
                    path.display()
                ));
                return None;
            }
        };
        for package in packages.all() {
            if let Err(error) = package.sum.check(&folder.join(&package.file)) {
                say(&format!("cached package {error}: downloading it again"));
                return None;
            }
        }
        Some(packages)
    }

    /// Resolves the newest packages for `kernel`, downloads those that are not in `folder`, and
    /// pins them.
    ///
    /// # Errors
    /// No network, no such package, no space.
    pub fn fetch(
        folder: &Path,
        apt: &Apt,
        kernel: Kernel,
        say: &mut dyn FnMut(&str),
    ) -> Result<Packages, PackagesError> {
        let keep = |source| PackagesError::Pin {
            path: pin(folder, kernel),
            source,
        };
        fs::create_dir_all(folder).map_err(keep)?;
        say("reading Debian's package lists");
        apt.update().map_err(|source| PackagesError::Apt {
            package: "the package lists".to_owned(),
            source,
        })?;
        let packages = Packages {
            kernel: fetch_one(folder, apt, &kernel_package(apt, kernel)?, say)?,
            busybox: fetch_one(folder, apt, "busybox-static", say)?,
            ca_certificates: fetch_one(folder, apt, "ca-certificates", say)?,
        };
        let text = serde_json::to_string_pretty(&packages).map_err(|error| keep(error.into()))?;
        fs::write(pin(folder, kernel), text + "\n").map_err(keep)?;
        Ok(packages)
    }

    /// Each package's file and hash: what parts were made from.
    #[must_use]
    pub fn inputs(&self) -> BTreeMap<String, String> {
        let pair = |package: &Package| (package.file.clone(), package.sum.sha256.clone());
        self.all().into_iter().map(pair).collect()
    }

    fn all(&self) -> [&Package; 3] {
        [&self.kernel, &self.busybox, &self.ca_certificates]
    }
}

fn pin(folder: &Path, kernel: Kernel) -> PathBuf {
    folder.join(format!("{kernel}.json"))
}

/// The newest kernel package of a series, as `name=version`.
fn kernel_package(apt: &Apt, kernel: Kernel) -> Result<String, PackagesError> {
    let failed = |source| PackagesError::Apt {
        package: format!("a kernel {kernel}"),
        source,
    };
    let series = format!("{kernel}.");
    let (version, depends) = apt.newest(KERNEL_META, &series).map_err(failed)?;
    let name = depends
        .split([' ', ','])
        .find(|word| word.starts_with("linux-image-"))
        .ok_or_else(|| AptError::Answer {
            what: "the dependency of linux-image-cloud-amd64",
            line: depends.clone(),
        })
        .map_err(failed)?;
    Ok(format!("{name}={version}"))
}

fn fetch_one(
    folder: &Path,
    apt: &Apt,
    package: &str,
    say: &mut dyn FnMut(&str),
) -> Result<Package, PackagesError> {
    let failed = |source| PackagesError::Apt {
        package: package.to_owned(),
        source,
    };
    let offered = apt.offered(package).map_err(failed)?;
    let sum = Sum {
        bytes: offered.bytes,
        sha256: offered.sha256,
    };
    let path = folder.join(&offered.file);
    if sum.check(&path).is_err() {
        // apt takes a file of the right size for the right file.
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PackagesError::Pin { path, source }),
        }
        let megabytes = sum.bytes as f64 / 1e6;
        say(&format!("downloading {package} ({megabytes:.1} MB)"));
        apt.download(package, folder).map_err(failed)?;
        sum.check(&path)?;
    }
    Ok(Package {
        file: offered.file,
        sum,
    })
}
