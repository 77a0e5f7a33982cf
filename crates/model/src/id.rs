//! Identifiers, each a type of its own, checked by Mesos' rules when it is made.
//!
//! The rules are those of Mesos' `common/validation.cpp`: not empty, neither `.` nor `..`, at most
//! 255 bytes, no `/`, no `\` and no control characters. Ids are cheap to clone.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// The longest id that Mesos accepts, in bytes (`NAME_MAX`).
pub const ID_BYTES_MAX: usize = 255;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no bytes.
    #[error("ID must not be empty")]
    Empty,
    /// The text is longer than [`ID_BYTES_MAX`].
    #[error("ID must not be greater than {ID_BYTES_MAX} characters")]
    Long,
    /// The text is `.` or `..`, which name directories.
    #[error("'{0}' is disallowed")]
    Dots(String),
    /// The text holds a character that cannot stand in a path component.
    #[error("'{0}' contains invalid characters")]
    Character(String),
}

/// Checks a text by Mesos' rules for ids.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::Long);
    }
    if text == "." || text == ".." {
        return Err(IdError::Dots(text.into()));
    }
    let bad = |c: char| c.is_ascii_control() || c == '/' || c == '\\';
    if text.contains(bad) {
        return Err(IdError::Character(text.into()));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that keeps the rules of this module.
            ///
            /// # Errors
            /// The first rule that the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One master process: a random UUID, new at each start.
    MasterId
}
id! {
    /// A framework: `<master id>-<four digits or more>`, given at its first SUBSCRIBE.
    FrameworkId
}
id! {
    /// An agent: `<master id>-S<n>`, given at its first registration and kept in its work directory.
    AgentId
}
id! {
    /// An offer: `<master id>-O<n>`.
    OfferId
}
id! {
    /// A task, named by its framework.
    TaskId
}
id! {
    /// An executor, named by its framework; for a command task the same text as the task's id.
    ExecutorId
}
macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (index, byte) in self.0.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid! {
    /// The 16 bytes that name one status update, RFC 4122 version 4.
    StatusUuid
}
uuid! {
    /// The 16 bytes that name one operation on an agent's resources, RFC 4122 version 4.
    OperationUuid
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn an_id_follows_the_rules_of_mesos() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for (text, good) in [
            ("task-1", true),
            ("täsk", true),
            ("a.b", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a\\b", false),
            ("a\nb", false),
            (&long[1..], true),
            (&long, false),
        ] {
            assert_eq!(TaskId::new(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn a_status_uuid_prints_as_a_uuid() {
        let uuid = StatusUuid(*b"0123456789abcdef");
        assert_eq!(format!("{uuid}"), "30313233-3435-3637-3839-616263646566");
    }
}
