//! Registry: manifests and blobs by the registry API, version 2.
//!
//! A registry is asked without a credential first; its challenge says what it wants to be shown. What
//! may pass (a server that is busy, restarts, or breaks off) is tried again with longer and longer
//! waits, a blob from where it broke off. What is asked for by digest is checked against it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Mutex;
use std::time::Duration;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode, Uri};
use oci_spec::image::{Descriptor, Digest};
use serde::Deserialize;
use tracing::warn;

use super::challenge::Challenge;
use super::digest::{self, Check, DigestError};
use super::progress::Progress;
use crate::init::chain;
use crate::web::{Body, Client, Get, WebError};

/// The most bytes of a manifest, and of a token's document.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// The most that is read of what a registry says with an error.
const COMPLAINT_BYTES_MAX: usize = 16 << 10;
/// The longest complaint that is handed on.
const COMPLAINT_LETTERS_MAX: usize = 200;
/// The usual waits between tries.
pub const WAITS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Manifests that are understood, and what old registries need to be told to give them.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether it speaks TLS.
    pub is_secure: bool,
    /// Host, and port where it is not the usual one.
    pub authority: String,
}

impl Address {
    fn uri(&self, path: &str) -> Result<Uri, RegistryError> {
        let scheme = match self.is_secure {
            true => "https",
            false => "http",
        };
        let text = format!("{scheme}://{}{path}", self.authority);
        text.parse().map_err(|_| RegistryError::Address(text))
    }
}

/// One repository of a registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    address: Address,
    repository: String,
    credential: Option<HeaderValue>,
    /// What was accepted last.
    shown: Mutex<Option<HeaderValue>>,
    waits: Vec<Duration>,
}

/// Why a registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No address can be made of the names.
    #[error("{0:?} is no address")]
    Address(String),
    /// No answer, or not a whole one.
    #[error("get {what}")]
    Web {
        /// What was asked for.
        what: String,
        /// What came of it.
        source: WebError,
    },
    /// Another answer.
    #[error("get {what}: the registry answers {status}{complaint}")]
    Status {
        /// What was asked for.
        what: String,
        /// The answer.
        status: StatusCode,
        /// What the registry says, after a colon.
        complaint: String,
    },
    /// The credential does not do, or there is none.
    #[error("get {what}: the registry answers 401 Unauthorized{complaint}; {}", match shown {
        true => "the credential for it was shown",
        false => "there is no credential for it (--docker_config, or the image's config)",
    })]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// What the registry says, after a colon.
        complaint: String,
        /// Whether it was shown one.
        shown: bool,
    },
    /// What the registry wants to be shown is unknown here, or would be shown in the open.
    #[error("the registry wants {0:?} to be shown, which is not done")]
    Challenge(String),
    /// The document that should hold a token does not.
    #[error("the answer of {0} holds no token")]
    Token(Uri),
    /// It gave something else.
    #[error("{what}")]
    Digest {
        /// What was asked for.
        what: String,
        /// What is wrong.
        source: DigestError,
    },
    /// It gave more or less.
    #[error("{what} has {got} bytes, and {wanted} were announced")]
    Size {
        /// What was asked for.
        what: String,
        /// As announced.
        wanted: u64,
        /// As it came.
        got: u64,
    },
    /// The disk.
    #[error("write {what}")]
    Write {
        /// What was asked for.
        what: String,
        /// What came of it.
        source: io::Error,
    },
}

