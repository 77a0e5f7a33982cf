//! Store: layers by their content, and the images made of them.
//!
//! ```text
//! layers/sha256/<hex>/tree      the unpacked layer, with the store's ids
//! layers/sha256/<hex>/bytes     how large it is; written, with the tree, before `durable`
//! layers/sha256/<hex>/durable   all of it is on the disk
//! images/<hex>                  a name, its configuration and its layers, as JSON
//! staging/                      what is under way; emptied at each start
//! graves/                       what is being removed; emptied at each start
//! ```
//!
//! A layer is there whole or not at all: it is renamed into its place, and what has no `durable` at a
//! start may have lost bytes with the machine and goes. An image is removed before its layers. What a
//! lease holds is not removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::SystemTime;

use nix::unistd::syncfs;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::digest;
use crate::init::chain;

const TREE: &str = "tree";
const BYTES: &str = "bytes";
const DURABLE: &str = "durable";

/// The layers and images on this node.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    /// Layers that are being brought here.
    under_way: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeMap<String, Kept>,
    layers: BTreeMap<String, Layer>,
}

#[derive(Debug)]
struct Kept {
    image: Image,
    used: SystemTime,
}

#[derive(Debug)]
struct Layer {
    bytes: u64,
    leases: usize,
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The name that it was asked for by, or another that is its own.
    pub name: String,
    /// The layers' digests, bottom first.
    pub layers: Vec<String>,
    /// Its configuration, as this agent keeps it.
    pub config: Config,
}

/// What is kept of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Config {
    /// As in [`agent_core::sandbox::ImageConfig`], and so are the others.
    pub entrypoint: Vec<String>,
    /// The default command.
    pub cmd: Vec<String>,
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// The user.
    pub user: Option<String>,
    /// The directory.
    pub working_directory: Option<String>,
}

/// Holds layers in the store.
#[derive(Debug)]
pub struct Lease {
    store: Arc<Store>,
    layers: Vec<String>,
}

/// Why the store is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{act} {path}")]
pub struct StoreError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }
}

/// Whether an error says that the disk, or a quota, is used up.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError { act, path, source }
}

/// A folder beneath `staging`, gone when it is dropped.
#[derive(Debug)]
pub struct Staging(PathBuf);

impl Staging {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(
                error = chain(&error),
                "what an image left in the staging folder stays"
            );
        }
    }
}

