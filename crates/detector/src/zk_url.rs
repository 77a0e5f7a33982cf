//! Where a cluster's ZooKeeper is: `zk://[user:password@]host:port,…/path`, as Mesos writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of a server that is given without one.
const PORT: u16 = 2181;

/// Servers, the folder of the election, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct ZkUrl {
    /// `host:port`, each with its port; at least one.
    pub servers: Vec<String>,
    /// Absolute, and without a slash at its end; never the root.
    pub path: String,
    /// `user:password` of the digest scheme.
    pub credential: Option<String>,
}

/// What is wrong with such a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZkUrlError {
    /// It begins otherwise.
    #[error("expected zk://host:port,.../path")]
    Scheme,
    /// It names no folder.
    #[error("names no folder: expected zk://host:port,.../path, and not the root")]
    Path,
    /// Its path is none that ZooKeeper takes.
    #[error("path {0:?} has an empty part, `.` or `..`")]
    Part(String),
    /// It names no server, or one that is none.
    #[error("server {0:?} is not HOST or HOST:PORT")]
    Server(String),
    /// What stands before the `@` is no user and password.
    #[error("expected user:password before the @")]
    Credential,
}

impl ZkUrl {
    /// The servers as clients take them: `host:port,…`.
    #[must_use]
    pub fn hosts(&self) -> String {
        self.servers.join(",")
    }
}

impl FromStr for ZkUrl {
    type Err = ZkUrlError;

    fn from_str(text: &str) -> Result<Self, ZkUrlError> {
        let rest = text.strip_prefix("zk://").ok_or(ZkUrlError::Scheme)?;
        // A password may hold an `@` or a slash; servers and paths hold no `@`.
        let (credential, rest) = match rest.rsplit_once('@') {
            Some((credential, rest)) => (Some(credential), rest),
            None => (None, rest),
        };
        let is_pair = |text: &str| {
            text.split_once(':')
                .is_some_and(|(user, _)| !user.is_empty())
        };
        if credential.is_some_and(|text| !is_pair(text)) {
            return Err(ZkUrlError::Credential);
        }
        let (hosts, path) = rest.split_once('/').ok_or(ZkUrlError::Path)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Err(ZkUrlError::Path);
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(ZkUrlError::Part(format!("/{path}")));
        }
        let servers: Result<_, _> = hosts.split(',').map(server).collect();
        Ok(Self {
            servers: servers?,
            path: format!("/{path}"),
            credential: credential.map(ToOwned::to_owned),
        })
    }
}

fn server(text: &str) -> Result<String, ZkUrlError> {
    let fault = || ZkUrlError::Server(text.to_owned());
    let is_name = |name: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !name.is_empty() && name.bytes().all(is_part)
    };
    let is_v6 = |name: &str| {
        let inner = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(fault)?)
        }
        _ => (text, PORT),
    };
    match is_name(host) || is_v6(host) {
        true => Ok(format!("{host}:{port}")),
        false => Err(fault()),
    }
}

/// Without the password: it is shown in logs and by `/flags`.
impl fmt::Display for ZkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zk://")?;
        let pair = self
            .credential
            .as_ref()
            .and_then(|text| text.split_once(':'));
        if let Some((user, _)) = pair {
            write!(f, "{user}:***@")?;
        }
        write!(f, "{}{}", self.hosts(), self.path)
    }
}

impl fmt::Debug for ZkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A [`ZkUrl`], or the file that holds it, so that its password stands on no command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZkSource {
    /// `zk://…`
    Url(ZkUrl),
    /// `file:///PATH`
    File(PathBuf),
}

/// Why there is no such URL.
#[derive(Debug, thiserror::Error)]
pub enum ZkSourceError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no zk:// URL", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ZkUrlError,
    },
}

impl ZkSource {
    /// Whether a text names ZooKeeper, well or badly.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("zk://") || text.starts_with("file://")
    }

    /// The URL; a file is read.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(&self) -> Result<ZkUrl, ZkSourceError> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::File(path) => {
                let path = || path.clone();
                let text =
                    std::fs::read_to_string(path()).map_err(|source| ZkSourceError::File {
                        path: path(),
                        source,
                    })?;
                let url = text.trim().parse();
                url.map_err(|source| ZkSourceError::Content {
                    path: path(),
                    source,
                })
            }
        }
    }
}

impl FromStr for ZkSource {
    type Err = ZkUrlError;

    fn from_str(text: &str) -> Result<Self, ZkUrlError> {
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(_) | None => text.parse().map(Self::Url),
        }
    }
}

/// Without the password.
impl fmt::Display for ZkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ZkUrl, ZkUrlError> {
        text.parse()
    }

    #[test]
    fn servers_a_path_and_a_credential_are_read_as_mesos_writes_them() {
        let url = parse("zk://u:p@ss@a:2182,b,[::1]:3/mesos/x/").unwrap();
        assert_eq!(url.hosts(), "a:2182,b:2181,[::1]:3");
        assert_eq!(url.path, "/mesos/x");
        assert_eq!(url.credential.as_deref(), Some("u:p@ss"));
        assert_eq!(parse("zk://h/m").unwrap().credential, None);
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parse("zk://me:secret@h:1/m").unwrap();
        assert_eq!(url.to_string(), "zk://me:***@h:1/m");
        assert!(!format!("{:?}", ZkSource::Url(url)).contains("secret"));
    }

    #[test]
    fn what_is_no_such_url_is_refused_with_the_reason() {
        for (text, fault) in [
            ("http://h/m", ZkUrlError::Scheme),
            ("zk://h", ZkUrlError::Path),
            ("zk://h/", ZkUrlError::Path),
            ("zk://h//m", ZkUrlError::Part("//m".into())),
            ("zk://h/m/../n", ZkUrlError::Part("/m/../n".into())),
            ("zk:///m", ZkUrlError::Server("".into())),
            ("zk://h:0/m", ZkUrlError::Server("h:0".into())),
            ("zk://h,/m", ZkUrlError::Server("".into())),
            ("zk://a b/m", ZkUrlError::Server("a b".into())),
            ("zk://user@h/m", ZkUrlError::Credential),
            ("zk://:p@h/m", ZkUrlError::Credential),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_file_may_hold_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zk");
        let source: ZkSource = format!("file://{}", path.display()).parse().unwrap();
        assert!(matches!(source.read(), Err(ZkSourceError::File { .. })));
        std::fs::write(&path, "zk://h/m\n").unwrap();
        assert_eq!(source.read().unwrap(), parse("zk://h/m").unwrap());
        std::fs::write(&path, "h:1").unwrap();
        assert!(matches!(source.read(), Err(ZkSourceError::Content { .. })));
        assert_eq!("file://zk".parse::<ZkSource>(), Err(ZkUrlError::Scheme));
    }
}