impl RegistryError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Web { source, .. } => source.may_pass(),
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            // A whole blob that is too short was cut off by someone on the way.
            Self::Size { wanted, got, .. } => got < wanted,
            Self::Address(_)
            | Self::Unauthorized { .. }
            | Self::Challenge(_)
            | Self::Token(_)
            | Self::Digest { .. }
            | Self::Write { .. } => false,
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Complaints {
    errors: Vec<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Registry {
    /// A repository, which is shown the credential where it asks for one; what may pass is tried again
    /// after each of the waits.
    #[must_use]
    pub fn new(
        client: Client,
        address: Address,
        repository: String,
        credential: Option<HeaderValue>,
        waits: Vec<Duration>,
    ) -> Self {
        Self {
            client,
            address,
            repository,
            credential,
            shown: Mutex::new(None),
            waits,
        }
    }

    /// A manifest or list, by tag or digest.
    ///
    /// # Errors
    /// The registry's, and where it is not what the digest names.
    pub async fn manifest(&self, version: &str) -> Result<Vec<u8>, RegistryError> {
        let what = format!("the manifest of {}:{version}", self.named());
        let path = format!("/v2/{}/manifests/{version}", self.repository);
        let accept = (header::ACCEPT, HeaderValue::from_static(ACCEPTED));
        let headers = [accept];
        let content = self.document(&what, &path, &headers).await?;
        if let Ok(wanted) = version.parse::<Digest>() {
            digest::verify(&wanted, &content)
                .map_err(|source| RegistryError::Digest { what, source })?;
        }
        Ok(content)
    }

    /// A small blob.
    ///
    /// # Errors
    /// The registry's, and where it is not what the descriptor says.
    pub async fn small_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let what = format!("blob {}", blob.digest());
        let content = self.document(&what, &self.blob_path(blob), &[]).await?;
        digest::verify(blob.digest(), &content)
            .map_err(|source| RegistryError::Digest { what, source })?;
        Ok(content)
    }

    /// A blob of any size, into a file; the file ends up at its beginning.
    ///
    /// # Errors
    /// The registry's, the disk's, and where it is not what the descriptor says.
    pub async fn blob(
        &self,
        blob: &Descriptor,
        file: &mut File,
        progress: &Progress,
    ) -> Result<(), RegistryError> {
        let what = format!("blob {}", blob.digest());
        let digest = |source| RegistryError::Digest {
            what: what.clone(),
            source,
        };
        let fresh = Check::new(blob.digest()).map_err(digest)?;
        let mut got = Partial {
            check: fresh.clone(),
            fresh,
            length: 0,
        };
        let mut waits = self.waits.iter();
        loop {
            let result = self.blob_part(&what, blob, file, &mut got, progress).await;
            match (result, waits.next()) {
                (Ok(()), _) => break,
                (Err(error), Some(wait)) if error.may_pass() => {
                    warn!(
                        registry = self.address.authority,
                        error = chain(&error),
                        got = got.length,
                        "tried again"
                    );
                    tokio::time::sleep(*wait).await;
                }
                (Err(error), _) => return Err(error),
            }
        }
        got.check.finish().map_err(digest)?;
        let rewound = file.seek(SeekFrom::Start(0));
        rewound
            .map(drop)
            .map_err(|source| RegistryError::Write { what, source })
    }

    /// From where it broke off to the end, or to where it breaks off again.
    async fn blob_part(
        &self,
        what: &str,
        blob: &Descriptor,
        file: &mut File,
        got: &mut Partial,
        progress: &Progress,
    ) -> Result<(), RegistryError> {
        let write = |source| RegistryError::Write {
            what: what.to_string(),
            source,
        };
        let mut headers = Vec::new();
        if got.length > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", got.length));
            headers.extend(range.ok().map(|range| (header::RANGE, range)));
        }
        let answer = self.ask(what, &self.blob_path(blob), &headers).await?;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            progress.back(got.length);
            *got = got.anew();
            file.set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .map_err(write)?;
        }
        let mut body = answer.into_body();
        let next = |source| RegistryError::Web {
            what: what.to_string(),
            source,
        };
        while let Some(bytes) = body.chunk().await.map_err(next)? {
            got.length += bytes.len() as u64;
            if got.length > blob.size() {
                return Err(size(what, blob, got.length));
            }
            file.write_all(&bytes).map_err(write)?;
            got.check.update(&bytes);
            progress.got(bytes.len() as u64);
        }
        if got.length < blob.size() {
            return Err(size(what, blob, got.length));
        }
        Ok(())
    }

    async fn document(
        &self,
        what: &str,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Vec<u8>, RegistryError> {
        let mut waits = self.waits.iter();
        loop {
            match (self.whole(what, path, headers).await, waits.next()) {
                (Err(error), Some(wait)) if error.may_pass() => {
                    warn!(
                        registry = self.address.authority,
                        error = chain(&error),
                        "tried again"
                    );
                    tokio::time::sleep(*wait).await;
                }
                (result, _) => return result,
            }
        }
    }

    async fn whole(
        &self,
        what: &str,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Vec<u8>, RegistryError> {
        let answer = self.ask(what, path, headers).await?;
        let content = answer.into_body().whole(DOCUMENT_BYTES_MAX).await;
        content.map_err(|source| RegistryError::Web {
            what: what.to_string(),
            source,
        })
    }

    /// One answer of 200 or 206, after whatever the registry wants to be shown.
    async fn ask(
        &self,
        what: &str,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Response<Body>, RegistryError> {
        let mut get = Get {
            headers: headers.to_vec(),
            credential: self.shown(),
            ..Get::new(self.address.uri(path)?)
        };
        let mut answer = self.get(what, get.clone()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let challenge = challenge(&answer);
            let Some(credential) = self.answer(challenge).await? else {
                let complaint = complaint(answer.into_body()).await;
                return Err(self.unauthorized(what, complaint));
            };
            get.credential = Some(credential.clone());
            answer = self.get(what, get).await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                let complaint = complaint(answer.into_body()).await;
                return Err(self.unauthorized(what, complaint));
            }
            self.remember(credential);
        }
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            status => Err(RegistryError::Status {
                what: what.to_string(),
                status,
                complaint: complaint(answer.into_body()).await,
            }),
        }
    }

    /// What a challenge is answered with; `None` where there is nothing.
    async fn answer(
        &self,
        challenge: Result<Challenge, String>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let (realm, service, scope) = match challenge.map_err(RegistryError::Challenge)? {
            Challenge::Basic => return Ok(self.credential.clone()),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => (realm, service, scope),
        };
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository));
        let mut query = format!("scope={}", encoded(&scope));
        if let Some(service) = service {
            query = format!("service={}&{query}", encoded(&service));
        }
        let joined = if realm.contains('?') { '&' } else { '?' };
        let uri: Uri = format!("{realm}{joined}{query}")
            .parse()
            .map_err(|_| RegistryError::Challenge(realm.clone()))?;
        // What a registry by TLS sends elsewhere must not become readable there.
        if self.address.is_secure && uri.scheme_str() != Some("https") {
            return Err(RegistryError::Challenge(realm));
        }
        let get = Get {
            credential: self.credential.clone(),
            ..Get::new(uri.clone())
        };
        let what = format!("a token of {}", uri.host().unwrap_or_default());
        let answer = self.get(&what, get).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let complaint = complaint(answer.into_body()).await;
                return Err(self.unauthorized(&what, complaint));
            }
            status => {
                return Err(RegistryError::Status {
                    what,
                    status,
                    complaint: complaint(answer.into_body()).await,
                });
            }
        }
        let content = answer.into_body().whole(DOCUMENT_BYTES_MAX).await;
        let content = content.map_err(|source| RegistryError::Web { what, source })?;
        let token: Option<Token> = serde_json::from_slice(&content).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        let value = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let mut value = value.ok_or(RegistryError::Token(uri))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn get(&self, what: &str, get: Get) -> Result<Response<Body>, RegistryError> {
        let answer = self.client.get(get).await;
        answer.map_err(|source| RegistryError::Web {
            what: what.to_string(),
            source,
        })
    }

    fn unauthorized(&self, what: &str, complaint: String) -> RegistryError {
        RegistryError::Unauthorized {
            what: what.to_string(),
            complaint,
            shown: self.credential.is_some(),
        }
    }

    fn shown(&self) -> Option<HeaderValue> {
        let shown = self.shown.lock();
        shown.map_or_else(|broken| broken.into_inner().clone(), |shown| shown.clone())
    }

    fn remember(&self, credential: HeaderValue) {
        if let Ok(mut shown) = self.shown.lock() {
            *shown = Some(credential);
        }
    }

    fn blob_path(&self, blob: &Descriptor) -> String {
        format!("/v2/{}/blobs/{}", self.repository, blob.digest())
    }

    fn named(&self) -> String {
        format!("{}/{}", self.address.authority, self.repository)
    }
}

