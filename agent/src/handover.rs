//! Handover: the agent's own words to the program that is executed after it, in memory.
//!
//! They are JSON with a version. A program that executes itself again finds its own; one that takes the place
//! of another is asked first, in check mode, whether it can read them ([`State::read`]). Without them
//! everything goes on as after a start.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use agent_kernel::kept::{self, Kept};
use agent_kernel::reexec::{Past, Step};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::init::chain;

/// The version of these words that this program writes; it reads those before it.
pub const VERSION: u32 = 1;

/// What a program says to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`VERSION`] of who wrote it.
    pub version: u32,
    /// The leading master that was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Leader>,
    /// The program that took the place of another last, whether it settled or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// What was counted of upgrades.
    #[serde(default)]
    pub counts: Counts,
    /// In which way the next program is to fail while it is on trial (`--failure_test`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails: Option<String>,
}

/// A leading master, as ZooKeeper told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leader {
    /// Its term.
    pub epoch: u64,
    /// Its name.
    pub hostname: String,
    /// Where it is reached.
    pub ip: IpAddr,
    /// And at which port.
    pub port: u16,
}

/// A build of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// As it says itself.
    pub version: String,
    /// The digest of its file, SHA-256 in hexadecimal.
    pub sha256: String,
}

/// One program in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// The one that was.
    pub from: Build,
    /// The one that was executed.
    pub to: Build,
    /// Whether the agent was registered with a master then.
    pub was_registered: bool,
    /// Why the first is back; unset where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<String>,
}

impl Upgrade {
    /// The one of the two that runs.
    #[must_use]
    pub const fn running(&self) -> &Build {
        match self.undone {
            None => &self.to,
            Some(_) => &self.from,
        }
    }
}

/// What was counted since the first of all these programs was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Programs that took the place of another.
    pub upgrades: u64,
    /// Those that did not settle.
    pub undone: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// Why the words of another program are not understood.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A later form.
    #[error(
        "the running program hands over its state in version {0}, and this one reads up to {VERSION}"
    )]
    Version(u32),
    /// Something in them.
    #[error("the state that the running program hands over is not understood")]
    Json(#[source] serde_json::Error),
}

impl State {
    /// Reads what another program wrote.
    ///
    /// # Errors
    /// It is of a later version, holds what is not known, or is none.
    pub fn read(text: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Only {
            version: u32,
        }
        let only: Only = serde_json::from_slice(text).map_err(StateError::Json)?;
        if only.version > VERSION {
            return Err(StateError::Version(only.version));
        }
        serde_json::from_slice(text).map_err(StateError::Json)
    }

    /// What this program makes of it at its start.
    fn go_on(&mut self, past: &Past) {
        self.version = VERSION;
        match past.step {
            Step::Same | Step::Exchanged => {}
            Step::Restored => {
                self.counts.undone += 1;
                self.fails = None;
                let reason = past.cause.clone().unwrap_or_default();
                warn!(reason, "an upgrade is undone");
                if let Some(upgrade) = &mut self.upgrade {
                    upgrade.undone = Some(reason);
                }
            }
        }
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Keeps the state for the next program, as it is at any time.
#[derive(Debug, Clone)]
pub struct Handover(Arc<Mutex<State>>);

impl Handover {
    /// Goes on with the words of the program before this one, and with what has become of it.
    #[must_use]
    pub fn take(past: &Past) -> Self {
        let before = kept::inherited_text(Kept::State).map(|text| State::read(&text));
        let state = match before {
            Some(Ok(state)) => state,
            Some(Err(error)) => {
                warn!(error = chain(&error), "handed over");
                State::default()
            }
            None => State::default(),
        };
        let handover = Self(Arc::new(Mutex::new(state)));
        handover.change(|state| state.go_on(past));
        handover
    }

    /// As it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As the next program would be told.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.state().write()
    }

    /// Changes it.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if let Err(error) = kept::keep_text(Kept::State, &state.write()) {
            warn!(%error, "what is said to the next program is not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_read_and_a_later_form_is_refused_in_words() {
        let build = |version: &str| Build {
            version: version.to_string(),
            sha256: "00".to_string(),
        };
        let state = State {
            version: VERSION,
            leader: Some(Leader {
                epoch: 4,
                hostname: "m1".to_string(),
                ip: "10.0.0.1".parse().expect("an address"),
                port: 5050,
            }),
            upgrade: Some(Upgrade {
                from: build("1"),
                to: build("2"),
                was_registered: true,
                undone: None,
            }),
            counts: Counts {
                upgrades: 1,
                ..Counts::default()
            },
            fails: None,
        };
        assert_eq!(State::read(&state.write()).expect("read"), state);
        let mut back = state.clone();
        back.go_on(&Past {
            step: Step::Restored,
            cause: Some("a panic".to_string()),
            moments: Vec::new(),
        });
        let undone = back.upgrade.and_then(|upgrade| upgrade.undone);
        assert_eq!(undone.as_deref(), Some("a panic"));
        assert_eq!((back.counts.upgrades, back.counts.undone), (1, 1));
        let told = |text: &str| chain(&State::read(text.as_bytes()).expect_err(text));
        for (text, words) in [
            (
                r#"{"version":2,"x":1}"#,
                "in version 2, and this one reads up to 1",
            ),
            (r#"{"version":1,"later":1}"#, "unknown field `later`"),
            (
                r#"{"version":1,"counts":{"upgrades":1,"undone":0,"refused":0,"x":1}}"#,
                "unknown field `x`",
            ),
            (r#"{"version":1"#, "not understood"),
            ("", "not understood"),
        ] {
            let error = told(text);
            assert!(error.contains(words), "{error}");
        }
        // The form of the first version stays readable.
        let first = State::read(br#"{"version":1}"#).expect("read");
        assert_eq!((first.leader, first.upgrade), (None, None));
    }
}
