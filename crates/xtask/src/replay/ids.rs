//! Ids: what a recording calls an agent, a framework, an offer, a stream or an update, and what the
//! master at hand calls it.
//!
//! A recorded id is bound to the actual one on first sight; from then on it stands for that one, in
//! requests as in answers. An id is a UUID, with the counter Mesos puts behind it (`-S0`, `-O17`,
//! `-0003`), or 16 bytes in base64.

use std::collections::{BTreeMap, BTreeSet};

const UUID_LENGTH: usize = 36;
const BASE64_LENGTH: usize = 24;

/// The ids that have been seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    /// Folders in the recording, and what stands for them on this machine.
    folders: BTreeMap<String, String>,
    actual: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Id(&'a str),
}

impl Ids {
    /// What a recorded id stands for.
    pub(super) fn actual(&self, recorded: &str) -> Option<&str> {
        self.actual.get(recorded).map(String::as_str)
    }

    /// A recorded folder is this one here.
    pub(super) fn bind_folder(&mut self, recorded: &str, actual: &str) {
        self.folders.insert(recorded.to_owned(), actual.to_owned());
    }

    /// A text without ids, with the folders of this machine.
    fn here(&self, text: &str) -> String {
        let folders = self.folders.iter();
        folders.fold(text.to_owned(), |text, (recorded, actual)| {
            text.replace(recorded, actual)
        })
    }

    /// Whether a recorded id stands for this one.
    pub(super) fn is_taken(&self, actual: &str) -> bool {
        self.taken.contains(actual)
    }

    /// Binds on first sight; later, whether it is what was bound.
    pub(super) fn bind(&mut self, recorded: &str, actual: &str) -> bool {
        if let Some(bound) = self.actual.get(recorded) {
            return bound == actual;
        }
        if self.taken.contains(actual) {
            return false;
        }
        self.actual.insert(recorded.to_owned(), actual.to_owned());
        self.taken.insert(actual.to_owned());
        let (Some(of_recorded), Some(of_actual)) = (prefix(recorded), prefix(actual)) else {
            return true;
        };
        self.bind(of_recorded, of_actual)
    }

    /// Whether the texts are the same but for ids, which are bound, and for addresses.
    pub(super) fn same(&mut self, recorded: &str, actual: &str) -> bool {
        let (recorded, actual) = (pieces(recorded), pieces(actual));
        recorded.len() == actual.len()
            && recorded.iter().zip(&actual).all(|pair| match pair {
                (Piece::Text(recorded), Piece::Text(actual)) => {
                    without_addresses(&self.here(recorded)) == without_addresses(actual)
                }
                (Piece::Id(recorded), Piece::Id(actual)) => self.bind(recorded, actual),
                (Piece::Text(_), Piece::Id(_)) | (Piece::Id(_), Piece::Text(_)) => false,
            })
    }

    /// The text with every bound id replaced. Of an id that is not bound at least the UUID before
    /// its counter is, where that is known.
    pub(super) fn rewrite(&self, text: &str) -> String {
        let rewritten = pieces(text).into_iter().map(|piece| match piece {
            Piece::Text(text) => self.here(text),
            Piece::Id(id) => match (self.actual(id), prefix(id)) {
                (Some(actual), _) => actual.to_owned(),
                (None, Some(of_id)) => id.replacen(of_id, self.actual(of_id).unwrap_or(of_id), 1),
                (None, None) => id.to_owned(),
            },
        });
        rewritten.collect()
    }
}

/// Whether it is an agent's.
pub(super) fn is_agent(id: &str) -> bool {
    id.contains("-S")
}

/// Whether it is an offer's.
pub(super) fn is_offer(id: &str) -> bool {
    id.contains("-O")
}

/// The UUID before a counter.
pub(super) fn prefix(id: &str) -> Option<&str> {
    (id.len() > UUID_LENGTH).then(|| &id[..UUID_LENGTH])
}

