//! Rotation: what of a container's output stays in the file that it is written to.
//!
//! A file that has reached its size is copied to `stdout.1` and cut, by Mesos' module for container
//! logs and its words: flags of the agent set sizes and options for all, a task's environment its
//! own. The older `stdout.1` became `stdout.2` before, and so on, up to a number.

use alloc::format;
use alloc::string::{String, ToString};

use model::bytes::{self, BytesError};

/// What an agent that was told nothing rotates at.
pub const SIZE_DEFAULT: u64 = 10 << 20;
/// How many older files it then keeps.
pub const KEEP_DEFAULT: u32 = 4;
/// The smallest size: less would be rotated all the time.
pub const SIZE_MIN: u64 = 4096;
/// The most older files.
pub const KEEP_MAX: u32 = 100;

/// One of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How one output is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The size from which the file is rotated; 0 is never.
    pub size: u64,
    /// How many older files are kept.
    pub keep: u32,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            size: SIZE_DEFAULT,
            keep: KEEP_DEFAULT,
        }
    }
}

/// How both outputs of a container are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Standard output.
    pub stdout: Rule,
    /// Standard error.
    pub stderr: Rule,
}

/// Why output cannot be rotated as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// Not a size.
    #[error(transparent)]
    Size(#[from] BytesError),
    /// Too small.
    #[error("{0:?} is too small: {SIZE_MIN}B at least, or 0B for no rotation")]
    Small(String),
    /// An option of logrotate that has no meaning here.
    #[error("{0:?} is not an option of rotation: only `rotate NUMBER` is, up to {KEEP_MAX}")]
    Option(String),
    /// In a task's environment.
    #[error("the variable {name}")]
    Variable {
        /// Which.
        name: String,
        /// What is wrong with it.
        #[source]
        source: alloc::boxed::Box<RotationError>,
    },
}

/// What is to be done with a file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What is older than this many bytes from the start goes for good: nobody keeps up with a
    /// program that writes faster than its output is looked at, and a file may lie about its size.
    pub from: u64,
    /// How many bytes from the start leave the file.
    pub until: u64,
}

impl Stream {
    /// The file's name in the sandbox.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The name of an older file, from 1 for the newest of them.
    #[must_use]
    pub fn older(self, number: u32) -> String {
        format!("{}.{number}", self.name())
    }
}

impl Rule {
    /// What to do with a file of this size.
    #[must_use]
    pub const fn cut(self, size: u64) -> Option<Cut> {
        if self.size == 0 || size < self.size {
            return None;
        }
        Some(Cut {
            from: size.saturating_sub(self.kept_max() / 2),
            until: size,
        })
    }

    /// The most that all older files hold together: past it the oldest go, but for the newest. Half of
    /// it may come at once.
    #[must_use]
    pub const fn kept_max(self) -> u64 {
        let files = if self.keep < 2 { 2 } else { self.keep };
        self.size.saturating_mul(2 * files as u64)
    }
}

impl Rules {
    /// These rules, changed by what a task's environment says.
    ///
    /// # Errors
    /// One of the four variables says something else than it may.
    pub fn with<'a>(
        mut self,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RotationError> {
        for (name, value) in environment {
            let changed = match name {
                "CONTAINER_LOGGER_MAX_STDOUT_SIZE" => {
                    size(value).map(|size| self.stdout.size = size)
                }
                "CONTAINER_LOGGER_MAX_STDERR_SIZE" => {
                    size(value).map(|size| self.stderr.size = size)
                }
                "CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS" => {
                    keep(value).map(|keep| self.stdout.keep = keep)
                }
                "CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS" => {
                    keep(value).map(|keep| self.stderr.keep = keep)
                }
                _ => continue,
            };
            changed.map_err(|source| RotationError::Variable {
                name: name.to_string(),
                source: source.into(),
            })?;
        }
        Ok(self)
    }
}

/// Reads the size from which a file is rotated.
///
/// # Errors
/// Not a size, or too small a one.
pub fn size(text: &str) -> Result<u64, RotationError> {
    match bytes::parse(text)? {
        size @ (0 | SIZE_MIN..) => Ok(size),
        _ => Err(RotationError::Small(text.to_string())),
    }
}

/// Reads logrotate's options: how many older files are kept. Of none given, none are kept, as
/// logrotate has it.
///
/// # Errors
/// An option that has no meaning here, where nobody runs logrotate.
pub fn keep(text: &str) -> Result<u32, RotationError> {
    let mut keep = 0;
    for option in text.split(['\n', ';']).map(str::trim) {
        let refused = || RotationError::Option(option.to_string());
        let mut words = option.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, _, _) => {}
            (Some("rotate"), Some(number), None) => {
                let number = number.parse().ok().filter(|number| *number <= KEEP_MAX);
                keep = number.ok_or_else(refused)?;
            }
            // What happens anyway.
            (Some("missingok" | "notifempty" | "copytruncate" | "nocompress"), None, None) => {}
            (Some(_), _, _) => return Err(refused()),
        }
    }
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_from_its_size_on_and_no_more_is_kept_of_it_than_of_older_ones() {
        let rule = Rule {
            size: 4096,
            keep: 1,
        };
        assert_eq!(rule.cut(4095), None);
        let whole = Cut {
            from: 0,
            until: 4096,
        };
        assert_eq!(rule.cut(4096), Some(whole));
        let late = rule.cut(1 << 40).unwrap();
        assert_eq!(late.until - late.from, 8192);
        let more = Rule { keep: 5, ..rule }.cut(1 << 40).unwrap();
        assert_eq!(more.until - more.from, 5 * 4096);
        let never = Rule { size: 0, ..rule };
        assert_eq!(never.cut(u64::MAX), None);
    }

    #[test]
    fn a_task_sets_its_own_sizes_and_numbers() {
        let rules = Rules::default().with([
            ("PATH", "/bin"),
            ("CONTAINER_LOGGER_MAX_STDOUT_SIZE", "1MB"),
            (
                "CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS",
                "rotate 9\nmissingok",
            ),
        ]);
        let rules = rules.unwrap();
        assert_eq!(
            (rules.stdout.size, rules.stdout.keep),
            (1 << 20, KEEP_DEFAULT)
        );
        assert_eq!((rules.stderr.size, rules.stderr.keep), (SIZE_DEFAULT, 9));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_variable_and_the_reason() {
        let said = |name: &str, value: &str| {
            let error = Rules::default().with([(name, value)]).unwrap_err();
            let cause = core::error::Error::source(&error).unwrap();
            format!("{error}: {cause}")
        };
        assert_eq!(
            said("CONTAINER_LOGGER_MAX_STDERR_SIZE", "ten"),
            "the variable CONTAINER_LOGGER_MAX_STDERR_SIZE: \"ten\" is not a size: a whole number \
             and one of B, KB, MB, GB, TB, as in 10MB"
        );
        assert_eq!(
            said("CONTAINER_LOGGER_MAX_STDOUT_SIZE", "1B"),
            "the variable CONTAINER_LOGGER_MAX_STDOUT_SIZE: \"1B\" is too small: 4096B at least, \
             or 0B for no rotation"
        );
        for options in ["compress", "rotate", "rotate x", "rotate 101", "rotate 1 2"] {
            let said = said("CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS", options);
            assert!(said.contains("is not an option of rotation"), "{said}");
        }
    }
}
