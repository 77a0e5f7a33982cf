//! Description: what this agent tells a master that it is and has.

use std::net::IpAddr;
use std::path::PathBuf;

use agent_kernel::facts::Facts;
use api::convert;
use api::domain::{DomainError, DomainSource};
use api::v1::{self, agent_info::capability};
use model::resources::{self, ParseError, Range, Ranges, Resource, Scalar, Value};
use model::{AgentId, Resources};

use crate::config::Config;
use crate::init::Node;
use crate::networks::Addresses;

/// What the agent can do beyond the oldest one that a master admits.
pub const CAPABILITIES: [capability::Type; 8] = [
    capability::Type::MultiRole,
    capability::Type::HierarchicalRole,
    capability::Type::ReservationRefinement,
    capability::Type::ResourceProvider,
    capability::Type::ResizeVolume,
    capability::Type::AgentOperationFeedback,
    capability::Type::AgentDraining,
    capability::Type::TaskResourceLimits,
];

/// The Mesos release whose interface this is; clients parse it, so it is numbers and dots.
pub const VERSION: &str = "1.11.0";

const MEGABYTE: u64 = 1 << 20;

/// What does not change while the agent runs.
#[derive(Debug, Clone)]
pub struct Description {
    /// The name this agent is known by.
    pub hostname: String,
    /// Where others reach it.
    pub ip: IpAddr,
    /// Where others reach it.
    pub port: u16,
    /// Where sandboxes are.
    pub work_dir: PathBuf,
    /// All that it has.
    pub resources: Resources,
    /// What its operator says of it.
    pub attributes: Vec<v1::Attribute>,
    /// Where it stands, as far as failures go.
    pub domain: Option<v1::DomainInfo>,
    /// Names these resources.
    pub resource_version: [u8; 16],
    /// Where its containers are that have networks of their own.
    pub addresses: Addresses,
}

