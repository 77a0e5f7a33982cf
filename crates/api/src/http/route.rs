//! Which path is whose, as libprocess has it.
//!
//! A path begins with the name of a part of the program (`/master`, `/metrics`, …); one that does
//! not is the delegate's. What follows is matched by its longest beginning: `/quota/web` is a matter
//! of `/quota`, and `/state/x` answers as `/state`.

use super::query::percent_decode;

/// The endpoint at a path, and its own path: what is asked of a caller goes by that one alone,
/// however the path was written. `look` knows the names of each part.
pub fn find<T>(
    path: &str,
    parts: &[&str],
    delegate: &str,
    look: impl Fn(&str, &str) -> Option<T>,
) -> Option<(T, String)> {
    if path.contains("/..") {
        return None;
    }
    let token = path.split('/').find(|token| !token.is_empty())?;
    let part = percent_decode(token);
    // What stands before the part's name is not looked past: `//master` is no `/master`.
    let behind = || path.strip_prefix('/')?.strip_prefix(token);
    let (part, rest) = match parts.contains(&part.as_str()) {
        true => (part.as_str(), behind().unwrap_or(path)),
        false => (delegate, path),
    };
    let mut name = rest.trim_matches('/');
    loop {
        if let Some(found) = look(part, name) {
            let place = match part == delegate {
                true => format!("/{name}"),
                false => format!("/{part}/{name}").trim_end_matches('/').to_owned(),
            };
            return Some((found, place));
        }
        if name.is_empty() {
            return None;
        }
        // With nothing left the part itself is not meant: `/version/x` is nowhere.
        name = name.rsplit_once('/')?.0.trim_end_matches('/');
    }
}
