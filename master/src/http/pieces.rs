//! A body in pieces: made, or read, as its reader takes it.
//!
//! A reader that is slow costs the pieces that wait for it ([`WAITING_MAX`]), however much there is
//! to read. What ends before its time ends the connection too, so that nobody takes a part for the
//! whole.

use std::collections::VecDeque;
use std::io::Write;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::SizeHint;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{mpsc, watch};

/// About the size of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// How many pieces wait for a slow reader.
const WAITING_MAX: usize = 2;
/// A body up to this size goes out as a whole, with its length.
const WHOLE_BYTES_MAX: usize = 256 << 10;
/// About what a body in pieces holds at a time.
pub(crate) const HELD_BYTES: usize = WHOLE_BYTES_MAX + WAITING_MAX * PIECE_BYTES;

/// What a piece is, or that no more can be had.
type Piece = Result<Bytes, Broken>;

/// The rest of a body cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rest of the answer cannot be had")]
pub(crate) struct Broken;

/// The reader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader is gone")]
pub(crate) struct Gone;

/// A body in pieces.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// What was made before anyone read.
    begun: VecDeque<Piece>,
    more: mpsc::Receiver<Piece>,
    /// How long all of them are together, where that is known.
    size: Option<u64>,
    packer: Option<GzEncoder<Vec<u8>>>,
}

/// What was made of a document: all of it, or its beginning.
#[derive(Debug)]
pub(crate) enum Made {
    /// All of it.
    Whole(Bytes),
    /// More than should wait for a reader.
    Pieces(Pieces),
}

/// The writing end of a document.
#[derive(Debug)]
pub(crate) struct Writer {
    text: String,
    sink: Sink,
}

/// Where pieces go.
#[derive(Debug)]
enum Sink {
    /// To one reader, who is waited for.
    Reader(mpsc::Sender<Piece>),
    /// To all who read it, who are not.
    Shared(watch::Sender<Text>),
}

/// The pieces so far of a document that many read.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pieces: Vec<Bytes>,
    is_finished: bool,
}

impl Text {
    /// The piece at a place, where it is made already.
    pub(crate) fn piece(&self, place: usize) -> Option<Bytes> {
        self.pieces.get(place).cloned()
    }

    /// Whether nothing more comes.
    pub(crate) const fn is_finished(&self) -> bool {
        self.is_finished
    }
}

impl Writer {
    /// A document that many read, and what they read; one that ends without [`Self::finish`] is
    /// broken off.
    pub(crate) fn shared() -> (Self, watch::Receiver<Text>) {
        let (sender, text) = watch::channel(Text::default());
        let this = Self {
            text: String::new(),
            sink: Sink::Shared(sender),
        };
        (this, text)
    }

    /// Ends a document that many read.
    pub(crate) fn finish(self) {
        let last = Bytes::from(self.text);
        if let Sink::Shared(text) = self.sink {
            text.send_modify(|text| {
                text.pieces.extend((!last.is_empty()).then_some(last));
                text.is_finished = true;
            });
        }
    }

    /// Appends a piece that is made already.
    pub(crate) async fn piece(&mut self, piece: Bytes) -> Result<(), Gone> {
        if !self.text.is_empty() {
            self.flush().await?;
        }
        self.send(piece).await
    }

    /// Ends the document before its time.
    pub(crate) async fn break_off(self) -> Gone {
        if let Sink::Reader(pieces) = self.sink {
            // A reader that is gone needs no word.
            drop(pieces.send(Err(Broken)).await);
        }
        Gone
    }

    /// Appends a text; waits for the reader where enough is there.
    pub(crate) async fn push(&mut self, text: &str) -> Result<(), Gone> {
        self.text.push_str(text);
        match self.text.len() < PIECE_BYTES {
            true => Ok(()),
            false => self.flush().await,
        }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        // The next will be about as long.
        let piece = std::mem::replace(&mut self.text, String::with_capacity(PIECE_BYTES * 9 / 8));
        self.send(piece.into()).await
    }

    async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        match &self.sink {
            Sink::Reader(pieces) => pieces.send(Ok(piece)).await.map_err(|_| Gone),
            Sink::Shared(text) => {
                text.send_modify(|text| text.pieces.push(piece));
                Ok(())
            }
        }
    }
}

/// Makes a document on this runtime; `write` gets no further than what waits for the reader.
pub(crate) async fn make<W>(runtime: &Runtime, write: impl FnOnce(Writer) -> W) -> Made
where
    W: Future<Output = Result<Writer, Gone>> + Send + 'static,
{
    let (sender, mut more) = mpsc::channel(WAITING_MAX);
    let breaking = sender.clone();
    let writing = runtime.spawn(write(Writer {
        text: String::new(),
        sink: Sink::Reader(sender),
    }));
    runtime.spawn(async move {
        // A reader that is gone has no use for the last piece.
        let _ = match writing.await {
            Ok(Ok(mut writer)) => writer.flush().await,
            Ok(Err(Gone)) => Err(Gone),
            // It panicked: what was written is no document.
            Err(_) => breaking.send(Err(Broken)).await.map_err(|_| Gone),
        };
    });
    let mut begun: VecDeque<Piece> = VecDeque::new();
    let mut length = 0;
    while let Some(piece) = more.recv().await {
        length += piece.as_ref().map_or(0, Bytes::len);
        let broken = piece.is_err();
        begun.push_back(piece);
        if broken || length > WHOLE_BYTES_MAX {
            return Made::Pieces(Pieces {
                begun,
                more,
                size: None,
                packer: None,
            });
        }
    }
    let parts: Vec<Bytes> = begun.into_iter().flatten().collect();
    Made::Whole(parts.concat().into())
}

