//! The text form of resources, as in flags (`cpus(web):4;ports:[31000-32000]`) and messages.
//!
//! Parsing takes what Mesos' flags take: names with an optional static role. Printing shows all the
//! metadata, as Mesos' messages do. JSON resources are read in `api`.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{
    DiskInfo, DiskKind, DiskSource, InvalidResource, Label, Range, Ranges, Reservation,
    ReservationKind, Resource, ResourceFault, Resources, Role, RoleError, Scalar, Set, Value,
    Volume, VolumeMode,
};

/// Why a text does not describe resources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// An element is not `name:value`.
    #[error("Bad value for resources, missing or extra ':' in {0}")]
    Colon(String),
    /// A parenthesis has no counterpart.
    #[error("Bad value for resources, mismatched parentheses in {0}")]
    Parentheses(String),
    /// The text between the parentheses is not a role.
    #[error("Bad value for resources, invalid role in {0}")]
    Role(String, #[source] RoleError),
    /// The value is no number, no ranges and no set.
    #[error("Failed to parse resource {name} value {value}")]
    Value {
        /// The resource's name.
        name: String,
        /// What was given.
        value: String,
    },
    /// The resource is well formed and wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidResource),
}

/// Reads resources in the text form; blanks around names and values are skipped.
///
/// # Errors
/// The first element that is none, by name.
pub fn parse(text: &str) -> Result<Resources, ParseError> {
    text.split(';')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(parse_element)
        .collect()
}

fn parse_element(element: &str) -> Result<Resource, ParseError> {
    let (label, value) = element
        .split_once(':')
        .filter(|(_, value)| !value.contains(':'))
        .ok_or_else(|| ParseError::Colon(element.to_string()))?;
    let (name, role) = split_role(label.trim(), element)?;
    let value = parse_value(value.trim()).ok_or_else(|| ParseError::Value {
        name: name.to_string(),
        value: value.trim().to_string(),
    })?;
    let mut resource = Resource::new(name, value);
    if let Some(role) = role.filter(|role| !role.is_star()) {
        resource.reservations.push(Reservation {
            kind: ReservationKind::Static,
            role,
            principal: None,
            labels: Vec::new(),
        });
    }
    resource.validate()?;
    if Resources::has_part_of_gpu(core::slice::from_ref(&resource)) {
        return Err(ParseError::Invalid(InvalidResource {
            resource: resource.to_string(),
            fault: ResourceFault::Gpus,
        }));
    }
    Ok(resource)
}

/// `cpus(web)` is `cpus` and `web`.
fn split_role<'a>(label: &'a str, element: &str) -> Result<(&'a str, Option<Role>), ParseError> {
    let mismatched = || ParseError::Parentheses(element.to_string());
    let Some((name, rest)) = label.split_once('(') else {
        return if label.contains(')') {
            Err(mismatched())
        } else {
            Ok((label, None))
        };
    };
    let role = rest.strip_suffix(')').ok_or_else(mismatched)?;
    if role.contains(['(', ')']) {
        return Err(mismatched());
    }
    let role = Role::new(role.trim()).map_err(|e| ParseError::Role(element.to_string(), e))?;
    Ok((name.trim(), Some(role)))
}

fn parse_value(text: &str) -> Option<Value> {
    if let Some(rest) = text.strip_prefix('[') {
        return parse_ranges(rest.strip_suffix(']')?).map(Value::Ranges);
    }
    if let Some(rest) = text.strip_prefix('{') {
        return Some(Value::Set(parse_set(rest.strip_suffix('}')?)));
    }
    Scalar::from_f64(text.parse().ok()?).map(Value::Scalar)
}

fn parse_ranges(text: &str) -> Option<Ranges> {
    let mut ranges = Vec::new();
    for piece in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (begin, end) = piece.split_once('-')?;
        let (begin, end) = (begin.trim().parse().ok()?, end.trim().parse().ok()?);
        if begin > end {
            return None;
        }
        ranges.push(Range { begin, end });
    }
    Some(Ranges::new(ranges))
}

fn parse_set(text: &str) -> Set {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(Arc::from)
        .collect()
}

/// Writes the items with a separator between them.
fn join<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.begin, self.end)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        join(f, self.as_slice(), ", ")?;
        f.write_str("]")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => write!(f, "{scalar}"),
            Self::Ranges(ranges) => write!(f, "{ranges}"),
            Self::Set(set) => {
                f.write_str("{")?;
                join(f, set, ", ")?;
                f.write_str("}")
            }
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        self.value
            .iter()
            .try_for_each(|value| write!(f, ": {value}"))
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ReservationKind::Static => "STATIC",
            ReservationKind::Dynamic => "DYNAMIC",
        };
        write!(f, "({kind},{}", self.role)?;
        self.principal
            .iter()
            .try_for_each(|principal| write!(f, ",{principal}"))?;
        if !self.labels.is_empty() {
            f.write_str(",{")?;
            join(f, &self.labels, ", ")?;
            f.write_str("}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for DiskSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, root) = match &self.kind {
            DiskKind::Unknown => ("UNKNOWN", None),
            DiskKind::Path { root } => ("PATH", root.as_deref()),
            DiskKind::Mount { root } => ("MOUNT", root.as_deref()),
            DiskKind::Block => ("BLOCK", None),
            DiskKind::Raw => ("RAW", None),
        };
        f.write_str(kind)?;
        if self.id.is_some() || self.profile.is_some() {
            let text = |part: &Option<Arc<str>>| part.clone().unwrap_or_default();
            let (vendor, id, profile) = (text(&self.vendor), text(&self.id), text(&self.profile));
            write!(f, "({vendor},{id},{profile})")?;
        }
        root.iter().try_for_each(|root| write!(f, ":{root}"))
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(host_path) = &self.host_path else {
            return f.write_str(&self.container_path);
        };
        let mode = match self.mode {
            VolumeMode::ReadWrite => "rw",
            VolumeMode::ReadOnly => "ro",
        };
        write!(f, "{host_path}:{}:{mode}", self.container_path)
    }
}

impl fmt::Display for DiskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source
            .iter()
            .try_for_each(|source| write!(f, "{source}"))?;
        if self.source.is_some() && self.persistence.is_some() {
            f.write_str(",")?;
        }
        self.persistence
            .iter()
            .try_for_each(|persistence| f.write_str(&persistence.id))?;
        self.volume
            .iter()
            .try_for_each(|volume| write!(f, ":{volume}"))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.allocation_role
            .iter()
            .try_for_each(|role| write!(f, "(allocated: {role})"))?;
        if !self.reservations.is_empty() {
            f.write_str("(reservations: [")?;
            join(f, &self.reservations, ",")?;
            f.write_str("])")?;
        }
        self.disk
            .iter()
            .try_for_each(|disk| write!(f, "[{disk}]"))?;
        f.write_str(if self.revocable { "{REV}" } else { "" })?;
        f.write_str(if self.shared { "<SHARED>" } else { "" })?;
        write!(f, ":{}", self.value)
    }
}

impl fmt::Display for Resources {
    /// The resources with `; ` between them, or `{}` for none; behind a shared one how many copies
    /// there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        for (index, (resource, copies)) in self.counted().into_iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            write!(f, "{resource}")?;
            if resource.shared {
                write!(f, "<{copies}>")?;
            }
        }
        Ok(())
    }
}
