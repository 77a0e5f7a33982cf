//! Cache: files that several tasks of a user fetch, loaded once and kept up to a bound.
//!
//! Who wants a file while another loads it waits for that. What was not used for the longest time goes
//! first; a file that is gone while a task copies it stays readable for that. Files under way lie
//! beside the cache and count when they are whole. As in Mesos nothing is asked of the server again
//! for a file that is here, and the cache begins empty with the agent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use agent_core::sandbox::STORE_IDS;
use tokio::sync::OwnedMutexGuard;

/// Whose file it is, and its URI.
type Key = (String, String);

/// The folder of files that are whole.
const KEPT: &str = "kept";
/// The folder of files under way.
const STAGING: &str = "staging";

#[derive(Debug)]
pub(super) struct Cache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    staging: File,
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files that are whole.
    kept: BTreeMap<Key, Kept>,
    /// Who loads or looks at a file now; what nobody holds any more is gone.
    busy: BTreeMap<Key, Weak<tokio::sync::Mutex<()>>>,
    used: u64,
    /// Counts uses, and gives names.
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    name: String,
    bytes: u64,
    used_at: u64,
}

/// A file of the cache, there or not yet.
#[derive(Debug)]
pub(super) struct Entry {
    key: Key,
    shared: Arc<Shared>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The same, with nobody else at it.
#[derive(Debug)]
pub(super) struct Held {
    key: Key,
    shared: Arc<Shared>,
    name: String,
    _turn: OwnedMutexGuard<()>,
}

impl Cache {
    /// Empties the folder.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        for inner in [KEPT, STAGING] {
            let inner = folder.join(inner);
            match fs::remove_dir_all(&inner) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::create_dir_all(&inner)?,
            }
        }
        let staging = File::open(folder.join(STAGING))?;
        let owner = Some(STORE_IDS.first);
        match std::os::unix::fs::fchown(&staging, owner, owner) {
            // An agent that is not root loads as itself.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => result?,
        }
        Ok(Self {
            shared: Arc::new(Shared {
                folder: folder.to_path_buf(),
                staging,
                bytes_max,
                state: Mutex::default(),
            }),
        })
    }

    /// Bytes of the files that are kept.
    pub(super) fn used(&self) -> u64 {
        self.shared.with(|state| state.used)
    }

    /// The most bytes that a file may have; `None` of a cache without room.
    pub(super) fn most(&self) -> Option<u64> {
        Some(self.shared.bytes_max).filter(|most| *most > 0)
    }

    /// A file of the cache.
    pub(super) fn entry(&self, key: Key) -> Entry {
        let turn = self.shared.with(|state| {
            state.busy.retain(|_, turn| turn.strong_count() > 0);
            let turn = state.busy.get(&key).and_then(Weak::upgrade);
            turn.unwrap_or_else(|| {
                let turn = Arc::default();
                state.busy.insert(key.clone(), Arc::downgrade(&turn));
                turn
            })
        });
        Entry {
            key,
            shared: Arc::clone(&self.shared),
            turn,
        }
    }
}

impl Entry {
    /// Waits for whoever is at it.
    pub(super) async fn held(self) -> Held {
        let turn = self.turn.lock_owned().await;
        let name = self.shared.with(|state| {
            state.clock += 1;
            format!("{}", state.clock)
        });
        Held {
            key: self.key,
            shared: self.shared,
            name,
            _turn: turn,
        }
    }
}

impl Held {
    /// The file, open, where it is there.
    pub(super) fn file(&mut self) -> Option<io::Result<File>> {
        let (key, shared) = (&self.key, &self.shared);
        shared.with(|state| {
            state.clock += 1;
            let now = state.clock;
            let kept = state.kept.get_mut(key)?;
            kept.used_at = now;
            let file = File::open(shared.folder.join(KEPT).join(&kept.name));
            if file.is_err() {
                // Somebody has tidied up there: it is loaded again.
                shared.forget(state, key);
                return None;
            }
            Some(file)
        })
    }

