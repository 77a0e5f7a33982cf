//! Folder: single files beneath a folder, written by the same rules as an archive's.

use std::fs::File;
use std::os::fd::OwnedFd;

use super::Bounds;
use super::decode::Meter;
use super::fault::Fault;
use super::tree::{Meta, Rules, Tree, Writing};
use crate::workers;

/// Bytes after which the agent is asked whether it still listens.
const SIGN_OF_LIFE_BYTES: u64 = 16 << 20;

/// A folder that files are written to.
#[derive(Debug)]
pub struct Folder {
    tree: Tree,
    meter: Meter,
    since_sign: u64,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Begun(Writing);

impl Folder {
    /// An open folder; what is written into it keeps to the bounds.
    #[must_use]
    pub fn new(folder: OwnedFd, bounds: Bounds) -> Self {
        let meter = Meter::new(bounds.bytes);
        Self {
            tree: Tree::new(folder, Rules::Files, bounds, meter.clone()),
            meter,
            since_sign: 0,
        }
    }

    /// Begins a file, in place of one that is there; makes the folders above it.
    ///
    /// # Errors
    /// The path leads out, or the disk.
    pub fn begin(&mut self, path: &str, mode: u32) -> Result<Begun, Fault> {
        let meta = Meta::plain(mode);
        self.tree.file(path.as_bytes(), meta).map(Begun)
    }

    /// Writes more of it.
    ///
    /// # Errors
    /// The bound, or the disk.
    pub fn write(&mut self, to: &mut Begun, bytes: &[u8]) -> Result<(), Fault> {
        self.meter.take(bytes.len() as u64)?;
        self.since_sign += bytes.len() as u64;
        if self.since_sign >= SIGN_OF_LIFE_BYTES {
            self.since_sign = 0;
            workers::still_there();
        }
        self.tree.write(&mut to.0, bytes)
    }

    /// It is whole.
    ///
    /// # Errors
    /// The disk.
    pub fn end(&mut self, file: Begun) -> Result<(), Fault> {
        self.tree.close(file.0)
    }

    /// Writes a whole file from another.
    ///
    /// # Errors
    /// As the others.
    pub fn copy(&mut self, path: &str, mode: u32, from: File) -> Result<(), Fault> {
        let mut file = self.begin(path, mode)?;
        let mut from = super::decode::Metered::new(from, self.meter.clone());
        self.tree.fill(&mut file.0, &mut from)?;
        self.end(file)
    }
}
