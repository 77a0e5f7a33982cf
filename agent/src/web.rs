//! Web: GET over http and https, for what a node takes from elsewhere.
//!
//! A connection carries one request. A host is believed by Mozilla's list of authorities, which is part
//! of this program since a node has none, and by those that the operator adds. Nothing is waited for
//! without an end: see [`Patience`]. A redirect is followed [`REDIRECTS_MAX`] times, from https never to
//! http, and a credential is shown to the host that was asked for and to no other.

mod body;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use body::Body;
pub use tls::{Authorities, TlsError};

/// How many redirects are followed.
pub const REDIRECTS_MAX: usize = 10;
/// As servers are told.
const USER_AGENT: &str = concat!("tepui-agent/", env!("CARGO_PKG_VERSION"));

/// How long a server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// For the head of an answer.
    pub head: Duration,
    /// For the next bytes of a body (Mesos' `--fetcher_stall_timeout`).
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            head: Duration::from_secs(60),
            stall: Duration::from_secs(60),
        }
    }
}

/// Makes requests.
#[derive(Debug, Clone)]
pub struct Client {
    tls: Arc<rustls::ClientConfig>,
    patience: Patience,
}

/// What to get.
#[derive(Debug, Clone)]
pub struct Get {
    /// From where; http or https, with a host.
    pub uri: Uri,
    /// What is told to every server on the way.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `Authorization`, for the host of `uri` alone.
    pub credential: Option<HeaderValue>,
}

impl Get {
    /// A plain one.
    #[must_use]
    pub fn new(uri: Uri) -> Self {
        Self {
            uri,
            headers: Vec::new(),
            credential: None,
        }
    }
}

/// Why there is no answer, or no whole one. What the server answered is no error here.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Neither http nor https, or no host.
    #[error("{0} is no http or https address")]
    Address(String),
    /// The name is not known.
    #[error("look up {host}")]
    Resolve {
        /// Of what.
        host: String,
        /// What came of it.
        source: io::Error,
    },
    /// Nobody listens, or not to us.
    #[error("connect to {host}")]
    Connect {
        /// To what, with its port.
        host: String,
        /// What came of the last address.
        source: io::Error,
    },
    /// The server is not believed, or speaks no TLS.
    #[error("TLS with {host}")]
    Tls {
        /// With what, with its port.
        host: String,
        /// What came of it.
        source: io::Error,
    },
    /// The server does not speak HTTP, or went away.
    #[error("ask {host}")]
    Http {
        /// What, with its port.
        host: String,
        /// What came of it.
        source: hyper::Error,
    },
    /// The server takes too long.
    #[error("{host}: {what} not within {} s", limit.as_secs_f32())]
    Slow {
        /// What, with its port.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// A redirect leads nowhere, in a circle, or out of https.
    #[error("redirected {why}, to {to:?}")]
    Redirect {
        /// How.
        why: &'static str,
        /// Where.
        to: String,
    },
    /// An answer that is kept in memory has no end.
    #[error("the answer is longer than {0} bytes")]
    Long(usize),
}

impl WebError {
    /// Whether the same request may get another answer a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Http { .. } | Self::Slow { .. } => {
                true
            }
            Self::Address(_) | Self::Tls { .. } | Self::Redirect { .. } | Self::Long(_) => false,
        }
    }
}

impl Client {
    /// A client that believes these authorities.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(authorities: &Authorities, patience: Patience) -> Result<Self, TlsError> {
        Ok(Self {
            tls: authorities.client()?,
            patience,
        })
    }

    /// Asks, and follows redirects.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, get: Get) -> Result<Response<Body>, WebError> {
        let mut uri = get.uri.clone();
        let mut credential = get.credential.clone();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.once(&uri, &get.headers, credential.as_ref()).await?;
            let Some(to) = redirect(&answer) else {
                return Ok(answer);
            };
            let next = follow(&uri, to)?;
            if next.authority() != uri.authority() || next.scheme() != uri.scheme() {
                credential = None;
            }
            uri = next;
        }
        Err(WebError::Redirect {
            why: "too often",
            to: uri.to_string(),
        })
    }

    async fn once(
        &self,
        uri: &Uri,
        headers: &[(HeaderName, HeaderValue)],
        credential: Option<&HeaderValue>,
    ) -> Result<Response<Body>, WebError> {
        let place = Place::of(uri)?;
        let connect = self.connect(&place, uri, headers, credential);
        match timeout(self.patience.connect + self.patience.head, connect).await {
            Ok(result) => result,
            Err(_) => Err(place.slow("an answer", self.patience.connect + self.patience.head)),
        }
    }

    async fn connect(
        &self,
        place: &Place,
        uri: &Uri,
        headers: &[(HeaderName, HeaderValue)],
        credential: Option<&HeaderValue>,
    ) -> Result<Response<Body>, WebError> {
        let limit = self.patience.connect;
        let stream = timeout(limit, place.stream()).await;
        let stream = stream.map_err(|_| place.slow("a connection", limit))??;
        let request = request(place, uri, headers, credential)?;
        if !place.is_secure {
            return self.ask(place, stream, request).await;
        }
        let failed = |source| WebError::Tls {
            host: place.named.clone(),
            source,
        };
        let name = ServerName::try_from(place.host.clone())
            .map_err(|_| WebError::Address(uri.to_string()))?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let tls = timeout(limit, tls).await;
        let stream = tls.map_err(|_| place.slow("TLS", limit))?.map_err(failed)?;
        self.ask(place, stream, request).await
    }

    async fn ask(
        &self,
        place: &Place,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Body>, WebError> {
        let failed = |source| WebError::Http {
            host: place.named.clone(),
            source,
        };
        let made = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = made.map_err(failed)?;
        // Ends with the answer's body, or with whoever drops it.
        let connection = tokio::spawn(async move {
            // What is wrong with it is told by the request that it carries.
            let _ = connection.await;
        });
        let guard = body::Connection::new(connection.abort_handle());
        let limit = self.patience.head;
        let answer = timeout(limit, sender.send_request(request)).await;
        let answer = answer
            .map_err(|_| place.slow("an answer", limit))?
            .map_err(failed)?;
        Ok(answer
            .map(|incoming| Body::new(incoming, guard, place.named.clone(), self.patience.stall)))
    }
}

