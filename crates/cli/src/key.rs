//! Key: what an operator signs upgrades with, an Ed25519 key in a file as OpenSSL writes it (PKCS #8, PEM).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use model::upgrade::PUBLIC_KEY;

use crate::args::KeyArgs;
use crate::{note, print};

/// The lines around the key.
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// What stands before the 32 bytes of a private key (RFC 8410).
const PRIVATE: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("read the key {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("write the key {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the system has no random numbers")]
    Random,
    #[error(
        "{} holds no Ed25519 key: `tepui key FILE` makes one, and so does \
         `openssl genpkey -algorithm ed25519 -out FILE`", .0.display()
    )]
    None(PathBuf),
}

/// A private key.
pub(crate) struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// The key of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|source| KeyError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&text).ok_or_else(|| KeyError::None(path.to_path_buf()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(BEGIN)?;
        let (lines, _) = rest.split_once(END)?;
        let bytes = STANDARD.decode(lines.split_whitespace().collect::<String>());
        let bytes = bytes.ok()?;
        let seed = bytes.strip_prefix(&PRIVATE)?;
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// A signature, in base64.
    pub(crate) fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.0.sign(text.as_bytes()))
    }

    /// The public half, as `--upgrade_keys` of an agent takes it.
    fn public(&self) -> String {
        STANDARD.encode([PUBLIC_KEY.as_slice(), self.0.public_key().as_ref()].concat())
    }
}

/// Prints the public half of a key; makes it first where the file is not there.
pub(crate) fn show(args: &KeyArgs) -> Result<u8, KeyError> {
    let path = &args.file;
    if !path.exists() {
        make(path)?;
        note(&format!("made {}: keep it to yourself", path.display()));
    }
    print(&format!("{}\n", PrivateKey::read(path)?.public()));
    Ok(0)
}

fn make(path: &Path) -> Result<(), KeyError> {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| KeyError::Random)?;
    let line = STANDARD.encode([PRIVATE.as_slice(), &seed].concat());
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(format!("{BEGIN}\n{line}\n{END}\n").as_bytes()))
        .map_err(|source| KeyError::Write {
            path: path.to_path_buf(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_openssl_writes_it() {
        // RFC 8410, section 10.3, and its public half, section 10.1.
        let text = format!(
            "{BEGIN}\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n{END}\n"
        );
        let key = PrivateKey::parse(&text).expect("a key");
        assert_eq!(
            key.public(),
            "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
        );
        for bad in [
            String::new(),
            text.replace("PRIVATE", "PUBLIC"),
            text.replace("MC4C", "MC4D"),
            text.replace("dVhC", ""),
        ] {
            assert!(PrivateKey::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        make(&path).expect("made");
        let mode = fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let first = PrivateKey::read(&path).expect("a key").public();
        assert!(make(&path).is_err(), "the file is there");
        assert_eq!(PrivateKey::read(&path).expect("a key").public(), first);
    }
}
