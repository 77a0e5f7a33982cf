//! Tokens: what an executor shows at each call, so that nobody else speaks in its name.
//!
//! A JSON Web Token (RFC 7519) signed with HMAC-SHA256 under the agent's own key
//! (`--jwt_secret_key`), which says of its bearer what Mesos' says: framework (`fid`), executor
//! (`eid`) and container (`cid`).

use std::path::Path;

use agent_core::executor_api::Claims;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac::{self, HMAC_SHA256};
use serde_json::{Value, json};

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("read --jwt_secret_key {path}")]
    Read {
        /// The file.
        path: String,
        /// What came of it.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("--jwt_secret_key {0} holds no key")]
    Empty(String),
}

/// Why a token says nothing; the texts are for its bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none.
    #[error("Invalid JWT: expected 3 components separated by '.', each in base64url, of JSON")]
    Shape,
    /// It is signed in another way.
    #[error("Invalid JWT: token header specifies another algorithm than HS256")]
    Algorithm,
    /// It was signed by somebody else.
    #[error("Invalid JWT: token signature does not match")]
    Signature,
    /// It does not say whose it is.
    #[error("Invalid JWT: token lacks a claim of 'fid', 'eid' and 'cid'")]
    Claims,
}

/// The agent's key; what it signs is the agent's word.
#[derive(Debug, Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// The key in a file, every byte of it.
    ///
    /// # Errors
    /// There is none.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| KeyError::Read {
            path: name(),
            source,
        })?;
        if bytes.is_empty() {
            return Err(KeyError::Empty(name()));
        }
        Ok(Self::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, bytes))
    }

    /// A token for an executor.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(json!({ "alg": "HS256", "typ": "JWT" })),
            part(json!({
                "cid": claims.container,
                "eid": claims.executor_id,
                "fid": claims.framework_id,
            }))
        );
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What a token says, if it is this agent's.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Shape);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Shape)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Shape)?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Shape);
        let object = |part: &str| {
            let value: Value =
                serde_json::from_slice(&bytes(part)?).map_err(|_| TokenError::Shape)?;
            Ok(value)
        };
        // A token that names no algorithm, or `none`, would need no key.
        if object(header)?.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err(TokenError::Algorithm);
        }
        hmac::verify(&self.0, signed.as_bytes(), &bytes(signature)?)
            .map_err(|_| TokenError::Signature)?;
        let payload = object(payload)?;
        let claim = |name: &str| {
            let text = payload.get(name).and_then(Value::as_str);
            text.map(str::to_string).ok_or(TokenError::Claims)
        };
        Ok(Claims {
            framework_id: claim("fid")?,
            executor_id: claim("eid")?,
            container: claim("cid")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claims() -> Claims {
        Claims {
            framework_id: "m-0000".to_string(),
            executor_id: "e".to_string(),
            container: "7f3a".to_string(),
        }
    }

    #[test]
    fn a_token_says_what_it_was_signed_for_and_only_under_its_key() {
        let key = Key::of(b"secret");
        let token = key.sign(&claims());
        assert_eq!(key.verify(&token), Ok(claims()));
        assert_eq!(Key::of(b"other").verify(&token), Err(TokenError::Signature));
        let (signed, _) = token.rsplit_once('.').expect("a signature");
        assert_eq!(key.verify(signed), Err(TokenError::Shape));
        assert_eq!(
            key.verify(&format!("{signed}.")),
            Err(TokenError::Signature)
        );
    }

    #[test]
    fn a_token_is_bytes_for_byte_what_other_programs_make_of_key_and_claims() {
        // From Python's `hmac` and `base64` over the same header and payload.
        let token = Key::of(b"secret").sign(&claims());
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
             eyJjaWQiOiI3ZjNhIiwiZWlkIjoiZSIsImZpZCI6Im0tMDAwMCJ9.\
             xUZac5MgdrWwc8p-Fc4h6b22ibW87dHlLC9DXOip8D8"
        );
    }

    #[test]
    fn a_token_without_a_signature_of_its_own_is_refused_whatever_it_claims() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let payload = part(r#"{"cid":"7f3a","eid":"e","fid":"m-0000"}"#);
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS512"}"#, "{}"] {
            let token = format!("{}.{payload}.", part(header));
            assert_eq!(
                Key::of(b"secret").verify(&token),
                Err(TokenError::Algorithm),
                "{header}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_believed(text in ".{0,200}") {
            prop_assert!(Key::of(b"secret").verify(&text).is_err());
        }
    }
}
