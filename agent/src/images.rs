//! Images: from the name that a task gives to layers on this node's disk.
//!
//! ```text
//! name -> store (here already) | pull: registry, layout directory or archive -> store
//! ```
//!
//! Whoever wants one image at the same time waits for one pull, which ends when nobody waits any more.
//! Pulls run on threads of their own: reckoning digests would keep the main loop. Images that nobody
//! uses go when the store is larger than its bound, and at once when the disk is full.

pub mod appc;
pub mod challenge;
pub mod credentials;
pub mod digest;
pub mod local;
pub mod manifest;
pub mod progress;
pub mod pull;
pub mod reference;
pub mod registry;
pub mod scratch;
pub mod settings;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use agent_core::sandbox::ImageConfig;
use agent_kernel::worker::Workers;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use crate::config::images::Shown;
use crate::init::chain;
use crate::unpack::Unpacker;
use crate::web::{Authorities, Client, Patience};
use appc::{Discovery, Name};
use credentials::{Credentials, CredentialsError};
use progress::Progress;
use pull::{Pull, PullError, Source, Unpack};
use reference::{Reference, ReferenceError};
use registry::Registry;
use store::{Config, Image, Lease, Store, StoreError};

use settings::Registries;

pub use settings::Settings;

/// Threads that pull.
const THREADS: usize = 2;
/// The store's bound where the disk cannot be measured.
const STORE_BYTES_MAX: u64 = 16 << 30;

/// An image as a task asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What else names an App Container Image; unset of any other.
    pub appc: Option<Appc>,
    /// Whether one that is here already will do.
    pub cached: bool,
    /// A Docker configuration with credentials for this image alone; it is secret.
    pub credentials: Option<Secret>,
}

/// What names an App Container Image beside its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Appc {
    /// Its id.
    pub id: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// An image that is here for as long as this is held.
#[derive(Debug)]
pub struct Provisioned {
    /// The unpacked layers, bottom first; read-only, with the store's ids.
    pub layers: Vec<PathBuf>,
    /// What it says of its containers.
    pub config: ImageConfig,
    _lease: Lease,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The name is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The task's own credentials.
    #[error("credentials of image {image}")]
    Credentials {
        /// For which image.
        image: String,
        /// What is wrong.
        source: CredentialsError,
    },
    /// It did not come.
    #[error("pull image {image}")]
    Pull {
        /// Which.
        image: String,
        /// Why; others that wanted it hear the same.
        source: Arc<PullError>,
    },
    /// The one who pulled it is gone.
    #[error("pull image {0}: ended without a result")]
    Lost(String),
}

/// Why images cannot be provisioned at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("open the image store")]
    Store(#[from] StoreError),
    /// The threads.
    #[error("start the threads that pull images")]
    Threads(#[source] io::Error),
    /// The operator's authorities.
    #[error("prepare TLS")]
    Tls(#[from] crate::web::TlsError),
    /// The file of the operator's credentials.
    #[error("read --docker_config {path}")]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// Its content.
    #[error("--docker_config {path}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CredentialsError,
    },
}

/// Provisions images. A copy of it does, too.
#[derive(Debug, Clone)]
pub struct Provisioner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Taken when it is dropped: a runtime must not end where it would be waited for.
    runtime: Option<Runtime>,
    store: Arc<Store>,
    unpack: Arc<dyn Unpack>,
    client: Client,
    settings: Settings,
    pulls: Mutex<BTreeMap<Key, Weak<Pulling>>>,
}

/// Pulls that are one: of the same image with the same credentials.
type Key = (String, Option<Secret>);

/// A pull under way; ends when nobody holds it.
#[derive(Debug)]
struct Pulling {
    result: watch::Receiver<Option<Result<Arc<Pulled>, Arc<PullError>>>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Pulled {
    image: Image,
    /// Held until all who waited have leases of their own.
    _leases: Vec<Lease>,
}

impl Drop for Pulling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Provisioner {
    /// Opens the store.
    ///
    /// # Errors
    /// The file system; the threads.
    pub fn open(
        settings: Settings,
        client: Client,
        unpack: Arc<dyn Unpack>,
    ) -> Result<Self, OpenError> {
        let store = Store::open(&settings.store, settings.bytes_max)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("images")
            .enable_all()
            .build()
            .map_err(OpenError::Threads)?;
        Ok(Self(Arc::new(Inner {
            runtime: Some(runtime),
            store: Arc::new(store),
            unpack,
            client,
            settings,
            pulls: Mutex::default(),
        })))
    }

