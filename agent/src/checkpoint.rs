//! Checkpoint: the facts of agent-core on disk, in one log that only grows.
//!
//! A file header with the format's version, then records: length, crc32, payload. Facts appended
//! together are made durable together, by one `fdatasync(2)`. A tail that is torn (cut short, or
//! its sum is wrong) is cut off at the next start and never believed: whatever was made durable
//! lies before it. A log that has grown to several times what is alive is written anew; so is one
//! of some length at the first write after a start, since its length says nothing of what is alive.

mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use agent_core::Fact;
use tracing::warn;

use crate::config::recovery::Strictness;
use crate::init::chain;

/// The first bytes of the file: a name, and the version of the format.
const HEADER: &[u8; 8] = b"TEPUICP\x01";
/// Length and sum before each payload.
const FRAME: usize = 8;
/// A longer record is not one of ours: a task's description is bounded by the link.
const RECORD_BYTES_MAX: usize = 64 << 20;
/// A log is written anew when it is this much longer than what it was last written anew with …
const GROWTH_MAX: u64 = 4;
/// … and not before this length.
const LENGTH_MIN: u64 = 1 << 20;

/// The log, open for appending.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    length: u64,
    compacted: u64,
}

/// What a start found.
#[derive(Debug)]
pub struct Recovered {
    /// The log.
    pub checkpoint: Checkpoint,
    /// Its facts, in order.
    pub facts: Vec<Fact>,
    /// How many bytes of a torn tail were cut off.
    pub torn_bytes: u64,
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system.
    #[error("{act} {path}")]
    Io {
        /// What was done.
        act: &'static str,
        /// To which file.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// A file of another program, or of a later version.
    #[error("{path} is not a checkpoint of a version that this agent knows")]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// A record whose sum is right and whose content is not known.
    #[error(
        "{path} holds a record that this agent does not know, at byte {at}: start the agent that wrote \
         it, or leave out what is not known (--no-strict)"
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong with it.
        source: record::RecordError,
    },
}

impl Checkpoint {
    /// Opens the log, or begins one, and cuts off a torn tail.
    ///
    /// # Errors
    /// The file cannot be used, or is of a version that is not known; one that holds what is not known is
    /// used all the same where that is wanted.
    pub fn open(path: &Path, strictness: Strictness) -> Result<Recovered, CheckpointError> {
        let failed = |act, source| CheckpointError::Io {
            act,
            path: path.to_path_buf(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| failed("make the folder of", e))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| failed("open", e))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|e| failed("read", e))?;
        let found = bytes.len() as u64;
        let (facts, good) = read(&bytes, path, strictness)?;
        if good == 0 {
            file.set_len(0).map_err(|e| failed("cut", e))?;
            file.rewind().map_err(|e| failed("seek in", e))?;
            file.write_all(HEADER).map_err(|e| failed("begin", e))?;
        } else {
            file.set_len(good).map_err(|e| failed("cut", e))?;
        }
        let length = file
            .seek(SeekFrom::End(0))
            .map_err(|e| failed("seek in", e))?;
        file.sync_all().map_err(|e| failed("sync", e))?;
        sync_folder(path).map_err(|e| failed("sync the folder of", e))?;
        Ok(Recovered {
            checkpoint: Self {
                path: path.to_path_buf(),
                file,
                length,
                compacted: 0,
            },
            facts,
            torn_bytes: found - good,
        })
    }

    /// Appends facts and makes them durable.
    ///
    /// # Errors
    /// They may not be durable: nothing that depends on them may be done.
    pub fn append(&mut self, facts: &[Fact]) -> Result<(), CheckpointError> {
        let mut bytes = Vec::new();
        for fact in facts {
            frame(fact, &mut bytes);
        }
        let failed = |path: &Path, act, source| CheckpointError::Io {
            act,
            path: path.to_path_buf(),
            source,
        };
        self.file
            .write_all(&bytes)
            .map_err(|e| failed(&self.path, "append to", e))?;
        self.file
            .sync_data()
            .map_err(|e| failed(&self.path, "sync", e))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Whether the log is much longer than what is alive.
    #[must_use]
    pub fn wants_compaction(&self) -> bool {
        self.length > LENGTH_MIN && self.length > self.compacted.saturating_mul(GROWTH_MAX)
    }

    /// Makes facts durable by writing the log anew with `all`, which holds them; where there is no
    /// room for a second log, by appending `facts` to the one there is.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn compact(&mut self, all: &[Fact], facts: &[Fact]) -> Result<(), CheckpointError> {
        match self.written_anew(all) {
            Ok((file, length)) => {
                self.file = file;
                self.length = length;
                self.compacted = length;
                // Before that, a power failure may bring back the old log, without the facts.
                sync_folder(&self.path).map_err(|source| CheckpointError::Io {
                    act: "sync the folder of",
                    path: self.path.clone(),
                    source,
                })
            }
            Err(error) => {
                warn!(error = chain(&error), "the checkpoint was not written anew");
                // What was written of it takes room that the log now needs.
                let _ = fs::remove_file(self.beside());
                self.append(facts)?;
                // Tried again when it has grown once more, not at every write.
                self.compacted = self.length;
                Ok(())
            }
        }
    }

    /// A new log in the old one's place, and its length. On failure the old one is in its place.
    fn written_anew(&self, facts: &[Fact]) -> Result<(File, u64), CheckpointError> {
        let new = self.beside();
        let failed = |act, source| CheckpointError::Io {
            act,
            path: new.clone(),
            source,
        };
        let mut bytes = HEADER.to_vec();
        for fact in facts {
            frame(fact, &mut bytes);
        }
        let mut file = File::create(&new).map_err(|e| failed("make", e))?;
        file.write_all(&bytes).map_err(|e| failed("write", e))?;
        file.sync_all().map_err(|e| failed("sync", e))?;
        fs::rename(&new, &self.path).map_err(|e| failed("rename", e))?;
        Ok((file, bytes.len() as u64))
    }

    /// Where a new log is written before it takes the old one's place.
    fn beside(&self) -> PathBuf {
        self.path.with_extension("new")
    }
}

