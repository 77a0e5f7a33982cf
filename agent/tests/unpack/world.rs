//! World: a folder to unpack into, and one beside it that nothing may reach.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::unpack::{Bounds, UnpackError, Unpacked, Unpacker, What};
use agent_kernel::worker::Workers;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What no archive of a test comes near without being hostile.
pub(crate) const BOUNDS: Bounds = Bounds {
    bytes: 64 << 20,
    entries: 2_000,
    depth: 64,
    time: Duration::from_secs(60),
};

pub(crate) struct World {
    pub(crate) unpacker: Unpacker,
    pub(crate) workers: Arc<Workers>,
    pub(crate) runtime: Runtime,
}

/// A folder of one test.
pub(crate) struct Place {
    folder: TempDir,
}

impl World {
    /// `None` where this host does not let the tests run.
    pub(crate) fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("left out: to give files other ids takes root");
            return None;
        }
        let workers = match Workers::open() {
            Ok(workers) => Arc::new(workers),
            Err(error) => {
                println!("left out: {error}");
                return None;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.ok()?;
        Some(Self {
            unpacker: Unpacker::new(Arc::clone(&workers)),
            workers,
            runtime,
        })
    }

    /// Unpacks bytes.
    pub(crate) fn unpack(
        &self,
        bytes: &[u8],
        what: &What,
        bounds: Bounds,
        into: &Path,
    ) -> Result<Unpacked, UnpackError> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.rewind().expect("rewound");
        self.unpack_from(file.into(), what, bounds, into)
    }

    /// Unpacks a stream.
    pub(crate) fn unpack_from(
        &self,
        source: OwnedFd,
        what: &What,
        bounds: Bounds,
        into: &Path,
    ) -> Result<Unpacked, UnpackError> {
        let into = File::open(into).expect("the folder");
        let work = self.unpacker.unpack(source, what, bounds, &into);
        self.runtime.block_on(work)
    }
}

impl Place {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new()
            .prefix("unpack-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        fs::create_dir(folder.path().join("inside"))?;
        fs::create_dir(folder.path().join("outside"))?;
        fs::write(folder.path().join("outside/canary"), "sings")?;
        Ok(Self { folder })
    }

    /// Where archives go.
    pub(crate) fn inside(&self) -> PathBuf {
        self.folder.path().join("inside")
    }

    /// What is beside it.
    pub(crate) fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    /// Whether nothing beside the folder has changed.
    pub(crate) fn is_untouched(&self) -> bool {
        let names = |path: &Path| -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        let canary = self.outside().join("canary");
        let mode = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(path)
                .map(|data| (data.mode(), data.uid(), data.nlink()))
                .ok()
        };
        names(self.folder.path()) == ["inside", "outside"]
            && names(&self.outside()) == ["canary"]
            && fs::read(&canary).ok().as_deref() == Some(b"sings")
            && mode(&canary) == Some((0o100_644, 0, 1))
    }
}
