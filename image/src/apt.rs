//! apt under a private configuration: own lists, own cache, no dpkg state, nothing installed.
//!
//! Whoever may write to the folder may run it; no root is needed.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::sources::{self, SourcesError};

/// apt with a folder of its own.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
}

/// A package that apt can download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The name of the file it arrives as.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits, from the signed lists.
    pub sha256: String,
}

/// Why apt did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// No sources for the private configuration.
    #[error("find a mirror of Debian")]
    Sources(#[from] SourcesError),
    /// A file or folder of the private configuration cannot be made.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tool is missing or cannot be run.
    #[error("run {tool} (a Debian host has it; elsewhere install the packages apt and dpkg)")]
    Run {
        /// Which.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The tool ran, and said no.
    #[error("{command}: {said}")]
    Failed {
        /// What was run.
        command: String,
        /// What it wrote to stderr.
        said: String,
    },
    /// The lists name no such package.
    #[error("no package {package} {series} in the package lists of {folder}")]
    NotOffered {
        /// Which.
        package: String,
        /// Of which versions.
        series: String,
        /// Where the lists are.
        folder: PathBuf,
    },
    /// An answer is not in the form that is read here.
    #[error("understand {what} of apt: {line:?}")]
    Answer {
        /// Which answer.
        what: &'static str,
        /// Its line.
        line: String,
    },
}

impl Apt {
    /// Writes the private configuration into `folder`, by the host's sources.
    ///
    /// # Errors
    /// The host has no mirror of Debian, or the folder cannot be written.
    pub fn new(folder: &Path) -> Result<Apt, AptError> {
        let etc = Path::new("/etc/apt");
        let text = sources::private(&sources::of_host(etc)?, etc)?;
        for inner in ["lists/partial", "archives/partial", "sources.d"] {
            let path = folder.join(inner);
            fs::create_dir_all(&path).map_err(|source| AptError::Write { path, source })?;
        }
        let path = folder.join("sources.d/debian.sources");
        fs::write(&path, text).map_err(|source| AptError::Write { path, source })?;
        // apt takes a relative path for one beneath the root.
        let absolute = folder.canonicalize();
        absolute
            .map(|folder| Apt { folder })
            .map_err(|source| AptError::Write {
                path: folder.to_owned(),
                source,
            })
    }

    /// Fetches the package lists.
    ///
    /// # Errors
    /// apt said no: no network, as a rule.
    pub fn update(&self) -> Result<(), AptError> {
        let args = ["update", "-o", "APT::Update::Error-Mode=any"];
        self.run("apt-get", &args, &self.folder).map(drop)
    }

    /// The newest version, beginning with `series`, of a package; and the field `Depends` there.
    ///
    /// # Errors
    /// There is none, or apt said no.
    pub fn newest(&self, package: &str, series: &str) -> Result<(String, String), AptError> {
        let args = ["show", "--all-versions", package];
        let text = self.run("apt-cache", &args, &self.folder)?;
        let mut newest: Option<(String, String)> = None;
        for (version, depends) in versions(&text) {
            if !version.starts_with(series) {
                continue;
            }
            let newer = match &newest {
                None => true,
                Some((best, _)) => self.compare(&version, best)? == Ordering::Greater,
            };
            if newer {
                newest = Some((version, depends));
            }
        }
        newest.ok_or_else(|| AptError::NotOffered {
            package: package.to_owned(),
            series: format!("{series}*"),
            folder: self.folder.clone(),
        })
    }

    /// What a download of `package` (or `package=version`) would bring.
    ///
    /// # Errors
    /// There is no such package, or apt said no.
    pub fn offered(&self, package: &str) -> Result<Offered, AptError> {
        let args = ["download", "--print-uris", package];
        let text = self.run("apt-get", &args, &self.folder)?;
        let line = text.lines().next().unwrap_or_default();
        parse_uri(line).ok_or_else(|| AptError::Answer {
            what: "the address of a package",
            line: line.to_owned(),
        })
    }

    /// Downloads a package into `into`; apt checks it against the signed lists.
    ///
    /// # Errors
    /// apt said no.
    pub fn download(&self, package: &str, into: &Path) -> Result<(), AptError> {
        self.run("apt-get", &["download", package], into).map(drop)
    }

    fn compare(&self, left: &str, right: &str) -> Result<Ordering, AptError> {
        let newer = Command::new("dpkg")
            .args(["--compare-versions", left, "gt", right])
            .status()
            .map_err(|source| AptError::Run {
                tool: "dpkg",
                source,
            })?;
        Ok(match newer.success() {
            true => Ordering::Greater,
            false => Ordering::Less,
        })
    }

    /// Runs `tool` with the private configuration, in the folder `within`; returns its output.
    fn run(&self, tool: &'static str, args: &[&str], within: &Path) -> Result<String, AptError> {
        let at = |option: &str, path: PathBuf| {
            let mut text = OsString::from(format!("{option}="));
            text.push(path);
            text
        };
        let nothing = PathBuf::from("/dev/null");
        let settings = [
            at("Dir::State", self.folder.clone()),
            at("Dir::State::lists", self.folder.join("lists")),
            at("Dir::State::status", nothing.clone()),
            at("Dir::Cache", self.folder.clone()),
            at("Dir::Etc::sourcelist", nothing.clone()),
            at("Dir::Etc::sourceparts", self.folder.join("sources.d")),
            at("Dir::Etc::preferences", nothing.clone()),
            at("Dir::Etc::preferencesparts", nothing),
            OsString::from("APT::Architecture=amd64"),
            OsString::from("APT::Sandbox::User="),
            OsString::from("Acquire::Languages=none"),
            OsString::from("Acquire::Retries=3"),
            OsString::from("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"),
        ];
        let mut command = Command::new(tool);
        command.current_dir(within).env("LC_ALL", "C.UTF-8");
        for setting in settings {
            command.arg("-o").arg(setting);
        }
        let output = command
            .args(args)
            .output()
            .map_err(|source| AptError::Run { tool, source })?;
        text_of(tool, args, output)
    }
}

/// Unpacks a package's files into `into`.
///
/// # Errors
/// `dpkg-deb` is missing, or said no.
pub fn unpack(package: &Path, into: &Path) -> Result<(), AptError> {
    let tool = "dpkg-deb";
    let output = Command::new(tool)
        .arg("--extract")
        .args([package, into])
        .output()
        .map_err(|source| AptError::Run { tool, source })?;
    let name = package.to_string_lossy();
    text_of(tool, &["--extract", &name], output).map(drop)
}

fn text_of(tool: &str, args: &[&str], output: Output) -> Result<String, AptError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(AptError::Failed {
        command: format!("{tool} {}", args.join(" ")),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Version and Depends of each stanza of `apt-cache show`.
fn versions(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let line = stanza.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        if let Some(version) = field("Version:") {
            found.push((version, field("Depends:").unwrap_or_default()));
        }
    }
    found
}

/// `'http://mirror/pool/x.deb' x_1.deb 1500 SHA256:6f32…`
fn parse_uri(line: &str) -> Option<Offered> {
    let mut words = line.split_whitespace();
    let (_uri, file) = (words.next()?, words.next()?);
    let bytes = words.next()?.parse().ok()?;
    let sha256 = words.next()?.strip_prefix("SHA256:")?;
    Some(Offered {
        file: file.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_dependencies_are_read_from_stanzas() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 6.12.95-1~bpo12+1\n\
                    Depends: linux-image-6.12.95+deb12-cloud-amd64 (= 6.12.95-1~bpo12+1)\n\n\
                    Package: linux-image-cloud-amd64\nVersion: 6.1.176-1\n";
        let found = versions(text);
        assert_eq!(found[0].0, "6.12.95-1~bpo12+1");
        assert!(found[0].1.starts_with("linux-image-6.12.95+deb12"));
        assert_eq!(found[1], ("6.1.176-1".to_owned(), String::new()));
    }

    #[test]
    fn an_address_without_a_sha256_is_refused() {
        let line = "'http://m/b.deb' busybox-static_1%3a1.35.0_amd64.deb 928188 SHA256:3d3f";
        let offered = parse_uri(line).unwrap();
        assert_eq!(offered.file, "busybox-static_1%3a1.35.0_amd64.deb");
        assert_eq!((offered.bytes, offered.sha256.as_str()), (928_188, "3d3f"));
        assert_eq!(parse_uri("'http://m/b.deb' b.deb 1 MD5Sum:f6"), None);
        assert_eq!(parse_uri(""), None);
    }
}
