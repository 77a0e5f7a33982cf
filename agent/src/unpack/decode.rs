//! Decoding: a compressed stream as what was compressed, counted and digested.
//!
//! The kind of compression is read off the first bytes, since names and media types are often wrong.
//! Decoding runs on a thread of its own, beside the one that writes files.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

use super::fault::Fault;
use crate::workers;

/// Of the decoded stream, in one piece.
const CHUNK_BYTES: usize = 256 << 10;
/// Pieces that wait for the writer.
const CHUNKS_MAX: usize = 4;
/// Of the file that is read.
const INPUT_BYTES: usize = 128 << 10;
/// The longest of the first bytes by which a kind is known.
const MAGIC_BYTES: usize = 6;
/// The most memory of an xz decoder: its largest preset takes 65 MB.
const XZ_KILOBYTES_MAX: u32 = 192 << 10;
/// The largest window of zstd, as the power of two: 128 MB, as `zstd --long` has at most unasked.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes after which the agent is asked whether it still listens.
const SIGN_OF_LIFE_BYTES: u64 = 64 << 20;

/// A digest of the decoded stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Sha256,
    Sha512,
}

/// How many bytes may still come: of the stream, and of holes in files.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    left: Rc<Cell<u64>>,
    most: u64,
}

impl Meter {
    pub(super) fn new(most: u64) -> Self {
        Self {
            left: Rc::new(Cell::new(most)),
            most,
        }
    }

    /// Takes so many bytes of what is left.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Fault> {
        let left = self.left.get().checked_sub(bytes);
        let over = || Fault::Bound(format!("more than {} bytes", self.most));
        self.left.set(left.ok_or_else(over)?);
        Ok(())
    }
}

/// A reader whose bytes are counted.
#[derive(Debug)]
pub(super) struct Metered<R> {
    reader: R,
    meter: Meter,
}

impl<R: Read> Metered<R> {
    pub(super) fn new(reader: R, meter: Meter) -> Self {
        Self { reader, meter }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.meter.take(length as u64)?;
        Ok(length)
    }
}

/// A decoded stream.
#[derive(Debug)]
pub(super) struct Stream {
    chunks: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    decoder: JoinHandle<Option<String>>,
    meter: Meter,
    chunk: Cursor<Vec<u8>>,
    since_sign: u64,
}

impl Stream {
    /// Looks at the first bytes, and begins to decode.
    pub(super) fn open(
        input: File,
        meter: Meter,
        digest: Option<Algorithm>,
    ) -> Result<Self, Fault> {
        let (full_to, chunks) = sync_channel(CHUNKS_MAX);
        // As many as can be under way at once, so that nobody waits to give one back.
        let (empty, empty_to) = sync_channel(CHUNKS_MAX + 2);
        let decoder = std::thread::Builder::new()
            .name("decode".to_owned())
            .spawn(move || decode(input, digest, &full_to, &empty_to))
            .map_err(Fault::io("start", "a thread"))?;
        Ok(Self {
            chunks,
            empty,
            decoder,
            meter,
            chunk: Cursor::default(),
            since_sign: 0,
        })
    }

    /// Reads the rest, which belongs to the digest; gives that.
    pub(super) fn finish(mut self) -> Result<Option<String>, Fault> {
        while self.next_chunk().map_err(Fault::read)? {}
        // A panic in it has ended the process by now.
        Ok(self.decoder.join().unwrap_or_default())
    }

    /// Whether there was one more.
    fn next_chunk(&mut self) -> io::Result<bool> {
        let Ok(chunk) = self.chunks.recv() else {
            return Ok(false);
        };
        let chunk = chunk?;
        let bytes = chunk.len() as u64;
        self.meter.take(bytes)?;
        self.since_sign += bytes;
        if self.since_sign >= SIGN_OF_LIFE_BYTES {
            self.since_sign = 0;
            workers::still_there();
        }
        let old = std::mem::replace(&mut self.chunk, Cursor::new(chunk));
        // The decoder may be through, and needs none any more.
        let _ = self.empty.try_send(old.into_inner());
        Ok(true)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.fill_buf()?.is_empty() && self.next_chunk()? {}
        self.chunk.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.chunk.consume(length);
    }
}

/// The decoder's thread: gives the digest when the stream is through.
fn decode(
    input: File,
    digest: Option<Algorithm>,
    full: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> Option<String> {
    let mut decoder = match decoder(input) {
        Ok(decoder) => decoder,
        Err(error) => {
            let _ = full.send(Err(error));
            return None;
        }
    };
    let mut digest = digest.map(Digester::new);
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let result = fill(decoder.as_mut(), &mut chunk).map(|length| {
            chunk.truncate(length);
            chunk
        });
        let goes_on = match &result {
            Ok(chunk) if chunk.is_empty() => return digest.map(Digester::finish),
            Ok(chunk) => {
                if let Some(digest) = &mut digest {
                    digest.update(chunk);
                }
                true
            }
            Err(_) => false,
        };
        // The writer has stopped where it takes no more.
        if full.send(result).is_err() || !goes_on {
            return None;
        }
    }
}

/// Fills the buffer as far as the stream goes.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn decoder(mut input: File) -> io::Result<Box<dyn Read>> {
    let mut magic = [0; MAGIC_BYTES];
    let length = fill(&mut input, &mut magic)?;
    let magic = magic[..length].to_vec();
    let kind = Compression::of(&magic);
    let input = BufReader::with_capacity(INPUT_BYTES, Cursor::new(magic).chain(input));
    Ok(match kind {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_KILOBYTES_MAX)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// A kind of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A frame that is skipped stands in front of the data in some.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

enum Digester {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl Digester {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Box::default()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(bytes),
            Self::Sha512(digest) => digest.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(digest) => format!("sha256:{:x}", digest.finalize()),
            Self::Sha512(digest) => format!("sha512-{:x}", digest.finalize()),
        }
    }
}
