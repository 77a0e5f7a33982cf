//! Recovery: what becomes of what an earlier process of this agent left.

use std::time::Duration;

use super::settings::Setting;
use super::values::{DURATION, boolean, duration, put};
use crate::upgrade::permit::PublicKey;

/// What the operator set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// What becomes of containers that run.
    pub recover: Recover,
    /// What of the checkpoint must be readable.
    pub strictness: Strictness,
    /// How long the main loop may stand still before the program is executed again; never where it is
    /// zero.
    pub stall_max: Duration,
    /// Whether whoever asks may have this agent fail.
    pub failure_test: bool,
    /// Who may have it execute another program in the place of its own; nobody, where there are none.
    pub upgrade_keys: Vec<PublicKey>,
    /// How long a program that took another's place may take until it is registered.
    pub upgrade_max: Duration,
}

/// What becomes of containers that an earlier process of this agent left running (`--recover`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recover {
    /// They go on.
    #[default]
    Reconnect,
    /// They are killed, and the agent ends.
    Cleanup,
}

/// What of the checkpoint must be readable (`--strict`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// All of it, or the agent does not start.
    #[default]
    Whole,
    /// What can be read is used.
    Possible,
}

impl Recovery {
    /// The flags that say so, as texts.
    #[must_use]
    pub fn flags(&self) -> [(&'static str, String); 6] {
        let recover = match self.recover {
            Recover::Reconnect => "reconnect",
            Recover::Cleanup => "cleanup",
        };
        let keys = self.upgrade_keys.iter();
        let keys: Vec<String> = keys.map(|key| format!("{key:?}")).collect();
        let is_strict = self.strictness == Strictness::Whole;
        [
            ("recover", recover.to_string()),
            ("strict", is_strict.to_string()),
            ("stall_timeout", model::duration::format(self.stall_max)),
            ("failure_test", self.failure_test.to_string()),
            ("upgrade_keys", keys.join(",")),
            ("upgrade_timeout", model::duration::format(self.upgrade_max)),
        ]
    }
}

/// The settings as far as they were given.
#[derive(Default)]
pub(super) struct Draft {
    recover: Option<Recover>,
    strict: Option<bool>,
    stall_max: Option<Duration>,
    failure_test: Option<bool>,
    upgrade_keys: Vec<PublicKey>,
    upgrade_max: Option<Duration>,
}

impl Draft {
    /// Fills in what was not given.
    pub(super) fn finish(self) -> Recovery {
        Recovery {
            recover: self.recover.unwrap_or_default(),
            strictness: match self.strict {
                Some(false) => Strictness::Possible,
                Some(true) | None => Strictness::Whole,
            },
            // Longer than a slow disk takes for a write of the checkpoint.
            stall_max: self.stall_max.unwrap_or(Duration::from_secs(60)),
            failure_test: self.failure_test.unwrap_or(false),
            upgrade_keys: self.upgrade_keys,
            upgrade_max: self.upgrade_max.unwrap_or(Duration::from_secs(60)),
        }
    }
}

/// Public keys with commas between them.
fn keys(text: &str) -> Result<Vec<PublicKey>, String> {
    let key = |text| PublicKey::read(text).ok_or_else(|| format!("; {text:?} is none"));
    text.split(',').map(key).collect()
}

pub(super) static RECOVERY: &[Setting] = &[
    Setting {
        name: "recover",
        value: "HOW",
        allowed: "reconnect or cleanup",
        help: "what becomes of containers that this agent left running when its program ended: `reconnect`\n      takes them over; `cleanup` kills them, and the agent ends (default: reconnect)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let recover = match text {
                "reconnect" => Recover::Reconnect,
                "cleanup" => Recover::Cleanup,
                _ => return Err(String::new()),
            };
            put(&mut draft.recovery.recover, Ok(recover))
        },
    },
    Setting {
        name: "strict",
        value: "BOOL",
        allowed: "true or false",
        help: "refuse to start with a checkpoint that holds what this agent cannot read; otherwise that is\n      left out (default: true)",
        boot: false,
        switch: true,
        set: |draft, text| put(&mut draft.recovery.strict, boolean(text)),
    },
    Setting {
        name: "stall_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long the main loop may stand still before the agent's program is executed again, 2secs at\n      least; 0secs is for ever (default: 1mins)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let time = duration(text, Duration::MAX)?;
            match time.is_zero() || time >= Duration::from_secs(2) {
                true => put(&mut draft.recovery.stall_max, Ok(time)),
                false => Err(", 2secs at least, or 0secs".to_owned()),
            }
        },
    },
    Setting {
        name: "upgrade_keys",
        value: "KEY[,KEY]",
        allowed: "Ed25519 public keys with commas between them, each the one line that is inside of its PEM file",
        help: "who may have this agent execute another program in the place of its own, with everything that runs\n      on it: whoever signs with the private half of one of these (`tepui upgrade`; default: nobody)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.recovery.upgrade_keys = keys(text)?;
            Ok(())
        },
    },
    Setting {
        name: "upgrade_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long a program that took another's place may take until it is registered, 5secs at least; then\n      the one before is executed again (default: 1mins)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let time = duration(text, Duration::from_secs(3600))?;
            match time >= Duration::from_secs(5) {
                true => put(&mut draft.recovery.upgrade_max, Ok(time)),
                false => Err(", 5secs at least".to_owned()),
            }
        },
    },
    Setting {
        name: "failure_test",
        value: "BOOL",
        allowed: "true or false",
        help: "for tests of failures alone: `POST /failure?kind=panic`, `signal`, `abort`, `stall` or `overflow`,\n      by whomever, has the agent fail (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| put(&mut draft.recovery.failure_test, boolean(text)),
    },
];
