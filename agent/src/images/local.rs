//! Local images: OCI layout directories, and archives as `docker save` writes them.
//!
//! They lie in a folder of the operator (`--docker_registry=/folder`). An archive is unpacked by the
//! unpacker, like everything of unknown origin; what is read of it then is opened so that no link in it
//! leads out.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use agent_kernel::files;
use nix::fcntl::OFlag;
use oci_spec::image::{Descriptor, Digest, ImageIndex};
use serde::Deserialize;

use super::digest::{Check, DigestError};
use super::reference::Reference;

/// The most bytes of a document in an image.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// The annotations that name an image in a layout directory.
const NAMES: [&str; 2] = [
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];

/// Where an image was found in the operator's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A layout directory.
    Layout(PathBuf),
    /// An archive.
    Archive(PathBuf),
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Nothing by that name.
    #[error("no image {name} in {folder}: neither a layout directory nor {name}.tar")]
    Missing {
        /// The image.
        name: String,
        /// The operator's folder.
        folder: PathBuf,
    },
    /// A file of an image.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// A document of an image.
    #[error("{path} is not what it should be")]
    Document {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It holds other images.
    #[error("{path} holds no image {version:?}")]
    Version {
        /// The layout or archive.
        path: PathBuf,
        /// What was asked for.
        version: String,
    },
    /// A blob is other content.
    #[error("blob {digest}")]
    Digest {
        /// As it is called.
        digest: Digest,
        /// What is wrong.
        source: DigestError,
    },
}

/// Finds an image as Mesos finds archives, or by its name as a layout directory.
///
/// # Errors
/// There is none.
pub fn find(folder: &Path, reference: &Reference) -> Result<Place, LocalError> {
    let name = reference.to_string();
    let versioned = format!("{}:{}", reference.repository, reference.version());
    // A reference holds no `..` and no empty part, so that it stays in the folder.
    for layout in [name.as_str(), &versioned, &reference.repository] {
        let path = folder.join(layout);
        if path.join("oci-layout").is_file() {
            return Ok(Place::Layout(path));
        }
    }
    for archive in [name.as_str(), &versioned] {
        let path = folder.join(format!("{archive}.tar"));
        if path.is_file() {
            return Ok(Place::Archive(path));
        }
    }
    Err(LocalError::Missing {
        name,
        folder: folder.to_path_buf(),
    })
}

/// A folder that holds an image.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: File,
}

/// One image of an archive, by the names of its files there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    /// The configuration.
    pub config: PathBuf,
    /// The image's names.
    pub repo_tags: Option<Vec<String>>,
    /// The layers, bottom first.
    pub layers: Vec<PathBuf>,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let open = File::open(path).map_err(|source| LocalError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            open,
        })
    }

    /// The manifest of a layout directory that a reference means.
    ///
    /// # Errors
    /// There is none, or it is no layout.
    pub fn manifest(&self, reference: &Reference) -> Result<Descriptor, LocalError> {
        let index: ImageIndex = self.document(Path::new("index.json"))?;
        let version = reference.version();
        let full = reference.to_string();
        let is_meant = |one: &&Descriptor| {
            let annotations = one.annotations().as_ref();
            let names = NAMES.iter().filter_map(|name| annotations?.get(*name));
            let mut names = names.filter(|name| **name == version || **name == full);
            one.digest().as_ref() == version || names.next().is_some()
        };
        let all = index.manifests();
        let alone = match (all.as_slice(), &reference.digest, &reference.tag) {
            ([one], None, None) => Some(one),
            _ => None,
        };
        let found = all.iter().find(is_meant).or(alone);
        found.cloned().ok_or_else(|| self.lacks(version))
    }

    /// The image of an archive that a reference means; `None` where it is no archive of `docker save`
    /// (but maybe a layout).
    ///
    /// # Errors
    /// It holds others.
    pub fn saved(&self, reference: &Reference) -> Result<Option<Saved>, LocalError> {
        let name = Path::new("manifest.json");
        if !self.path.join(name).is_file() {
            return Ok(None);
        }
        let mut all: Vec<Saved> = self.document(name)?;
        if all.len() == 1 {
            return Ok(all.pop());
        }
        let names = [
            reference.to_string(),
            format!("{}:{}", reference.repository, reference.version()),
        ];
        let is_meant = |one: &Saved| {
            let mut tags = one.repo_tags.iter().flatten();
            tags.any(|tag| names.contains(tag))
        };
        match all.into_iter().find(is_meant) {
            Some(one) => Ok(Some(one)),
            None => Err(self.lacks(reference.version())),
        }
    }

    /// A small file.
    ///
    /// # Errors
    /// It is not there, or not small.
    pub fn small(&self, path: &Path) -> Result<Vec<u8>, LocalError> {
        let failed = |source| self.read_error(path, source);
        let file = self.file(path)?;
        let mut content = Vec::new();
        file.take(DOCUMENT_BYTES_MAX + 1)
            .read_to_end(&mut content)
            .map_err(failed)?;
        if content.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(content)
    }

    /// A small blob, which is what it is called.
    ///
    /// # Errors
    /// It is not.
    pub fn small_blob(&self, digest: &Digest) -> Result<Vec<u8>, LocalError> {
        let content = self.small(&blob_path(digest))?;
        super::digest::verify(digest, &content).map_err(|source| LocalError::Digest {
            digest: digest.clone(),
            source,
        })?;
        Ok(content)
    }

    /// A blob of any size, which is what it is called; reads all of it, and blocks.
    ///
    /// # Errors
    /// It is not.
    pub fn blob(&self, digest: &Digest) -> Result<File, LocalError> {
        let path = blob_path(digest);
        let fault = |source| LocalError::Digest {
            digest: digest.clone(),
            source,
        };
        let check = Check::new(digest).map_err(fault)?;
        let read = check.read(self.file(&path)?);
        read.map_err(|source| self.read_error(&path, source))?
            .map_err(fault)?;
        // Anew, from the beginning. What changes it meanwhile changes the layer's own digest, too.
        self.file(&path)
    }

    /// A regular file.
    ///
    /// # Errors
    /// It is not there, or something else.
    pub fn file(&self, path: &Path) -> Result<File, LocalError> {
        let failed = |source| self.read_error(path, source);
        // Without O_NONBLOCK a pipe would be waited on.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened = files::in_root(&self.open, path, flags);
        let file = File::from(opened.map_err(|errno| failed(errno.into()))?);
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            Ok(_) => Err(failed(io::ErrorKind::InvalidInput.into())),
            Err(error) => Err(failed(error)),
        }
    }

    fn document<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<T, LocalError> {
        let content = self.small(path)?;
        serde_json::from_slice(&content).map_err(|source| LocalError::Document {
            path: self.path.join(path),
            source,
        })
    }

    fn read_error(&self, path: &Path, source: io::Error) -> LocalError {
        LocalError::Read {
            path: self.path.join(path),
            source,
        }
    }

    fn lacks(&self, version: &str) -> LocalError {
        LocalError::Version {
            path: self.path.clone(),
            version: version.to_string(),
        }
    }
}

/// Where a layout directory keeps a blob.
fn blob_path(digest: &Digest) -> PathBuf {
    let name = digest.to_string().replacen(':', "/", 1);
    Path::new("blobs").join(name)
}
