//! Why a cluster does not start, or does not do as told.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::accel::NoKvm;
use crate::boot_files::BootFilesError;
use crate::preflight::Unready;
use crate::state::StateError;

/// Why a cluster does not start, or does not do as told.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Something that must hold before.
    #[error(transparent)]
    Unready(#[from] Unready),
    /// The image.
    #[error(transparent)]
    BootFiles(#[from] BootFilesError),
    /// KVM was demanded.
    #[error("use KVM (--accel tcg does without)")]
    NoKvm(#[from] NoKvm),
    /// The state's file.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is a cluster already.
    #[error("a cluster is in {0} already: stop it with ./qemu/down")]
    Exists(PathBuf),
    /// A file or folder of the cluster.
    #[error("make {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program does not start.
    #[error("start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A part started, and ended.
    #[error("{part} ended; the last lines of {log}:\n{tail}")]
    Ended {
        /// Which.
        part: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// The master does not answer, or not as a master.
    #[error("ask the master at {address} how it is: {said}; the last lines of {log}:\n{tail}")]
    Master {
        /// Where.
        address: String,
        /// What went wrong.
        said: String,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// Nodes do not register.
    #[error("{missing} did not register within {} s; the last lines of {log}:\n{tail}", patience.as_secs())]
    Unregistered {
        /// Which.
        missing: String,
        /// How long was waited.
        patience: Duration,
        /// The console of the first.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// A number that no node has.
    #[error("no node {0} in this cluster")]
    NoNode(usize),
    /// A name that no part has.
    #[error("no {0} in this cluster")]
    NoPart(String),
    /// A process cannot be signalled.
    #[error("signal {part}")]
    Signal {
        /// Which.
        part: String,
        /// Why.
        source: nix::errno::Errno,
    },
    /// A process does not end.
    #[error("{0} does not end")]
    Stays(String),
}
