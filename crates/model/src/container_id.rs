//! Container ids: a container's name after those of the containers that it is nested in.
//!
//! The text is Mesos' own (`stringify(ContainerID)`): `executor.task.check`, the outermost first. A
//! name keeps the rules of ids (`id`) and holds neither `.` nor a space (Mesos'
//! `slave/validation.cpp`).

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use crate::id::{self, IdError};

/// How deep containers nest at most, the outermost counted. The kernel's own bound for pid and user
/// namespaces is 32 (pid_namespaces(7)).
pub const DEPTH_MAX: usize = 16;

/// Why a text is no container id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerIdError {
    /// A name breaks the rules of all ids.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A name holds a character that the text has another use for.
    #[error("'ContainerID.value' '{0}' contains invalid characters")]
    Character(String),
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("containers nest at most {DEPTH_MAX} deep")]
    Deep,
}

/// A container of an agent. Its name is a random UUID where the agent chose it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// Takes names joined by `.`, the outermost first.
    ///
    /// # Errors
    /// The first rule that a name breaks, or too many names.
    pub fn new(text: &str) -> Result<Self, ContainerIdError> {
        if text.split('.').count() > DEPTH_MAX {
            return Err(ContainerIdError::Deep);
        }
        text.split('.').try_for_each(check_name)?;
        Ok(Self(Arc::from(text)))
    }

    /// The container of this name nested in this one.
    ///
    /// # Errors
    /// The first rule that the name breaks, or this one is as deep as can be.
    pub fn child(&self, name: &str) -> Result<Self, ContainerIdError> {
        check_name(name)?;
        if self.depth() >= DEPTH_MAX {
            return Err(ContainerIdError::Deep);
        }
        Ok(Self(Arc::from([self.as_str(), name].join(".").as_str())))
    }

    /// The container that this one is nested in.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('.')?;
        Some(Self(Arc::from(parent)))
    }

    /// The outermost container, which may be this one.
    #[must_use]
    pub fn root(&self) -> Self {
        match self.0.split_once('.') {
            Some((root, _)) => Self(Arc::from(root)),
            None => self.clone(),
        }
    }

    /// The names, the outermost first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The container's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(_, name)| name)
    }

    /// How many names there are, 1 for a container that is nested in none.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.names().count()
    }

    /// Whether this container is `other`, or nested in it however deep.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(other.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// All names, joined by `.`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_name(name: &str) -> Result<(), ContainerIdError> {
    id::check(name)?;
    if name.contains(['.', ' ']) {
        return Err(ContainerIdError::Character(name.to_string()));
    }
    Ok(())
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_container_knows_whom_it_is_in() {
        let outer = ContainerId::new("7f3a").expect("an id");
        let task = outer.child("web").expect("an id");
        let check = task.child("check-1").expect("an id");
        assert_eq!(check.as_str(), "7f3a.web.check-1");
        assert_eq!(ContainerId::new(check.as_str()), Ok(check.clone()));
        assert_eq!((check.name(), check.depth()), ("check-1", 3));
        assert_eq!(check.parent(), Some(task.clone()));
        assert_eq!((check.root(), outer.root()), (outer.clone(), outer.clone()));
        assert_eq!(outer.parent(), None);
        assert!(check.is_within(&outer) && check.is_within(&check));
        assert!(!outer.is_within(&check));
        let longer = ContainerId::new("7f3a.web2").expect("an id");
        assert!(!longer.is_within(&task), "a name that begins alike");
    }

    #[test]
    fn a_name_holds_nothing_that_the_text_has_another_use_for() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a\nb"] {
            assert!(ContainerId::new(text).is_err(), "{text:?}");
        }
        let outer = ContainerId::new("a").expect("an id");
        assert_eq!(
            outer.child("b.c").map_err(|error| error.to_string()),
            Err("'ContainerID.value' 'b.c' contains invalid characters".to_string())
        );
        let mut deep = outer;
        while let Ok(deeper) = deep.child("x") {
            deep = deeper;
        }
        assert_eq!(deep.depth(), DEPTH_MAX);
        assert!(ContainerId::new(&[deep.as_str(), "x"].join(".")).is_err());
    }
}
