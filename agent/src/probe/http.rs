//! HTTP: a GET request and its status code, as Mesos' helper (curl) makes them.
//!
//! Redirects are followed, within the container's network; of the last answer the body is read and
//! left aside.

use std::io;
use std::net::{IpAddr, SocketAddr};

use agent_core::checks::Scheme;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::network::{DialError, Network};
use super::tls::{self, TlsError};
use super::url::Url;
use crate::description::VERSION;

/// Redirects in a row, as in curl.
const REDIRECTS_MAX: usize = 50;
/// What is read of a body; the rest is left to the server.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Why there is no status code.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("look up {name}")]
    Lookup { name: String, source: io::Error },
    #[error("{0} has no address")]
    Nowhere(String),
    #[error("make a request for {path}")]
    Request {
        path: String,
        source: hyper::http::Error,
    },
    #[error("talk to {host}:{port}")]
    Talk {
        host: String,
        port: u16,
        source: hyper::Error,
    },
    #[error("follow a redirect to {0:?}")]
    Redirect(String),
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
}

impl GetError {
    /// Whether nobody was asked at all, which says nothing of the task.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Dial(DialError::Enter(_) | DialError::Socket(_)))
    }
}

/// The status code of the last answer.
///
/// # Errors
/// There is none: whatever went wrong first.
pub(super) async fn get(network: &Network, mut url: Url) -> Result<u16, GetError> {
    for _ in 0..=REDIRECTS_MAX {
        let response = ask(network, &url).await?;
        let status = response.status();
        let location = response.headers().get(LOCATION);
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            leave_body(&url, response.into_body()).await?;
            return Ok(status.as_u16());
        };
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        url = url.join(&location).ok_or(GetError::Redirect(location))?;
    }
    Err(GetError::Redirects)
}

async fn ask(network: &Network, url: &Url) -> Result<Response<Incoming>, GetError> {
    let stream = network.connect(resolve(url).await?).await?;
    match url.scheme {
        Scheme::Http => send(url, stream).await,
        Scheme::Https => send(url, tls::wrap(stream, url.bare_host()).await?).await,
    }
}

async fn send<S>(url: &Url, stream: S) -> Result<Response<Incoming>, GetError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let talk = |source| GetError::Talk {
        host: url.host.clone(),
        port: url.port,
        source,
    };
    let request = Request::get(&url.path)
        .header(HOST, url.authority())
        .header(USER_AGENT, format!("tepui-agent/{VERSION}"))
        .header(ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())
        .map_err(|source| GetError::Request {
            path: url.path.clone(),
            source,
        })?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(talk)?;
    // Ends with the last of the answer's body, or when that is left aside.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(talk)
}

/// A server that is hung up on in the middle of an answer writes that into its log.
async fn leave_body(url: &Url, mut body: Incoming) -> Result<(), GetError> {
    let mut left = BODY_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| GetError::Talk {
            host: url.host.clone(),
            port: url.port,
            source,
        })?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    Ok(())
}

async fn resolve(url: &Url) -> Result<SocketAddr, GetError> {
    let host = url.bare_host();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, url.port));
    }
    let found = tokio::net::lookup_host((host, url.port)).await;
    let mut found = found.map_err(|source| GetError::Lookup {
        name: host.to_string(),
        source,
    })?;
    found
        .next()
        .ok_or_else(|| GetError::Nowhere(host.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn url(port: u16, path: &str) -> Url {
        Url {
            scheme: Scheme::Http,
            host: "127.0.0.1".to_string(),
            port,
            path: path.to_string(),
        }
    }

    /// A server that gives each connection the next answer; gives its port and what it was asked.
    async fn server(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.expect("a request");
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).await.expect("sent");
            }
            asked
        });
        (port, asked)
    }

    #[tokio::test]
    async fn a_request_is_a_get_for_the_path_and_its_status_counts() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
        let (port, asked) = server(vec![answer.to_string()]).await;
        let got = get(&Network::Own, url(port, "/up?deep=1")).await;
        assert_eq!(got.expect("a status"), 503);
        let asked = asked.await.expect("a request").remove(0);
        let head = format!("GET /up?deep=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n");
        assert!(asked.starts_with(&head), "{asked}");
    }

    #[tokio::test]
    async fn redirects_are_followed_but_not_for_ever() {
        let to = |place: &str| {
            format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")
        };
        let end = "HTTP/1.1 204 No Content\r\n\r\n".to_string();
        let (port, asked) = server(vec![to("/a/b"), to("c?d"), end]).await;
        let got = get(&Network::Own, url(port, "/")).await;
        assert_eq!(got.expect("a status"), 204);
        let asked = asked.await.expect("requests");
        let paths: Vec<_> = asked
            .iter()
            .map(|request| request.split(' ').nth(1).unwrap_or_default())
            .collect();
        assert_eq!(paths, ["/", "/a/b", "/a/c?d"]);

        let (port, _) = server(vec![to("/again"); REDIRECTS_MAX + 2]).await;
        let got = get(&Network::Own, url(port, "/")).await;
        assert!(matches!(got, Err(GetError::Redirects)), "{got:?}");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
        let (port, _) = server(vec![answer.to_string()]).await;
        let got = get(&Network::Own, url(port, "/")).await;
        assert!(matches!(got, Err(GetError::Talk { .. })), "{got:?}");
        let (port, _) = server(vec!["SSH-2.0-OpenSSH\r\n".to_string()]).await;
        let got = get(&Network::Own, url(port, "/")).await;
        assert!(matches!(got, Err(GetError::Talk { .. })), "{got:?}");
    }

    #[tokio::test]
    async fn an_endless_body_does_not_keep_a_probe() {
        let body = "x".repeat(BODY_BYTES_MAX + 100_000);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{body}");
        let (port, _) = server(vec![answer]).await;
        let got = get(&Network::Own, url(port, "/")).await;
        assert_eq!(got.expect("a status"), 200);
    }
}