impl Pieces {
    /// A file from where it is read next, so many bytes.
    pub(crate) fn of_file(mut file: File, size: u64) -> Self {
        let (sender, more) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            let mut left = size;
            while left > 0 {
                let length = usize::try_from(left).unwrap_or(PIECE_BYTES);
                let mut piece = vec![0; length.min(PIECE_BYTES)];
                // A file that became shorter breaks the answer off.
                let piece = match file.read(&mut piece).await {
                    Ok(0) | Err(_) => Err(Broken),
                    Ok(length) => {
                        piece.truncate(length);
                        left -= length as u64;
                        Ok(piece.into())
                    }
                };
                let broken = piece.is_err();
                if sender.send(piece).await.is_err() || broken {
                    return;
                }
            }
        });
        Self {
            begun: VecDeque::new(),
            more,
            size: Some(size),
            packer: None,
        }
    }

    /// Packs the pieces with gzip; how long they are is not known then.
    pub(crate) fn pack(&mut self) {
        self.size = None;
        self.packer = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    }

    /// The next piece, which is not empty; `None` at the end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        loop {
            let piece = match self.begun.pop_front() {
                Some(piece) => Some(piece),
                None => ready!(self.more.poll_recv(cx)),
            };
            let piece = match (piece, &mut self.packer) {
                (Some(Err(broken)), _) => return Poll::Ready(Some(Err(broken))),
                (Some(Ok(piece)), None) => piece,
                (None, None) => return Poll::Ready(None),
                // Packing into memory does not go wrong; if it did, the answer would be broken off.
                (Some(Ok(piece)), Some(packer)) => match packer.write_all(&piece) {
                    Ok(()) => std::mem::take(packer.get_mut()).into(),
                    Err(_) => return Poll::Ready(Some(Err(Broken))),
                },
                (None, Some(_)) => match self.packer.take().map(GzEncoder::finish) {
                    Some(Ok(rest)) => rest.into(),
                    Some(Err(_)) | None => return Poll::Ready(Some(Err(Broken))),
                },
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    /// How much there is to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.size
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Writes a text so many times, and counts how often it came to that.
    async fn repeated(
        mut out: Writer,
        times: usize,
        count: Arc<AtomicUsize>,
    ) -> Result<Writer, Gone> {
        for _ in 0..times {
            out.push(&"x".repeat(1024)).await?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(out)
    }

    async fn rest(mut pieces: Pieces) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| pieces.poll_piece(cx)).await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn what_is_small_is_whole_and_what_is_large_waits_for_its_reader() {
        let count = Arc::new(AtomicUsize::new(0));
        let made = make(&Runtime::current(), |out| {
            repeated(out, 10, Arc::clone(&count))
        })
        .await;
        let Made::Whole(whole) = made else {
            panic!("10 KiB are whole");
        };
        assert_eq!(whole.len(), 10 << 10);

        for packed in [false, true] {
            let count = Arc::new(AtomicUsize::new(0));
            let Made::Pieces(mut pieces) = make(&Runtime::current(), |out| {
                repeated(out, 10_000, Arc::clone(&count))
            })
            .await
            else {
                panic!("10 MiB are not whole");
            };
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let made = count.load(Ordering::Relaxed) << 10;
            assert!(made <= WHOLE_BYTES_MAX + (WAITING_MAX + 2) * PIECE_BYTES);
            if packed {
                pieces.pack();
            }
            let mut all = rest(pieces).await.unwrap();
            if packed {
                let packed = std::mem::take(&mut all);
                flate2::read::GzDecoder::new(packed.as_slice())
                    .read_to_end(&mut all)
                    .unwrap();
            }
            assert_eq!(all.len(), 10_000 << 10);
        }
    }

    #[tokio::test]
    async fn a_document_whose_writer_fails_breaks_off_and_does_not_end() {
        for length in [10, WHOLE_BYTES_MAX + 2 * PIECE_BYTES] {
            let runtime = Runtime::current();
            let made = make(&runtime, |mut out| async move {
                out.push(&"x".repeat(length)).await?;
                match length {
                    0 => Ok(out),
                    _ => panic!("the writer fails"),
                }
            });
            let Made::Pieces(pieces) = made.await else {
                panic!("a part is no whole");
            };
            assert_eq!(rest(pieces).await, Err(Broken), "{length}");
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_breaks_the_answer_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        let open = async || File::open(&path).await.unwrap();
        let all = rest(Pieces::of_file(open().await, 100_000)).await;
        assert_eq!(all.unwrap().len(), 100_000);
        let all = rest(Pieces::of_file(open().await, 100_001)).await;
        assert_eq!(all, Err(Broken));
    }
}
