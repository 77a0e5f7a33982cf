//! HTTP/1.1 to one address: a connection that is kept, and opened again where the peer closed it.
//!
//! Redirects (307, sent by a master that does not lead) are followed by `Connection::send`, which
//! then stays with the leader. Every wait has a bound. No TLS.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ClientError;
use super::address::Address;
use super::master::{LeaderError, Master};

/// How long a TCP connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the head of an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long the body of an ordinary answer may take.
const BODY_MAX: Duration = Duration::from_secs(60);
/// The longest body of an ordinary answer: the state of a cluster of 50 000 tasks and more.
const BODY_BYTES_MAX: usize = 512 << 20;
/// A follower names the leader; the leader may have changed meanwhile, once or twice.
const REDIRECTS_MAX: usize = 3;

/// Why a peer gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("connect to {address}")]
    Connect {
        address: Address,
        source: std::io::Error,
    },
    #[error("{address} gave no answer to {act} within {} s", wait.as_secs())]
    Silent {
        address: Address,
        act: String,
        wait: Duration,
    },
    #[error("{address} does not speak HTTP")]
    NotHttp {
        address: Address,
        source: hyper::Error,
    },
    #[error("{act} at {address}")]
    Broken {
        address: Address,
        act: String,
        source: hyper::Error,
    },
    #[error("{address} answered {act} with more than {BODY_BYTES_MAX} bytes, or broke off")]
    Body {
        address: Address,
        act: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Leader(#[from] LeaderError),
    #[error("{address} redirects to {location:?}, which is no address")]
    Redirect { address: Address, location: String },
}

/// One request; the body is sent with its length.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Ask {
    /// A GET of a path.
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The request as an error names it; the query is left out.
    pub(crate) fn act(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// A whole answer in memory.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    /// The size of the file that the body is a part of, as far as the peer told it.
    pub(crate) file_size: Option<u64>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An answer whose head has come, with as much of its body as comes in time: for what has to be
    /// shown, though it may be broken off.
    pub(crate) async fn of(head: &Parts, body: Incoming, wait: Duration) -> Self {
        let collect = Limited::new(body, BODY_BYTES_MAX).collect();
        Self {
            status: head.status,
            content_type: content_type(head),
            file_size: file_size(head),
            body: match timeout(wait, collect).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(_)) | Err(_) => Bytes::new(),
            },
        }
    }

    /// The first line of a body of text, to be shown in an error.
    pub(crate) fn text(&self) -> String {
        if self.content_type.starts_with("text/html") {
            return String::new();
        }
        let text = String::from_utf8_lossy(&self.body);
        let line = text.lines().next().unwrap_or_default().trim();
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

/// A connection to one address.
pub(crate) struct Connection {
    address: Address,
    /// Tells the address anew whenever the connection has to be opened.
    master: Option<Master>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection that is opened with the first request.
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address,
            master: None,
            sender: None,
        }
    }

    /// One to whichever master leads when it is opened.
    pub(crate) async fn to(master: &Master) -> Result<Self, ClientError> {
        let address = master.leader().await.map_err(HttpError::from)?;
        let master = Some(master.clone()).filter(|master| !matches!(master, Master::One(_)));
        Ok(Self {
            address,
            master,
            sender: None,
        })
    }

    /// Where requests go; a redirect changes it.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends one request and gives the whole answer, whatever its status.
    pub(crate) async fn fetch(&mut self, ask: &Ask) -> Result<Answer, HttpError> {
        let response = self.send(ask).await?;
        let (head, body) = response.into_parts();
        let (content_type, file_size) = (content_type(&head), file_size(&head));
        let collect = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match timeout(BODY_MAX, collect).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(source)) => {
                return Err(HttpError::Body {
                    address: self.address.clone(),
                    act: ask.act(),
                    source,
                });
            }
            Err(_) => return Err(self.silent(ask, BODY_MAX)),
        };
        Ok(Answer {
            status: head.status,
            content_type,
            file_size,
            body,
        })
    }

    /// Sends one request, to the leader in the end, and gives the head of the answer.
    pub(crate) async fn send(&mut self, ask: &Ask) -> Result<Response<Incoming>, HttpError> {
        self.send_within(ask, ANSWER_MAX).await
    }

    /// As `send`, where the answer may take longer or has to come sooner.
    pub(crate) async fn send_within(
        &mut self,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Response<Incoming>, HttpError> {
        let is_kept = self.sender.is_some();
        let mut response = match self.send_here(ask, wait).await {
            // The leader that it was has gone: there may be another.
            Err(HttpError::Connect { .. }) if is_kept && self.master.is_some() => {
                self.turn().await?;
                self.send_here(ask, wait).await?
            }
            answered => answered?,
        };
        for _ in 0..REDIRECTS_MAX {
            if response.status() != StatusCode::TEMPORARY_REDIRECT {
                break;
            }
            let location = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            // `//host:port/path`: only the authority counts, the path is the one asked for.
            let target = location.split_once("//").map(|(_, rest)| rest.parse());
            let Some(Ok(target)) = target else {
                let address = self.address.clone();
                return Err(HttpError::Redirect { address, location });
            };
            (self.address, self.sender) = (target, None);
            response = self.send_here(ask, wait).await?;
        }
        Ok(response)
    }

    /// As `send`, where a redirect is itself the answer.
    pub(crate) async fn send_unled(&mut self, ask: &Ask) -> Result<Response<Incoming>, HttpError> {
        self.send_here(ask, ANSWER_MAX).await
    }

    /// Turns to whichever master leads now.
    async fn turn(&mut self) -> Result<(), HttpError> {
        if let Some(master) = &self.master {
            (self.address, self.sender) = (master.leader().await?, None);
        }
        Ok(())
    }

    async fn send_here(
        &mut self,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Response<Incoming>, HttpError> {
        let kept = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if kept {
            match self.exchange(ask, wait).await {
                // The peer closed an idle connection while the request was on its way in.
                Err(HttpError::Broken { source, .. } | HttpError::NotHttp { source, .. })
                    if source.is_canceled() => {}
                other => return other,
            }
        }
        self.sender = Some(connect(&self.address).await?);
        self.exchange(ask, wait).await
    }

    async fn exchange(
        &mut self,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.headers_mut() = ask.headers.clone();
        if let Ok(host) = self.address.to_string().parse() {
            request.headers_mut().insert(HOST, host);
        }
        let address = self.address.clone();
        let act = ask.act();
        match ask.path.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => {
                let location = ask.path.clone();
                return Err(HttpError::Redirect { address, location });
            }
        }
        let Some(sender) = &mut self.sender else {
            let source = std::io::ErrorKind::NotConnected.into();
            return Err(HttpError::Connect { address, source });
        };
        match timeout(wait, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(source)) if source.is_parse() => Err(HttpError::NotHttp { address, source }),
            Ok(Err(source)) => Err(HttpError::Broken {
                address,
                act,
                source,
            }),
            Err(_) => Err(self.silent(ask, wait)),
        }
    }

    fn silent(&self, ask: &Ask, wait: Duration) -> HttpError {
        HttpError::Silent {
            address: self.address.clone(),
            act: ask.act(),
            wait,
        }
    }
}