/// Where a request goes.
struct Place {
    host: String,
    port: u16,
    is_secure: bool,
    /// Host and port, for whoever reads an error.
    named: String,
    authority: Authority,
}

impl Place {
    fn of(uri: &Uri) -> Result<Self, WebError> {
        let fault = || WebError::Address(uri.to_string());
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(fault()),
        };
        let authority = uri.authority().ok_or_else(fault)?;
        // A name and password in an address would be sent to whoever is there.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(fault());
        }
        let port = match (authority.port_u16(), is_secure) {
            (Some(port), _) => port,
            (None, true) => 443,
            (None, false) => 80,
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        Ok(Self {
            host: host.to_string(),
            port,
            is_secure,
            named: format!("{}:{port}", authority.host()),
            authority: authority.clone(),
        })
    }

    /// The first of the host's addresses that answers.
    async fn stream(&self) -> Result<TcpStream, WebError> {
        let resolve = |source| WebError::Resolve {
            host: self.host.clone(),
            source,
        };
        let all = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut last = None;
        for address in all.map_err(resolve)? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(source) => WebError::Connect {
                host: self.named.clone(),
                source,
            },
            None => resolve(io::Error::new(io::ErrorKind::NotFound, "no address")),
        })
    }

    fn slow(&self, what: &'static str, limit: Duration) -> WebError {
        WebError::Slow {
            host: self.named.clone(),
            what,
            limit,
        }
    }
}

fn request(
    place: &Place,
    uri: &Uri,
    headers: &[(HeaderName, HeaderValue)],
    credential: Option<&HeaderValue>,
) -> Result<Request<Empty<Bytes>>, WebError> {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, place.authority.as_str())
        .header(header::USER_AGENT, USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some(credential) = credential {
        request = request.header(header::AUTHORIZATION, credential);
    }
    request
        .body(Empty::new())
        .map_err(|_| WebError::Address(uri.to_string()))
}

fn redirect(answer: &Response<Body>) -> Option<&HeaderValue> {
    match answer.status() {
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => answer.headers().get(header::LOCATION),
        _ => None,
    }
}

/// Where a redirect leads: an address, or a path on the same host.
fn follow(from: &Uri, to: &HeaderValue) -> Result<Uri, WebError> {
    let text = String::from_utf8_lossy(to.as_bytes()).into_owned();
    let fault = |why| WebError::Redirect {
        why,
        to: text.clone(),
    };
    let address = text.split('#').next().unwrap_or_default();
    let (scheme, authority) = (from.scheme_str(), from.authority());
    let whole = match (scheme, authority) {
        (Some(scheme), _) if address.starts_with("//") => format!("{scheme}:{address}"),
        (Some(scheme), Some(authority)) if address.starts_with('/') => {
            format!("{scheme}://{authority}{address}")
        }
        _ => address.to_string(),
    };
    let next: Uri = whole.parse().map_err(|_| fault("to no address"))?;
    if next.scheme().is_none() {
        return Err(fault("to no address"));
    }
    let is_secure = |uri: &Uri| uri.scheme() == Some(&Scheme::HTTPS);
    if is_secure(from) && !is_secure(&next) {
        return Err(fault("out of https"));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_an_address_or_a_path_and_never_out_of_https() {
        for (from, to, led) in [
            ("http://a/x", "/y?z=1", Some("http://a/y?z=1")),
            ("http://a:1/x", "https://b/y#part", Some("https://b/y")),
            ("https://a/x", "https://b:2/y", Some("https://b:2/y")),
            ("https://a/x", "http://a/y", None),
            ("https://a/x", "//b/y", Some("https://b/y")),
            ("http://a/x", "y", None),
            ("http://a/x", "", None),
            ("http://a/x", "http://", None),
        ] {
            let from: Uri = from.parse().expect("an address");
            let to = HeaderValue::from_static(to);
            let next = follow(&from, &to).ok().map(|uri| uri.to_string());
            assert_eq!(next.as_deref(), led, "{to:?}");
        }
    }

    #[test]
    fn an_address_is_http_or_https_with_a_host_and_no_password() {
        for (text, place) in [
            ("http://a/x", Some(("a", 80))),
            ("https://[::1]:8443/x", Some(("::1", 8443))),
            ("https://a", Some(("a", 443))),
            ("ftp://a/x", None),
            ("http://user:password@a/x", None),
            ("/x", None),
        ] {
            let uri: Uri = text.parse().expect("a uri");
            let found = Place::of(&uri).ok();
            let found = found
                .as_ref()
                .map(|found| (found.host.as_str(), found.port));
            assert_eq!(found, place, "{text}");
        }
    }
}
