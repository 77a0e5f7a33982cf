//! Runtimes: bwrap, crun and runc from Debian's packages, with the libraries that they need, unpacked
//! into a folder and never installed.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::apt::{self, Apt};

/// What is measured beside the agent.
const RUNTIMES: [&str; 3] = ["bubblewrap", "crun", "runc"];

/// Tells that the folder is whole, and what is in it.
const LIST: &str = "packages.json";

/// Unpacks them beneath `folder`, where that has not been done; apt keeps its lists beneath `cache`.
///
/// # Errors
/// No network, or apt said no.
pub(super) fn prepare(cache: &Path, folder: &Path) -> Result<PathBuf> {
    let unpacked = folder.join("runtimes");
    let list = unpacked.join(LIST);
    if list.is_file() {
        return Ok(unpacked);
    }
    let packages = folder.join("packages");
    fs::create_dir_all(&packages).with_context(|| format!("make {}", packages.display()))?;
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).context("clear a folder that is not whole")?;
    }
    fs::create_dir_all(&unpacked).with_context(|| format!("make {}", unpacked.display()))?;
    let apt = Apt::new(&cache.join("apt"))?;
    eprintln!("bench: reading Debian's package lists");
    apt.update()?;
    let wanted = closure(&apt)?;
    for (name, version) in &wanted {
        let package = format!("{name}={version}");
        let file = packages.join(apt.offered(&package)?.file);
        if !file.is_file() {
            eprintln!("bench: downloading {package}");
            apt.download(&package, &packages)?;
        }
        apt::unpack(&file, &unpacked)?;
    }
    let text = serde_json::to_string_pretty(&wanted)?;
    fs::write(&list, text + "\n").with_context(|| format!("write {}", list.display()))?;
    Ok(unpacked)
}

/// The runtimes and all that they depend on, each with its newest version.
fn closure(apt: &Apt) -> Result<BTreeMap<String, String>> {
    let mut wanted = BTreeMap::new();
    let mut queue: VecDeque<String> = RUNTIMES.map(str::to_owned).into();
    while let Some(name) = queue.pop_front() {
        if wanted.contains_key(&name) {
            continue;
        }

        let (version, depends) = apt.newest(&name, "")?;
        queue.extend(dependencies(&depends));
        wanted.insert(name, version);
    }
    Ok(wanted)
}

/// The names in a field `Depends`; of alternatives the first.
fn dependencies(field: &str) -> Vec<String> {
    let names = field.split(',').filter_map(|one| {
        let first = one.split('|').next()?;
        let name = first.split(['(', ':']).next()?.trim();
        (!name.is_empty()).then(|| name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_the_first_of_each_alternative_without_versions() {
        let field = "libc6 (>= 2.36), libseccomp2:any (>= 2.5) | libseccomp3, libgcc-s1";
        assert_eq!(dependencies(field), ["libc6", "libseccomp2", "libgcc-s1"]);
        assert!(dependencies("").is_empty());
    }
}