/// A blob as far as it came.
struct Partial {
    check: Check,
    fresh: Check,
    length: u64,
}

impl Partial {
    fn anew(&self) -> Self {
        Self {
            check: self.fresh.clone(),
            fresh: self.fresh.clone(),
            length: 0,
        }
    }
}

fn size(what: &str, blob: &Descriptor, got: u64) -> RegistryError {
    RegistryError::Size {
        what: what.to_string(),
        wanted: blob.size(),
        got,
    }
}

/// The first challenge that is known here; else the words of the last.
fn challenge(answer: &Response<Body>) -> Result<Challenge, String> {
    let mut words = String::new();
    for value in answer.headers().get_all(header::WWW_AUTHENTICATE) {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        match Challenge::parse(&text) {
            Some(challenge) => return Ok(challenge),
            None => words = text,
        }
    }
    Err(words)
}

/// What a registry says with an error: after a colon, in one line.
async fn complaint(body: Body) -> String {
    let Ok(content) = body.whole(COMPLAINT_BYTES_MAX).await else {
        return String::new();
    };
    let Ok(all) = serde_json::from_slice::<Complaints>(&content) else {
        return String::new();
    };
    let first = all.errors.first().map(|one| match one.message.is_empty() {
        true => &one.code,
        false => &one.message,
    });
    let plain = first.into_iter().flat_map(|text| text.chars());
    let plain: String = plain
        .filter(|letter| !letter.is_control())
        .take(COMPLAINT_LETTERS_MAX)
        .collect();
    match plain.is_empty() {
        true => plain,
        false => format!(": {plain}"),
    }
}

/// A value in a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
