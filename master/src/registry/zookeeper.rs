//! A registry in ZooKeeper: a znode an entry, in the folder of the election.
//!
//! ```text
//! <path>/log_replicas/epoch         the number of the newest start, eight bytes
//! <path>/log_replicas/entries/<key> an entry; `/` and `%` of its key are written as %2F and %25
//! ```
//!
//! Mesos' own masters have a child of that name there, and it is the one that detectors leave out:
//! pymesos takes every other for a master.
//!
//! Invariant: every write checks the version of `epoch`, which a later start has raised, and those of
//! the entries that it changes: whoever was superseded writes nothing. Where an answer is lost the
//! versions tell whether the write took place, so that none is made twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use detector::Place;
use tokio::runtime::Handle;
use zookeeper_client::{Client, CreateMode, Error, MultiReadResult, MultiWriter};

use super::{Change, Contents, Elected, Registry, RegistryError, raised};

/// Bytes of one request, at most: half of what a server takes (`jute.maxbuffer`, 1 MiB).
const REQUEST_BYTES_MAX: usize = 512 << 10;
/// What an operation takes in a request beside its path and data.
const OPERATION_BYTES: usize = 128;
/// Entries that are read by one request.
const READS_MAX: usize = 100;
/// The pause before a request is tried again that was not answered.
const RETRY: Duration = Duration::from_millis(200);

/// Entries in znodes.
pub struct ZooKeeper {
    place: Place,
    runtime: Handle,
    client: Option<Client>,
    /// The number of this start, and the version of `epoch` since.
    epoch: u64,
    fence: i32,
    /// The version and the size of every entry.
    entries: BTreeMap<String, (i32, usize)>,
}

/// One operation on an entry, and the version that it has afterwards; none where it is gone.
struct Operation<'a> {
    key: &'a str,
    before: Option<i32>,
    /// The value from now on; none where the entry goes.
    value: Option<&'a [u8]>,
}

/// What a request came to.
enum Outcome {
    Done,
    /// The versions are others: somebody else has written.
    Refused,
    /// Nobody can say.
    Unknown(Error),
}

impl ZooKeeper {
    /// A registry that is not read yet; `runtime` drives its connection.
    #[must_use]
    pub const fn new(place: Place, runtime: Handle) -> Self {
        Self {
            place,
            runtime,
            client: None,
            epoch: 0,
            fence: 0,
            entries: BTreeMap::new(),
        }
    }

    /// One that uses a session that is open, and ends with it.
    #[must_use]
    pub fn within(client: Client, place: Place, runtime: Handle) -> Self {
        Self {
            client: Some(client),
            ..Self::new(place, runtime)
        }
    }

    fn error(&self, act: &'static str, source: Error) -> RegistryError {
        RegistryError::ZooKeeper {
            act,
            servers: self.place.url.hosts(),
            path: self.place.url.path.clone(),
            source: Box::new(source),
        }
    }

    fn epoch_path(&self) -> String {
        format!("{}/log_replicas/epoch", self.place.url.path)
    }

    fn folder(&self) -> String {
        format!("{}/log_replicas/entries", self.place.url.path)
    }

    fn entry_path(&self, key: &str) -> String {
        let name = key.replace('%', "%25").replace('/', "%2F");
        format!("{}/{name}", self.folder())
    }

    async fn begin(&mut self, elected: Elected) -> Result<Contents, RegistryError> {
        let client = self.session().await?;
        let read = |source| self.error("read", source);
        let options = self.place.options(CreateMode::Persistent);
        client.mkdir(&self.folder(), &options).await.map_err(read)?;
        let (epoch, fence) = self.raise(&client, elected).await?;
        // A server may be behind the one that took the new epoch.
        client.sync(&self.place.url.path).await.map_err(read)?;
        let entries = self.read_entries(&client).await?;
        (self.epoch, self.fence) = (epoch, fence);
        self.entries = entries
            .iter()
            .map(|(key, value, version)| (key.clone(), (*version, value.len())))
            .collect();
        let entries = entries.into_iter().map(|(key, value, _)| (key, value));
        Ok(Contents {
            epoch,
            entries: entries.collect(),
        })
    }

