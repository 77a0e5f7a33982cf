//! Images: where they come from and how much of them is kept, as the operator says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::images::appc::Prefix;
use crate::images::credentials::Credentials;
use crate::images::registry::Address;
use crate::images::settings::Default as DefaultRegistry;

use super::settings::Why;
use super::values::absolute;

/// What the operator says of images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Images {
    /// Where images are that name no registry.
    pub registry: DefaultRegistry,
    /// What registries are shown.
    pub credentials: Shown,
    /// Registries that speak http.
    pub insecure: Vec<String>,
    /// What is asked before a registry.
    pub mirrors: BTreeMap<String, Vec<Address>>,
    /// Where App Container Images are.
    pub appc: Prefix,
    /// Where layers are kept; beneath the work directory where it is not given.
    pub store: Option<PathBuf>,
    /// How many bytes of images nobody uses are kept; half of the work disk where it is not given.
    pub store_bytes_max: Option<u64>,
}

/// What registries are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// This.
    Here(Credentials),
    /// What a file holds.
    File(PathBuf),
}

impl Default for Shown {
    fn default() -> Self {
        Self::Here(Credentials::default())
    }
}

/// An address, or a folder.
pub(super) fn registry(text: &str) -> Result<DefaultRegistry, Why> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    if path.starts_with('/') {
        return absolute(path).map(DefaultRegistry::Folder);
    }
    address(text).map(DefaultRegistry::Registry)
}

/// What begins an address, or a folder.
pub(super) fn appc(text: &str) -> Result<Prefix, Why> {
    if text.starts_with('/') {
        return absolute(text).map(Prefix::Folder);
    }
    match text.starts_with("http://") || text.starts_with("https://") {
        true => Ok(Prefix::Web(text.to_owned())),
        false => Err(Why::new()),
    }
}

/// JSON, or a path of a file with it.
pub(super) fn credentials(text: &str) -> Result<Shown, Why> {
    if text.trim_start().starts_with('{') {
        return match Credentials::parse(text) {
            Ok(credentials) => Ok(Shown::Here(credentials)),
            Err(error) => Err(format!("; {error}")),
        };
    }
    absolute(text.strip_prefix("file://").unwrap_or(text)).map(Shown::File)
}

/// Registries, with commas between them.
pub(super) fn insecure(text: &str) -> Result<Vec<String>, Why> {
    let all = text.split(',').map(|one| match address(one) {
        Ok(address) if address.authority == one => Ok(address.authority),
        Ok(_) | Err(_) => Err(format!("; {one:?} is not")),
    });
    all.collect()
}

/// `REGISTRY=ADDRESS`, with commas between them; a registry may have several.
pub(super) fn mirrors(text: &str) -> Result<BTreeMap<String, Vec<Address>>, Why> {
    let mut all: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    for one in text.split(',') {
        let fault = || format!("; {one:?} is not");
        let (registry, mirror) = one.split_once('=').ok_or_else(fault)?;
        let registry = address(registry).map_err(|_| fault())?.authority;
        let mirror = address(mirror).map_err(|_| fault())?;
        all.entry(registry).or_default().push(mirror);
    }
    Ok(all)
}

/// A size in Mesos' notation.
pub(super) fn size(text: &str) -> Result<u64, Why> {
    model::bytes::parse(text).map_err(|_| Why::new())
}

fn address(text: &str) -> Result<Address, Why> {
    text.parse().map_err(|_| Why::new())
}
