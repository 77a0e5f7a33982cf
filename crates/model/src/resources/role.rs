//! Roles: the tree of names under which resources are shared out and reserved.
//!
//! The rules are Mesos' (reference, section 5.4). `*` is the default role and stands alone.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;

/// Why a text is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The text has no bytes.
    #[error("Role names cannot be the empty string")]
    Empty,
    /// The first character is `/`.
    #[error("Role '{0}' cannot start with a slash")]
    LeadingSlash(String),
    /// The last character is `/`.
    #[error("Role '{0}' cannot end with a slash")]
    TrailingSlash(String),
    /// Two slashes follow each other.
    #[error("Role '{0}' cannot contain two adjacent slashes")]
    AdjacentSlashes(String),
    /// A component is `.`.
    #[error("Role '{0}' cannot include '.' as a component")]
    Dot(String),
    /// A component is `..`.
    #[error("Role '{0}' cannot include '..' as a component")]
    DotDot(String),
    /// A component starts with a dash.
    #[error("Role component '{0}' is invalid because it starts with a dash")]
    Dash(String),
    /// A component holds white space or a backspace.
    #[error("Role component '{0}' is invalid because it contains backspace or whitespace")]
    Blank(String),
    /// `*` is one component of several.
    #[error("Role '{0}' cannot include '*' as a component")]
    NestedStar(String),
}

/// A role: `*`, or components joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// Takes a text that keeps the rules of this module.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, RoleError> {
        check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The default role.
    #[must_use]
    pub fn star() -> Self {
        Self(Arc::from("*"))
    }

    /// Whether it is the default role.
    #[must_use]
    pub fn is_star(&self) -> bool {
        &*self.0 == "*"
    }

    /// The role as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, the highest first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The first component: the role at the top of this one's tree.
    #[must_use]
    pub fn top(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The texts of its ancestors and of itself, the highest first: `a`, `a/b`, `a/b/c`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('/').map(|(at, _)| at);
        ends.chain(core::iter::once(self.0.len()))
            .filter_map(|end| self.0.get(..end))
    }

    /// Whether `other` is strictly beneath this role.
    #[must_use]
    pub fn is_ancestor_of(&self, other: &Self) -> bool {
        other
            .0
            .strip_prefix(&*self.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Roles are ordered and equal as their texts are: a map by role is searched by text.
impl Borrow<str> for Role {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), RoleError> {
    let owned = || text.to_string();
    if text == "*" {
        return Ok(());
    }
    if text.is_empty() {
        return Err(RoleError::Empty);
    }
    if text.starts_with('/') {
        return Err(RoleError::LeadingSlash(owned()));
    }
    if text.ends_with('/') {
        return Err(RoleError::TrailingSlash(owned()));
    }
    if text.contains("//") {
        return Err(RoleError::AdjacentSlashes(owned()));
    }
    for component in text.split('/') {
        check_component(component, text)?;
    }
    Ok(())
}

fn check_component(component: &str, role: &str) -> Result<(), RoleError> {
    let blank = |c: char| matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ' | '\x08');
    match component {
        "." => Err(RoleError::Dot(role.to_string())),
        ".." => Err(RoleError::DotDot(role.to_string())),
        "*" => Err(RoleError::NestedStar(role.to_string())),
        c if c.starts_with('-') => Err(RoleError::Dash(c.to_string())),
        c if c.contains(blank) => Err(RoleError::Blank(c.to_string())),
        _ => Ok(()),
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