/// Sends a body as it comes, over a connection of its own; the answer may come before its end.
pub(crate) async fn pour(
    address: &Address,
    path: &'static str,
    headers: HeaderMap,
    body: Channel<Bytes>,
) -> Result<Response<Incoming>, HttpError> {
    let mut sender = connect(address).await?;
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(path);
    *request.headers_mut() = headers;
    if let Ok(host) = address.to_string().parse() {
        request.headers_mut().insert(HOST, host);
    }
    let sent = sender.send_request(request).await;
    sent.map_err(|source| HttpError::Broken {
        address: address.clone(),
        act: format!("POST {path}"),
        source,
    })
}

async fn connect<B>(address: &Address) -> Result<SendRequest<B>, HttpError>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let refused = |source| HttpError::Connect {
        address: address.clone(),
        source,
    };
    let target = (address.host.as_str(), address.port);
    let stream = match timeout(CONNECT_MAX, TcpStream::connect(target)).await {
        Ok(connected) => connected.map_err(refused)?,
        Err(_) => return Err(refused(std::io::ErrorKind::TimedOut.into())),
    };
    // Calls are small and awaited; the error case is a socket that is gone, seen at once below.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| HttpError::NotHttp {
            address: address.clone(),
            source,
        })?;
    // The task ends with the connection; what went wrong is reported by the request in it.
    tokio::spawn(connection);
    Ok(sender)
}

/// `bytes 0-9/100`, or `bytes */100` where the part that was asked for is not there.
fn file_size(head: &Parts) -> Option<u64> {
    let range = head.headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

fn content_type(head: &Parts) -> String {
    let value = head.headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
