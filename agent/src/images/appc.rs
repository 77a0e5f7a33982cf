//! Appc: App Container Images, by simple discovery or from the operator's folder.
//!
//! ```text
//! PREFIX NAME-VERSION-OS-ARCH.aci -> manifest and rootfs -> a layer, on those of its dependencies
//! ```
//!
//! An image's id is the digest of its archive, and is the name of its layer here. Left out, as in
//! Mesos: signatures, meta discovery, and white lists of paths.

mod manifest;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_kernel::files;
use hyper::StatusCode;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::image::Digest;

use super::pull::{Pull, PullError};
use super::store::{self, Image, Lease, StoreError};
use crate::unpack::{Bounds, UnpackError, What};
use crate::web::{Client, Get, WebError};

pub use manifest::Manifest;

/// Steps from an image to one that it needs, in all; images that need each other have no end.
const STEPS_MAX: usize = 64;
/// Of a manifest.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// What an id begins with.
const ID: &str = "sha512-";

/// An image as a task asks for it (`Image.Appc`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Name {
    /// Its name, as in `example.com/app`.
    pub name: String,
    /// Its id, where it must be this very one.
    pub id: Option<String>,
    /// Its labels: version, os, arch and others.
    pub labels: BTreeMap<String, String>,
}

/// Where images are (`--appc_simple_discovery_uri_prefix`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prefix {
    /// Begins their addresses.
    Web(String),
    /// A folder that holds them.
    Folder(PathBuf),
}

impl Default for Prefix {
    fn default() -> Self {
        Self::Web("https://".to_owned())
    }
}

/// How to find an image.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Which.
    pub name: Name,
    /// Where it and its dependencies are.
    pub prefix: Prefix,
    /// Who asks.
    pub client: Client,
}

/// Why an App Container Image did not come.
#[derive(Debug, thiserror::Error)]
pub enum AppcError {
    /// A name that cannot be looked for.
    #[error("{0:?} is no name of an App Container Image")]
    Name(String),
    /// The server.
    #[error("get {uri}")]
    Web {
        /// Of what.
        uri: String,
        /// What came of it.
        source: WebError,
    },
    /// The server has it not.
    #[error("get {uri}: the server answered {status}")]
    Status {
        /// What.
        uri: String,
        /// The answer.
        status: StatusCode,
    },
    /// A file.
    #[error("{act} {path}")]
    File {
        /// What was done to it.
        act: &'static str,
        /// Which.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// The archive.
    #[error("unpack {image}")]
    Unpack {
        /// Of which image.
        image: String,
        /// What came of it.
        source: UnpackError,
    },
    /// The manifest.
    #[error("manifest of {image}: {why}")]
    Manifest {
        /// Of which image.
        image: String,
        /// What is wrong.
        why: String,
    },
    /// It is another.
    #[error("{image} has the id {got} and not {wanted}")]
    Id {
        /// Which.
        image: String,
        /// As it was asked for.
        wanted: String,
        /// As it is.
        got: String,
    },
    /// It is larger than the whole store.
    #[error("{0} is larger than the image store")]
    Size(String),
    /// Images that need each other, or too many.
    #[error("{0} needs too many images, or itself")]
    Dependencies(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppcError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::File { source, .. } => store::is_full(source),
            Self::Store(error) => error.is_full(),
            _ => false,
        }
    }
}

impl Name {
    /// The name that the store keeps it under.
    #[must_use]
    pub fn stored(&self) -> String {
        if let Some(id) = &self.id {
            return format!("appc:{id}");
        }
        let labels = self.labels.iter();
        let labels: String = labels
            .map(|(key, value)| format!(",{key}={value}"))
            .collect();
        format!("appc:{}{labels}", self.name)
    }

