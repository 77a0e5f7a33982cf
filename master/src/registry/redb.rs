//! A registry in one redb file, `registry.redb` in the work directory.
//!
//! A new file is completed under another name and renamed, so that a crash in between leaves
//! nothing that a later start would take for damage. Every page is checked when the file is opened.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ::redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError,
};

use super::{Change, Contents, Elected, Registry, RegistryError, raised};

const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const EPOCH: &str = "epoch";
const FORMAT: &str = "format";
/// The layout of the tables above; a file of another layout is refused.
const FORMAT_VERSION: u64 = 1;
/// A registry of 10 000 agents is a few megabytes; what is not here comes from the kernel's cache, a
/// read(2) each.
const CACHE_BYTES: usize = 256 << 10;

/// Entries in a redb file.
pub struct Redb {
    path: PathBuf,
    database: Database,
}

impl Redb {
    /// Opens the file in `work_dir`, or makes it where there is none.
    ///
    /// # Errors
    /// The folder or the file cannot be made, is in use, or is damaged.
    pub fn open(work_dir: &Path) -> Result<Self, RegistryError> {
        fs::create_dir_all(work_dir).map_err(|source| RegistryError::Folder {
            path: work_dir.to_path_buf(),
            source,
        })?;
        let path = work_dir.join("registry.redb");
        match fs::metadata(&path) {
            Ok(found) if found.len() == 0 => return Err(RegistryError::Empty { path }),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(work_dir, &path)?,
            Err(error) => return Err(RegistryError::file("look at", &path, error)),
        }
        let database = builder()
            .open(&path)
            .map_err(|error| open_error(&path, error))?;
        Ok(Self { path, database })
    }

    fn write_epoch(&self, epoch: u64) -> Result<(), ::redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(META)?.insert(EPOCH, epoch)?;
        transaction.commit()?;
        Ok(())
    }

    fn entries(&self) -> Result<Vec<(String, Vec<u8>)>, ::redb::Error> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(ENTRIES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut entries = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            entries.push((key.value().to_owned(), value.value().to_owned()));
        }
        Ok(entries)
    }

    fn write(&self, groups: &[Vec<Change>]) -> Result<(), ::redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for change in groups.iter().flatten() {
                match change {
                    Change::Put { key, value } => {
                        table.insert(key.as_str(), value.as_slice())?;
                    }
                    Change::Delete { key } => {
                        table.remove(key.as_str())?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// A number beside the entries; 0 where it was never written.
    fn meta(&self, name: &str) -> Result<u64, ::redb::Error> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(META) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let found = table.get(name)?.map_or(0, |found| found.value());
        Ok(found)
    }
}

impl Registry for Redb {
    fn start(&mut self, elected: Elected) -> Result<Contents, RegistryError> {
        let Contents { epoch, entries } = self.read()?;
        let epoch = raised(elected, epoch)?;
        self.write_epoch(epoch)
            .map_err(|error| RegistryError::file("write", &self.path, error))?;
        Ok(Contents { epoch, entries })
    }

    fn read(&mut self) -> Result<Contents, RegistryError> {
        let meta = |name| {
            let found = self.meta(name);
            found.map_err(|error| read_error(&self.path, error))
        };
        let format = meta(FORMAT)?;
        if format != FORMAT_VERSION {
            return Err(RegistryError::Damaged {
                path: self.path.clone(),
                detail: format!("format {format}, and this master reads {FORMAT_VERSION}"),
            });
        }
        let entries = self
            .entries()
            .map_err(|error| read_error(&self.path, error))?;
        Ok(Contents {
            epoch: meta(EPOCH)?,
            entries,
        })
    }

    fn store(&mut self, groups: &[Vec<Change>]) -> Result<(), RegistryError> {
        self.write(groups)
            .map_err(|error| RegistryError::file("write", &self.path, error))
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |found| found.len())
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_check_integrity_on_open(true);
    builder
}

/// Completes a new file beside `path`, then gives it its name.
fn create(work_dir: &Path, path: &Path) -> Result<(), RegistryError> {
    let fresh = work_dir.join("registry.redb.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(RegistryError::file("create", path, error));
        }
        _ => {}
    }
    fill(&fresh).map_err(|error| RegistryError::file("create", path, error))?;
    fs::rename(&fresh, path)
        .and_then(|()| File::open(work_dir)?.sync_all())
        .map_err(|error| RegistryError::file("create", path, error))
}

fn fill(fresh: &Path) -> Result<(), ::redb::Error> {
    let database = builder().create(fresh)?;
    let transaction = database.begin_write()?;
    transaction
        .open_table(META)?
        .insert(FORMAT, FORMAT_VERSION)?;
    transaction.open_table(ENTRIES)?;
    transaction.commit()?;
    Ok(())
}

fn open_error(path: &Path, error: DatabaseError) -> RegistryError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => RegistryError::InUse {
            path: path.to_path_buf(),
        },
        DatabaseError::Storage(StorageError::Io(ref io))
            if !matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            RegistryError::file("open", path, error)
        }
        error => RegistryError::Damaged {
            path: path.to_path_buf(),
            detail: error.to_string(),
        },
    }
}

fn read_error(path: &Path, error: ::redb::Error) -> RegistryError {
    match error {
        ::redb::Error::Io(source) => RegistryError::file("read", path, source),
        error => RegistryError::Damaged {
            path: path.to_path_buf(),
            detail: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &[u8]) -> Change {
        Change::Put {
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn a_second_master_on_one_work_dir_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Redb::open(folder.path()).unwrap();
        let second = Redb::open(folder.path());
        assert!(matches!(second, Err(RegistryError::InUse { .. })));
    }

    #[test]
    fn a_file_cut_short_anywhere_is_an_error_or_whole_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        let mut registry = Redb::open(folder.path()).unwrap();
        registry.start(Elected::Alone).unwrap();
        for number in 0..200 {
            registry
                .store(&[vec![put(&format!("agents/{number}"), &[7; 500])]])
                .unwrap();
        }
        drop(registry);
        let whole = fs::read(&path).unwrap();

        let mut cuts: Vec<usize> = (0..16).map(|part| whole.len() * part / 16).collect();
        cuts.extend([1, 9, 100, 320, whole.len() - 1]);
        for cut in cuts {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = Redb::open(folder.path()).err();
            assert!(error.is_some(), "cut at {cut} of {}", whole.len());
        }
    }

    #[test]
    fn a_file_with_changed_bytes_is_an_error_or_whole_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        let mut registry = Redb::open(folder.path()).unwrap();
        registry.start(Elected::Alone).unwrap();
        registry.store(&[vec![put("agents/a", &[7; 500])]]).unwrap();
        drop(registry);
        let whole = fs::read(&path).unwrap();

        for step in 0..64 {
            let mut changed = whole.clone();
            let at = (step * 7919) % whole.len().min(32768);
            for byte in &mut changed[at..at + 8] {
                *byte ^= 0xa5;
            }
            fs::write(&path, &changed).unwrap();
            let outcome =
                Redb::open(folder.path()).and_then(|mut registry| registry.start(Elected::Alone));
            if let Ok(contents) = outcome {
                assert_eq!(contents.entries.len(), 1, "bytes changed at {at}");
            }
        }
        fs::write(&path, b"not a registry at all").unwrap();
        let error = Redb::open(folder.path()).err().unwrap();
        assert!(matches!(error, RegistryError::Damaged { .. }), "{error}");
    }
}