/// Takes a text apart.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut place) = (0, 0);
    while place < text.len() {
        let length = id_length(&text.as_bytes()[place..]);
        if length == 0 {
            place += 1;
            continue;
        }
        if start < place {
            pieces.push(Piece::Text(&text[start..place]));
        }
        pieces.push(Piece::Id(&text[place..place + length]));
        place += length;
        start = place;
    }
    if start < text.len() {
        pieces.push(Piece::Text(&text[start..]));
    }
    pieces
}

/// The length of the id at the start of a text; 0 where there is none.
fn id_length(text: &[u8]) -> usize {
    let is_uuid = text.len() >= UUID_LENGTH
        && text[..UUID_LENGTH]
            .iter()
            .enumerate()
            .all(|(place, byte)| match place {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
    if is_uuid {
        return UUID_LENGTH + counter_length(&text[UUID_LENGTH..]);
    }
    let is_base64 = text.len() >= BASE64_LENGTH
        && text[..BASE64_LENGTH].ends_with(b"==")
        && text[..BASE64_LENGTH - 2]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
    if is_base64 { BASE64_LENGTH } else { 0 }
}

/// The length of `-S0`, `-O17` or `-0003`.
fn counter_length(text: &[u8]) -> usize {
    let letters = match text {
        [b'-', b'S' | b'O', ..] => 2,
        [b'-', ..] => 1,
        _ => return 0,
    };
    match text[letters..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
    {
        0 => 0,
        digits => letters + digits,
    }
}

/// The text with the port of every `host:port` gone, and with the number of every `slave(1)@host`:
/// the recorded agents shared a process.
fn without_addresses(text: &str) -> String {
    let text = without_process_numbers(text);
    let mut parts = text.split(':');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_host = out.ends_with("127.0.0.1") || out.ends_with("localhost");
        let rest = match is_host {
            true => part.trim_start_matches(|c: char| c.is_ascii_digit()),
            false => part,
        };
        out.push(':');
        out.push_str(rest);
    }
    out
}

fn without_process_numbers(text: &str) -> String {
    const NAME: &str = "slave(";
    let mut parts = text.split(NAME);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(NAME);
        out.push_str(if rest.starts_with(")@") { rest } else { part });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "efe79612-dc0d-4ef4-b0d9-68fc27ac083b";
    const ACTUAL: &str = "00000000-1111-4222-8333-444444444444";

    #[test]
    fn an_id_is_bound_on_first_sight_and_then_stands() {
        let mut ids = Ids::default();
        assert!(ids.same(
            &format!("agent {RECORDED}-S1 is"),
            &format!("agent {ACTUAL}-S0 is")
        ));
        assert!(!ids.same(&format!("{RECORDED}-S1"), &format!("{ACTUAL}-S1")));
        assert!(!ids.same(&format!("{RECORDED}-S2"), &format!("{ACTUAL}-S0")));
        assert_eq!(
            ids.rewrite(&format!("<{RECORDED}-S1>")),
            format!("<{ACTUAL}-S0>")
        );
    }

    #[test]
    fn of_an_unseen_id_the_master_is_rewritten() {
        let mut ids = Ids::default();
        assert!(ids.bind(&format!("{RECORDED}-S1"), &format!("{ACTUAL}-S0")));
        assert_eq!(
            ids.rewrite(&format!("{RECORDED}-O7")),
            format!("{ACTUAL}-O7")
        );
    }

    #[test]
    fn ports_are_no_difference_and_other_text_is() {
        let mut ids = Ids::default();
        assert!(ids.same("at localhost:6110/x", "at localhost:40001/x"));
        assert!(!ids.same("at localhost:6110/x", "at localhost:6110/y"));
        assert!(ids.same("slave(2)@127.0.0.1:1 is", "slave(1)@127.0.0.1:2 is"));
        assert!(!ids.same("/slave(2)/x", "/slave(1)/x"));
    }
}
