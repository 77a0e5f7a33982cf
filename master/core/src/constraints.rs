//! Offer constraints: of which agents a framework wants offers in a role.
//!
//! Of the groups of a role one must hold, and of a group all constraints. What speaks of texts holds
//! of every attribute that is no text, as in Mesos.

mod pattern;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::resources::Role;
use regex::Regex;

use crate::event::{
    AgentAttributes, AttributeConstraint, OfferConstraints, Predicate, Selector, Text,
};

pub use pattern::PatternLimits;

/// How many patterns the constraints of one framework may hold: each costs some kilobytes.
const PATTERNS_MAX: usize = 1000;

/// The constraints of a framework, checked.
#[derive(Debug, Default)]
pub struct Constraints(BTreeMap<Text, Vec<Vec<Constraint>>>);

#[derive(Debug)]
struct Constraint {
    selector: Selector,
    test: Test,
}

/// A predicate whose pattern is compiled.
#[derive(Debug)]
enum Test {
    Exists,
    NotExists,
    Equals(Text),
    NotEquals(Text),
    Matches(Regex),
    NotMatches(Regex),
}

/// What an agent has where a constraint looks.
enum Found<'a> {
    Nothing,
    Text(&'a str),
    /// An attribute that is no text.
    Other,
}

impl<'a> Found<'a> {
    fn optional(text: &'a Option<Text>) -> Self {
        text.as_deref().map_or(Self::Nothing, Self::Text)
    }
}

impl Constraints {
    /// Checks what a framework asks for.
    ///
    /// # Errors
    /// What is no constraint, in words for the framework.
    pub fn new(wire: &OfferConstraints, limits: PatternLimits) -> Result<Self, String> {
        let constraints = wire.roles.values().flatten().flatten();
        if constraints.filter(|c| c.is_pattern()).count() > PATTERNS_MAX {
            return Err(format!("There are more than {PATTERNS_MAX} regexes"));
        }
        let mut roles = BTreeMap::new();
        for (role, groups) in &wire.roles {
            if groups.is_empty() {
                return Err(format!(
                    "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' \
                     for role {role}"
                ));
            }
            if groups.iter().any(Vec::is_empty) {
                return Err(format!(
                    "'OfferConstraints::RoleConstraints::groups' for role {role}contains an empty \
                     RoleConstraints::Group"
                ));
            }
            let check = |constraint: &AttributeConstraint| {
                Constraint::new(constraint, limits).map_err(|fault| {
                    format!("A role {role} has an invalid 'AttributeConstraint': {fault}")
                })
            };
            let groups = groups.iter().map(|group| group.iter().map(check).collect());
            let groups: Vec<Vec<Constraint>> = groups.collect::<Result<_, String>>()?;
            roles.insert(role.clone(), groups);
        }
        Ok(Self(roles))
    }

    /// Whether a framework wants no offers of this agent in a role.
    #[must_use]
    pub fn exclude(&self, role: &Role, agent: &AgentAttributes) -> bool {
        let holds = |group: &Vec<Constraint>| group.iter().all(|c| c.holds(agent));
        self.0
            .get(role.as_str())
            .is_some_and(|groups| !groups.iter().any(holds))
    }
}

impl Constraint {
    fn new(wire: &AttributeConstraint, limits: PatternLimits) -> Result<Self, String> {
        let selector = match &wire.selector {
            None => {
                return Err("Exactly one of 'AttributeConstraint::Selector::name' or \
                     'AttributeConstraint::Selector::pseudoattribute_type' must be set"
                    .into());
            }
            Some(Selector::Unknown) => return Err("Unknown pseudoattribute type".into()),
            Some(selector) => selector.clone(),
        };
        let test = match &wire.predicate {
            None => return Err("Unknown predicate type".into()),
            Some(Predicate::Exists) => Test::Exists,
            Some(Predicate::NotExists) => Test::NotExists,
            Some(Predicate::TextEquals(text)) => Test::Equals(text.clone()),
            Some(Predicate::TextNotEquals(text)) => Test::NotEquals(text.clone()),
            Some(Predicate::TextMatches(pattern)) => {
                Test::Matches(pattern::compile(pattern, limits)?)
            }
            Some(Predicate::TextNotMatches(pattern)) => {
                Test::NotMatches(pattern::compile(pattern, limits)?)
            }
        };
        Ok(Self { selector, test })
    }

