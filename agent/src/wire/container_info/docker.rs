//! Docker: what a container of type DOCKER asks for, given without a Docker daemon.
//!
//! Parameters are options of `docker run`. Those that say something of the container are followed;
//! those that only say how the daemon is to go about it mean nothing here and are passed over; all
//! others are refused by name.

use agent_core::sandbox::{Network, ProfileWish};
use api::v1::Parameter;
use api::v1::container_info::{DockerInfo, docker_info};
use model::sandbox::{Access, Capability, MountsBeneath, Rlimit};

use super::{Container, Place, VolumeWish, Wanted, network};

/// What Docker gives every container (the default of `docker run`), from which it takes.
const DEFAULT_CAPABILITIES: [u8; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// The names of `--ulimit`, with the kernel's numbers.
const ULIMITS: [(&str, u32); 15] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
];

/// Adds what a `DockerInfo` asks for.
pub(super) fn read(
    container: &mut Container,
    docker: &DockerInfo,
    place: Place,
) -> Result<(), String> {
    use docker_info::Network as Wish;
    let mappings = &docker.port_mappings;
    let named = container.wishes.network.clone();
    container.wishes.network = match (docker.network(), named) {
        (Wish::None, _) => Network::Loopback,
        (Wish::Bridge, _) => network::of_docker(network::BRIDGE, mappings, place)?,
        (Wish::User, Network::Named(named)) => network::of_docker(&named.name, mappings, place)?,
        // A parameter may name it.
        (Wish::Host | Wish::User, _) => Network::Shared,
    };
    if docker.network() == Wish::User {
        let parameters = docker.parameters.iter();
        let mut names = parameters.filter(|one| matches!(one.key.as_str(), "net" | "network"));
        if let Some(parameter) = names.next() {
            container.wishes.network = network::of_docker(&parameter.value, mappings, place)?;
        }
        if container.wishes.network == Network::Shared {
            return Err(
                "A USER network of a DOCKER container has a name in its NetworkInfo".into(),
            );
        }
    }
    if !mappings.is_empty() && !matches!(container.wishes.network, Network::Named(_)) {
        return Err("Port mappings are only supported for bridge and user-defined networks".into());
    }
    if docker.volume_driver.is_some() {
        return Err("A volume driver needs a Docker daemon, of which this agent has none".into());
    }
    container.wishes.privileged = docker.privileged();
    container.wishes.usual = DEFAULT_CAPABILITIES.map(Capability).to_vec();
    docker
        .parameters
        .iter()
        .try_for_each(|parameter| self::parameter(container, parameter))
}

fn parameter(container: &mut Container, parameter: &Parameter) -> Result<(), String> {
    let (key, value) = (parameter.key.as_str(), parameter.value.as_str());
    let wrong = || format!("Parameter '{key}' of a DOCKER container has no value like '{value}'");
    let wishes = &mut container.wishes;
    match key {
        "env" | "e" => {
            let (name, value) = value.split_once('=').ok_or_else(wrong)?;
            container.environment.push((name.into(), value.into()));
        }
        "hostname" | "h" => wishes.hostname = Some(value.into()),
        "user" | "u" => container.user = Some(value.into()),
        "workdir" | "w" => container.directory = Some(value.into()),
        "privileged" => wishes.privileged |= flag(value).ok_or_else(wrong)?,
        "shm-size" => wishes.shm_bytes = Some(bytes(value).ok_or_else(wrong)?),
        "ulimit" => wishes.rlimits.push(ulimit(value).ok_or_else(wrong)?),
        "net" | "network" => match (value, &wishes.network) {
            ("host", _) => wishes.network = Network::Shared,
            ("none", _) => wishes.network = Network::Loopback,
            // Read above, with its ports.
            (_, Network::Named(named)) if named.name == value => {}
            (_, Network::Shared | Network::Loopback | Network::Named(_)) => {
                return Err(format!(
                    "Network '{value}' by a parameter: the container's network must be USER for that"
                ));
            }
        },
        "cap-add" | "cap-drop" => {
            let named = capabilities(value).ok_or_else(wrong)?;
            let all = wishes.effective.take();
            let mut all = all.unwrap_or_else(|| DEFAULT_CAPABILITIES.map(Capability).to_vec());
            all.retain(|one| !named.contains(one));
            if key == "cap-add" {
                all.extend(named);
            }
            wishes.effective = Some(all);
        }
        "volume" | "v" => container.volumes.push(volume(value).ok_or_else(wrong)?),
        // How a daemon keeps, names and shows a container; and what this agent does anyway.
        "rm" | "init" | "label" | "l" | "log-driver" | "log-opt" | "restart" | "stop-signal"
        | "detach" | "d" => {}
        "security-opt" => {
            if let Some(profile) = value.strip_prefix("seccomp=") {
                wishes.seccomp = match profile {
                    "unconfined" => ProfileWish::Unconfined,
                    "builtin" => ProfileWish::Usual,
                    profile => super::named_or_document(profile)?,
                };
            }
        }
        _ => {
            return Err(format!(
                "Parameter '{key}' of a DOCKER container makes no sense without a Docker daemon"
            ));
        }
    }
    Ok(())
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "" | "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A number of bytes, with a unit after it or none.
fn bytes(value: &str) -> Option<u64> {
    let value = value.trim().to_ascii_lowercase();
    let value = value.strip_suffix('b').unwrap_or(&value);
    let (number, shift) = match value.strip_suffix(['k', 'm', 'g']) {
        Some(number) if value.ends_with('k') => (number, 10),
        Some(number) if value.ends_with('m') => (number, 20),
        Some(number) => (number, 30),
        None => (value, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `name=soft[:hard]`, -1 for no limit.
fn ulimit(value: &str) -> Option<Rlimit> {
    let (name, limits) = value.split_once('=')?;
    let (_, resource) = ULIMITS.into_iter().find(|(known, _)| *known == name)?;
    let number = |text: &str| match text {
        "-1" => Some(u64::MAX),
        _ => text.parse().ok(),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    (soft <= hard).then_some(Rlimit {
        resource,
        soft,
        hard,
    })
}

/// One capability by name, or all.
fn capabilities(value: &str) -> Option<Vec<Capability>> {
    let name = value.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    let number = |index: usize| u8::try_from(index).ok().map(Capability);
    if name == "ALL" {
        return (0..Capability::NAMES.len()).map(number).collect();
    }
    let index = Capability::NAMES.iter().position(|known| *known == name)?;
    Some(vec![number(index)?])
}

/// `host:container[:OPTION[,OPTION]]`, each `ro`, `rw`, or which mounts beneath the path are seen; none
/// that would bring mounts of the container to the node.
fn volume(value: &str) -> Option<VolumeWish> {
    let mut parts = value.split(':');
    let (host, inside) = (parts.next()?, parts.next()?);
    let (mut access, mut beneath) = (Access::ReadWrite, MountsBeneath::Hidden);
    for option in parts.next().into_iter().flat_map(|all| all.split(',')) {
        match option {
            "rw" => access = Access::ReadWrite,
            "ro" => access = Access::ReadOnly,
            "rslave" => beneath = MountsBeneath::Followed,
            "rprivate" => beneath = MountsBeneath::Hidden,
            _ => return None,
        }
    }
    let is_whole = parts.next().is_none() && host.starts_with('/') && inside.starts_with('/');
    is_whole.then(|| VolumeWish {
        source: Wanted::Host(host.into(), beneath),
        container_path: inside.into(),
        access,
    })
}
