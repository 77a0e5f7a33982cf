//! URIs of a command: what is fetched, and the name that it gets.

use std::path::PathBuf;

use crate::unpack::Format;

/// `CommandInfo.URI`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uri {
    /// The URI; `file:///path`, a path alone, or http and https.
    pub value: String,
    /// Whether the file is made executable; then it is not extracted.
    pub executable: bool,
    /// Whether an archive is extracted.
    pub extract: bool,
    /// Whether the file is taken from the cache, or put there.
    pub cache: bool,
    /// The name in the sandbox; the last name of the URI otherwise.
    pub output_file: Option<String>,
}

/// Why a URI is not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// What no name can hold.
    #[error("fetch {0:?}: illegal characters in URI")]
    Characters(String),
    /// It names no file.
    #[error("fetch {0:?}: malformed URI (missing path)")]
    Path(String),
    /// Neither the web nor this node.
    #[error("fetch {0:?}: only http, https and file URIs are fetched by this agent")]
    Scheme(String),
    /// A file's path does not begin at the root.
    #[error("fetch {0:?}: file URI only supports absolute paths")]
    Relative(String),
    /// The name for it is none.
    #[error("output file {0:?}: URI output file must be within the sandbox directory")]
    Output(String),
}

/// Where a URI leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    /// To a server.
    Web,
    /// To this path of the node.
    Local(PathBuf),
}

/// What becomes of it in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// Its name, relative to the sandbox.
    pub(super) path: String,
    /// What it is by that name, if it is an archive.
    pub(super) format: Option<Format>,
}

/// The file in the sandbox that a URI becomes.
///
/// # Errors
/// It is none that is fetched.
pub fn output(uri: &Uri) -> Result<String, UriError> {
    parse(uri).map(|(_, output)| output.path)
}

/// Reads a URI, by Mesos' rules of names.
pub(super) fn parse(uri: &Uri) -> Result<(Scheme, Output), UriError> {
    let value = uri.value.trim_start();
    if value.contains(['\\', '\'', '\0']) {
        return Err(UriError::Characters(shown(value)));
    }
    let last = last_name(value).ok_or_else(|| UriError::Path(shown(value)))?;
    let path = match &uri.output_file {
        Some(output) => output.clone(),
        None => last.to_owned(),
    };
    let leads_out = path.starts_with('/') || path.split('/').any(|part| part == "..");
    let name = path.rsplit('/').next().unwrap_or_default();
    if leads_out || path.contains('\0') || matches!(name, "" | ".") {
        return Err(UriError::Output(path));
    }
    // A name that was chosen may have lost what the archive is told by.
    let format = format(name).or_else(|| format(last));
    Ok((scheme(value)?, Output { path, format }))
}

fn scheme(value: &str) -> Result<Scheme, UriError> {
    if value.starts_with("http://") || value.starts_with("https://") {
        return Ok(Scheme::Web);
    }
    if let Some(path) = value.strip_prefix("file://") {
        let path = path.strip_prefix("localhost").unwrap_or(path);
        return match path.starts_with('/') {
            true => Ok(Scheme::Local(PathBuf::from(path))),
            false => Err(UriError::Relative(shown(value))),
        };
    }
    match value.contains("://") {
        true => Err(UriError::Scheme(shown(value))),
        false => Ok(Scheme::Local(PathBuf::from(value))),
    }
}

/// The last name of a URI. Mesos takes all after the last slash, a query too.
fn last_name(value: &str) -> Option<&str> {
    let path = match value.split_once("://") {
        Some((scheme, rest)) if scheme.len() > 1 => rest.split_once('/')?.1,
        _ => value.trim_end_matches('/'),
    };
    let last = path.rsplit('/').next()?;
    (!last.is_empty()).then_some(last)
}

/// What a file is by its name.
fn format(name: &str) -> Option<Format> {
    const TAR: [&str; 9] = [
        ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".tzst", ".tar.zst",
    ];
    if TAR.iter().any(|end| name.ends_with(end)) {
        return Some(Format::Tar);
    }
    if name.ends_with(".zip") {
        return Some(Format::Zip);
    }
    let one = name.strip_suffix(".gz").filter(|name| !name.is_empty())?;
    Some(Format::One(one.to_owned()))
}

/// A URI for others to read: what follows a `?` is often a secret.
pub(super) fn shown(value: &str) -> String {
    match value.split_once('?') {
        Some((open, _)) => format!("{open}?…"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, output_file: Option<&str>) -> Result<(Scheme, Output), UriError> {
        parse(&Uri {
            value: value.to_owned(),
            output_file: output_file.map(str::to_owned),
            ..Uri::default()
        })
    }

    #[test]
    fn a_uri_names_its_file_as_in_mesos() {
        let local = |path: &str| Scheme::Local(PathBuf::from(path));
        for (value, scheme, path) in [
            ("http://h/a/b", Scheme::Web, "b"),
            (" https://h:1/a?b=c", Scheme::Web, "a?b=c"),
            ("file:///x/y", local("/x/y"), "y"),
            ("file://localhost/x/y", local("/x/y"), "y"),
            ("/x/y", local("/x/y"), "y"),
            ("x/y", local("x/y"), "y"),
        ] {
            let (found, output) = check(value, None).expect(value);
            assert_eq!((found, output.path.as_str()), (scheme, path), "{value}");
        }
        for bad in [
            "",
            "http://h",
            "http://h/",
            "http://h/a/",
            "a'b",
            "ftp://h/a",
            "file://a/b",
        ] {
            assert!(check(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_output_file_is_within_the_sandbox() {
        for bad in ["", "/a", "../a", "a/../../b", "a/", ".", "a\0b"] {
            assert!(check("http://h/x", Some(bad)).is_err(), "{bad:?}");
        }
        let (_, output) = check("http://h/x.tgz", Some("a/b")).expect("within");
        assert_eq!(
            (output.path.as_str(), output.format),
            ("a/b", Some(Format::Tar))
        );
    }

    #[test]
    fn archives_are_told_by_their_names() {
        for (name, expected) in [
            ("a.tar", Some(Format::Tar)),
            ("a.tar.zst", Some(Format::Tar)),
            ("a.zip", Some(Format::Zip)),
            ("a.txt.gz", Some(Format::One("a.txt".to_owned()))),
            (".gz", None),
            ("a.xz", None),
            ("tar", None),
        ] {
            assert_eq!(format(name), expected, "{name}");
        }
    }
}