    /// As the operator says; `disk_bytes` is the size of the work disk.
    ///
    /// # Errors
    /// The file system; a file that the operator names.
    pub fn configured(
        config: &crate::config::Config,
        work_dir: &Path,
        disk_bytes: Option<u64>,
        workers: Arc<Workers>,
    ) -> Result<Self, OpenError> {
        let images = &config.images;
        let authorities = config.ca_file.as_deref().map(Authorities::with_file);
        let authorities = authorities.transpose()?.unwrap_or_default();
        let settings = Settings {
            store: images
                .store
                .clone()
                .unwrap_or_else(|| work_dir.join("store")),
            bytes_max: images
                .store_bytes_max
                .or_else(|| Some(disk_bytes? / 2))
                .unwrap_or(STORE_BYTES_MAX),
            default: images.registry.clone(),
            insecure: images.insecure.clone(),
            mirrors: images.mirrors.clone(),
            appc: images.appc.clone(),
            credentials: match &images.credentials {
                Shown::Here(credentials) => credentials.clone(),
                Shown::File(path) => read_credentials(path)?,
            },
            waits: registry::WAITS.to_vec(),
        };
        let client = Client::new(&authorities, Patience::default())?;
        Self::open(settings, client, Arc::new(Unpacker::new(workers)))
    }

    /// Brings an image here, or finds it; dropped, it waits no more.
    ///
    /// # Errors
    /// There is no such image, or no way to it.
    pub async fn provision(&self, wanted: &Wanted) -> Result<Provisioned, ProvisionError> {
        let target = Target::of(wanted)?;
        let name = self.0.name(&target);
        loop {
            if wanted.cached
                && let Some((image, lease)) = self.0.store.image(&name)
            {
                return Ok(self.provisioned(image, lease));
            }
            let pulling = self.pulling(&target, &name, wanted)?;
            let mut result = pulling.result.clone();
            let known = result.wait_for(Option::is_some).await;
            let known = known.map_err(|_| ProvisionError::Lost(name.clone()))?;
            let pulled = match &*known {
                Some(Ok(pulled)) => Arc::clone(pulled),
                Some(Err(error)) => {
                    return Err(ProvisionError::Pull {
                        image: name,
                        source: Arc::clone(error),
                    });
                }
                None => continue,
            };
            if let Some(lease) = self.0.store.lease(&pulled.image.layers) {
                return Ok(self.provisioned(pulled.image.clone(), lease));
            }
        }
    }

    /// Holds layers that a container of an earlier process of this agent uses; `None` where one is no
    /// layer of the store, which then may lose it.
    #[must_use]
    pub fn hold(&self, layers: &[String]) -> Option<Lease> {
        let store = &self.0.store;
        let names = layers.iter().map(|path| store.name_of(Path::new(path)));
        let names: Option<Vec<String>> = names.collect();
        store.lease(&names?)
    }

    /// Removes the images that nobody uses, but for those named (PRUNE_IMAGES); may take long, and
    /// blocks.
    pub fn prune(&self, excluded: &[Wanted]) {
        let named = excluded.iter().filter_map(|wanted| Target::of(wanted).ok());
        let excluded: BTreeSet<_> = named.map(|target| self.0.name(&target)).collect();
        let gone = self.0.store.prune(&excluded);
        info!(images = gone.len(), "images that nobody uses are removed");
    }

    fn provisioned(&self, image: Image, lease: Lease) -> Provisioned {
        let layers = image.layers.iter().map(|layer| self.0.store.tree(layer));
        Provisioned {
            layers: layers.collect(),
            config: image.config.into(),
            _lease: lease,
        }
    }

    /// The pull of an image that is under way, or a new one.
    fn pulling(
        &self,
        target: &Target,
        name: &str,
        wanted: &Wanted,
    ) -> Result<Arc<Pulling>, ProvisionError> {
        let mut pulls = self.0.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, pulling| pulling.strong_count() > 0);
        let key = (name.to_string(), wanted.credentials.clone());
        let under_way = pulls.get(&key).and_then(Weak::upgrade);
        // One that has ended told what was so then.
        if let Some(pulling) = under_way.filter(|pulling| pulling.result.borrow().is_none()) {
            return Ok(pulling);
        }
        let own = wanted.credentials.as_ref();
        let own = own.map(|text| Credentials::parse(&text.0)).transpose();
        let own = own.map_err(|source| ProvisionError::Credentials {
            image: name.to_string(),
            source,
        })?;
        let sources = self.0.sources(target, own.as_ref());
        let (tell, result) = watch::channel(None);
        let work = Work {
            store: Arc::clone(&self.0.store),
            unpack: Arc::clone(&self.0.unpack),
            name: name.to_string(),
        };
        let Some(runtime) = &self.0.runtime else {
            return Err(ProvisionError::Lost(name.to_string()));
        };
        let task = runtime.spawn(async move {
            let result = work.run(&sources).await;
            // Nobody listens where all have given up just now.
            let _ = tell.send(Some(result.map(Arc::new).map_err(Arc::new)));
        });
        let pulling = Arc::new(Pulling {
            result,
            task: task.abort_handle(),
        });
        pulls.insert(key, Arc::downgrade(&pulling));
        Ok(pulling)
    }
}