/// Whether this program can read a log, which is only looked at; how many facts it holds.
///
/// # Errors
/// As [`Checkpoint::open`].
pub fn look(bytes: &[u8], path: &Path, strictness: Strictness) -> Result<usize, CheckpointError> {
    read(bytes, path, strictness).map(|(facts, _)| facts.len())
}

/// The facts of a log, and the length of what is whole; 0 where not even the header is.
fn read(
    bytes: &[u8],
    path: &Path,
    strictness: Strictness,
) -> Result<(Vec<Fact>, u64), CheckpointError> {
    if bytes.len() < HEADER.len() {
        // A header cut short is a tail torn at the very first start.
        return match HEADER.starts_with(bytes) {
            true => Ok((Vec::new(), 0)),
            false => Err(CheckpointError::Version {
                path: path.to_path_buf(),
            }),
        };
    }
    if !bytes.starts_with(HEADER) {
        return Err(CheckpointError::Version {
            path: path.to_path_buf(),
        });
    }
    let mut facts = Vec::new();
    let mut at = HEADER.len();
    while let Some(payload) = payload_at(bytes, at) {
        let fact = record::decode(payload).map_err(|source| CheckpointError::Record {
            path: path.to_path_buf(),
            at: at as u64,
            source,
        });
        match (fact, strictness) {
            (Ok(fact), _) => facts.push(fact),
            (Err(error), Strictness::Whole) => return Err(error),
            (Err(error), Strictness::Possible) => {
                warn!(
                    error = chain(&error),
                    "left out of the recovery (--no-strict)"
                );
            }
        }
        at += FRAME + payload.len();
    }
    Ok((facts, at as u64))
}

/// The payload of a whole record at this place.
fn payload_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length_value = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length_value > RECORD_BYTES_MAX {
        return None;
    }
    let payload = rest.get(..length_value)?;
    (checksum(length, payload) == u32::from_le_bytes(*sum)).then_some(payload)
}

/// The sum covers the length, too: a page of zeros is no record.
fn checksum(length: &[u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(0x7465_7075);
    hasher.update(length);
    hasher.update(payload);
    hasher.finalize()
}

fn frame(fact: &Fact, out: &mut Vec<u8>) {
    let payload = record::encode(fact);
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(&length, &payload).to_le_bytes());
    out.extend_from_slice(&payload);
}

/// A file's name is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