/// Why the agent cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// `--resources`
    #[error("read --resources {text:?}")]
    Resources {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// `--attributes`
    #[error("read --attributes: {0:?} is not name:value")]
    Attribute(String),
    /// `--domain`
    #[error("--domain")]
    Domain(#[from] DomainError),
}

impl Description {
    /// Describes an agent from its settings and its machine.
    ///
    /// # Errors
    /// A setting that cannot be read.
    pub fn new(
        config: &Config,
        node: &Node,
        facts: Facts,
        resource_version: [u8; 16],
    ) -> Result<Self, DescriptionError> {
        Ok(Self {
            hostname: node.hostname.clone(),
            ip: config.advertise_ip.unwrap_or(node.address),
            port: config.advertise_port.unwrap_or(config.port),
            work_dir: node.work_dir.clone(),
            resources: resources(config.resources.as_deref(), facts)?,
            attributes: attributes(config.attributes.as_deref().unwrap_or_default())?,
            domain: config.domain.as_ref().map(DomainSource::read).transpose()?,
            resource_version,
            addresses: Addresses::default(),
        })
    }

    /// The agent as Mesos' API says it.
    #[must_use]
    pub fn agent_info(&self, id: Option<&AgentId>) -> v1::AgentInfo {
        v1::AgentInfo {
            hostname: self.hostname.clone(),
            port: Some(self.port.into()),
            resources: convert::to_refined(&self.resources),
            attributes: self.attributes.clone(),
            domain: self.domain.clone(),
            id: id.map(Into::into),
        }
    }

    /// The capabilities as Mesos' API says them.
    #[must_use]
    pub fn capabilities() -> Vec<v1::agent_info::Capability> {
        let all = CAPABILITIES.into_iter();
        all.map(|kind| v1::agent_info::Capability {
            r#type: Some(kind.into()),
        })
        .collect()
    }
}

/// Reads the two settings as the agent will at its start, so that faults show before.
///
/// # Errors
/// The first setting that cannot be read.
pub fn check(resources: Option<&str>, attributes: Option<&str>) -> Result<(), DescriptionError> {
    let facts = Facts {
        cpus: 1,
        memory_bytes: None,
        disk_bytes: None,
    };
    self::resources(resources, facts)?;
    self::attributes(attributes.unwrap_or_default()).map(drop)
}

/// What the setting names, and what it does not name as measured (reference, section 5.1): all
/// processors; of memory and disk all but 1 GB and 5 GB, or half of little; ports 31000 to 32000.
fn resources(text: Option<&str>, facts: Facts) -> Result<Resources, DescriptionError> {
    const GB: u64 = 1024;
    let text = text.unwrap_or_default();
    let parsed = resources::parse(text).map_err(|source| DescriptionError::Resources {
        text: text.to_string(),
        source,
    })?;
    let but = |total: u64, kept: u64, enough: u64| match total > enough {
        true => total - kept,
        false => total / 2,
    };
    let memory = facts
        .memory_bytes
        .map_or(GB, |bytes| but(bytes / MEGABYTE, GB, 2 * GB));
    let disk = facts
        .disk_bytes
        .map_or(10 * GB, |bytes| but(bytes / MEGABYTE, 5 * GB, 10 * GB));
    let cpus = u64::try_from(facts.cpus).unwrap_or(1);
    let measured = [
        Resource::scalar("cpus", whole(cpus)),
        Resource::scalar("mem", whole(memory)),
        Resource::scalar("disk", whole(disk)),
        Resource::new(
            "ports",
            Value::Ranges(Ranges::new([Range {
                begin: 31000,
                end: 32000,
            }])),
        ),
    ];
    let mut all = parsed.clone();
    for resource in measured {
        if !parsed.iter().any(|given| given.name == resource.name) {
            all.add(resource);
        }
    }
    Ok(all)
}

fn whole(number: u64) -> Scalar {
    Scalar(i64::try_from(number.saturating_mul(1000)).unwrap_or(i64::MAX))
}

/// `name:value;…`, where a value is a number, `[1-2,…]`, `{a,b}` or text.
fn attributes(text: &str) -> Result<Vec<v1::Attribute>, DescriptionError> {
    let parts = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(attribute).collect()
}

fn attribute(part: &str) -> Result<v1::Attribute, DescriptionError> {
    let wrong = || DescriptionError::Attribute(part.to_string());
    let (name, value) = part.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return Err(wrong());
    }
    let mut attribute = v1::Attribute {
        name: name.to_string(),
        ..v1::Attribute::default()
    };
    // A resource of the same form is read by the one parser there is for it.
    let as_resource = resources::parse(&format!("attribute:{value}")).ok();
    let parsed = as_resource.as_ref().and_then(|all| all.iter().next());
    let wire = parsed.map(convert::to_resource);
    match wire {
        Some(wire) => {
            attribute.r#type = wire.r#type;
            attribute.scalar = wire.scalar;
            attribute.ranges = wire.ranges;
            attribute.set = wire.set;
        }
        None => {
            attribute.r#type = v1::value::Type::Text.into();
            attribute.text = Some(v1::value::Text {
                value: value.to_string(),
            });
        }
    }
    Ok(attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(given: Option<&str>, memory_gb: u64, disk_gb: u64) -> String {
        let facts = Facts {
            cpus: 4,
            memory_bytes: Some(memory_gb << 30),
            disk_bytes: Some(disk_gb << 30),
        };
        let all = resources(given, facts).expect("resources");
        let quantity = |name: &str| all.scalar(name).0 / 1000;
        format!(
            "cpus {} mem {} disk {} names {}",
            quantity("cpus"),
            quantity("mem"),
            quantity("disk"),
            all.iter().count()
        )
    }

    #[test]
    fn what_is_not_given_is_measured_less_what_the_node_needs() {
        assert_eq!(text(None, 8, 100), "cpus 4 mem 7168 disk 97280 names 4");
        assert_eq!(text(None, 2, 10), "cpus 4 mem 1024 disk 5120 names 4");
        assert_eq!(
            text(Some("cpus:2;gpus:1"), 8, 100),
            "cpus 2 mem 7168 disk 97280 names 5"
        );
        assert!(check(Some("cpus"), None).is_err());
    }

    #[test]
    fn attributes_are_text_numbers_ranges_or_sets() {
        let all = attributes("rack:a-1; level:2.5;ports:[1-2];zones:{a,b}").expect("attributes");
        let kinds: Vec<_> = all
            .iter()
            .map(|a| {
                (
                    a.name.as_str(),
                    a.scalar.is_some(),
                    a.ranges.is_some(),
                    a.set.is_some(),
                    a.text.is_some(),
                )
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ("rack", false, false, false, true),
                ("level", true, false, false, false),
                ("ports", false, true, false, false),
                ("zones", false, false, true, false),
            ]
        );
        for wrong in ["rack", "rack:", ":a"] {
            assert!(attributes(wrong).is_err(), "{wrong}");
        }
    }
}
