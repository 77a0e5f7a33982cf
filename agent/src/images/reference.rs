//! Reference: the name of an image, and the registry that it means.
//!
//! `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`, read as Docker and Mesos read it: the first part is a host
//! where it holds a dot or a colon, or is `localhost`.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::Digest;

/// The most bytes of a repository's name.
const REPOSITORY_BYTES_MAX: usize = 255;
/// The most bytes of a tag.
const TAG_BYTES_MAX: usize = 128;
/// What is meant where neither tag nor digest is named.
const LATEST: &str = "latest";

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// A host, maybe with a port; the agent's default registry where there is none.
    pub registry: Option<String>,
    /// The name there.
    pub repository: String,
    /// The version, by name.
    pub tag: Option<String>,
    /// The version, by content; wins over the tag.
    pub digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image: {why}")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

impl Reference {
    /// The version as a registry is asked for it.
    #[must_use]
    pub fn version(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_ref(),
            (None, Some(tag)) => tag,
            (None, None) => LATEST,
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let fault = |why| ReferenceError {
            text: text.chars().take(REPOSITORY_BYTES_MAX).collect(),
            why,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let digest = digest.map(|digest| digest.parse::<Digest>());
        let digest = digest
            .transpose()
            .map_err(|_| fault("what follows @ is no digest"))?;
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (rest, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(fault("its tag is not of letters, digits, _, . and -"));
        }
        let is_host = |first: &str| {
            first.contains(['.', ':']) || first == "localhost" || first.starts_with('[')
        };
        let (registry, repository) = match rest.split_once('/') {
            Some((first, rest)) if is_host(first) => (Some(first), rest),
            _ => (None, rest),
        };
        if registry.is_some_and(|registry| !is_authority(registry)) {
            return Err(fault("its registry is not HOST or HOST:PORT"));
        }
        let is_named =
            repository.len() <= REPOSITORY_BYTES_MAX && repository.split('/').all(is_component);
        if !is_named {
            return Err(fault(
                "its repository is not of lower-case letters, digits and single separators",
            ));
        }
        Ok(Self {
            registry: registry.map(str::to_string),
            repository: repository.to_string(),
            tag: tag.map(str::to_string),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_BYTES_MAX
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Letters and digits with separators between them, never at an end; so it is no `..` either.
fn is_component(name: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.bytes().next().is_some_and(is_word)
        && name.bytes().next_back().is_some_and(is_word)
        && name.bytes().all(|b| is_word(b) || b"._-".contains(&b))
        && !name.contains("..")
}

/// Whether a text is a host, maybe with a port.
pub(super) fn is_authority(text: &str) -> bool {
    let authority: Result<hyper::http::uri::Authority, _> = text.parse();
    authority.is_ok_and(|authority| {
        let host = authority.host();
        let is_named =
            host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
        let port = text.strip_prefix(host);
        let has_port = |port: &str| {
            let digits = port.strip_prefix(':');
            digits.is_some_and(|digits| digits.parse::<u16>().is_ok_and(|port| port > 0))
        };
        is_named
            && !host.contains("..")
            && port.is_some_and(|port| port.is_empty() || has_port(port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";

    #[test]
    fn a_name_is_read_as_docker_reads_it_and_written_as_it_was() {
        for (text, registry, repository, version) in [
            ("busybox", None, "busybox", "latest"),
            ("busybox:1.36", None, "busybox", "1.36"),
            ("library/busybox", None, "library/busybox", "latest"),
            ("localhost/a", Some("localhost"), "a", "latest"),
            ("10.0.2.2:5000/a/b:c", Some("10.0.2.2:5000"), "a/b", "c"),
            (
                "quay.io/a/b__c-d.e",
                Some("quay.io"),
                "a/b__c-d.e",
                "latest",
            ),
            ("[::1]:5000/a", Some("[::1]:5000"), "a", "latest"),
        ] {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(reference.registry.as_deref(), registry, "{text}");
            assert_eq!(reference.repository, repository, "{text}");
            assert_eq!(reference.version(), version, "{text}");
            assert_eq!(reference.to_string(), text);
        }
        let text = format!("r.example/a:tag@{DIGEST}");
        let reference: Reference = text.parse().expect("a name");
        assert_eq!(reference.version(), DIGEST);
        assert_eq!(reference.to_string(), format!("r.example/a@{DIGEST}"));
    }

    #[test]
    fn what_names_no_image_is_refused_and_never_becomes_a_path() {
        for text in [
            "",
            ":",
            "@",
            "a:",
            "a@",
            "a@sha256:12",
            "A",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a/../b",
            "a/..",
            "a..b",
            "a b",
            "-a",
            "a:b:c",
            "host.example:port/a",
            "user@host.example/a",
            "a:../b",
            "a:.tag",
            "a\0",
            "a@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b@x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
        assert!("a".repeat(256).parse::<Reference>().is_err());
    }
}
