//! Network: what a container asks of its network, by Mesos' messages.

use agent_core::sandbox::{NamedNetwork, Network};
use api::v1::NetworkInfo;
use api::v1::container_info::docker_info;
use model::sandbox::{PortMapping, Transport};

use super::Place;

/// The network that Docker connects containers with that ask for a bridge, by Docker's name.
pub(super) const BRIDGE: &str = "bridge";

/// Reads what a container says of networks; without a name it has the node's.
pub(super) fn read(infos: &[NetworkInfo], place: Place) -> Result<Network, String> {
    let mut named = infos
        .iter()
        .filter_map(|info| Some((info.name.as_ref()?, info)));
    let Some((name, info)) = named.next() else {
        return match infos.iter().all(|info| info.port_mappings.is_empty()) {
            true => Ok(Network::Shared),
            false => Err("Port mappings are of no use in the network of the agent".into()),
        };
    };
    if place == Place::Nested {
        return Err("A nested container has the network of its parent, and none by name".into());
    }
    if let Some((other, _)) = named.next() {
        return Err(format!(
            "A container is connected with one network, not with '{name}' and '{other}'"
        ));
    }
    let mappings = info.port_mappings.iter().map(|mapping| {
        let protocol = mapping.protocol.as_deref();
        self::mapping(mapping.host_port, mapping.container_port, protocol)
    });
    let mut addresses = info.ip_addresses.iter();
    let address = addresses.find_map(|address| address.ip_address.as_ref());
    let address = address.map(|text| {
        let wrong = |_| format!("'{text}' is no IPv4 address, and networks here are of IPv4");
        text.parse().map_err(wrong)
    });
    Ok(Network::Named(NamedNetwork {
        name: name.clone(),
        address: address.transpose()?,
        mappings: mappings.collect::<Result<_, _>>()?,
    }))
}

/// The network of a DOCKER container.
pub(super) fn of_docker(
    name: &str,
    mappings: &[docker_info::PortMapping],
    place: Place,
) -> Result<Network, String> {
    if place == Place::Nested {
        return Err("A nested container has the network of its parent, and none by name".into());
    }
    let mappings = mappings.iter().map(|mapping| {
        let protocol = mapping.protocol.as_deref();
        self::mapping(mapping.host_port, mapping.container_port, protocol)
    });
    Ok(Network::Named(NamedNetwork {
        name: name.to_string(),
        address: None,
        mappings: mappings.collect::<Result<_, _>>()?,
    }))
}

fn mapping(host: u32, container: u32, protocol: Option<&str>) -> Result<PortMapping, String> {
    let port = |number: u32| {
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        port.ok_or_else(|| format!("{number} is no port"))
    };
    Ok(PortMapping {
        host_port: port(host)?,
        container_port: port(container)?,
        protocol: match protocol.map(str::to_ascii_lowercase).as_deref() {
            None | Some("tcp") => Transport::Tcp,
            Some("udp") => Transport::Udp,
            Some(other) => {
                return Err(format!(
                    "Ports of protocol '{other}' are not mapped: tcp and udp are"
                ));
            }
        },
    })
}