impl Store {
    /// Opens the store in a folder, which is made where it is missing, and removes what an earlier
    /// agent did not finish. Above `bytes_max` images go that nobody uses.
    ///
    /// # Errors
    /// The file system.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        for below in [
            "layers/sha256",
            "layers/sha512",
            "images",
            "staging",
            "graves",
        ] {
            let path = folder.join(below);
            fs::create_dir_all(&path).map_err(failed("make", &path))?;
        }
        // Set-user-id programs of images are in there: for the agent alone.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(folder, private).map_err(failed("close", folder))?;
        for below in ["staging", "graves"] {
            let path = folder.join(below);
            for left in entries(&path)? {
                remove(&left);
            }
        }
        let mut state = State::default();
        for algorithm in ["sha256", "sha512"] {
            for path in entries(&folder.join("layers").join(algorithm))? {
                match read_layer(&path) {
                    Some(bytes) => {
                        let name = format!("{algorithm}:{}", file_name(&path));
                        state.layers.insert(name, Layer { bytes, leases: 0 });
                    }
                    None => remove(&path),
                }
            }
        }
        for path in entries(&folder.join("images"))? {
            match read_image(&path) {
                Some((image, used))
                    if image.layers.iter().all(|l| state.layers.contains_key(l)) =>
                {
                    state
                        .images
                        .insert(image.name.clone(), Kept { image, used });
                }
                _ => remove(&path),
            }
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            bytes_max,
            state: Mutex::new(state),
            under_way: Mutex::default(),
        })
    }

    /// The most bytes that images take while nobody uses them.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// A folder for work under way.
    ///
    /// # Errors
    /// The file system.
    pub fn stage(&self) -> Result<Staging, StoreError> {
        let path = self.staging().join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&path).map_err(failed("make", &path))?;
        Ok(Staging(path))
    }

    /// An image by its name, and a lease of its layers.
    #[must_use]
    pub fn image(self: &Arc<Self>, name: &str) -> Option<(Image, Lease)> {
        let image = {
            let mut state = self.state();
            let kept = state.images.get_mut(name)?;
            kept.used = SystemTime::now();
            // The file's time is what a later start knows; without it the order is not quite right.
            if let Ok(file) = File::open(self.image_path(name)) {
                let _ = file.set_modified(kept.used);
            }
            kept.image.clone()
        };
        let lease = self.lease(&image.layers)?;
        Some((image, lease))
    }

    /// Holds layers; `None` where one is not here.
    #[must_use]
    pub fn lease(self: &Arc<Self>, layers: &[String]) -> Option<Lease> {
        let mut state = self.state();
        if !layers.iter().all(|layer| state.layers.contains_key(layer)) {
            return None;
        }
        for layer in layers {
            if let Some(layer) = state.layers.get_mut(layer) {
                layer.leases += 1;
            }
        }
        Some(Lease {
            store: Arc::clone(self),
            layers: layers.to_vec(),
        })
    }

    /// A lock for whoever wants to bring a layer here: the others wait, and find it.
    #[must_use]
    pub fn turn(&self, layer: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = lock(&self.under_way);
        all.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = all.get(layer).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        all.insert(layer.to_string(), Arc::downgrade(&turn));
        turn
    }

    /// Takes a layer that was unpacked into `tree`, and leases it; blocks.
    ///
    /// # Errors
    /// The file system.
    pub fn keep_layer(
        self: &Arc<Self>,
        layer: &Digest,
        tree: &Path,
        bytes: u64,
    ) -> Result<Lease, StoreError> {
        let name = layer.to_string();
        let staging = self.stage()?;
        let target = self.layer_folder(&name);
        fs::rename(tree, staging.path().join(TREE)).map_err(failed("move", tree))?;
        let size = staging.path().join(BYTES);
        fs::write(&size, bytes.to_string()).map_err(failed("write", &size))?;
        let mut state = self.state();
        if !state.layers.contains_key(&name) {
            fs::rename(staging.path(), &target).map_err(failed("make", &target))?;
        }
        let fresh = Layer { bytes, leases: 0 };
        state.layers.entry(name.clone()).or_insert(fresh).leases += 1;
        Ok(Lease {
            layers: vec![name],
            store: Arc::clone(self),
        })
    }

    /// Writes all layers to the disk and says so; blocks, and is called when a container need not wait
    /// for it any more.
    pub fn sync(&self, layers: &[String]) {
        let folders = layers.iter().map(|layer| self.layer_folder(layer));
        let fresh = folders.filter(|folder| !folder.join(DURABLE).exists());
        let fresh: Vec<_> = fresh.collect();
        if fresh.is_empty() {
            return;
        }
        let synced = File::open(&self.folder).and_then(|folder| Ok(syncfs(folder)?));
        let noted: io::Result<()> = synced.and_then(|()| {
            let mut all = fresh.iter().filter(|folder| folder.exists());
            all.try_for_each(|folder| File::create(folder.join(DURABLE)).map(drop))
        });
        if let Err(error) = noted {
            warn!(
                error = chain(&error),
                "a layer will be brought here again at the next start"
            );
        }
    }

    /// Remembers an image, whose layers are here.
    ///
    /// # Errors
    /// The file system.
    pub fn keep_image(&self, image: &Image) -> Result<(), StoreError> {
        let path = self.image_path(&image.name);
        let staging = self.stage()?;
        let new = staging.path().join("image");
        let text = serde_json::to_vec(image).map_err(io::Error::from);
        text.and_then(|text| fs::write(&new, text))
            .map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("make", &path))?;
        let kept = Kept {
            image: image.clone(),
            used: SystemTime::now(),
        };
        self.state().images.insert(image.name.clone(), kept);
        Ok(())
    }

    /// Where the tree of a layer is.
    #[must_use]
    pub fn tree(&self, layer: &str) -> PathBuf {
        self.layer_folder(layer).join(TREE)
    }

    /// The layer whose tree is there; the reverse of [`Self::tree`].
    #[must_use]
    pub fn name_of(&self, tree: &Path) -> Option<String> {
        let state = self.state();
        let mut layers = state.layers.keys();
        layers.find(|name| self.tree(name) == tree).cloned()
    }

    /// Removes images that nobody uses, the longest unused first, until what is here fits its bound;
    /// blocks.
    pub fn make_room(&self) {
        for image in self.evict(|state| state.bytes() > self.bytes_max, &BTreeSet::new()) {
            info!(image, "image that nobody uses is removed, for room");
        }
    }

    /// Removes every image that nobody uses, but for those named; gives the names of those that went.
    pub fn prune(&self, excluded: &BTreeSet<String>) -> Vec<String> {
        self.evict(|_| true, excluded)
    }

    fn evict(&self, goes_on: impl Fn(&State) -> bool, excluded: &BTreeSet<String>) -> Vec<String> {
        let mut gone = Vec::new();
        let mut graves = Vec::new();
        {
            let mut state = self.state();
            graves.extend(self.bury_layers(&mut state));
            while goes_on(&state)
                && let Some(name) = state.longest_unused(excluded)
            {
                let path = self.image_path(&name);
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    warn!(image = name, error = chain(&error), "image stays");
                    break;
                }
                state.images.remove(&name);
                gone.push(name);
                graves.extend(self.bury_layers(&mut state));
            }
        }
        for grave in graves {
            remove(&grave);
        }
        gone
    }

    /// Takes layers out of reach that belong to no image and no lease.
    fn bury_layers(&self, state: &mut State) -> Vec<PathBuf> {
        let used = state.images.values().flat_map(|kept| &kept.image.layers);
        let used: BTreeSet<_> = used.cloned().collect();
        let idle = |(name, layer): &(&String, &Layer)| layer.leases == 0 && !used.contains(*name);
        let idle = state
            .layers
            .iter()
            .filter(idle)
            .map(|(name, _)| name.clone());
        let idle: Vec<_> = idle.collect();
        let mut graves = Vec::new();
        for name in idle {
            let grave = self
                .folder
                .join("graves")
                .join(uuid::Uuid::new_v4().to_string());
            match fs::rename(self.layer_folder(&name), &grave) {
                Ok(()) => {
                    state.layers.remove(&name);
                    graves.push(grave);
                }
                Err(error) => warn!(layer = name, error = chain(&error), "layer stays"),
            }
        }
        graves
    }

    fn staging(&self) -> PathBuf {
        self.folder.join("staging")
    }

    fn layer_folder(&self, layer: &str) -> PathBuf {
        self.folder.join("layers").join(layer.replace(':', "/"))
    }

    fn image_path(&self, name: &str) -> PathBuf {
        let hash = digest::sha256(name.as_bytes());
        self.folder
            .join("images")
            .join(hash.trim_start_matches("sha256:"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.layers.values().map(|layer| layer.bytes).sum()
    }

    fn longest_unused(&self, excluded: &BTreeSet<String>) -> Option<String> {
        // Of an image in use every layer is leased; one that only shares some with it may go.
        let is_leased = |name: &String| self.layers.get(name).is_some_and(|layer| layer.leases > 0);
        let is_used = |kept: &Kept| {
            let layers = &kept.image.layers;
            !layers.is_empty() && layers.iter().all(is_leased)
        };
        let idle = self.images.values().filter(|kept| !is_used(kept));
        let idle = idle.filter(|kept| !excluded.contains(&kept.image.name));
        let oldest = idle.min_by_key(|kept| kept.used)?;
        Some(oldest.image.name.clone())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.store.state();
        for layer in &self.layers {
            if let Some(layer) = state.layers.get_mut(layer) {
                layer.leases = layer.leases.saturating_sub(1);
            }
        }
        if state.bytes() <= self.store.bytes_max {
            return;
        }
        drop(state);
        // What stood past the bound since it was in use may go now. Without a thread the next pull
        // sees to it.
        let store = Arc::clone(&self.store);
        let room = thread::Builder::new().name("store".to_string());
        let _ = room.spawn(move || store.make_room());
    }
}

/// What a thread did that ended in a panic is whole nevertheless: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let all = fs::read_dir(folder)?;
        all.map(|entry| Ok(entry?.path())).collect()
    };
    read().map_err(failed("list", folder))
}

fn read_layer(folder: &Path) -> Option<u64> {
    if !folder.join(DURABLE).exists() || !folder.join(TREE).is_dir() {
        return None;
    }
    fs::read_to_string(folder.join(BYTES)).ok()?.parse().ok()
}

fn read_image(path: &Path) -> Option<(Image, SystemTime)> {
    let image = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let used = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    Some((image, used))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Removes a file or a tree, in which links are not followed.
fn remove(path: &Path) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = match is_folder {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), error = chain(&error), "what is of no use stays");
    }
}