    /// By simple discovery; what is not said is this node's.
    fn path(&self) -> Result<String, AppcError> {
        let label = |name: &str, default| self.labels.get(name).map_or(default, String::as_str);
        let path = format!(
            "{}-{}-{}-{}.aci",
            self.name,
            label("version", "latest"),
            label("os", "linux"),
            label("arch", ARCH),
        );
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~/:+".contains(c);
        let parts = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        match path.chars().all(allowed) && parts && !self.name.is_empty() {
            true => Ok(path),
            false => Err(AppcError::Name(self.name.clone())),
        }
    }
}

/// This node's architecture, as Appc calls it.
const ARCH: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    _ => std::env::consts::ARCH,
};

/// Brings an image and those that it is built on.
///
/// # Errors
/// Why one did not come.
pub(super) async fn pull(
    pull: &Pull<'_>,
    discovery: &Discovery,
) -> Result<(Image, Vec<Lease>), PullError> {
    let mut config = None;
    let mut known: BTreeMap<Name, (String, Vec<Name>)> = BTreeMap::new();
    let mut leases = Vec::new();
    let mut layers: Vec<String> = Vec::new();
    // Each image, and then what it needs: the bottom comes last.
    let mut open = vec![discovery.name.clone()];
    for _ in 0..STEPS_MAX {
        let Some(name) = open.pop() else {
            break;
        };
        if !known.contains_key(&name) {
            let (manifest, layer, lease) = one(pull, discovery, &name).await?;
            config.get_or_insert_with(|| manifest.config());
            known.insert(name.clone(), (layer, manifest.dependencies().collect()));
            leases.push(lease);
        }
        if let Some((layer, needed)) = known.get(&name) {
            // What two images need lies beneath both.
            layers.retain(|other| other != layer);
            layers.push(layer.clone());
            open.extend(needed.iter().cloned());
        }
    }
    if !open.is_empty() {
        return Err(AppcError::Dependencies(discovery.name.name.clone()).into());
    }
    layers.reverse();
    let image = Image {
        name: pull.name.to_owned(),
        layers,
        config: config.unwrap_or_default().into(),
    };
    pull.store.keep_image(&image).map_err(AppcError::Store)?;
    Ok((image, leases))
}

/// One image: its manifest, and its layer.
async fn one(
    pull: &Pull<'_>,
    discovery: &Discovery,
    name: &Name,
) -> Result<(Manifest, String, Lease), AppcError> {
    let failed = |act, path: &Path| {
        let path = path.to_path_buf();
        move |source| AppcError::File { act, path, source }
    };
    let staging = pull.store.stage()?;
    let archive = match &discovery.prefix {
        Prefix::Web(prefix) => {
            let uri = format!("{prefix}{}", name.path()?);
            load(pull, &discovery.client, &uri, &staging.path().join("aci")).await?
        }
        Prefix::Folder(folder) => {
            let path = folder.join(name.path()?);
            File::open(&path).map_err(failed("open", &path))?
        }
    };
    let tree = staging.path().join("tree");
    fs::create_dir(&tree).map_err(failed("make", &tree))?;
    let folder = File::open(&tree).map_err(failed("open", &tree))?;
    let bounds = Bounds {
        bytes: pull.store.bytes_max(),
        ..Bounds::default()
    };
    let unpacked = pull
        .unpack
        .unpack(archive.into(), &What::Aci, bounds, &folder);
    let unpacked = unpacked.await.map_err(|source| AppcError::Unpack {
        image: name.name.clone(),
        source,
    })?;
    let got = unpacked.digest.unwrap_or_default();
    check_id(name, &got)?;
    let malformed = |why| AppcError::Manifest {
        image: name.name.clone(),
        why,
    };
    let manifest = read_manifest(&folder).map_err(failed("read", &tree.join("manifest")))?;
    let manifest = Manifest::parse(&manifest).map_err(malformed)?;
    if manifest.name() != name.name {
        return Err(malformed(format!("it is that of {:?}", manifest.name())));
    }
    let root = tree.join("rootfs");
    let is_folder = fs::symlink_metadata(&root).is_ok_and(|data| data.is_dir());
    if !is_folder {
        return Err(malformed("there is no rootfs beside it".to_owned()));
    }
    let digest = got.replacen('-', ":", 1);
    let digest: Digest = digest
        .parse()
        .map_err(|_| malformed(format!("{got:?} is no digest")))?;
    let store = Arc::clone(pull.store);
    let lease = store.keep_layer(&digest, &root, unpacked.bytes)?;
    pull.progress.unpacked();
    Ok((manifest, digest.to_string(), lease))
}

