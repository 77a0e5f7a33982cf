//! Pull: an image comes into the store, layer by layer.
//!
//! A layer that is in the store, by whatever image, is not asked for again. What is asked for is first
//! a file, checked against its digest, and then unpacked; what was unpacked is checked against the name
//! that the image's configuration has for it. A pull that is dropped or fails leaves nothing but whole
//! layers, which go when nobody uses them.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use nix::errno::Errno;
use oci_spec::image::{Descriptor, Digest, ImageManifest};

use super::appc::{self, AppcError, Discovery};
use super::local::{self, Folder, LocalError, Place};
use super::manifest::{self, Configuration, Document, ManifestError};
use super::progress::Progress;
use super::reference::Reference;
use super::registry::{Registry, RegistryError};
use super::store::{self, Image, Lease, Store, StoreError};
use crate::unpack::{Bounds, Fault, Format, Owner, UnpackError, Unpacked, Unpacker, What};

/// Layers of one image that come at the same time.
const LAYERS_AT_ONCE: usize = 3;
/// Lists within lists that are followed.
const INDEXES_MAX: usize = 3;

/// Unpacks; the agent's own [`Unpacker`], or a test's.
pub trait Unpack: std::fmt::Debug + Send + Sync {
    /// As [`Unpacker::unpack`].
    fn unpack<'a>(
        &'a self,
        source: OwnedFd,
        what: &'a What,
        bounds: Bounds,
        into: &'a File,
    ) -> Pin<Box<dyn Future<Output = Result<Unpacked, UnpackError>> + Send + 'a>>;
}

impl Unpack for Unpacker {
    fn unpack<'a>(
        &'a self,
        source: OwnedFd,
        what: &'a What,
        bounds: Bounds,
        into: &'a File,
    ) -> Pin<Box<dyn Future<Output = Result<Unpacked, UnpackError>> + Send + 'a>> {
        Box::pin(self.unpack(source, what, bounds, into))
    }
}

/// Where an image is pulled from.
#[derive(Debug)]
pub enum Source {
    /// A registry's repository.
    Registry(Registry, Reference),
    /// A folder of the operator.
    Folder(PathBuf, Reference),
    /// Where App Container Images are.
    Appc(Discovery),
}

/// Why an image did not come.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The operator's folder.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// What it says of itself.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is nowhere to ask.
    #[error("no registry is configured for it")]
    NoSource,
    /// Lists that name lists.
    #[error("lists of manifests are nested more than {INDEXES_MAX} times")]
    Nested,
    /// A layer is broken.
    #[error("layer {layer}")]
    Unpack {
        /// Which.
        layer: Digest,
        /// What came of it.
        source: UnpackError,
    },
    /// A layer is another.
    #[error("layer {wanted} unpacks to {}", got.as_deref().unwrap_or("nothing"))]
    Layer {
        /// As the configuration calls it.
        wanted: Digest,
        /// As it is.
        got: Option<String>,
    },
    /// An archive is broken.
    #[error("archive {path}")]
    Archive {
        /// Which.
        path: PathBuf,
        /// What came of it.
        source: UnpackError,
    },
    /// The agent ends, or a fault of its own.
    #[error("read a layer")]
    Interrupted(#[source] tokio::task::JoinError),
    /// An App Container Image.
    #[error(transparent)]
    Appc(#[from] AppcError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the store.
    #[error("open {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// What came of it.
        source: std::io::Error,
    },
}

impl PullError {
    /// Whether it is for want of room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Registry(RegistryError::Write { source, .. }) | Self::Open { source, .. } => {
                store::is_full(source)
            }
            Self::Unpack { source, .. } | Self::Archive { source, .. } => match source {
                UnpackError::Fault(Fault::Node(text)) => {
                    let full = [Errno::ENOSPC, Errno::EDQUOT];
                    full.iter().any(|errno| text.ends_with(errno.desc()))
                }
                UnpackError::Folder(error) => store::is_full(error),
                UnpackError::Fault(_) | UnpackError::Ask(_) => false,
            },
            Self::Store(error) => error.is_full(),
            Self::Appc(error) => error.is_full(),
            Self::Registry(_)
            | Self::Local(_)
            | Self::Manifest(_)
            | Self::NoSource
            | Self::Nested
            | Self::Interrupted(_)
            | Self::Layer { .. } => false,
        }
    }
}

