//! The setting `--domain`, which masters and agents share: where they stand, as far as failures go.
//!
//! It is a DomainInfo in JSON, a file that holds one, or `region:NAME;zone:NAME`: the kernel drops the
//! quotes of its command line, and with them those of JSON. A domain always names a region and a zone
//! here, as in Mesos, which refuses to start with another one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::json::{JsonError, from_json, to_json};
use crate::v1::DomainInfo;
use crate::v1::domain_info::FaultDomain;
use crate::v1::domain_info::fault_domain::{RegionInfo, ZoneInfo};

/// What is allowed, for whoever gave something else.
pub const ALLOWED: &str = "a fault domain, as in region:eu;zone:rack1, or in JSON \
    {\"fault_domain\":{\"region\":{\"name\":\"eu\"},\"zone\":{\"name\":\"rack1\"}}}, or the path of a file \
    that holds this";

/// Where a domain is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainSource {
    /// Here.
    Given(DomainInfo),
    /// In this file.
    File(PathBuf),
}

/// Why a text is no domain.
#[derive(Debug, thiserror::Error)]
pub enum DomainFault {
    /// It is no DomainInfo in JSON.
    #[error("it is no DomainInfo: {0}")]
    Json(#[from] JsonError),
    /// It is a DomainInfo without what it is for.
    #[error("`domain` must define `fault_domain`")]
    NoFaultDomain,
    /// A name is missing or empty.
    #[error("it names no {0}")]
    Unnamed(&'static str),
    /// The short notation has another part.
    #[error("{0:?} is neither region:NAME nor zone:NAME, each once")]
    Part(String),
}

/// Why there is no domain.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no domain", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DomainFault,
    },
}

impl DomainSource {
    /// The domain; a file is read.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(&self) -> Result<DomainInfo, DomainError> {
        match self {
            Self::Given(domain) => Ok(domain.clone()),
            Self::File(path) => {
                let path = || path.clone();
                let text = std::fs::read_to_string(path()).map_err(|source| DomainError::File {
                    path: path(),
                    source,
                })?;
                let domain = parse(text.trim());
                domain.map_err(|source| DomainError::Content {
                    path: path(),
                    source,
                })
            }
        }
    }
}

impl FromStr for DomainSource {
    type Err = DomainFault;

    fn from_str(text: &str) -> Result<Self, DomainFault> {
        let path = Path::new(text.strip_prefix("file://").unwrap_or(text));
        match path.is_absolute() {
            true => Ok(Self::File(path.into())),
            false => parse(text).map(Self::Given),
        }
    }
}

/// As it can be given.
impl fmt::Display for DomainSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(domain) => f.write_str(&to_json(domain)),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The name of a domain's region.
#[must_use]
pub fn region(domain: &DomainInfo) -> Option<&str> {
    let fault_domain = domain.fault_domain.as_ref()?;
    Some(&fault_domain.region.name)
}

fn parse(text: &str) -> Result<DomainInfo, DomainFault> {
    let domain = match text.starts_with('{') {
        true => from_json(text.as_bytes())?,
        false => short(text)?,
    };
    let fault_domain = domain.fault_domain.as_ref();
    let fault_domain = fault_domain.ok_or(DomainFault::NoFaultDomain)?;
    if fault_domain.region.name.is_empty() {
        return Err(DomainFault::Unnamed("region"));
    }
    if fault_domain.zone.name.is_empty() {
        return Err(DomainFault::Unnamed("zone"));
    }
    Ok(domain)
}

/// `region:NAME;zone:NAME`
fn short(text: &str) -> Result<DomainInfo, DomainFault> {
    let (mut region, mut zone) = (None, None);
    for part in text.split(';') {
        let (kind, name) = part.split_once(':').unwrap_or((part, ""));
        let place = match kind.trim() {
            "region" => &mut region,
            "zone" => &mut zone,
            _ => return Err(DomainFault::Part(part.to_owned())),
        };
        if place.replace(name.trim().to_owned()).is_some() {
            return Err(DomainFault::Part(part.to_owned()));
        }
    }
    let region = RegionInfo {
        name: region.unwrap_or_default(),
    };
    let zone = ZoneInfo {
        name: zone.unwrap_or_default(),
    };
    Ok(DomainInfo {
        fault_domain: Some(FaultDomain { region, zone }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"rack1"}}}"#;

    fn given(text: &str) -> String {
        match text.parse::<DomainSource>() {
            Ok(source) => source.to_string(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn a_domain_is_read_from_json_and_from_its_short_form() {
        for text in [JSON, "region:eu;zone:rack1", " zone: rack1; region: eu"] {
            assert_eq!(given(text), JSON, "{text}");
        }
        // Names may hold what parts do not end with.
        assert_eq!(
            given("region:a/b:c;zone:d"),
            r#"{"fault_domain":{"region":{"name":"a/b:c"},"zone":{"name":"d"}}}"#
        );
    }

    #[test]
    fn what_is_no_domain_is_refused_with_the_reason() {
        let part = |part: &str| format!("{part:?} is neither region:NAME nor zone:NAME, each once");
        for (text, fault) in [
            ("{}", "`domain` must define `fault_domain`".to_owned()),
            ("", part("")),
            ("eu", part("eu")),
            ("region:eu", "it names no zone".to_owned()),
            ("region:;zone:a", "it names no region".to_owned()),
            ("region:a;region:b", part("region:b")),
            ("region:a;zone:b;", part("")),
            (
                r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":""}}}"#,
                "it names no zone".to_owned(),
            ),
        ] {
            assert_eq!(given(text), fault, "{text}");
        }
        for json in [
            r#"{"fault_domain":{"region":"eu"}}"#,
            "{",
            r#"{"fault_domain":{}}"#,
        ] {
            assert!(given(json).starts_with("it is no DomainInfo: "), "{json}");
        }
    }

    #[test]
    fn a_file_may_hold_the_domain() {
        let path = std::env::temp_dir().join(format!("domain-{}", std::process::id()));
        let source: DomainSource = format!("file://{}", path.display())
            .parse()
            .expect("a path");
        assert_eq!(source.to_string(), path.display().to_string());
        assert!(matches!(source.read(), Err(DomainError::File { .. })));
        std::fs::write(&path, format!("{JSON}\n")).expect("write");
        assert_eq!(source.read().ok().as_ref().and_then(region), Some("eu"));
        std::fs::write(&path, "eu").expect("write");
        assert!(matches!(source.read(), Err(DomainError::Content { .. })));
        std::fs::remove_file(&path).expect("remove");
    }
}
