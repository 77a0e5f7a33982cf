//! Arrows: which of our packages may import which others (`STYLE`, "The tree").
//!
//! Taken from `cargo metadata`, tests and build scripts included. `tests` and `xtask` may import
//! anything, and nobody imports them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A package and the packages of ours that it may import.
const ARROWS: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("api", &["model"]),
    ("agent-core", &["model"]),
    ("master-core", &["model"]),
    ("agent-kernel", &["model"]),
    ("detector", &["model"]),
    (
        "agent",
        &["agent-core", "agent-kernel", "api", "detector", "model"],
    ),
    ("master", &["master-core", "api", "detector", "model"]),
    ("cli", &["api", "detector", "model"]),
    ("initramfs", &[]),
    ("image", &[]),
    ("probe", &[]),
    ("qemu", &[]),
];

/// Packages that may import all of ours.
const FREE: [&str; 2] = ["tests", "xtask"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Set for a package of ours only.
    path: Option<String>,
}

/// The arrows that must not be there.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    Ok(faults(&metadata))
}

fn faults(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if FREE.contains(&name) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            faults.push(format!(
                "{name} has no row in the table of arrows (crates/xtask/src/check/arrows.rs)"
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            let target = dependency.name.as_str();
            if !allowed.contains(&target) {
                let may = match allowed {
                    [] => "nothing of ours".to_owned(),
                    some => some.join(", "),
                };
                faults.push(format!(
                    "{name} -> {target} is no allowed arrow; {name} may import {may}"
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(arrows: &[(&str, &[&str])]) -> Metadata {
        let dependency = |name: &&str| Dependency {
            name: (*name).to_owned(),
            path: name.chars().next().map(|_| "p".to_owned()),
        };
        let packages = arrows.iter().map(|(name, targets)| Package {
            name: (*name).to_owned(),
            dependencies: targets.iter().map(dependency).collect(),
        });
        Metadata {
            packages: packages.collect(),
        }
    }

    #[test]
    fn a_wrong_arrow_is_named() {
        let right = metadata(&[("cli", &["api", "model"]), ("tests", &["agent", "qemu"])]);
        assert_eq!(faults(&right), Vec::<String>::new());
        let wrong = metadata(&[("model", &["api"]), ("cli", &["tests"]), ("new", &[])]);
        let found = faults(&wrong);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("model -> api is no allowed arrow"));
        assert!(found[1].contains("cli -> tests"));
        assert!(found[2].starts_with("new has no row"));
    }
}