    async fn session(&mut self) -> Result<Client, RegistryError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let connected = self.place.connect().await;
        let client = connected.map_err(|source| self.error("connect to", source))?;
        self.client = Some(client.clone());
        Ok(client)
    }

    async fn look(&mut self) -> Result<Contents, RegistryError> {
        let client = self.session().await?;
        let epoch = match client.get_data(&self.epoch_path()).await {
            Ok((data, _)) => self.read_epoch(&data)?,
            // No master ever started here.
            Err(Error::NoNode) => return Ok(Contents::default()),
            Err(source) => return Err(self.error("read", source)),
        };
        let entries = self.read_entries(&client).await?.into_iter();
        let entries = entries.map(|(key, value, _)| (key, value)).collect();
        Ok(Contents { epoch, entries })
    }

    /// Writes the epoch of this start; gives it with the version of its znode.
    async fn raise(&self, client: &Client, elected: Elected) -> Result<(u64, i32), RegistryError> {
        let path = self.epoch_path();
        let begun = Instant::now();
        loop {
            client
                .sync(&self.place.url.path)
                .await
                .map_err(|source| self.error("read", source))?;
            let found = match client.get_data(&path).await {
                Ok((data, stat)) => Some((self.read_epoch(&data)?, stat.version)),
                Err(Error::NoNode) => None,
                Err(source) => return Err(self.error("read", source)),
            };
            let before = found.map_or(0, |(epoch, _)| epoch);
            let epoch = raised(elected, before)?;
            let data = epoch.to_be_bytes();
            let written = match found {
                Some((_, version)) => {
                    let stat = client.set_data(&path, &data, Some(version)).await;
                    stat.map(|stat| stat.version)
                }
                None => {
                    let made = client
                        .create(&path, &data, &self.place.options(CreateMode::Persistent))
                        .await;
                    made.map(|(stat, _)| stat.version)
                }
            };
            match written {
                Ok(version) => return Ok((epoch, version)),
                // Somebody else was faster, or nobody knows: what is there now decides. An epoch
                // that was written and not answered for is passed over by one that counts alone.
                Err(Error::BadVersion | Error::NodeExists) => {}
                Err(Error::ConnectionLoss) if begun.elapsed() < self.place.session_timeout => {
                    if let Some(version) = self.was_raised(client, elected).await {
                        return Ok(version);
                    }
                }
                Err(source) => return Err(self.error("write", source)),
            }
        }
    }

    /// Whether the epoch of an election is there, which only its master writes.
    async fn was_raised(&self, client: &Client, elected: Elected) -> Option<(u64, i32)> {
        let Elected::Epoch(epoch) = elected else {
            return None;
        };
        tokio::time::sleep(RETRY).await;
        let (data, stat) = client.get_data(&self.epoch_path()).await.ok()?;
        let is_ours = data == epoch.to_be_bytes();
        is_ours.then_some((epoch, stat.version))
    }

    fn read_epoch(&self, data: &[u8]) -> Result<u64, RegistryError> {
        let bytes = data.try_into().ok();
        bytes
            .map(u64::from_be_bytes)
            .ok_or_else(|| RegistryError::Znode {
                path: self.epoch_path(),
                detail: format!("{} bytes, and an epoch has 8", data.len()),
            })
    }

    async fn read_entries(
        &self,
        client: &Client,
    ) -> Result<Vec<(String, Vec<u8>, i32)>, RegistryError> {
        let failed = |source| self.error("read", source);
        let folder = self.folder();
        let names = client.list_children(&folder).await.map_err(failed)?;
        let mut entries = Vec::with_capacity(names.len());
        for names in names.chunks(READS_MAX) {
            let mut reader = client.new_multi_reader();
            for name in names {
                let path = format!("{folder}/{name}");
                reader.add_get_data(&path).map_err(failed)?;
            }
            let results = reader.commit().await.map_err(failed)?;
            for (name, result) in names.iter().zip(results) {
                match result {
                    MultiReadResult::Data { data, stat } => {
                        let key = name.replace("%2F", "/").replace("%25", "%");
                        entries.push((key, data, stat.version));
                    }
                    MultiReadResult::Error { err } => return Err(failed(err)),
                    _ => return Err(failed(Error::MarshallingError)),
                }
            }
        }
        entries.sort();
        Ok(entries)
    }

    async fn write(&mut self, groups: &[Vec<Change>]) -> Result<(), RegistryError> {
        let mut request: BTreeMap<&str, Option<&[u8]>> = BTreeMap::new();
        let mut size = 0;
        for group in groups {
            let own = self.size_of(group)?;
            if size + own > REQUEST_BYTES_MAX {
                self.commit(&std::mem::take(&mut request)).await?;
                size = 0;
            }
            size += own;
            // Of several changes of one entry the last holds.
            request.extend(group.iter().map(|change| match change {
                Change::Put { key, value } => (key.as_str(), Some(value.as_slice())),
                Change::Delete { key } => (key.as_str(), None),
            }));
        }
        self.commit(&request).await
    }

    /// The size of changes that belong together, in bytes.
    fn size_of(&self, group: &[Change]) -> Result<usize, RegistryError> {
        let sizes = group.iter().map(|change| match change {
            Change::Put { key, value } => self.entry_path(key).len() + value.len(),
            Change::Delete { key } => self.entry_path(key).len(),
        });
        let size = sizes.map(|size| size + OPERATION_BYTES).sum();
        match group.first() {
            Some(Change::Put { key, .. } | Change::Delete { key }) if size > REQUEST_BYTES_MAX => {
                Err(RegistryError::TooLarge {
                    key: key.clone(),
                    size,
                    max: REQUEST_BYTES_MAX,
                })
            }
            _ => Ok(size),
        }
    }

    /// Makes changes durable together, and knows afterwards that they are.
    async fn commit(
        &mut self,
        changes: &BTreeMap<&str, Option<&[u8]>>,
    ) -> Result<(), RegistryError> {
        let Some(client) = self.client.clone() else {
            return Err(self.error("write", Error::ClientClosed));
        };
        let operations = changes.iter().filter_map(|(key, value)| {
            let before = self.entries.get(*key).map(|(version, _)| *version);
            let is_nothing = before.is_none() && value.is_none();
            (!is_nothing).then_some(Operation {
                key,
                before,
                value: *value,
            })
        });
        let operations: Vec<Operation<'_>> = operations.collect();
        if operations.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            match self.ask(&client, &operations).await {
                Outcome::Done => break,
                Outcome::Refused => return Err(self.refused(&client).await),
                Outcome::Unknown(Error::ConnectionLoss)
                    if begun.elapsed() < self.place.session_timeout =>
                {
                    tokio::time::sleep(RETRY).await;
                    match self.was_done(&client, &operations).await {
                        Ok(true) => break,
                        Ok(false) | Err(Error::ConnectionLoss) => {}
                        Err(source) => return Err(self.error("write", source)),
                    }
                }
                Outcome::Unknown(source) => return Err(self.error("write", source)),
            }
        }
        for operation in operations {
            let version = operation.before.map_or(0, |before| before.wrapping_add(1));
            match operation.value {
                Some(value) => {
                    let entry = (version, value.len());
                    self.entries.insert(operation.key.to_owned(), entry);
                }
                None => {
                    self.entries.remove(operation.key);
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, client: &Client, operations: &[Operation<'_>]) -> Outcome {
        let mut writer = client.new_multi_writer();
        if let Err(source) = self.fill(&mut writer, operations) {
            return Outcome::Unknown(source);
        }
        match writer.commit().await.map_err(Error::from) {
            Ok(_) => Outcome::Done,
            Err(Error::BadVersion | Error::NoNode | Error::NodeExists) => Outcome::Refused,
            Err(source) => Outcome::Unknown(source),
        }
    }

    fn fill(&self, writer: &mut MultiWriter<'_>, all: &[Operation<'_>]) -> Result<(), Error> {
        writer.add_check_version(&self.epoch_path(), self.fence)?;
        let options = self.place.options(CreateMode::Persistent);
        for operation in all {
            let path = self.entry_path(operation.key);
            match (operation.value, operation.before) {
                (Some(value), Some(before)) => writer.add_set_data(&path, value, Some(before))?,
                (Some(value), None) => writer.add_create(&path, value, &options)?,
                (None, before) => writer.add_delete(&path, before)?,
            }
        }
        Ok(())
    }

    /// Whether a write took place whose answer was lost: the first of its entries tells for all.
    async fn was_done(&self, client: &Client, all: &[Operation<'_>]) -> Result<bool, Error> {
        let Some(first) = all.first() else {
            return Ok(true);
        };
        client.sync(&self.place.url.path).await?;
        let stat = client.check_stat(&self.entry_path(first.key)).await?;
        let version = stat.map(|stat| stat.version);
        let is_done = match first.value {
            Some(_) => version != first.before,
            None => version.is_none(),
        };
        // Where another master has started since, the entry may be its work.
        let (_, epoch) = client.get_data(&self.epoch_path()).await?;
        Ok(is_done && epoch.version == self.fence)
    }

    /// Who has written instead.
    async fn refused(&self, client: &Client) -> RegistryError {
        match client.get_data(&self.epoch_path()).await {
            Ok((data, stat)) if stat.version != self.fence => match self.read_epoch(&data) {
                Ok(newest) => RegistryError::Superseded {
                    epoch: self.epoch,
                    newest,
                },
                Err(error) => error,
            },
            Ok(_) => RegistryError::Znode {
                path: self.folder(),
                detail: "an entry was changed by somebody who is no master".to_owned(),
            },
            Err(source) => self.error("read", source),
        }
    }
}

impl Registry for ZooKeeper {
    fn start(&mut self, elected: Elected) -> Result<Contents, RegistryError> {
        self.runtime.clone().block_on(self.begin(elected))
    }

    fn read(&mut self) -> Result<Contents, RegistryError> {
        self.runtime.clone().block_on(self.look())
    }

    fn store(&mut self, groups: &[Vec<Change>]) -> Result<(), RegistryError> {
        self.runtime.clone().block_on(self.write(groups))
    }

    fn size(&self) -> u64 {
        let sizes = self.entries.iter().map(|(key, (_, size))| key.len() + size);
        sizes.map(|size| size as u64).sum()
    }
}