    fn holds(&self, agent: &AgentAttributes) -> bool {
        let found = match &self.selector {
            Selector::Hostname => Found::Text(&agent.hostname),
            Selector::Region => Found::optional(&agent.region),
            Selector::Zone => Found::optional(&agent.zone),
            Selector::Unknown => Found::Nothing,
            Selector::Attribute(name) => match agent.named.iter().find(|(n, _)| n == name) {
                None => Found::Nothing,
                Some((_, None)) => Found::Other,
                Some((_, Some(text))) => Found::Text(text),
            },
        };
        match (&self.test, found) {
            (Test::Exists, found) => !matches!(found, Found::Nothing),
            (Test::NotExists, found) => matches!(found, Found::Nothing),
            (Test::Equals(_) | Test::Matches(_), Found::Nothing) => false,
            (Test::NotEquals(_) | Test::NotMatches(_), Found::Nothing) => true,
            (_, Found::Other) => true,
            (Test::Equals(wanted), Found::Text(text)) => **wanted == *text,
            (Test::NotEquals(unwanted), Found::Text(text)) => **unwanted != *text,
            (Test::Matches(pattern), Found::Text(text)) => pattern.is_match(text),
            (Test::NotMatches(pattern), Found::Text(text)) => !pattern.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn excludes(selector: Selector, predicate: Predicate) -> Result<bool, String> {
        let constraint = AttributeConstraint {
            selector: Some(selector),
            predicate: Some(predicate),
        };
        let wire = OfferConstraints {
            roles: BTreeMap::from([("web".into(), vec![vec![constraint]])]),
            message: None,
        };
        let agent = AgentAttributes {
            hostname: "host-7".into(),
            region: Some("west".into()),
            zone: None,
            named: vec![
                ("rack".into(), Some("r1".into())),
                ("rack".into(), Some("r2".into())),
                ("units".into(), None),
            ],
        };
        let constraints = Constraints::new(&wire, PatternLimits::default())?;
        assert!(!constraints.exclude(&Role::star(), &agent), "another role");
        Ok(constraints.exclude(&Role::new("web").map_err(|e| format!("{e}"))?, &agent))
    }

    #[test]
    fn a_predicate_holds_of_texts_and_of_what_is_no_text() {
        let rack = || Selector::Attribute("rack".into());
        let units = || Selector::Attribute("units".into());
        let none = || Selector::Attribute("none".into());
        for (selector, predicate, excluded) in [
            (rack(), Predicate::Exists, false),
            (none(), Predicate::Exists, true),
            (rack(), Predicate::NotExists, true),
            (none(), Predicate::NotExists, false),
            (Selector::Region, Predicate::Exists, false),
            (Selector::Zone, Predicate::Exists, true),
            (rack(), Predicate::TextEquals("r1".into()), false),
            // The first attribute of a name counts.
            (rack(), Predicate::TextEquals("r2".into()), true),
            (none(), Predicate::TextEquals("r1".into()), true),
            (units(), Predicate::TextEquals("r1".into()), false),
            (units(), Predicate::TextNotEquals("r1".into()), false),
            (rack(), Predicate::TextNotEquals("r1".into()), true),
            (none(), Predicate::TextNotEquals("r1".into()), false),
            (
                Selector::Hostname,
                Predicate::TextMatches("host-[0-9]+".into()),
                false,
            ),
            // A part that matches is not enough.
            (
                Selector::Hostname,
                Predicate::TextMatches("host|x".into()),
                true,
            ),
            (
                Selector::Hostname,
                Predicate::TextNotMatches("host".into()),
                false,
            ),
            (none(), Predicate::TextMatches(".*".into()), true),
            (none(), Predicate::TextNotMatches(".*".into()), false),
            (units(), Predicate::TextMatches("x".into()), false),
            (units(), Predicate::TextNotMatches("x".into()), false),
        ] {
            let case = format!("{selector:?} {predicate:?}");
            assert_eq!(excludes(selector, predicate), Ok(excluded), "{case}");
        }
    }

    #[test]
    fn one_group_is_enough_and_of_a_group_all_must_hold() {
        let equals = |text: &str| AttributeConstraint {
            selector: Some(Selector::Hostname),
            predicate: Some(Predicate::TextEquals(text.into())),
        };
        let there = |selector| AttributeConstraint {
            selector: Some(selector),
            predicate: Some(Predicate::Exists),
        };
        let agent = AgentAttributes {
            hostname: "a".into(),
            ..AgentAttributes::default()
        };
        for (groups, excluded) in [
            (vec![vec![equals("b")], vec![equals("a")]], false),
            (vec![vec![equals("a"), there(Selector::Zone)]], true),
            (vec![vec![equals("a"), there(Selector::Hostname)]], false),
        ] {
            let wire = OfferConstraints {
                roles: BTreeMap::from([("*".into(), groups)]),
                message: None,
            };
            let constraints = Constraints::new(&wire, PatternLimits::default());
            let excludes = constraints.map(|c| c.exclude(&Role::star(), &agent));
            assert_eq!(excludes, Ok(excluded));
        }
    }

    #[test]
    fn a_framework_has_so_many_patterns_and_no_more() {
        for (count, is_taken) in [(PATTERNS_MAX, true), (PATTERNS_MAX + 1, false)] {
            let constraint = AttributeConstraint {
                selector: Some(Selector::Zone),
                predicate: Some(Predicate::TextMatches("a".into())),
            };
            let wire = OfferConstraints {
                roles: BTreeMap::from([("web".into(), vec![vec![constraint; count]])]),
                message: None,
            };
            let constraints = Constraints::new(&wire, PatternLimits::default());
            assert_eq!(constraints.is_ok(), is_taken, "{count}");
        }
    }

    #[test]
    fn what_is_no_constraint_is_refused_in_the_words_of_mesos() {
        let check = |groups, fault: &str| {
            let wire = OfferConstraints {
                roles: BTreeMap::from([("web".into(), groups)]),
                message: None,
            };
            let error = Constraints::new(&wire, PatternLimits::default()).err();
            assert_eq!(error.as_deref(), Some(fault));
        };
        let constraint = |selector, predicate| {
            vec![vec![AttributeConstraint {
                selector,
                predicate,
            }]]
        };
        check(
            vec![],
            "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role \
             web",
        );
        check(
            vec![vec![]],
            "'OfferConstraints::RoleConstraints::groups' for role webcontains an empty \
             RoleConstraints::Group",
        );
        let invalid = "A role web has an invalid 'AttributeConstraint': ";
        check(
            constraint(None, Some(Predicate::Exists)),
            &format!(
                "{invalid}Exactly one of 'AttributeConstraint::Selector::name' or \
                 'AttributeConstraint::Selector::pseudoattribute_type' must be set"
            ),
        );
        check(
            constraint(Some(Selector::Unknown), Some(Predicate::Exists)),
            &format!("{invalid}Unknown pseudoattribute type"),
        );
        check(
            constraint(Some(Selector::Zone), None),
            &format!("{invalid}Unknown predicate type"),
        );
        check(
            constraint(
                Some(Selector::Zone),
                Some(Predicate::TextMatches("(a".into())),
            ),
            &format!("{invalid}Failed to construct regex from pattern '(a': missing ): (a"),
        );
    }
}
