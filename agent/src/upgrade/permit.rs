//! Permit: who may have this agent execute another program.
//!
//! Nobody, unless the operator named keys (`--upgrade_keys`): whoever has the private half of one signs a
//! [`Statement`]. It counts for the agent that it names, within minutes of its moment, and once: a later one
//! must have a later moment. So nothing that is seen on the network is of use to anybody else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::effect::WallTime;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::AgentId;
use model::upgrade::{PUBLIC_KEY, Statement, StatementError};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::paths::META;

/// How far the moment of a statement may be from this machine's clock.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Where the moment of the last one is kept, beneath the agent's own folder.
const LAST: &str = "upgrade_signed_at";

/// The public half of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = [PUBLIC_KEY.as_slice(), &self.0].concat();
        f.write_str(&STANDARD.encode(bytes))
    }
}

impl PublicKey {
    /// Reads the one line that is between the lines of a PEM file.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let key = bytes.strip_prefix(&PUBLIC_KEY)?;
        key.try_into().ok().map(Self)
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum PermitError {
    /// The operator named no keys.
    #[error("this agent takes no other program: it was started without --upgrade_keys")]
    NoKeys,
    /// Nobody signed anything.
    #[error("the request has no {0} header")]
    Missing(&'static str),
    /// The statement is none.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Somebody else signed it, or nobody.
    #[error("the signature is of none of the keys in --upgrade_keys")]
    Signature,
    /// It is for another agent.
    #[error("the statement is for agent {0}, not for this one")]
    Agent(AgentId),
    /// Its moment is too far from now.
    #[error(
        "the statement was signed {} s {}, by this node's clock: {} s are allowed",
        .apart.as_secs(), .which, AGE_MAX.as_secs()
    )]
    Moment {
        /// How far.
        apart: Duration,
        /// In which direction.
        which: &'static str,
    },
    /// It, or a later one, was seen already.
    #[error("the statement is not later than the last one that this agent took: sign anew")]
    Seen,
}

/// Who may, and what was seen of them.
#[derive(Debug)]
pub struct Permits {
    keys: Vec<PublicKey>,
    path: PathBuf,
    last_ms: u64,
}

impl Permits {
    /// With the operator's keys, and what an earlier process saw.
    #[must_use]
    pub fn open(keys: &[PublicKey], work_dir: &Path) -> Self {
        let path = work_dir.join(META).join(LAST);
        let last = fs::read_to_string(&path).ok();
        Self {
            keys: keys.to_vec(),
            last_ms: last.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            path,
        }
    }

    /// What somebody asks for, where they may.
    ///
    /// # Errors
    /// They may not, and why.
    pub fn check(
        &self,
        statement: &str,
        signature: &str,
        agent: Option<&AgentId>,
        now: WallTime,
    ) -> Result<Statement, PermitError> {
        if self.keys.is_empty() {
            return Err(PermitError::NoKeys);
        }
        // First of all who says it.
        let signature = STANDARD.decode(signature).unwrap_or_default();
        let is_signed = |key: &PublicKey| {
            let key = UnparsedPublicKey::new(&ED25519, key.0);
            key.verify(statement.as_bytes(), &signature).is_ok()
        };
        if !self.keys.iter().any(is_signed) {
            return Err(PermitError::Signature);
        }
        let statement: Statement = statement.parse()?;
        if agent != Some(&statement.agent) {
            return Err(PermitError::Agent(statement.agent));
        }
        let (at, now) = (
            Duration::from_millis(statement.at_ms),
            Duration::from_nanos(now.0),
        );
        let (apart, which) = match at > now {
            true => (at - now, "ahead of now"),
            false => (now - at, "ago"),
        };
        if apart > AGE_MAX {
            return Err(PermitError::Moment { apart, which });
        }
        match statement.at_ms > self.last_ms {
            true => Ok(statement),
            false => Err(PermitError::Seen),
        }
    }

    /// Takes a statement, which counts no more then, nor do earlier ones.
    ///
    /// # Errors
    /// That cannot be kept, and nothing may come of it.
    pub fn take(&mut self, statement: &Statement) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("new");
        fs::write(&beside, statement.at_ms.to_string())?;
        fs::File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.last_ms = statement.at_ms;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::upgrade::Digest;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key")
    }

    fn public(seed: u8) -> PublicKey {
        let bytes = [PUBLIC_KEY.as_slice(), pair(seed).public_key().as_ref()].concat();
        PublicKey::read(&STANDARD.encode(bytes)).expect("a key")
    }

    #[test]
    fn a_key_is_read_as_openssl_writes_it() {
        let text = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        let key = PublicKey::read(text).expect("the key of RFC 8410, section 10.1");
        assert_eq!(format!("{key:?}"), text);
        for bad in ["", "x", &text[1..], &text.replace("2Vw", "2Vx"), "AAAA"] {
            assert_eq!(PublicKey::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_a_named_key_signed_for_this_agent_lately_counts_and_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let agent = AgentId::new("m-S0").expect("an id");
        let now = 1_764_540_000_000_u64;
        let wall = WallTime(now * 1_000_000);
        let statement = |agent: &AgentId, at_ms: u64| Statement {
            digest: Digest([1; 32]),
            bytes: 5,
            at_ms,
            agent: agent.clone(),
        };
        let signed = |seed: u8, text: &str| STANDARD.encode(pair(seed).sign(text.as_bytes()));
        let mut permits = Permits::open(&[public(1), public(2)], folder.path());
        let other = AgentId::new("m-S1").expect("an id");
        let good = statement(&agent, now).to_string();
        let check = |permits: &Permits, text: &str, signature: &str| {
            let checked = permits.check(text, signature, Some(&agent), wall);
            checked.map_err(|error| error.to_string())
        };
        for seed in [1, 2] {
            assert_eq!(
                check(&permits, &good, &signed(seed, &good)),
                Ok(statement(&agent, now))
            );
        }
        let minutes = |number: u64| number * 60_000;
        for (text, seed, words) in [
            (good.clone(), 3, "none of the keys"),
            (statement(&other, now).to_string(), 1, "for agent m-S1"),
            (
                statement(&agent, now - minutes(11)).to_string(),
                1,
                "660 s ago",
            ),
            (
                statement(&agent, now + minutes(11)).to_string(),
                1,
                "660 s ahead",
            ),
            ("x".to_string(), 1, "not a statement"),
        ] {
            let error = check(&permits, &text, &signed(seed, &text)).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
        // The signature of another text, of nothing, and none.
        for signature in [&signed(1, "x"), &signed(1, ""), "", "AAAA"] {
            assert!(check(&permits, &good, signature).is_err());
        }
        assert!(
            permits.check(&good, &signed(1, &good), None, wall).is_err(),
            "an agent that has no id yet is nobody's"
        );
        permits.take(&statement(&agent, now)).expect("kept");
        for permits in [&permits, &Permits::open(&[public(1)], folder.path())] {
            for at in [now - 1, now] {
                let text = statement(&agent, at).to_string();
                let error = check(permits, &text, &signed(1, &text)).expect_err("seen");
                assert!(error.contains("sign anew"), "{error}");
            }
            let text = statement(&agent, now + 1).to_string();
            assert!(check(permits, &text, &signed(1, &text)).is_ok());
        }
        let none = Permits::open(&[], folder.path());
        let error = check(&none, &good, &signed(1, &good)).expect_err("no keys");
        assert!(error.contains("--upgrade_keys"), "{error}");
    }
}
