//! Credentials: the principals that are known, and their secrets.
//!
//! ```json
//! {"credentials": [{"principal": "alice", "secret": "…"}]}
//! ```

use std::collections::BTreeMap;
use std::fmt;

use master_core::event::Text;
use serde_json::Value;

use super::basic::Given;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It is no JSON.
    #[error("parse the JSON")]
    Json(#[source] serde_json::Error),
    /// It holds no list of credentials.
    #[error("expected an object with the list `credentials`, with one of them at least")]
    List,
    /// One of them is not what it should be.
    #[error("credential {place}: expected an object with the text `{field}`")]
    Field {
        /// Which, counted from 0.
        place: usize,
        /// What it lacks.
        field: &'static str,
    },
    /// A principal cannot be sent with HTTP Basic.
    #[error("principal {principal:?} is empty or holds a colon, so that no request can show it")]
    Principal {
        /// Which.
        principal: String,
    },
    /// Two of them have one principal.
    #[error("principal {principal:?} is there twice")]
    Twice {
        /// Which.
        principal: String,
    },
}

/// Why a flag's file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// It cannot be opened or read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes")]
    Large {
        /// Which.
        path: String,
    },
}

/// The secrets, by principal.
#[derive(Clone, Default)]
pub(super) struct Credentials(BTreeMap<Text, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets go into no log.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Credentials {
    /// Reads a flag: a file, or JSON.
    pub(super) fn read(flag: &str) -> Result<Self, CredentialsError> {
        Self::parse(&text(flag)?)
    }

    fn parse(text: &str) -> Result<Self, CredentialsError> {
        let value: Value = serde_json::from_str(text).map_err(CredentialsError::Json)?;
        let list = value.get("credentials").and_then(Value::as_array);
        let list = list.filter(|list| !list.is_empty());
        let mut secrets = BTreeMap::new();
        for (place, credential) in list.ok_or(CredentialsError::List)?.iter().enumerate() {
            let text = |field| {
                let text = credential.get(field).and_then(Value::as_str);
                text.ok_or(CredentialsError::Field { place, field })
            };
            let (principal, secret) = (text("principal")?, text("secret")?);
            if principal.is_empty() || principal.contains(':') {
                let principal = principal.to_owned();
                return Err(CredentialsError::Principal { principal });
            }
            if secrets
                .insert(Text::from(principal), secret.to_owned())
                .is_some()
            {
                let principal = principal.to_owned();
                return Err(CredentialsError::Twice { principal });
            }
        }
        Ok(Self(secrets))
    }

    /// The principal, where the secret is its own.
    pub(super) fn principal(&self, given: &Given) -> Option<Text> {
        let (principal, secret) = self.0.get_key_value(given.principal.as_str())?;
        same(secret.as_bytes(), given.secret.as_bytes()).then(|| principal.clone())
    }
}

/// Whether two secrets are the same, in a time that does not tell how much of them is.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

/// The text of a flag that is JSON itself, or the name of a file, bare or as `file://`.
pub(super) fn text(flag: &str) -> Result<String, TextError> {
    use std::io::Read;
    if flag.trim_start().starts_with('{') {
        return Ok(flag.to_owned());
    }
    let path = flag.strip_prefix("file://").unwrap_or(flag);
    let read = || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let path = || path.to_owned();
    match read() {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => Err(TextError::Large { path: path() }),
        Ok(text) => Ok(text),
        Err(source) => Err(TextError::Read {
            path: path(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[&str], &str>) {
        let found = Credentials::parse(text).map_err(|error| error.to_string());
        let found = found.map(|credentials| format!("{credentials:?}"));
        let expected =
            expected.map(|names| format!("{:?}", std::collections::BTreeSet::from_iter(names)));
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn the_file_of_mesos_is_read_and_its_faults_are_named() {
        check(
            r#"{"credentials": [{"principal": "alice", "secret": "secret1"},
                {"principal": "bob", "secret": "x:y"}]}"#,
            Ok(&["alice", "bob"]),
        );
        check("{", Err("parse the JSON"));
        let list = "expected an object with the list `credentials`, with one of them at least";
        check("[]", Err(list));
        check(r#"{"credentials": []}"#, Err(list));
        check(
            r#"{"credentials": [{"principal": "a"}]}"#,
            Err("credential 0: expected an object with the text `secret`"),
        );
        check(
            r#"{"credentials": [{"principal": "a:b", "secret": "s"}]}"#,
            Err("principal \"a:b\" is empty or holds a colon, so that no request can show it"),
        );
        check(
            r#"{"credentials": [{"principal": "a", "secret": "s"}, {"principal": "a", "secret": "t"}]}"#,
            Err("principal \"a\" is there twice"),
        );
    }

    #[test]
    fn a_principal_is_known_by_its_own_secret_alone() {
        let text = r#"{"credentials": [{"principal": "alice", "secret": "secret1"}]}"#;
        let credentials = Credentials::parse(text).unwrap();
        for (principal, secret, is_known) in [
            ("alice", "secret1", true),
            ("alice", "secret", false),
            ("alice", "secret12", false),
            ("alice", "", false),
            ("bob", "secret1", false),
        ] {
            let given = Given {
                principal: principal.into(),
                secret: secret.into(),
            };
            let found = credentials.principal(&given).is_some();
            assert_eq!(found, is_known, "{principal} {secret}");
        }
    }
}
