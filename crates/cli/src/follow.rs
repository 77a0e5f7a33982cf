//! Follow: one file of a sandbox, read until the task is over, across rotation.
//!
//! An agent that rotates moves what `stdout` held to `stdout.1`, and that to `stdout.2`. So what was
//! read is only written once it is known that no file moved meanwhile; else it is read again, where it
//! is now. The oldest file is read first.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::client::ClientError;
use crate::client::address::Address;
use crate::client::files::{Entry, browse, read_from};
use crate::client::http::Connection;
use crate::note;

/// The pause after a reading that brought something; doubled up to `PAUSE_MAX` while none does.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// An agent that does not answer is asked again this often while the task runs.
const AGAIN: Duration = Duration::from_secs(2);
/// And this often once the task is over.
const LAST_TRIES: u32 = 3;
/// A file is shorter than what was read of it, so often in a row: it was cut, and nothing was kept.
const SHORT_MAX: u32 = 3;

/// The largest block of a file system.
const BLOCK_MAX: u64 = 64 << 10;

/// Whether a task may still write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    Over,
}

/// Why output was not carried to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("read {path} of the task")]
    Read { path: String, source: ClientError },
    #[error("write the task's output")]
    Write(#[source] std::io::Error),
}

impl OutputError {
    /// Whether nobody reads this program's output any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// An older file, as far as it is known again by that under another name.
type Mark = (u64, f64);

/// Where in the present file and the older ones the reading is.
#[derive(Debug, Default)]
struct Place {
    /// The older files as they were last seen, the newest first.
    older: Vec<Mark>,
    /// 0 is the present file, 1 the newest of the older ones.
    behind: usize,
    offset: u64,
    /// The size that the present file had at least.
    grown: u64,
    begun: bool,
}

/// What a look at the older files says of what was read just before.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It is what it was taken for.
    Same,
    /// Files have moved: it is to be read again.
    Moved,
    /// It moved, and is gone already.
    Lost,
}

impl Place {
    fn name(&self, file: &str) -> String {
        match self.behind {
            0 => file.to_owned(),
            number => format!("{file}.{number}"),
        }
    }

    /// Takes a new list of the older files in.
    fn look(&mut self, older: Vec<Mark>) -> Seen {
        let moved = match self.begun {
            true => shift(&self.older, &older),
            // Everything that is there was written before.
            false => older.len(),
        };
        self.begun = true;
        self.older = older;
        if moved == 0 && self.behind <= self.older.len() {
            return Seen::Same;
        }
        let was_present = self.behind == 0;
        self.behind += moved;
        let grown = std::mem::take(&mut self.grown);
        let Some((size, _)) = self.behind.checked_sub(1).and_then(|at| self.older.get(at)) else {
            self.behind = self.older.len();
            self.offset = 0;
            return Seen::Lost;
        };
        // Whole blocks move. Where more is missing, the beginning of the file was not kept.
        if was_present && size + 2 * BLOCK_MAX < grown {
            self.offset = 0;
            return Seen::Lost;
        }
        // The end of a file may have stayed where it was, and begins the newer one.
        while let Some((size, _)) = self.behind.checked_sub(1).and_then(|at| self.older.get(at))
            && self.offset > *size
        {
            self.offset -= size;
            self.behind -= 1;
        }
        Seen::Moved
    }

    /// The end of an older file was reached: on to the next newer one.
    fn next(&mut self) {
        self.behind -= 1;
        self.offset = 0;
    }
}

/// By how many names the files of `before` moved to become those of `now`, which may lack the oldest.
fn shift(before: &[Mark], now: &[Mark]) -> usize {
    let is = |moved: &usize| {
        let rest = &now[*moved..];
        let common = rest.len().min(before.len());
        rest.len() <= before.len() && rest[..common] == before[..common]
    };
    (0..=now.len()).find(is).unwrap_or(now.len())
}

/// The older files of one in a list of its folder; `None` while they are being moved, and one is
/// missing between others.
fn older(listed: &[Entry], file: &str) -> Option<Vec<Mark>> {
    let number = |entry: &Entry| {
        let rest = entry.name().strip_prefix(file)?.strip_prefix('.')?;
        let number = rest.parse::<usize>().ok()?;
        (number > 0).then_some((number, (entry.size, entry.mtime)))
    };
    let mut found: Vec<(usize, Mark)> = listed.iter().filter_map(number).collect();
    found.sort_by_key(|(number, _)| *number);
    let in_order = found.iter().zip(1..).all(|((number, _), at)| *number == at);
    in_order.then(|| found.into_iter().map(|(_, mark)| mark).collect())
}

