//! `/help`: what can be asked for, for people.
//!
//! A browser gets a page, curl and HTTPie get the text it is made of, and `?format=json` gives
//! everything to a program.

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::query::Query;
use super::respond::{self, Refusal};

/// A part's endpoints: the name of each, and what it does.
pub type Endpoints = &'static [(&'static str, &'static str)];

/// Everything that has a page.
#[derive(Debug, Clone, Copy)]
pub struct Help {
    /// The parts with their endpoints.
    pub parts: &'static [(&'static str, Endpoints)],
    /// The part whose name may be left out of paths.
    pub delegate: &'static str,
}

impl Help {
    /// Whether there is a page about this part.
    #[must_use]
    pub fn knows(&self, part: &str) -> bool {
        self.endpoints(part).is_some()
    }

    /// The page at a path: of everything, of a part, or of one endpoint.
    ///
    /// # Errors
    /// There is none.
    pub fn page<B: From<Bytes>>(
        &self,
        path: &str,
        query: &Query<'_>,
        headers: &HeaderMap,
    ) -> Result<Response<B>, Refusal> {
        let path = path.trim_start_matches('/').trim_end_matches('/');
        let mut tokens = path.splitn(3, '/').skip(1);
        let text = match (tokens.next(), tokens.next()) {
            (None, _) if query.get("format").as_deref() == Some("json") => {
                return Ok(respond::json(self.all().to_string(), query));
            }
            (None, _) => index(
                "HELP",
                self.parts.iter().map(|(part, _)| (*part).to_owned()),
            ),
            (Some(part), None) => {
                let names = self.endpoints(part).ok_or_else(|| unknown(&[part]))?;
                let title = format!("`/{part}`");
                index(&title, names.iter().map(|(name, _)| place(part, name)))
            }
            (Some(part), Some(name)) => {
                let names = self.endpoints(part).ok_or_else(|| unknown(&[part]))?;
                let found = names.iter().find(|(known, _)| *known == name);
                let (name, what) = found.ok_or_else(|| unknown(&[part, name]))?;
                self.usage(part, name, what)
            }
        };
        let agent = headers.get(USER_AGENT).map(|agent| agent.as_bytes());
        if agent.is_some_and(|agent| agent.starts_with(b"curl") || agent.starts_with(b"HTTPie")) {
            return Ok(respond::page("text/x-markdown", text));
        }
        Ok(respond::page("text/html", html(&text)))
    }

    fn endpoints(&self, part: &str) -> Option<Endpoints> {
        let found = self.parts.iter().find(|(name, _)| *name == part);
        found.map(|(_, endpoints)| *endpoints)
    }

    fn usage(&self, part: &str, name: &str, what: &str) -> String {
        let mut text = "### USAGE ###\n".to_owned();
        if part == self.delegate {
            text.push_str(&format!(">        /{name}\n"));
        }
        let place = place(part, name);
        text.push_str(&format!(">        /{place}\n\n### TL;DR; ###\n{what}\n"));
        text
    }

    /// Every text, by part and name.
    fn all(&self) -> Value {
        let one = |part: &str, (name, what): &(&str, &str)| json!({ "name": format!("/{name}"), "text": self.usage(part, name, what) });
        let parts = self.parts.iter().map(|(part, names)| {
            let names: Value = names.iter().map(|name| one(part, name)).collect();
            json!({ "id": part, "endpoints": names })
        });
        json!({ "processes": parts.collect::<Value>() })
    }
}

fn unknown(path: &[&str]) -> Refusal {
    Refusal::bad_request(format!("No help available for '/{}'.\n", path.join("/")))
}

/// `part/name`, or the part alone.
fn place(part: &str, name: &str) -> String {
    match name {
        "" => part.to_owned(),
        name => format!("{part}/{name}"),
    }
}

/// A title, and a link to the page of each place.
fn index(title: &str, places: impl Iterator<Item = String>) -> String {
    let mut text = format!("## {title}\n");
    for place in places {
        text.push_str(&format!("> [/{place}](/help/{place})\n"));
    }
    text
}

/// The text as a page: titles, links, and all else line by line. The texts are this program's own.
fn html(text: &str) -> String {
    let mut body = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches(['>', ' ']);
        let link = line.strip_prefix('[').and_then(|l| l.split_once("]("));
        let element = match (line.trim_matches(['#', ' ']), link) {
            (_, Some((name, target))) => {
                let target = target.trim_end_matches(')');
                // The pages of `registrar(1)` have a bracket of their own.
                let target = match name.ends_with(')') {
                    true => format!("{target})"),
                    false => target.to_owned(),
                };
                format!("<li><a href=\"{target}\">{name}</a></li>\n")
            }
            (title, None) if line.starts_with('#') => format!("<h3>{title}</h3>\n"),
            (line, None) if line.starts_with('/') => format!("<pre>{line}</pre>\n"),
            ("", None) => continue,
            (line, None) => format!("<p>{line}</p>\n"),
        };
        body.push_str(&element);
    }
    format!(
        "<!DOCTYPE html>\n<html><head><title>Help</title></head>\n<body>\n{body}</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: Help = Help {
        parts: &[
            ("master", &[("api/v1", "calls"), ("state", "everything")]),
            ("registrar(1)", &[("registry", "what lasts")]),
            ("version", &[("", "the version")]),
        ],
        delegate: "master",
    };

    #[test]
    fn pages_lead_to_every_endpoint_and_unknown_ones_are_named() {
        let curl = {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, http::HeaderValue::from_static("curl/8"));
            headers
        };
        let status = |path: &str| match HELP.page::<Bytes>(path, &Query(""), &curl) {
            Ok(response) => response.status(),
            Err(refusal) => refusal.status(),
        };
        assert_eq!(status("/help"), 200);
        for (part, names) in HELP.parts {
            assert_eq!(status(&format!("/help/{part}")), 200);
            for (name, _) in names.iter().filter(|(name, _)| !name.is_empty()) {
                assert_eq!(
                    status(&format!("/help/{part}/{name}")),
                    200,
                    "{part}/{name}"
                );
            }
        }
        assert_eq!(status("/help/master/nope"), 400);
        let text = html(&index("`/x`", ["master/state".to_owned()].into_iter()));
        assert!(text.contains("<a href=\"/help/master/state\">/master/state</a>"));
    }
}
