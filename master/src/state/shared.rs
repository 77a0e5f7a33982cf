//! Shared documents: a large document that many read at the same time is made once for all of them.
//!
//! It is made on a thread of its own among the readers', and held in memory until its last reader has it.
//! A reader may share one that shows all that happened before it asked: nothing has changed since, or its snapshot was asked for after the reader came.
//! Invariant: at most [`ALIVE_MAX`] are held at a time, each of about [`BYTES_MAX`] at most. A reader
//! beyond that has its document made for it alone, as it reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use super::{Document, Snapshot, write};
use crate::handle::Handle;
use crate::http::pieces::{Gone, Text, Writer};

/// How many are held at a time, whoever reads them.
const ALIVE_MAX: usize = 3;
/// About how large the largest is that is shared.
const BYTES_MAX: usize = 128 << 20;
/// About what an agent, or a task, takes in a document.
const ITEM_BYTES: usize = 1024;
/// How long one that is finished is kept for the next reader.
const KEPT: Duration = Duration::from_secs(2);
/// How long a reader waits for its turn before its document is made for it alone.
const TURN_TIME_MAX: Duration = Duration::from_secs(10);

/// All shared documents.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The newest of each kind; one reader at a time sees to it that it is new enough.
    newest: BTreeMap<Document, Mutex<Newest>>,
    alive: Arc<Semaphore>,
    /// Counts readers, so that it can be told who came before what.
    readers: AtomicU64,
}

#[derive(Debug, Default)]
struct Newest {
    /// What of the state it shows.
    version: u64,
    /// Readers below this number came before its snapshot was asked for.
    readers: u64,
    text: Option<Arc<Held>>,
}

/// A document and its place among those that are held.
#[derive(Debug)]
struct Held {
    text: watch::Receiver<Text>,
    _place: OwnedSemaphorePermit,
}

/// A reader's place in a shared document.
pub(crate) struct Reader(Arc<Held>);

impl Default for Documents {
    fn default() -> Self {
        let kinds = [
            Document::State,
            Document::StateSummary,
            Document::Slaves,
            Document::Frameworks,
        ];
        Self {
            newest: kinds.map(|kind| (kind, Mutex::default())).into(),
            alive: Arc::new(Semaphore::new(ALIVE_MAX)),
            readers: AtomicU64::new(0),
        }
    }
}

impl Documents {
    /// The document, made already or in the making; `None` where this reader has to have its own.
    pub(super) async fn read(&self, handle: &Handle, document: Document) -> Option<Reader> {
        let reader = self.readers.fetch_add(1, Ordering::AcqRel);
        let version = handle.version();
        let newest = self.newest.get(&document)?;
        let turn = tokio::time::timeout(TURN_TIME_MAX, newest.lock());
        let mut newest = turn.await.ok()?;
        if let Some(held) = &newest.text
            && (newest.version >= version || newest.readers > reader)
        {
            return Some(Reader(Arc::clone(held)));
        }
        // Its readers go on; two in the making would only take each other's time.
        if let Some(old) = newest.text.take() {
            old.wait_for_end().await;
        }
        let place = Arc::clone(&self.alive).try_acquire_owned().ok()?;
        let readers = self.readers.load(Ordering::Acquire);
        // Whoever makes the document makes the sums.
        let snapshot = handle.snapshot_begun().await;
        if snapshot.items * ITEM_BYTES > BYTES_MAX {
            return None;
        }
        let version = snapshot.version;
        let (writer, text) = Writer::shared();
        make(handle, document, snapshot, writer);
        let held = Arc::new(Held {
            text,
            _place: place,
        });
        *newest = Newest {
            version,
            readers,
            text: Some(Arc::clone(&held)),
        };
        drop(newest);
        let_go(handle.clone(), document, Arc::clone(&held));
        Some(Reader(held))
    }

    /// Forgets a document, if it is still the newest.
    async fn forget(&self, document: Document, held: &Arc<Held>) {
        if let Some(newest) = self.newest.get(&document) {
            let mut newest = newest.lock().await;
            newest.text.take_if(|text| Arc::ptr_eq(text, held));
        }
    }
}

/// Forgets a document some time after it is finished, so that it is not held for nobody.
fn let_go(handle: Handle, document: Document, held: Arc<Held>) {
    tokio::spawn(async move {
        held.wait_for_end().await;
        tokio::time::sleep(KEPT).await;
        handle.documents().forget(document, &held).await;
    });
}

/// Makes a document on a thread of its own.
fn make(handle: &Handle, document: Document, snapshot: Arc<Snapshot>, mut writer: Writer) {
    let handle = handle.clone();
    handle.readers().clone().spawn_blocking(move || {
        snapshot.finish();
        let written = write(document, &handle, &snapshot, &mut writer);
        // It waits for nobody, since no reader holds it up.
        if handle.readers().block_on(written).is_ok() {
            writer.finish();
        }
    });
}

impl Held {
    /// Returns when nothing more is written.
    async fn wait_for_end(&self) {
        let mut text = self.text.clone();
        // That the writer is gone is an end, too.
        drop(text.wait_for(Text::is_finished).await);
    }
}

impl Reader {
    /// Copies the document to a reader's own answer.
    pub(super) async fn copy_to(self, mut out: Writer) -> Result<Writer, Gone> {
        let Self(held) = self;
        let mut text = held.text.clone();
        let mut place = 0;
        loop {
            let more = text.wait_for(|text| text.piece(place).is_some() || text.is_finished());
            let found = more.await.map(|text| text.piece(place));
            let Ok(piece) = found else {
                return Err(out.break_off().await);
            };
            let Some(piece) = piece else { return Ok(out) };
            out.piece(piece).await?;
            place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pieces::{self, Made};
    use tokio::runtime::Handle as Runtime;

    fn held(text: watch::Receiver<Text>) -> Reader {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Reader(Arc::new(Held {
            text,
            _place: place,
        }))
    }

    #[tokio::test]
    async fn whoever_comes_while_it_is_made_reads_all_of_it() {
        let (mut writer, text) = Writer::shared();
        let runtime = Runtime::current();
        let before = pieces::make(&runtime, {
            let reader = held(text.clone());
            |out| reader.copy_to(out)
        });
        let writing = async {
            for _ in 0..3 {
                assert!(writer.push(&"x".repeat(70_000)).await.is_ok());
                tokio::task::yield_now().await;
            }
            assert!(writer.push("end").await.is_ok());
            writer.finish();
        };
        let (before, ()) = tokio::join!(before, writing);
        let reader = held(text);
        for made in [
            before,
            pieces::make(&runtime, |out| reader.copy_to(out)).await,
        ] {
            let Made::Whole(whole) = made else {
                panic!("so much is whole");
            };
            assert_eq!(whole.len(), 210_003);
            assert!(whole.ends_with(b"xend"));
        }
    }

    #[tokio::test]
    async fn one_that_is_not_made_to_its_end_is_broken_off_for_its_readers() {
        let (mut writer, text) = Writer::shared();
        assert!(writer.push(&"x".repeat(70_000)).await.is_ok());
        drop(writer);
        let reader = held(text);
        let Made::Pieces(mut pieces) =
            pieces::make(&Runtime::current(), |out| reader.copy_to(out)).await
        else {
            panic!("a part is no whole");
        };
        let mut next = async || std::future::poll_fn(|cx| pieces.poll_piece(cx)).await;
        assert!(next().await.is_some_and(|piece| piece.is_ok()));
        assert!(next().await.is_some_and(|piece| piece.is_err()));
    }
}