/// Follows a file of a sandbox's folder until the task is over; gives the number of bytes carried.
pub(crate) async fn follow(
    agent: Address,
    folder: String,
    file: &str,
    mut life: watch::Receiver<Life>,
    mut sink: impl AsyncWrite + Unpin,
) -> Result<u64, OutputError> {
    let mut agent = Connection::new(agent);
    let mut place = Place::default();
    let mut carried = 0;
    let mut pause = PAUSE_MIN;
    let (mut tries, mut short) = (0, 0);
    loop {
        // Looked at before the reading: what was written before the end is then read after it.
        let now = *life.borrow_and_update();
        match step(&mut agent, &folder, file, &mut place, now).await {
            Ok(Step::Read(bytes)) => {
                (short, pause) = (0, PAUSE_MIN);
                let written = async {
                    sink.write_all(&bytes).await?;
                    sink.flush().await
                };
                written.await.map_err(OutputError::Write)?;
                carried += bytes.len() as u64;
                // More is there, perhaps; of what still runs it is waited for.
                if now == Life::Over || place.behind > 0 {
                    continue;
                }
            }
            Ok(Step::On) => continue,
            Ok(Step::Lost) => {
                note(&format!(
                    "some of {file} was rotated away before it was read"
                ));
                continue;
            }
            Ok(Step::End) => match now {
                Life::Over => return Ok(carried),
                Life::Running => short = 0,
            },
            Ok(Step::Short) => {
                short += 1;
                if short >= SHORT_MAX {
                    note(&format!(
                        "{file} was cut, and what was not yet read is gone"
                    ));
                    (place.offset, short) = (0, 0);
                    continue;
                }
                pause = PAUSE_MIN;
            }
            Ok(Step::Moving) => pause = PAUSE_MIN,
            Err(source) => {
                tries += u32::from(now == Life::Over);
                if tries >= LAST_TRIES {
                    let path = format!("{folder}/{}", place.name(file));
                    return Err(OutputError::Read { path, source });
                }
                pause = AGAIN;
            }
        }
        match now {
            Life::Over => sleep(pause).await,
            Life::Running => tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                changed = life.changed() => if changed.is_err() {
                    // Nobody is left to say that the task is over.
                    return Ok(carried);
                },
            },
        }
    }
}

/// What one reading brought.
enum Step {
    /// Bytes that are to be written.
    Read(bytes::Bytes),
    /// Nothing, and there is another file to read.
    On,
    /// Nothing: this is the end of the present file.
    End,
    /// Nothing: the file is shorter than what was read of it, and may just be rotated.
    Short,
    /// Nothing: files are just being moved.
    Moving,
    /// Nothing: what came next is gone.
    Lost,
}

async fn step(
    agent: &mut Connection,
    folder: &str,
    file: &str,
    place: &mut Place,
    life: Life,
) -> Result<Step, ClientError> {
    let path = format!("{folder}/{}", place.name(file));
    let part = read_from(agent, &path, place.offset).await?;
    let part = part.unwrap_or_default();
    let at_rest = part.bytes.is_empty() && part.size == Some(place.offset);
    // A present file that did not grow was not rotated either; after the end all is looked at.
    if place.begun && place.behind == 0 && at_rest && life == Life::Running {
        return Ok(Step::End);
    }
    let listed = browse(agent, folder).await?.unwrap_or_default();
    let Some(older) = older(&listed, file) else {
        return Ok(Step::Moving);
    };
    match place.look(older) {
        Seen::Moved => return Ok(Step::On),
        Seen::Lost => return Ok(Step::Lost),
        Seen::Same => {}
    }
    if place.behind == 0 {
        place.grown = part.size.unwrap_or(0);
    }
    if !part.bytes.is_empty() {
        place.offset += part.bytes.len() as u64;
        return Ok(Step::Read(part.bytes));
    }
    if place.behind > 0 {
        place.next();
        return Ok(Step::On);
    }
    match part.size.is_some_and(|size| size < place.offset) {
        true => Ok(Step::Short),
        false => Ok(Step::End),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mark = (10, 1.0);
    const B: Mark = (10, 2.0);
    const C: Mark = (10, 3.0);

    #[test]
    fn files_that_moved_are_known_again_under_their_new_names() {
        for (before, now, moved) in [
            (&[][..], &[][..], 0),
            (&[], &[A], 1),
            (&[A], &[A], 0),
            (&[A], &[], 0),
            (&[A], &[B, A], 1),
            (&[A], &[C, B, A], 2),
            (&[B, A], &[B], 0),
            (&[B, A], &[C, B], 1),
            (&[A], &[C, B], 2),
        ] {
            assert_eq!(shift(before, now), moved, "{before:?} {now:?}");
        }
    }

    #[test]
    fn reading_goes_on_where_the_file_went_and_what_is_gone_is_told() {
        let mut place = Place::default();
        assert_eq!(place.look(vec![A]), Seen::Moved);
        assert_eq!((place.behind, place.offset), (1, 0));
        assert_eq!(place.look(vec![A]), Seen::Same);
        place.offset = 5;
        assert_eq!(place.look(vec![B, A]), Seen::Moved);
        assert_eq!((place.behind, place.offset), (2, 5));
        place.next();
        assert_eq!((place.behind, place.offset), (1, 0));
        place.offset = 7;
        assert_eq!(place.look(vec![C]), Seen::Lost);
        assert_eq!((place.behind, place.offset), (1, 0));
        // What was read past the end of what moved began the present file anew.
        let mut place = Place {
            begun: true,
            offset: 12,
            grown: 15,
            ..Place::default()
        };
        assert_eq!(place.look(vec![A]), Seen::Moved);
        assert_eq!((place.behind, place.offset), (0, 2));
        // Less than was there already has moved: the beginning is gone.
        place.grown = 1 << 20;
        assert_eq!(place.look(vec![B, A]), Seen::Lost);
    }

    #[test]
    fn older_files_are_those_with_numbers_in_order() {
        let entry = |name: &str| Entry {
            path: format!("/s/{name}"),
            size: 10,
            mtime: 1.0,
            mode: String::new(),
        };
        let list = |names: &[&str]| {
            let listed: Vec<Entry> = names.iter().map(|name| entry(name)).collect();
            older(&listed, "stdout").map(|older| older.len())
        };
        assert_eq!(list(&["stdout", "stdout.0", "stderr.1"]), Some(0));
        assert_eq!(
            list(&["stdout.2", "stdout", "stdout.1", "stdout.x"]),
            Some(2)
        );
        assert_eq!(list(&["stdout.2", "stdout"]), None);
    }
}
