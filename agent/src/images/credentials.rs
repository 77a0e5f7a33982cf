//! Credentials: whom a registry is shown, by a Docker configuration.
//!
//! The format of `~/.docker/config.json`, and of the older `~/.dockercfg` without its `auths`. Keys are
//! hosts, or addresses that hold one.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde::Deserialize;

/// Names under which the Docker Hub is known.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A name and password for each registry; neither is ever printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, HeaderValue>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a text is no Docker configuration; its content is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No object of objects.
    #[error("the Docker configuration is not JSON with registries in \"auths\"")]
    Json,
    /// One entry.
    #[error(
        "the Docker configuration's entry {0:?} has neither \"auth\" (base64 of name:password) nor \"username\" and \"password\""
    )]
    Entry(String),
}

#[derive(Deserialize)]
struct Config {
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// Reads a Docker configuration.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let whole: serde_json::Value =
            serde_json::from_str(text).map_err(|_| CredentialsError::Json)?;
        let entries: BTreeMap<String, Entry> = match whole.get("auths") {
            Some(_) => serde_json::from_value::<Config>(whole).map(|config| config.auths),
            None => serde_json::from_value(whole),
        }
        .map_err(|_| CredentialsError::Json)?;
        let mut all = BTreeMap::new();
        for (key, entry) in entries {
            let basic = basic(entry).ok_or_else(|| CredentialsError::Entry(key.clone()))?;
            all.insert(host(&key).to_string(), basic);
        }
        Ok(Self(all))
    }

    /// What a registry is shown, as the value of `Authorization`.
    #[must_use]
    pub fn of(&self, registry: &str) -> Option<&HeaderValue> {
        let others = HUB.iter().filter(|_| HUB.contains(&registry));
        let mut names = std::iter::once(&registry).chain(others);
        names.find_map(|name| self.0.get(*name))
    }
}

fn basic(entry: Entry) -> Option<HeaderValue> {
    let encoded = match (entry.auth, entry.username, entry.password) {
        (Some(auth), _, _) if !auth.is_empty() => {
            let plain = STANDARD.decode(&auth).ok()?;
            // Docker ends it with NUL bytes at times.
            let plain = String::from_utf8(plain).ok()?;
            let plain = plain.trim_end_matches('\0');
            plain.contains(':').then(|| STANDARD.encode(plain))?
        }
        (_, Some(name), Some(password)) => STANDARD.encode(format!("{name}:{password}")),
        _ => return None,
    };
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The host of a key, with its port: keys such as `https://index.docker.io/v1/` are usual.
fn host(key: &str) -> &str {
    let rest = key.strip_prefix("https://").unwrap_or(key);
    let rest = rest.strip_prefix("http://").unwrap_or(rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_shown_its_own_credential_and_no_other() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "r.example:5000": {"username": "a", "password": "c"}}, "credsStore": "x"}"#;
        let all = Credentials::parse(text).expect("credentials");
        let shown = |name: &str| {
            all.of(name)
                .map(|value| value.to_str().expect("text").to_string())
        };
        assert_eq!(shown("docker.io").as_deref(), Some("Basic YTpi"));
        assert_eq!(shown("registry-1.docker.io").as_deref(), Some("Basic YTpi"));
        assert_eq!(shown("r.example:5000").as_deref(), Some("Basic YTpj"));
        assert_eq!(shown("r.example"), None);
        let old = Credentials::parse(r#"{"r.example": {"auth": "YTpi", "email": ""}}"#);
        assert!(old.expect("the older format").of("r.example").is_some());
        assert_eq!(
            format!("{all:?}"),
            r#"{"index.docker.io", "r.example:5000"}"#
        );
    }

    #[test]
    fn what_is_no_configuration_is_refused_without_a_word_of_its_secrets() {
        for text in ["", "[]", "{\"auths\": 1}", "{\"a\": \"secret\"}"] {
            assert_eq!(
                Credentials::parse(text),
                Err(CredentialsError::Json),
                "{text}"
            );
        }
        for entry in [
            "{}",
            r#"{"auth": "!"}"#,
            r#"{"auth": "c2VjcmV0"}"#,
            r#"{"username": "secret"}"#,
        ] {
            let fault = Credentials::parse(&format!("{{\"auths\": {{\"r\": {entry}}}}}"));
            let fault = fault.expect_err("no credential");
            assert!(!fault.to_string().contains("secret"), "{fault}");
        }
    }
}
