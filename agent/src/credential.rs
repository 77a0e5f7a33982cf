//! The credential that the agent shows on its link, where a master asks for one.
//!
//! ```json
//! {"principal": "agents", "secret": "…"}
//! ```
//!
//! It is read for each link anew, so that a secret can be changed while tasks run.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tonic::metadata::{Ascii, MetadataValue};

/// Why a credential cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("read {path}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "{path} holds no JSON object with the texts `principal`, without a colon, and `secret`"
    )]
    Shape { path: String },
}

/// The header's value, as of HTTP Basic (RFC 7617).
pub(crate) fn read(path: &Path) -> Result<MetadataValue<Ascii>, CredentialError> {
    let name = || path.display().to_string();
    let text = std::fs::read(path).map_err(|source| CredentialError::Read {
        path: name(),
        source,
    })?;
    header(&text).ok_or_else(|| CredentialError::Shape { path: name() })
}

fn header(text: &[u8]) -> Option<MetadataValue<Ascii>> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let (principal, secret) = (field("principal")?, field("secret")?);
    if principal.is_empty() || principal.contains(':') {
        return None;
    }
    let shown = STANDARD.encode(format!("{principal}:{secret}"));
    let mut value: MetadataValue<Ascii> = format!("Basic {shown}").parse().ok()?;
    // Kept out of what is printed of a request.
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_becomes_a_header_and_anything_else_does_not() {
        let shown = |text: &str| {
            let value = header(text.as_bytes())?;
            Some(value.to_str().ok()?.to_owned())
        };
        assert_eq!(
            shown(r#"{"principal": "alice", "secret": "secret1"}"#).as_deref(),
            Some("Basic YWxpY2U6c2VjcmV0MQ==")
        );
        for text in [
            "",
            "[]",
            r#"{"principal": "alice"}"#,
            r#"{"principal": "", "secret": "s"}"#,
            r#"{"principal": "a:b", "secret": "s"}"#,
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
