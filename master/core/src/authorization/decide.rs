//! How one rule meets one request.

use super::{Action, Entity, Objects, Rule};

impl Rule {
    /// What this rule says; `None` where it speaks of others.
    pub(super) fn verdict(
        &self,
        principal: Option<&str>,
        action: Action,
        object: Option<&str>,
    ) -> Option<bool> {
        let of_roles = action.objects() == Objects::Roles;
        let subject = self.subjects.verdict(principal, Entity::lists)?;
        let object = match of_roles {
            true => self.objects.verdict(object, Entity::lists_role)?,
            false => self.objects.verdict(object, Entity::lists)?,
        };
        Some(subject && object)
    }
}

impl Entity {
    /// What it says of this name, or of any where there is none.
    fn verdict(&self, name: Option<&str>, lists: fn(&Self, &str) -> bool) -> Option<bool> {
        match (self, name) {
            (Self::Any, _) => Some(true),
            (Self::None, _) => Some(false),
            (Self::Listed(_), Some(name)) => lists(self, name).then_some(true),
            // That some are allowed says nothing of any.
            (Self::Listed(_), None) => None,
        }
    }

    fn lists(&self, name: &str) -> bool {
        matches!(self, Self::Listed(names) if names.iter().any(|listed| **listed == *name))
    }

    /// As `lists`, but `eng/%` lists every role beneath `eng`.
    fn lists_role(&self, role: &str) -> bool {
        let Self::Listed(roles) = self else {
            return false;
        };
        roles.iter().any(|listed| match listed.strip_suffix('%') {
            Some(parent) if parent.ends_with('/') => role.starts_with(parent),
            Some(_) | None => **listed == *role,
        })
    }
}
