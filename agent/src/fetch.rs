//! Fetching: a command's URIs become files of its sandbox before it starts.
//!
//! What is loaded is written by the agent's own program, run again as `tepui-agent fetch` as the task's
//! user: it reaches the network and one folder, and nothing else. Archives are then unpacked like any
//! other (`unpack`). What may be cached is loaded once for all tasks of a user (`cache`).
//! Left out of Mesos' fetcher: ftp, and what it leaves to Hadoop's client.

mod cache;
mod error;
mod local;
mod settings;
mod uri;
mod work;

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_core::sandbox::STORE_IDS;
use agent_kernel::worker::{Work, Workers};
use agent_kernel::{Errno, files};
use model::sandbox::Namespace;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::unpack::{Bounds, Fault, Owner, Unpacker, What};
use crate::workers;

use cache::Cache;
use uri::{Output, Scheme};

pub use error::FetchError;
pub use settings::Settings;
pub use uri::{Uri, UriError, output};
pub use work::enter;

/// The program's first argument that makes it a fetcher.
pub const ROLE: &str = "fetch";

/// How long one URI may take, however slowly its bytes come.
const TIME_MAX: Duration = Duration::from_secs(2 * 3600);

/// A sandbox, for what is fetched into it.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    /// The folder, which is given to the owner.
    pub folder: &'a Path,
    /// Whose the files become.
    pub owner: Owner,
    /// The owner's name, by which cached files are told apart.
    pub user: &'a str,
}

/// Figures for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// `containerizer/fetcher/cache_size_total_bytes`.
    pub cache_bytes_max: u64,
    /// `containerizer/fetcher/cache_size_used_bytes`.
    pub cache_bytes: u64,
    /// `containerizer/fetcher/task_fetches_succeeded`.
    pub succeeded: u64,
    /// `containerizer/fetcher/task_fetches_failed`.
    pub failed: u64,
}

