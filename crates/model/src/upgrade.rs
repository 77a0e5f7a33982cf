//! Upgrade: what an operator signs, so that an agent executes another program in the place of its own.
//!
//! One line of text, in the words of [`Statement`]'s `Display`, which both sides sign and read. It is for
//! one agent, one program and a few minutes: whoever sees it on its way can do nothing else with it.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::AgentId;

/// The header of a request that carries the statement.
pub const STATEMENT: &str = "tepui-statement";
/// The header that carries its signature: Ed25519 (RFC 8032), in base64.
pub const SIGNATURE: &str = "tepui-signature";
/// A longer program is none of ours, in bytes.
pub const PROGRAM_BYTES_MAX: u64 = 256 << 20;
/// The longest statement that is looked at, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 1024;

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
pub const PUBLIC_KEY: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// How the text begins, with the version of its form.
const BEGINNING: &str = "tepui-upgrade/1";

/// That an agent is to execute a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The digest of the program, SHA-256.
    pub digest: Digest,
    /// How long the program is.
    pub bytes: u64,
    /// When it was signed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which agent.
    pub agent: AgentId,
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// The text is no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a statement: expected `{BEGINNING} sha256=HEX bytes=NUMBER at=MILLISECONDS agent=ID`")]
pub struct StatementError;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = StatementError;

    fn from_str(text: &str) -> Result<Self, StatementError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(StatementError);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(StatementError),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            digest,
            bytes,
            at_ms,
            agent,
        } = self;
        write!(
            f,
            "{BEGINNING} sha256={digest} bytes={bytes} at={at_ms} agent={agent}"
        )
    }
}

impl FromStr for Statement {
    type Err = StatementError;

    fn from_str(text: &str) -> Result<Self, StatementError> {
        if text.len() > STATEMENT_BYTES_MAX {
            return Err(StatementError);
        }
        let mut words = text.splitn(5, ' ');
        if words.next() != Some(BEGINNING) {
            return Err(StatementError);
        }
        // The id comes last, since it may hold blanks.
        let mut word = |name: &str| {
            let (found, value) = words.next()?.split_once('=')?;
            (found == name).then_some(value)
        };
        let mut wanted = |name| word(name).ok_or(StatementError);
        let (digest, bytes) = (wanted("sha256")?, wanted("bytes")?);
        let (at_ms, agent) = (wanted("at")?, wanted("agent")?);
        let number = |text: &str| text.parse().map_err(|_| StatementError);
        let statement = Self {
            digest: digest.parse()?,
            bytes: number(bytes)?,
            at_ms: number(at_ms)?,
            agent: AgentId::new(agent).map_err(|_| StatementError)?,
        };
        // What is signed is a text: there is one way to write it.
        let written: String = alloc::format!("{statement}");
        match written == text {
            true => Ok(statement),
            false => Err(StatementError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn a_statement_is_read_as_it_was_written_and_in_no_other_way() {
        let statement = Statement {
            digest: Digest([0xa7; 32]),
            bytes: 15_144_040,
            at_ms: 1_764_540_000_123,
            agent: AgentId::new("m 1-S0").expect("an id"),
        };
        let text = statement.to_string();
        let hex = "a7".repeat(32);
        assert_eq!(
            text,
            format!("tepui-upgrade/1 sha256={hex} bytes=15144040 at=1764540000123 agent=m 1-S0")
        );
        assert_eq!(text.parse(), Ok(statement));
        for bad in [
            "",
            "tepui-upgrade/1",
            &text.replace("/1 ", "/2 "),
            &text.replace("a7", "A7"),
            &text.replacen("a7", "", 1),
            &text.replace("bytes=", "bytes=0"),
            &text.replace("bytes=", "bytes=+"),
            &text.replace("at=", "at=-"),
            &text.replace("agent=m 1-S0", "agent="),
            &text.replace(" agent", "  agent"),
            &format!("{text}\n"),
            &format!(" {text}"),
            &"x".repeat(STATEMENT_BYTES_MAX + 1),
        ] {
            assert_eq!(bad.parse::<Statement>(), Err(StatementError), "{bad:?}");
        }
    }
}
