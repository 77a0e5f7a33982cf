//! URL: what a probe asks, and where a redirect leads.

use agent_core::checks::Scheme;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// How it is sent.
    pub scheme: Scheme,
    /// A name or an address; one of IPv6 in brackets.
    pub host: String,
    /// The port, whether the URL named it or not.
    pub port: u16,
    /// With the query, and the `/` it begins with.
    pub path: String,
}

impl Url {
    /// Where a redirect leads; `None` where that is nowhere by HTTP.
    #[must_use]
    pub fn join(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        if let Some(rest) = location.strip_prefix("//") {
            return Self::elsewhere(self.scheme, rest);
        }
        if let Some((scheme, rest)) = location.split_once("://") {
            let scheme = match scheme.to_ascii_lowercase().as_str() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                _ => return None,
            };
            return Self::elsewhere(scheme, rest);
        }
        let base = self.path.split('?').next().unwrap_or_default();
        let path = match location.as_bytes().first() {
            None => self.path.clone(),
            Some(b'/') => location.to_string(),
            Some(b'?') => format!("{base}{location}"),
            Some(_) => {
                let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{folder}/{location}")
            }
        };
        Some(Self {
            path,
            ..self.clone()
        })
    }

    /// From what follows the `//`.
    fn elsewhere(scheme: Scheme, rest: &str) -> Option<Self> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default_port(scheme)),
        };
        let path = match path.starts_with('/') {
            true => path.to_string(),
            false => format!("/{path}"),
        };
        (!host.is_empty()).then(|| Self {
            scheme,
            host: host.to_string(),
            port,
            path,
        })
    }

    /// As the `Host` header says it.
    pub(super) fn authority(&self) -> String {
        match self.port == default_port(self.scheme) {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// The port of a URL that names none.
fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_by_curl() {
        let base = Url {
            scheme: Scheme::Http,
            host: "127.0.0.1".to_string(),
            port: 8080,
            path: "/a/b?c".to_string(),
        };
        for (location, to) in [
            ("/x", Some((Scheme::Http, "127.0.0.1", 8080, "/x"))),
            ("x", Some((Scheme::Http, "127.0.0.1", 8080, "/a/x"))),
            ("?x", Some((Scheme::Http, "127.0.0.1", 8080, "/a/b?x"))),
            ("//h/x", Some((Scheme::Http, "h", 80, "/x"))),
            ("HTTPS://h?x", Some((Scheme::Https, "h", 443, "/?x"))),
            ("http://u:p@h:81#f", Some((Scheme::Http, "h", 81, "/"))),
            ("http://[::1]:82/x", Some((Scheme::Http, "[::1]", 82, "/x"))),
            ("http://[::1]/x", Some((Scheme::Http, "[::1]", 80, "/x"))),
            ("ftp://h/x", None),
            ("http://h:99999/", None),
            ("http:///x", None),
        ] {
            let to = to.map(|(scheme, host, port, path)| Url {
                scheme,
                host: host.to_string(),
                port,
                path: path.to_string(),
            });
            assert_eq!(base.join(location), to, "{location}");
        }
    }
}
