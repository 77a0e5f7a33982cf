//! Offer constraints at the border: of which agents a framework wants offers in a role.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model::Blob;

use super::Text;

/// `offer_constraints` of a SUBSCRIBE or UPDATE_FRAMEWORK.
#[derive(Debug, Clone, Default)]
pub struct OfferConstraints {
    /// By role, the groups of which one must hold; all constraints of a group must.
    pub roles: BTreeMap<Text, Vec<Vec<AttributeConstraint>>>,
    /// The whole OfferConstraints, where there is one.
    pub message: Option<Blob>,
}

/// What must hold of one attribute.
#[derive(Debug, Clone)]
pub struct AttributeConstraint {
    /// Which attribute; `None` where the message says neither a name nor a pseudo-attribute.
    pub selector: Option<Selector>,
    /// What must hold; `None` where it is nothing that this version knows.
    pub predicate: Option<Predicate>,
}

impl AttributeConstraint {
    /// Whether a pattern is to be matched for it.
    #[must_use]
    pub const fn is_pattern(&self) -> bool {
        matches!(
            self.predicate,
            Some(Predicate::TextMatches(_) | Predicate::TextNotMatches(_))
        )
    }
}

/// Which attribute of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Its host name.
    Hostname,
    /// The region of its fault domain.
    Region,
    /// The zone of its fault domain.
    Zone,
    /// A pseudo-attribute that this version does not know.
    Unknown,
    /// The first attribute of this name.
    Attribute(Text),
}

/// What must hold of an attribute. What speaks of texts holds of every attribute that is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is this text.
    TextEquals(Text),
    /// It is not this text, or not there.
    TextNotEquals(Text),
    /// The whole text matches this regular expression.
    TextMatches(Text),
    /// The whole text does not match this regular expression, or is not there.
    TextNotMatches(Text),
}

/// What constraints look at in an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentAttributes {
    /// `hostname`.
    pub hostname: Text,
    /// `domain.fault_domain.region.name`.
    pub region: Option<Text>,
    /// `domain.fault_domain.zone.name`.
    pub zone: Option<Text>,
    /// `attributes` in their order: name, and value where it is a text.
    pub named: Vec<(Text, Option<Text>)>,
}

impl AgentAttributes {
    /// Whether it is in another region than this one. Who has no domain is in the master's.
    #[must_use]
    pub fn is_outside(&self, region: Option<&Text>) -> bool {
        match (&self.region, region) {
            (Some(own), Some(region)) => own != region,
            (None, _) | (_, None) => false,
        }
    }
}
