//! Digests: content is what it was called.

use std::fmt::Write;
use std::io::{self, Read};

use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::{Digest as _, Sha256, Sha512};

/// Why content is not taken for what it was called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// By an algorithm that is not one of OCI's registered ones.
    #[error("digest {0} is neither sha256 nor sha512")]
    Algorithm(String),
    /// It is other content.
    #[error("the content has digest {got}, not {wanted}")]
    Mismatch {
        /// As it was called.
        wanted: String,
        /// As it is.
        got: String,
    },
}

/// Reckons the digest of what passes.
#[derive(Debug, Clone)]
pub struct Check {
    wanted: Digest,
    sum: Sum,
}

#[derive(Debug, Clone)]
enum Sum {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Check {
    /// Of content that is called so.
    ///
    /// # Errors
    /// The algorithm is not known here.
    pub fn new(wanted: &Digest) -> Result<Self, DigestError> {
        let sum = match wanted.algorithm() {
            DigestAlgorithm::Sha256 => Sum::Sha256(Sha256::new()),
            DigestAlgorithm::Sha512 => Sum::Sha512(Sha512::new()),
            _ => return Err(DigestError::Algorithm(wanted.to_string())),
        };
        Ok(Self {
            wanted: wanted.clone(),
            sum,
        })
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.sum {
            Sum::Sha256(sum) => sum.update(bytes),
            Sum::Sha512(sum) => sum.update(bytes),
        }
    }

    /// That was all of it.
    ///
    /// # Errors
    /// It is not what it was called.
    pub fn finish(self) -> Result<(), DigestError> {
        let got = match self.sum {
            Sum::Sha256(sum) => hexadecimal(&sum.finalize()),
            Sum::Sha512(sum) => hexadecimal(&sum.finalize()),
        };
        if got == self.wanted.digest() {
            return Ok(());
        }
        let got = format!("{}:{got}", self.wanted.algorithm());
        let wanted = self.wanted.to_string();
        Err(DigestError::Mismatch { wanted, got })
    }

    /// All of a reader.
    ///
    /// # Errors
    /// The reader's; the inner result is whether the content is what it was called.
    pub fn read(mut self, mut reader: impl Read) -> io::Result<Result<u64, DigestError>> {
        let mut buffer = vec![0; 1 << 17];
        let mut length = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(self.finish().map(|()| length)),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether content is what it was called.
///
/// # Errors
/// It is not.
pub fn verify(wanted: &Digest, content: &[u8]) -> Result<(), DigestError> {
    let mut check = Check::new(wanted)?;
    check.update(content);
    check.finish()
}

/// The name of a content, as `sha256:…`.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hexadecimal(&Sha256::digest(content)))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot end otherwise.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_taken_for_what_it_was_called_and_nothing_else_is() {
        let digest = |text: &str| text.parse::<Digest>().expect("a digest");
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        assert_eq!(verify(&digest(empty), b""), Ok(()));
        let long = digest(
            "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        );
        assert_eq!(verify(&long, b""), Ok(()));
        assert!(matches!(
            verify(&digest(empty), b"x"),
            Err(DigestError::Mismatch { .. })
        ));
        let other = digest("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8");
        assert!(matches!(
            verify(&other, b""),
            Err(DigestError::Algorithm(_))
        ));
        let check = Check::new(&digest(empty)).expect("a check");
        assert_eq!(check.read(&b""[..]).expect("a reader"), Ok(0));
    }
}
