//! Where Debian packages come from: the host's own mirrors and keys, with another suite.
//!
//! Both notations of apt are read, one line a source (`sources.list(5)`) and deb822. What is
//! written is deb822, since a key may stand in the text itself there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The release of Debian whose packages are used, whatever the host's is.
const RELEASE: &str = "bookworm";

/// Names that the suites of Debian's archive begin with.
const DEBIAN: [&str; 9] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One source of packages, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// The field's text, continuation lines and all.
    signed_by: Option<String>,
}

/// Why no sources can be made for the private configuration.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A file of apt's configuration cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host knows no mirror of Debian's.
    #[error(
        "no mirror of Debian in {0}: add one, as in `deb MIRROR bookworm main`, \
         with its key (package debian-archive-keyring)"
    )]
    NoMirror(PathBuf),
}

/// Reads what apt on this host is configured with, beneath `etc` (`/etc/apt`).
///
/// # Errors
/// A file cannot be read.
pub fn of_host(etc: &Path) -> Result<Vec<Source>, SourcesError> {
    let mut paths = vec![etc.join("sources.list")];
    let parts = etc.join("sources.list.d");
    if let Ok(entries) = fs::read_dir(&parts) {
        paths.extend(entries.flatten().map(|entry| entry.path()));
    }
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => parse_lines,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        match fs::read_to_string(&path) {
            Ok(text) => sources.extend(parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(SourcesError::Read { path, source }),
        }
    }
    Ok(sources)
}

/// The private configuration, in deb822: the mirrors and keys of `host`, the suites ours.
///
/// # Errors
/// There is no mirror of Debian among the host's; `etc` is where they were read.
pub fn private(host: &[Source], etc: &Path) -> Result<String, SourcesError> {
    let is_security = |suite: &str| suite.contains("-security");
    let debian: Vec<&Source> = host.iter().filter(|source| source.is_debian()).collect();
    let main = debian
        .iter()
        .find(|source| source.suites.iter().any(|suite| !is_security(suite)))
        .ok_or_else(|| SourcesError::NoMirror(etc.to_owned()))?;
    let mut text = main.with_suites(&format!("{RELEASE} {RELEASE}-backports"));
    let security = debian
        .iter()
        .find(|source| source.suites.iter().any(|suite| is_security(suite)));
    if let Some(security) = security {
        text.push('\n');
        text.push_str(&security.with_suites(&format!("{RELEASE}-security")));
    }
    Ok(text)
}

impl Source {
    fn is_debian(&self) -> bool {
        let of_debian = |suite: &String| {
            let name = suite.split(['-', '/']).next().unwrap_or_default();
            DEBIAN.contains(&name)
        };
        self.components.iter().any(|component| component == "main")
            && self.suites.iter().any(of_debian)
            && !self.uris.is_empty()
    }

    fn with_suites(&self, suites: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: main\nArchitectures: amd64\n",
            self.uris.join(" ")
        );
        if let Some(key) = &self.signed_by {
            text.push_str("Signed-By:");
            text.push_str(key);
            text.push('\n');
        }
        text
    }
}

/// `deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror/debian bookworm main`, a source a line.
fn parse_lines(text: &str) -> Vec<Source> {
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let mut sources = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else {
            continue;
        };
        let rest = rest.split('#').next().unwrap_or_default().trim();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (words(options), words(rest)),
            None => (Vec::new(), words(rest)),
        };
        let [uri, suite, components @ ..] = rest.as_slice() else {
            continue;
        };
        let signed_by = options
            .iter()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(|path| format!(" {}", path.replace(',', " ")));
        sources.push(Source {
            uris: vec![uri.clone()],
            suites: vec![suite.clone()],
            components: components.to_vec(),
            signed_by,
        });
    }
    sources
}

/// Stanzas of `Field: value` with continuation lines, separated by empty lines.
fn parse_deb822(text: &str) -> Vec<Source> {
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let mut sources = Vec::new();
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.lines() {
            match (line.starts_with([' ', '\t']), fields.last_mut()) {
                (true, Some((_, value))) => {
                    value.push('\n');
                    value.push_str(line);
                }
                (true, None) => {}
                (false, _) => {
                    if let Some((name, value)) = line.split_once(':') {
                        fields.push((name.to_ascii_lowercase(), value.to_owned()));
                    }
                }
            }
        }
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let list = |wanted: &str| -> Vec<String> {
            let value = field(wanted).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let enabled = field("enabled").is_none_or(|value| value.trim() != "no");
        if enabled && list("types").iter().any(|kind| kind == "deb") {
            sources.push(Source {
                uris: list("uris"),
                suites: list("suites"),
                components: list("components"),
                signed_by: field("signed-by"),
            });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(host: Vec<Source>, expected: Expect) {
        let text = match private(&host, Path::new("/etc/apt")) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn the_mirror_and_the_key_of_the_host_are_kept() {
        let host = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\n\
                    Suites: trixie trixie-updates\nComponents: main contrib\n\
                    Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb deb-src\nURIs: http://mirror.example/debian-security\n\
                    Suites: trixie-security\nComponents: main\n\
                    Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDM\n";
        check(
            parse_deb822(host),
            expect![[r#"
            Types: deb
            URIs: http://mirror.example/debian
            Suites: bookworm bookworm-backports
            Components: main
            Architectures: amd64
            Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

            Types: deb
            URIs: http://mirror.example/debian-security
            Suites: bookworm-security
            Components: main
            Architectures: amd64
            Signed-By:
             -----BEGIN PGP PUBLIC KEY BLOCK-----
             .
             mDM
        "#]],
        );
    }

    #[test]
    fn sources_that_are_not_debian_are_passed_over() {
        let host = "deb https://packages.example/apt cloud-sdk-bookworm main\n\
                    # deb http://commented.example/debian bookworm main\n\
                    deb-src http://source.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/etc/keys/debian.gpg] http://one.example/debian bookworm main # here\n";
        check(
            parse_lines(host),
            expect![[r#"
            Types: deb
            URIs: http://one.example/debian
            Suites: bookworm bookworm-backports
            Components: main
            Architectures: amd64
            Signed-By: /etc/keys/debian.gpg
        "#]],
        );
    }

    #[test]
    fn a_host_without_debian_is_told_what_to_add() {
        let host = "deb http://archive.ubuntu.com/ubuntu noble main universe\n";
        check(
            parse_lines(host),
            expect![
                "no mirror of Debian in /etc/apt: add one, as in `deb MIRROR bookworm main`, with its key (package debian-archive-keyring)"
            ],
        );
    }
}