fn read_credentials(path: &Path) -> Result<Credentials, OpenError> {
    let text = std::fs::read_to_string(path).map_err(|source| OpenError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    Credentials::parse(&text).map_err(|source| OpenError::Config {
        path: path.to_path_buf(),
        source,
    })
}

impl Inner {
    /// What an image is called in the store.
    fn name(&self, target: &Target) -> String {
        match target {
            Target::Reference(reference) => self.settings.name(reference),
            Target::Appc(name) => name.stored(),
        }
    }

    /// Where an image may be, in the order of trying.
    fn sources(&self, target: &Target, own: Option<&Credentials>) -> Vec<Source> {
        let reference = match target {
            Target::Reference(reference) => reference,
            Target::Appc(name) => {
                return vec![Source::Appc(Discovery {
                    name: name.clone(),
                    prefix: self.settings.appc.clone(),
                    client: self.client.clone(),
                })];
            }
        };
        match self.settings.registries(reference) {
            Registries::Folder(folder) => vec![Source::Folder(folder, reference.clone())],
            Registries::Remote {
                addresses,
                repository,
            } => {
                let registry = |address: registry::Address| {
                    let own = own.and_then(|own| own.of(&address.authority));
                    let shown = own.or_else(|| self.settings.credentials.of(&address.authority));
                    let (client, shown) = (self.client.clone(), shown.cloned());
                    let (repository, waits) = (repository.clone(), self.settings.waits.clone());
                    let registry = Registry::new(client, address, repository, shown, waits);
                    Source::Registry(registry, reference.clone())
                };
                addresses.into_iter().map(registry).collect()
            }
        }
    }
}

/// What is asked for.
enum Target {
    Reference(Reference),
    Appc(Name),
}

impl Target {
    fn of(wanted: &Wanted) -> Result<Self, ReferenceError> {
        Ok(match wanted.appc.clone() {
            None => Self::Reference(wanted.name.parse()?),
            Some(Appc { id, labels }) => Self::Appc(Name {
                name: wanted.name.clone(),
                id,
                labels,
            }),
        })
    }
}

/// A pull, as its task sees it.
struct Work {
    store: Arc<Store>,
    unpack: Arc<dyn Unpack>,
    name: String,
}

impl Work {
    async fn run(&self, sources: &[Source]) -> Result<Pulled, PullError> {
        let begun = std::time::Instant::now();
        let progress = Progress::default();
        let pulled = tokio::select! {
            pulled = self.pull_from_any(sources, &progress) => pulled?,
            never = progress.tell(&self.name) => match never {},
        };
        info!(
            image = self.name,
            seconds = begun.elapsed().as_secs_f32(),
            "image is here"
        );
        let (store, layers) = (Arc::clone(&self.store), pulled.image.layers.clone());
        tokio::task::spawn_blocking(move || {
            store.sync(&layers);
            store.make_room();
        });
        Ok(pulled)
    }

    /// From the first source that has it; the last one's error counts.
    async fn pull_from_any(
        &self,
        sources: &[Source],
        progress: &Progress,
    ) -> Result<Pulled, PullError> {
        let mut rest = sources.iter().peekable();
        loop {
            let Some(source) = rest.next() else {
                return Err(PullError::NoSource);
            };
            match self.pull_from_one(source, progress).await {
                Err(error) if rest.peek().is_some() => {
                    warn!(
                        image = self.name,
                        error = chain(&error),
                        "the next registry is tried"
                    );
                }
                result => return result,
            }
        }
    }

    /// A full disk is made emptier, once.
    async fn pull_from_one(
        &self,
        source: &Source,
        progress: &Progress,
    ) -> Result<Pulled, PullError> {
        let pull = Pull {
            store: &self.store,
            unpack: &*self.unpack,
            name: &self.name,
            progress,
        };
        let result = match pull.run(source).await {
            Err(error) if error.is_full() && !self.store.prune(&BTreeSet::new()).is_empty() => {
                warn!(
                    image = self.name,
                    error = chain(&error),
                    "unused images are removed, for room"
                );
                pull.run(source).await
            }
            result => result,
        };
        let (image, leases) = result?;
        Ok(Pulled {
            image,
            _leases: leases,
        })
    }
}

impl From<ImageConfig> for Config {
    fn from(config: ImageConfig) -> Self {
        Self {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            environment: config.environment,
            user: config.user,
            working_directory: config.working_directory,
        }
    }
}

impl From<Config> for ImageConfig {
    fn from(config: Config) -> Self {
        Self {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            environment: config.environment,
            user: config.user,
            working_directory: config.working_directory,
        }
    }
}