    /// Where it is to be loaded: a folder, and the name in it.
    pub(super) fn staging(&self) -> (&File, &str) {
        (&self.shared.staging, &self.name)
    }

    /// Keeps what was loaded, and lets go of others for it; `None` where there is no room.
    pub(super) fn keep(&mut self) -> Option<io::Result<File>> {
        let staged = self.shared.folder.join(STAGING).join(&self.name);
        let bytes = match fs::symlink_metadata(&staged) {
            Ok(data) => data.len(),
            Err(error) => return Some(Err(error)),
        };
        if bytes > self.shared.bytes_max {
            return None;
        }
        let (key, shared, name) = (&self.key, &self.shared, &self.name);
        Some(shared.with(|state| {
            shared.make_room(state, bytes);
            let path = shared.folder.join(KEPT).join(name);
            fs::rename(&staged, &path)?;
            let file = File::open(&path)?;
            state.clock += 1;
            let kept = Kept {
                name: name.clone(),
                bytes,
                used_at: state.clock,
            };
            state.used += bytes;
            state.kept.insert(key.clone(), kept);
            Ok(file)
        }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What was not kept is of no use; most often there is nothing.
        let _ = fs::remove_file(self.shared.folder.join(STAGING).join(&self.name));
    }
}

impl Shared {
    /// No holder of the lock panics between two changes that belong together.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn make_room(&self, state: &mut State, bytes: u64) {
        while state.used.saturating_add(bytes) > self.bytes_max {
            let all = state.kept.iter();
            let oldest = all.min_by_key(|(_, kept)| kept.used_at);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.forget(state, &key);
        }
    }

    fn forget(&self, state: &mut State, key: &Key) {
        if let Some(kept) = state.kept.remove(key) {
            state.used -= kept.bytes;
            // Where it is gone already there is as much room.
            let _ = fs::remove_file(self.folder.join(KEPT).join(&kept.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn key(name: &str) -> Key {
        ("user".to_owned(), name.to_owned())
    }

    async fn load(cache: &Cache, name: &str, content: &str) -> bool {
        let mut held = cache.entry(key(name)).held().await;
        assert!(held.file().is_none(), "{name} is there");
        let path = cache.shared.folder.join(STAGING).join(held.staging().1);
        fs::write(path, content).expect("written");
        held.keep().is_some()
    }

    async fn read(cache: &Cache, name: &str) -> Option<String> {
        let mut held = cache.entry(key(name)).held().await;
        let mut text = String::new();
        held.file()?.ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[tokio::test]
    async fn what_was_not_used_longest_goes_first_and_the_bound_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path(), 10).expect("a cache");
        assert!(load(&cache, "a", "aaaa").await);
        assert!(load(&cache, "b", "bbbb").await);
        assert_eq!(read(&cache, "a").await.as_deref(), Some("aaaa"));
        assert!(load(&cache, "c", "cccc").await);
        assert_eq!(read(&cache, "b").await, None);
        assert_eq!(read(&cache, "a").await.as_deref(), Some("aaaa"));
        assert!(!load(&cache, "big", "eleven bytes").await);
        assert_eq!(cache.used(), 8);
        let count = |name: &str| fs::read_dir(folder.path().join(name)).map(Iterator::count);
        assert_eq!(count(STAGING).ok(), Some(0));
        assert_eq!(count(KEPT).ok(), Some(2));
        let cache = Cache::open(folder.path(), 10).expect("a cache");
        assert_eq!((cache.used(), read(&cache, "a").await), (0, None));
    }

    #[tokio::test]
    async fn who_wants_what_another_loads_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Arc::new(Cache::open(folder.path(), 100).expect("a cache"));
        let mut first = cache.entry(key("a")).held().await;
        let waiting = {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { read(&cache, "a").await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let path = folder.path().join(STAGING).join(first.staging().1);
        fs::write(path, "once").expect("written");
        assert!(first.keep().is_some_and(|file| file.is_ok()));
        drop(first);
        assert_eq!(waiting.await.expect("no panic").as_deref(), Some("once"));
    }
}
