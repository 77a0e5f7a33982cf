//! TLS: which authorities are believed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// Whose certificates a server may show.
#[derive(Debug, Clone)]
pub struct Authorities(RootCertStore);

/// Why an operator's authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file.
    #[error("read {path}")]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// Its content.
    #[error("{path} holds no certificates in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong; unset where it holds nothing of the kind.
        source: Option<pem::Error>,
    },
    /// One certificate.
    #[error("a certificate in {path}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// No way of talking is left.
    #[error("choose cipher suites")]
    Suites(#[source] rustls::Error),
}

impl Default for Authorities {
    /// Mozilla's.
    fn default() -> Self {
        Self(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        })
    }
}

impl Authorities {
    /// Mozilla's, and those in a file of the operator.
    ///
    /// # Errors
    /// The file is not there, or holds no certificates.
    pub fn with_file(path: &Path) -> Result<Self, TlsError> {
        let text = fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let fault = |source| TlsError::Pem {
            path: path.to_path_buf(),
            source,
        };
        let mut all = Self::default();
        let built_in = all.0.len();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| fault(Some(error)))?;
            all.0
                .add(certificate)
                .map_err(|source| TlsError::Certificate {
                    path: path.to_path_buf(),
                    source,
                })?;
        }
        if all.0.len() == built_in {
            return Err(fault(None));
        }
        Ok(all)
    }

    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Suites)?
            .with_root_certificates(self.0.clone())
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}