/// An id may be cut, as long as it is no other's in practice.
fn check_id(name: &Name, got: &str) -> Result<(), AppcError> {
    const DIGITS_MIN: usize = 32;
    let Some(wanted) = &name.id else {
        return Ok(());
    };
    let is_long = wanted.len() >= ID.len() + DIGITS_MIN;
    match wanted.starts_with(ID) && is_long && got.starts_with(wanted.as_str()) {
        true => Ok(()),
        false => Err(AppcError::Id {
            image: name.name.clone(),
            wanted: wanted.clone(),
            got: got.to_owned(),
        }),
    }
}

/// Loads an archive into a file that is open only.
async fn load(pull: &Pull<'_>, client: &Client, uri: &str, path: &Path) -> Result<File, AppcError> {
    let address = uri.parse().map_err(|_| AppcError::Name(uri.to_owned()))?;
    let web = |source| AppcError::Web {
        uri: uri.to_owned(),
        source,
    };
    let written = |source| AppcError::File {
        act: "write",
        path: path.to_path_buf(),
        source,
    };
    let answer = client.get(Get::new(address)).await.map_err(web)?;
    if answer.status() != StatusCode::OK {
        return Err(AppcError::Status {
            uri: uri.to_owned(),
            status: answer.status(),
        });
    }
    let mut body = answer.into_body();
    let made = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path);
    let mut file = made.map_err(written)?;
    fs::remove_file(path).map_err(written)?;
    let mut left = pull.store.bytes_max();
    while let Some(bytes) = body.chunk().await.map_err(web)? {
        let length = bytes.len() as u64;
        left = left
            .checked_sub(length)
            .ok_or_else(|| AppcError::Size(uri.to_owned()))?;
        file.write_all(&bytes).map_err(written)?;
        pull.progress.got(length);
    }
    file.rewind().map_err(written)?;
    Ok(file)
}

/// It is an archive's, and may be a link or a pipe.
fn read_manifest(folder: &impl AsFd) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = files::beneath(folder, Path::new("manifest"), flags, Mode::empty())?;
    let mut content = Vec::new();
    File::from(file)
        .take(MANIFEST_BYTES_MAX)
        .read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, labels: &[(&str, &str)]) -> Name {
        Name {
            name: name.to_owned(),
            id: None,
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn an_image_is_looked_for_by_its_name_and_labels() {
        for (name, path) in [
            (name("a.com/b", &[]), Some("a.com/b-latest-linux-amd64.aci")),
            (
                name(
                    "b",
                    &[("version", "1.0"), ("os", "linux"), ("arch", "arm64")],
                ),
                Some("b-1.0-linux-arm64.aci"),
            ),
            (name("", &[]), None),
            (name("../b", &[]), None),
            (name("a", &[("version", "/../../x")]), None),
            (name("a?b", &[]), None),
        ] {
            assert_eq!(name.path().ok().as_deref(), path, "{name:?}");
        }
    }

    #[test]
    fn an_id_may_be_cut_and_not_be_anothers() {
        let got = format!("{ID}{}", "ab".repeat(64));
        for (id, right) in [
            (got.clone(), true),
            (got[..40].to_owned(), true),
            (got[..20].to_owned(), false),
            (format!("{ID}{}", "cd".repeat(64)), false),
            (String::new(), false),
        ] {
            let name = Name {
                id: Some(id.clone()),
                ..Name::default()
            };
            assert_eq!(check_id(&name, &got).is_ok(), right, "{id}");
        }
    }
}
