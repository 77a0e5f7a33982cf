//! Settings: which registries there are, and what an image is called here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::appc::Prefix;
use super::credentials::Credentials;
use super::reference::{Reference, is_authority};
use super::registry::Address;

/// Where the Docker Hub is, whose name is another.
const HUB: &str = "registry-1.docker.io";
/// The Docker Hub's name in references.
const HUB_NAMES: [&str; 2] = ["docker.io", "index.docker.io"];
/// Where the Hub keeps images with a name of one word.
const HUB_LIBRARY: &str = "library";

/// What the operator says of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the store is.
    pub store: PathBuf,
    /// The most bytes that it holds of images nobody uses.
    pub bytes_max: u64,
    /// Where images are that name no registry.
    pub default: Default,
    /// Registries that speak http.
    pub insecure: Vec<String>,
    /// What is asked before a registry, by the registry's name.
    pub mirrors: BTreeMap<String, Vec<Address>>,
    /// What registries are shown.
    pub credentials: Credentials,
    /// Where App Container Images are.
    pub appc: Prefix,
    /// How long is waited before each further try of what may pass.
    pub waits: Vec<Duration>,
}

/// Where images are that name no registry (`--docker_registry`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Default {
    /// There.
    Registry(Address),
    /// In a folder, as layout directories or archives.
    Folder(PathBuf),
}

/// Where one image may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registries {
    /// In one of these, mirrors first.
    Remote {
        /// The registries.
        addresses: Vec<Address>,
        /// The image's name there.
        repository: String,
    },
    /// In a folder.
    Folder(PathBuf),
}

/// Why a text is no address of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no registry: HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT]")]
pub struct SettingsError(String);

impl std::str::FromStr for Address {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let (is_secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(SettingsError(text.to_string())),
            None => (true, text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if !is_authority(authority) {
            return Err(SettingsError(text.to_string()));
        }
        Ok(Self {
            is_secure,
            authority: authority.to_string(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl std::default::Default for Default {
    fn default() -> Self {
        Self::Registry(Address {
            is_secure: true,
            authority: HUB.to_string(),
        })
    }
}

impl Settings {
    /// What an image is called in the store: with its registry and version.
    #[must_use]
    pub fn name(&self, reference: &Reference) -> String {
        let joined = if reference.digest.is_some() { '@' } else { ':' };
        let version = reference.version();
        let (registry, repository) = match self.origin(reference) {
            Some((address, repository)) => (address.authority, repository),
            None => ("local".to_string(), reference.repository.clone()),
        };
        format!("{registry}/{repository}{joined}{version}")
    }

    /// Where an image may be.
    #[must_use]
    pub fn registries(&self, reference: &Reference) -> Registries {
        let Some((origin, repository)) = self.origin(reference) else {
            return match &self.default {
                Default::Folder(folder) => Registries::Folder(folder.clone()),
                Default::Registry(address) => Registries::Remote {
                    addresses: vec![address.clone()],
                    repository: reference.repository.clone(),
                },
            };
        };
        let mirrors = self.mirrors.get(&origin.authority).into_iter().flatten();
        Registries::Remote {
            addresses: mirrors.cloned().chain([origin.clone()]).collect(),
            repository,
        }
    }

    /// The registry of an image, and the image's name there; `None` for one in a folder.
    fn origin(&self, reference: &Reference) -> Option<(Address, String)> {
        let address = match (&reference.registry, &self.default) {
            (Some(registry), _) => self.address(registry),
            (None, Default::Registry(address)) => address.clone(),
            (None, Default::Folder(_)) => return None,
        };
        let repository = match address.authority == HUB && !reference.repository.contains('/') {
            true => format!("{HUB_LIBRARY}/{}", reference.repository),
            false => reference.repository.clone(),
        };
        Some((address, repository))
    }

    /// As Mesos chooses: http at port 80 and on this host, https elsewhere, but for what the operator
    /// says.
    fn address(&self, registry: &str) -> Address {
        if HUB_NAMES.contains(&registry) {
            return Address {
                is_secure: true,
                authority: HUB.to_string(),
            };
        }
        let is_plain = match registry.rsplit_once(':') {
            Some((_, "80")) => true,
            Some((host, port)) => port != "443" && ["localhost", "127.0.0.1"].contains(&host),
            None => false,
        };
        let is_insecure = self.insecure.iter().any(|name| name == registry);
        let by_default = match &self.default {
            Default::Registry(address) if address.authority == registry => Some(address.is_secure),
            Default::Registry(_) | Default::Folder(_) => None,
        };
        Address {
            is_secure: by_default.unwrap_or(!is_plain) && !is_insecure,
            authority: registry.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(default: Default) -> Settings {
        let mirror = "http://m.example:5000".parse().expect("an address");
        Settings {
            store: PathBuf::from("/store"),
            bytes_max: 1,
            default,
            insecure: vec!["10.0.2.2:5000".to_string()],
            mirrors: BTreeMap::from([(HUB.to_string(), vec![mirror])]),
            credentials: Credentials::default(),
            appc: Prefix::default(),
            waits: Vec::new(),
        }
    }

    #[test]
    fn an_image_has_one_name_whatever_it_is_called() {
        let settings = settings(Default::default());
        for (text, name) in [
            ("busybox", "registry-1.docker.io/library/busybox:latest"),
            (
                "docker.io/busybox:latest",
                "registry-1.docker.io/library/busybox:latest",
            ),
            ("a/b:1", "registry-1.docker.io/a/b:1"),
            ("10.0.2.2:5000/b", "10.0.2.2:5000/b:latest"),
        ] {
            let reference = text.parse().expect("a reference");
            assert_eq!(settings.name(&reference), name, "{text}");
        }
    }

    #[test]
    fn http_is_spoken_on_this_host_at_port_80_and_where_the_operator_says_so() {
        let settings = settings(Default::default());
        for (text, addresses) in [
            (
                "busybox",
                vec!["http://m.example:5000", "https://registry-1.docker.io"],
            ),
            ("10.0.2.2:5000/b", vec!["http://10.0.2.2:5000"]),
            ("10.0.2.2:5001/b", vec!["https://10.0.2.2:5001"]),
            ("r.example/b", vec!["https://r.example"]),
            ("r.example:80/b", vec!["http://r.example:80"]),
            ("localhost:5000/b", vec!["http://localhost:5000"]),
            ("localhost/b", vec!["https://localhost"]),
        ] {
            let expected = addresses
                .iter()
                .map(|text| text.parse().expect("an address"));
            let Registries::Remote { addresses, .. } =
                settings.registries(&text.parse().expect("a reference"))
            else {
                panic!("{text} is in a registry");
            };
            assert_eq!(addresses, expected.collect::<Vec<Address>>(), "{text}");
        }
    }

    #[test]
    fn an_image_without_a_registry_may_be_in_a_folder() {
        let settings = settings(Default::Folder("/images".into()));
        let reference = "busybox".parse().expect("a reference");
        assert_eq!(settings.name(&reference), "local/busybox:latest");
        assert_eq!(
            settings.registries(&reference),
            Registries::Folder("/images".into())
        );
        for text in ["ftp://a", "http://", "a/b", "", "http://a:x", "user@a"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