/// An image that is to come.
#[derive(Debug)]
pub struct Pull<'a> {
    /// Where it goes.
    pub store: &'a Arc<Store>,
    /// Who unpacks.
    pub unpack: &'a dyn Unpack,
    /// The name that the store keeps it under.
    pub name: &'a str,
    /// How far it is.
    pub progress: &'a Progress,
}

/// What an image consists of, and where that is.
struct Found<'a> {
    from: Origin<'a>,
    configuration: Configuration,
    /// Bottom first, as many as the configuration has.
    pieces: Vec<Piece>,
}

/// Where its pieces are.
enum Origin<'a> {
    Registry(&'a Registry),
    Folder(Arc<Folder>),
}

/// A layer, packed.
enum Piece {
    Blob(Descriptor),
    File(PathBuf),
}

impl Pull<'_> {
    /// Brings it.
    ///
    /// # Errors
    /// Why it did not come.
    pub async fn run(&self, source: &Source) -> Result<(Image, Vec<Lease>), PullError> {
        // An archive is a folder for as long as it is read.
        let _staging;
        let found = match source {
            Source::Appc(discovery) => return appc::pull(self, discovery).await,
            Source::Registry(registry, reference) => self.in_registry(registry, reference).await?,
            Source::Folder(folder, reference) => match local::find(folder, reference)? {
                Place::Layout(path) => self.in_folder(&path, reference)?,
                Place::Archive(path) => {
                    _staging = self.store.stage()?;
                    self.open_archive(&path, _staging.path()).await?;
                    self.in_folder(_staging.path(), reference)?
                }
            },
        };
        for piece in &found.pieces {
            self.progress.expects(piece.bytes());
        }
        let layers = found.configuration.layers.iter().zip(&found.pieces);
        // One layer may stand at several places of an image, and is unpacked once.
        let layers = layers.map(|(layer, piece)| self.layer(&found.from, layer, piece));
        let layers: Vec<_> = layers.collect();
        let leases = stream::iter(layers).buffered(LAYERS_AT_ONCE);
        let leases = leases.try_collect().await?;
        let config = found.configuration.config;
        let image = Image {
            name: self.name.to_string(),
            layers: found
                .configuration
                .layers
                .iter()
                .map(ToString::to_string)
                .collect(),
            config: config.into(),
        };
        self.store.keep_image(&image)?;
        Ok((image, leases))
    }

    async fn in_registry<'a>(
        &self,
        registry: &'a Registry,
        reference: &Reference,
    ) -> Result<Found<'a>, PullError> {
        let mut version = reference.version().to_string();
        for _ in 0..=INDEXES_MAX {
            let content = registry.manifest(&version).await?;
            match manifest::parse(&content)? {
                Document::Index(index) => version = manifest::choose(&index)?.digest().to_string(),
                Document::Manifest(manifest) => {
                    let config = registry.small_blob(manifest.config()).await?;
                    return Ok(Found {
                        from: Origin::Registry(registry),
                        configuration: configuration(&config, &manifest)?,
                        pieces: pieces(manifest),
                    });
                }
            }
        }
        Err(PullError::Nested)
    }

    fn in_folder(&self, path: &Path, reference: &Reference) -> Result<Found<'static>, PullError> {
        let folder = Arc::new(Folder::open(path)?);
        if let Some(saved) = folder.saved(reference)? {
            let config = folder.small(&saved.config)?;
            return Ok(Found {
                configuration: manifest::configuration(&config, saved.layers.len())?,
                from: Origin::Folder(folder),
                pieces: saved.layers.into_iter().map(Piece::File).collect(),
            });
        }
        let mut digest = folder.manifest(reference)?.digest().clone();
        for _ in 0..=INDEXES_MAX {
            let content = folder.small_blob(&digest)?;
            match manifest::parse(&content)? {
                Document::Index(index) => digest = manifest::choose(&index)?.digest().clone(),
                Document::Manifest(manifest) => {
                    let config = folder.small_blob(manifest.config().digest())?;
                    return Ok(Found {
                        from: Origin::Folder(folder),
                        configuration: configuration(&config, &manifest)?,
                        pieces: pieces(manifest),
                    });
                }
            }
        }
        Err(PullError::Nested)
    }

    async fn open_archive(&self, path: &Path, into: &Path) -> Result<(), PullError> {
        let open = |path: &Path| {
            File::open(path).map_err(|source| PullError::Open {
                path: path.to_path_buf(),
                source,
            })
        };
        let what = What::Files {
            format: Format::Tar,
            owner: Owner {
                ids: agent_core::sandbox::STORE_IDS,
                uid: 0,
                gid: 0,
            },
        };
        let folder = open(into)?;
        // Whoever unpacks writes as the store's owner.
        let owner = Some(agent_core::sandbox::STORE_IDS.first);
        let given = std::os::unix::fs::fchown(&folder, owner, owner);
        given.map_err(|source| PullError::Open {
            path: into.to_path_buf(),
            source,
        })?;
        let unpacked = self
            .unpack
            .unpack(open(path)?.into(), &what, self.bounds(), &folder)
            .await;
        unpacked.map(drop).map_err(|source| PullError::Archive {
            path: path.to_path_buf(),
            source,
        })
    }

    async fn layer(
        &self,
        from: &Origin<'_>,
        layer: &Digest,
        piece: &Piece,
    ) -> Result<Lease, PullError> {
        let name = layer.to_string();
        let turn = self.store.turn(&name);
        let _turn = turn.lock().await;
        if let Some(lease) = self.store.lease(&[name]) {
            self.progress.got(piece.bytes());
            self.progress.unpacked();
            return Ok(lease);
        }
        let staging = self.store.stage()?;
        let packed = self.packed(from, piece, staging.path()).await?;
        let tree = staging.path().join("tree");
        let made = fs::create_dir(&tree).and_then(|()| File::open(&tree));
        let folder = made.map_err(|source| PullError::Open {
            path: tree.clone(),
            source,
        })?;
        let unpacked = self
            .unpack
            .unpack(packed.into(), &What::Layer, self.bounds(), &folder)
            .await;
        let unpacked = unpacked.map_err(|source| PullError::Unpack {
            layer: layer.clone(),
            source,
        })?;
        if unpacked.digest.as_deref() != Some(layer.as_ref()) {
            return Err(PullError::Layer {
                wanted: layer.clone(),
                got: unpacked.digest,
            });
        }
        let lease = self.store.keep_layer(layer, &tree, unpacked.bytes)?;
        self.progress.unpacked();
        Ok(lease)
    }

    /// A layer as it is packed, checked where it has a digest.
    async fn packed(
        &self,
        from: &Origin<'_>,
        piece: &Piece,
        staging: &Path,
    ) -> Result<File, PullError> {
        match (from, piece) {
            (Origin::Registry(registry), Piece::Blob(blob)) => {
                let path = staging.join("blob");
                let made = File::options()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&path);
                let mut file = made.map_err(|source| PullError::Open {
                    path: path.clone(),
                    source,
                })?;
                registry.blob(blob, &mut file, self.progress).await?;
                // Its room is free as soon as it is read.
                let removed = fs::remove_file(&path);
                removed.map_err(|source| PullError::Open { path, source })?;
                Ok(file)
            }
            (Origin::Folder(folder), Piece::Blob(blob)) => {
                let (folder, digest) = (Arc::clone(folder), blob.digest().clone());
                let file = blocking(move || folder.blob(&digest)).await?;
                self.progress.got(piece.bytes());
                Ok(file)
            }
            (Origin::Folder(folder), Piece::File(path)) => Ok(folder.file(path)?),
            // Only a folder has files.
            (Origin::Registry(_), Piece::File(path)) => Err(PullError::Open {
                path: path.clone(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            bytes: self.store.bytes_max(),
            ..Bounds::default()
        }
    }
}

impl Piece {
    fn bytes(&self) -> u64 {
        match self {
            Self::Blob(blob) => blob.size(),
            Self::File(_) => 0,
        }
    }
}

fn pieces(manifest: ImageManifest) -> Vec<Piece> {
    let layers = manifest.layers().iter().cloned();
    layers.map(Piece::Blob).collect()
}

fn configuration(content: &[u8], manifest: &ImageManifest) -> Result<Configuration, ManifestError> {
    manifest::configuration(content, manifest.layers().len())
}

/// Work that blocks, beside this task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, PullError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(PullError::Interrupted)??)
}