/// Fetches.
#[derive(Debug)]
pub struct Fetcher {
    workers: Arc<Workers>,
    unpacker: Unpacker,
    settings: Settings,
    cache: Cache,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Fetcher {
    /// Makes the cache's folder, and empties it.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(workers: Arc<Workers>, settings: Settings) -> Result<Self, FetchError> {
        let cache = Cache::open(&settings.cache_dir, settings.cache_bytes_max);
        Ok(Self {
            unpacker: Unpacker::new(Arc::clone(&workers)),
            workers,
            cache: cache.map_err(|source| FetchError::Folder {
                path: settings.cache_dir.clone(),
                source,
            })?,
            settings,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Figures for the metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            cache_bytes_max: self.settings.cache_bytes_max,
            cache_bytes: self.cache.used(),
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Fetches all URIs of a command, one after the other. To drop the future ends the work.
    ///
    /// # Errors
    /// The first that could not be fetched; what is in the sandbox by then stays there, as its
    /// other files do.
    pub async fn fetch(&self, uris: &[Uri], sandbox: Sandbox<'_>) -> Result<(), FetchError> {
        if uris.is_empty() {
            return Ok(());
        }
        let result = self.fetch_all(uris, sandbox).await;
        let counter = match &result {
            Ok(()) => &self.succeeded,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    async fn fetch_all(&self, uris: &[Uri], sandbox: Sandbox<'_>) -> Result<(), FetchError> {
        // A bad one is told before a good one has taken its time.
        let parsed: Result<Vec<_>, _> = uris.iter().map(uri::parse).collect();
        let parsed = parsed.map_err(FetchError::Uri)?;
        let folder = open_sandbox(&sandbox).map_err(|source| FetchError::Folder {
            path: sandbox.folder.to_path_buf(),
            source,
        })?;
        for (uri, (scheme, output)) in uris.iter().zip(parsed) {
            let one = One {
                uri,
                scheme: &scheme,
                output: &output,
                folder: &folder,
                sandbox,
            };
            if uri.cache && self.through_cache(&one).await? {
                continue;
            }
            self.past_cache(&one).await?;
        }
        Ok(())
    }

    /// Loads into the sandbox, and extracts there.
    async fn past_cache(&self, one: &One<'_>) -> Result<(), FetchError> {
        let from = self.source(one)?;
        let limit = self.settings.file_bytes_max;
        let owner = one.sandbox.owner;
        self.load(
            one,
            from,
            one.folder,
            owner,
            &one.output.path,
            one.mode(),
            limit,
        )
        .await?;
        match one.extracted() {
            false => Ok(()),
            true => {
                let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
                let path = Path::new(&one.output.path);
                let file = files::beneath(one.folder, path, flags, Mode::empty());
                let file = file.map_err(|errno| one.folder_error(errno.into()))?;
                self.extract(one, file).await
            }
        }
    }

    /// Loads into the cache, where it is not there yet, and copies or extracts from it. False where
    /// the cache cannot hold it.
    async fn through_cache(&self, one: &One<'_>) -> Result<bool, FetchError> {
        let key = (one.sandbox.user.to_owned(), one.uri.value.clone());
        let entry = self.cache.entry(key);
        let mut held = entry.held().await;
        let file = match held.file() {
            Some(file) => file,
            None => {
                let from = self.source(one)?;
                let Some(room) = self.cache.most() else {
                    return Ok(false);
                };
                let (folder, name) = held.staging();
                let limit = room.min(self.settings.file_bytes_max);
                let owner = Owner {
                    ids: STORE_IDS,
                    uid: 0,
                    gid: 0,
                };
                let loaded = self
                    .load(one, from, folder, owner, name, 0o600, limit)
                    .await;
                match loaded {
                    // What is too big for the cache may yet not be for the sandbox.
                    Err(FetchError::Load {
                        why: Fault::Bound(_),
                        ..
                    }) if room < self.settings.file_bytes_max => return Ok(false),
                    result => result?,
                }
                match held.keep() {
                    Some(file) => file,
                    None => return Ok(false),
                }
            }
        };
        drop(held);
        let file = file.map_err(|source| FetchError::Folder {
            path: self.settings.cache_dir.clone(),
            source,
        })?;
        match one.extracted() {
            true => self.extract(one, file.into()).await?,
            false => {
                let from = Source::Open(file);
                let limit = self.settings.file_bytes_max;
                let (owner, path) = (one.sandbox.owner, one.output.path.as_str());
                self.load(one, from, one.folder, owner, path, one.mode(), limit)
                    .await?;
            }
        }
        Ok(true)
    }

    fn source(&self, one: &One<'_>) -> Result<Source, FetchError> {
        match one.scheme {
            Scheme::Web => Ok(Source::Web),
            Scheme::Local(path) => {
                let home = self.settings.frameworks_home.as_deref();
                let file = local::open(path, &self.settings.local, home);
                let file = file.map_err(|source| FetchError::Local {
                    uri: uri::shown(&one.uri.value),
                    source,
                })?;
                Ok(Source::Open(file))
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "where from, where to, and as what"
    )]
    async fn load(
        &self,
        one: &One<'_>,
        from: Source,
        folder: &File,
        owner: Owner,
        path: &str,
        mode: u32,
        bytes_max: u64,
    ) -> Result<(), FetchError> {
        let failed = |source| FetchError::Ask {
            uri: uri::shown(&one.uri.value),
            source,
        };
        let opened = |source| one.folder_error(source);
        let (web, input) = match from {
            Source::Web => (Some(one.uri.value.trim_start().to_owned()), null()),
            Source::Open(file) => (None, Ok(OwnedFd::from(file))),
        };
        let input = input.map_err(opened)?;
        let folder = folder.try_clone().map_err(opened)?;
        let orders = work::Orders {
            web,
            path: path.to_owned(),
            mode,
            uid: owner.uid,
            gid: owner.gid,
            bytes_max,
            stall_max: self.settings.stall_max,
            authorities: self.settings.authorities.clone(),
        };
        let start = move |workers: &Workers, orders: &[u8]| {
            workers.start(Work {
                role: ROLE,
                orders,
                namespaces: &NAMESPACES,
                ids: owner.ids,
                input,
                folder: folder.into(),
            })
        };
        let asked = workers::ask(&self.workers, &orders, TIME_MAX, start).await;
        let answer: Result<(), Fault> = asked.map_err(failed)?;
        answer.map_err(|why| FetchError::Load {
            uri: uri::shown(&one.uri.value),
            why,
        })
    }

    async fn extract(&self, one: &One<'_>, archive: OwnedFd) -> Result<(), FetchError> {
        let Some(format) = one.output.format.clone() else {
            return Ok(());
        };
        let what = What::Files {
            format,
            owner: one.sandbox.owner,
        };
        let bounds = Bounds {
            bytes: self.settings.file_bytes_max,
            ..Bounds::default()
        };
        let unpacked = self.unpacker.unpack(archive, &what, bounds, one.folder);
        let unpacked = unpacked.await.map_err(|source| FetchError::Extract {
            uri: uri::shown(&one.uri.value),
            source,
        });
        unpacked.map(drop)
    }
}

/// All of a container's but the network, which is the node's.
const NAMESPACES: [Namespace; 5] = [
    Namespace::User,
    Namespace::Pid,
    Namespace::Mount,
    Namespace::Ipc,
    Namespace::Uts,
];

/// Where bytes come from.
enum Source {
    Web,
    Open(File),
}

/// One URI on its way.
struct One<'a> {
    uri: &'a Uri,
    scheme: &'a Scheme,
    output: &'a Output,
    folder: &'a File,
    sandbox: Sandbox<'a>,
}

impl One<'_> {
    fn mode(&self) -> u32 {
        match self.uri.executable {
            true => 0o755,
            false => 0o644,
        }
    }

    /// As in Mesos, what is to be executed is no archive, whatever its name.
    fn extracted(&self) -> bool {
        self.uri.extract && !self.uri.executable && self.output.format.is_some()
    }

    fn folder_error(&self, source: io::Error) -> FetchError {
        FetchError::Folder {
            path: self.sandbox.folder.join(&self.output.path),
            source,
        }
    }
}

fn null() -> io::Result<OwnedFd> {
    File::open("/dev/null").map(OwnedFd::from)
}

/// Opens the folder and gives it to its owner.
fn open_sandbox(sandbox: &Sandbox<'_>) -> io::Result<File> {
    let folder = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_DIRECTORY.bits() | OFlag::O_NOFOLLOW.bits())
        .open(sandbox.folder)?;
    let Owner { ids, uid, gid } = sandbox.owner;
    let (uid, gid) = ids
        .on_node(uid)
        .zip(ids.on_node(gid))
        .ok_or(io::Error::from(Errno::EINVAL))?;
    std::os::unix::fs::fchown(&folder, Some(uid), Some(gid))?;
    Ok(folder)
}
