//! Address: the host and port of a master or an agent, as an operator writes it.

use std::fmt;
use std::str::FromStr;

/// The port of a master where none is written.
pub(crate) const MASTER_PORT: u16 = 5050;

/// Host and port; the host may be a name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is not an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("{0:?} is not an address: HOST:PORT or http://HOST:PORT, as in 127.0.0.1:5050")]
    Form(String),
    #[error("{0:?} asks for https, which this program does not speak")]
    Tls(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.to_owned());
        if text.starts_with("https://") {
            return Err(AddressError::Tls(text.to_owned()));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let authority = rest.split('/').next().unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            // An IPv6 address without brackets has colons of its own.
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
                (host, port.parse().map_err(|_| form())?)
            }
            Some(_) => return Err(form()),
            None => (authority, MASTER_PORT),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host);
        let bad = |c: char| c.is_whitespace() || c.is_control() || "@?#[]/".contains(c);
        if host.is_empty() || host.contains(bad) || port == 0 {
            return Err(form());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_operators_write_it() {
        for (text, written) in [
            ("127.0.0.1:5050", Some("127.0.0.1:5050")),
            ("master", Some("master:5050")),
            ("http://master:80/", Some("master:80")),
            ("[::1]:5050", Some("[::1]:5050")),
            ("", None),
            (":5050", None),
            ("host:", None),
            ("host:0", None),
            ("host:70000", None),
            ("::1:5050", None),
            ("a b:1", None),
            ("https://host:1", None),
        ] {
            let read = text.parse::<Address>().ok().map(|a| a.to_string());
            assert_eq!(read.as_deref(), written, "{text:?}");
        }
    }
}
