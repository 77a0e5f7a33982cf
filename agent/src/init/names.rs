//! Names: the machine's own, and the files by which programs resolve others.

use std::net::Ipv4Addr;
use std::path::Path;

use super::network::{Facts, Network};
use super::{ETC, InitError, write_file};
use crate::config::{self, Config};

/// The name of this machine: as it was told, as the network says, or made of its device's number.
pub(super) fn hostname(config: &Config, network: &Network) -> String {
    let by_network = network.facts.hostname.as_deref();
    config
        .hostname
        .clone()
        .or_else(|| by_network.and_then(config::host_name))
        .or_else(|| {
            let [_, _, _, a, b, c] = network.link.as_ref()?.mac;
            Some(format!("node-{a:02x}{b:02x}{c:02x}"))
        })
        .unwrap_or_else(|| "node".to_owned())
}

/// Sets the name, and writes `resolv.conf`, `hosts` and `hostname` for the node and for tasks.
pub(super) fn write(hostname: &str, address: Ipv4Addr, facts: &Facts) -> Result<(), InitError> {
    write_file(Path::new("/proc/sys/kernel/hostname"), hostname)?;
    let files = [
        ("resolv.conf", resolver(facts)),
        ("hosts", hosts(hostname, address)),
        ("hostname", format!("{hostname}\n")),
    ];
    for (name, text) in files {
        write_file(&Path::new("/etc").join(name), &text)?;
        write_file(&Path::new(ETC).join(name), &text)?;
    }
    Ok(())
}

fn resolver(facts: &Facts) -> String {
    let mut text = String::new();
    // A network may say anything, and a line break would be another line of the file.
    if let Some(domain) = facts.domain.as_deref().and_then(config::host_name) {
        text.push_str(&format!("search {domain}\n"));
    }
    for server in &facts.dns {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

fn hosts(hostname: &str, address: Ipv4Addr) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {hostname}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_cannot_write_lines_of_its_own() {
        let mut facts = Facts {
            dns: vec![Ipv4Addr::new(10, 0, 2, 3)],
            domain: Some("example.net".to_owned()),
            ..Facts::default()
        };
        assert_eq!(
            resolver(&facts),
            "search example.net\nnameserver 10.0.2.3\n"
        );
        facts.domain = Some("example.net\nnameserver 6.6.6.6".to_owned());
        assert_eq!(resolver(&facts), "nameserver 10.0.2.3\n");
    }

    #[test]
    fn a_host_knows_itself() {
        assert_eq!(
            hosts("node1", Ipv4Addr::new(10, 0, 2, 15)),
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.0.2.15 node1\n"
        );
    }
}
