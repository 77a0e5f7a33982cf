//! Authorization: which principal may do what, by an operator's rules.
//!
//! A rule pairs subjects (principals) with objects (roles, users, other principals). The first rule
//! of an action that speaks of both the subject and the object decides; where none does, `permissive`
//! does. A request without a principal is one by anybody: only rules about any principal meet it.
//! Who a principal is, and how the rules came to be, is the shell's business.

mod action;
mod changes;
mod decide;
mod frameworks;
mod operators;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::event::Text;

pub use action::{Action, Objects, PATHS};

/// The operator's rules; without any, everything is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acls {
    /// What holds where no rule speaks.
    pub permissive: bool,
    /// The rules of each action, in the order in which they are asked.
    pub rules: BTreeMap<Action, Vec<Rule>>,
}

impl Default for Acls {
    fn default() -> Self {
        Self {
            permissive: true,
            rules: BTreeMap::new(),
        }
    }
}

/// One rule of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Who: principals.
    pub subjects: Entity,
    /// With what: roles, users, principals, as the action has it.
    pub objects: Entity,
}

/// Whom or what a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entity {
    /// Everyone, and it is allowed.
    Any,
    /// Everyone, and it is forbidden.
    None,
    /// These, and it is allowed. Of roles, `eng/%` stands for all beneath `eng`.
    Listed(Vec<Text>),
}

impl Acls {
    /// Whether a principal may do this with this object; `None` is anybody, and anything.
    #[must_use]
    pub fn allow(&self, principal: Option<&str>, action: Action, object: Option<&str>) -> bool {
        let rules = self.rules.get(&action).into_iter().flatten();
        let mut verdicts = rules.filter_map(|rule| rule.verdict(principal, action, object));
        verdicts.next().unwrap_or(self.permissive)
    }

    /// Whether a principal may do this with each of these objects; what holds without rules where
    /// there are none.
    #[must_use]
    pub fn allow_all<'a>(
        &self,
        principal: Option<&str>,
        action: Action,
        objects: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let mut objects = objects.into_iter().peekable();
        if objects.peek().is_none() {
            return self.permissive;
        }
        objects.all(|object| self.allow(principal, action, Some(object)))
    }

    /// Whether any of these actions can be forbidden to somebody.
    #[must_use]
    pub fn restrict(&self, actions: &[Action]) -> bool {
        !self.permissive || actions.iter().any(|action| self.rules.contains_key(action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn listed(texts: &[&str]) -> Entity {
        Entity::Listed(texts.iter().map(|text| Text::from(*text)).collect())
    }

    fn acls(permissive: bool, action: Action, rules: Vec<(Entity, Entity)>) -> Acls {
        let rule = |(subjects, objects)| Rule { subjects, objects };
        let rules = rules.into_iter().map(rule).collect();
        Acls {
            permissive,
            rules: BTreeMap::from([(action, rules)]),
        }
    }

    #[test]
    fn the_first_rule_about_subject_and_object_decides_and_else_permissive_does() {
        let rules = || {
            vec![
                (listed(&["alice"]), listed(&["root"])),
                (listed(&["alice", "bob"]), Entity::None),
                (Entity::None, listed(&["nobody"])),
                (Entity::Any, listed(&["guest"])),
            ]
        };
        for (principal, user, with_permissive, without) in [
            (Some("alice"), Some("root"), true, true),
            (Some("alice"), Some("guest"), false, false),
            (Some("bob"), Some("root"), false, false),
            (Some("carol"), Some("guest"), true, true),
            (Some("carol"), Some("nobody"), false, false),
            (Some("carol"), Some("root"), true, false),
            (None, Some("guest"), true, true),
            (None, Some("nobody"), false, false),
            (None, Some("root"), true, false),
            (Some("carol"), None, true, false),
            (Some("bob"), None, false, false),
        ] {
            for (permissive, expected) in [(true, with_permissive), (false, without)] {
                let acls = acls(permissive, Action::RunTask, rules());
                assert_eq!(
                    acls.allow(principal, Action::RunTask, user),
                    expected,
                    "{principal:?} as {user:?}, permissive {permissive}"
                );
                assert_eq!(
                    acls.allow(principal, Action::ViewTask, user),
                    permissive,
                    "an action without rules"
                );
            }
        }
    }

    #[test]
    fn a_role_with_percent_stands_for_all_roles_beneath() {
        let rules = vec![
            (listed(&["alice"]), listed(&["eng/%", "ops"])),
            (Entity::Any, Entity::None),
        ];
        let acls = acls(true, Action::RegisterFramework, rules);
        for (role, expected) in [
            ("eng", false),
            ("eng/a", true),
            ("eng/a/b", true),
            ("engine", false),
            ("ops", true),
            ("ops/a", false),
        ] {
            let found = acls.allow(Some("alice"), Action::RegisterFramework, Some(role));
            assert_eq!(found, expected, "{role}");
        }
        let all = |roles: &[&str]| {
            let roles = roles.iter().copied();
            acls.allow_all(Some("alice"), Action::RegisterFramework, roles)
        };
        assert!(all(&["ops", "eng/a"]));
        assert!(!all(&["ops", "eng"]));
        assert!(all(&[]), "no role is what permissive says");
    }

    #[test]
    fn a_percent_is_an_ordinary_name_where_objects_are_no_roles() {
        let acls = acls(
            false,
            Action::ViewTask,
            vec![(Entity::Any, listed(&["a/%"]))],
        );
        assert!(acls.allow(None, Action::ViewTask, Some("a/%")));
        assert!(!acls.allow(None, Action::ViewTask, Some("a/b")));
    }
}
