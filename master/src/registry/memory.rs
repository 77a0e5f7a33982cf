//! A registry that ends with the process: for tests, and for `--registry=in_memory`.

use std::collections::BTreeMap;

use super::{Change, Contents, Elected, Registry, RegistryError, raised};

/// Entries in memory.
#[derive(Debug, Default)]
pub struct Memory {
    epoch: u64,
    entries: BTreeMap<String, Vec<u8>>,
}

impl Registry for Memory {
    fn start(&mut self, elected: Elected) -> Result<Contents, RegistryError> {
        self.epoch = raised(elected, self.epoch)?;
        self.read()
    }

    fn read(&mut self) -> Result<Contents, RegistryError> {
        Ok(Contents {
            epoch: self.epoch,
            entries: self
                .entries
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        })
    }

    fn store(&mut self, groups: &[Vec<Change>]) -> Result<(), RegistryError> {
        for change in groups.iter().flatten() {
            match change {
                Change::Put { key, value } => {
                    self.entries.insert(key.clone(), value.clone());
                }
                Change::Delete { key } => {
                    self.entries.remove(key);
                }
            }
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.entries
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}
