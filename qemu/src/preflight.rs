//! What must hold before a cluster is started, each fault with what to do about it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::guest::QEMU;
use crate::process::kilobytes;

/// What QEMU takes beside the guest's memory: itself and the code it translates.
const QEMU_MB: u64 = 120;

/// A reason not to start.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// No QEMU.
    #[error(
        "no {QEMU} on this host: install the package qemu-system-x86, or leave --no-install out"
    )]
    NoQemu,
    /// No ZooKeeper.
    #[error(
        "no ZooKeeper on this host ({} is not there): install the package zookeeper, or leave --no-install out",
        archive.display()
    )]
    NoZooKeeper {
        /// What was looked for.
        archive: PathBuf,
    },
    /// Too little memory.
    #[error(
        "not enough memory: {nodes} nodes of {memory_mb} MB need about {needed_mb} MB, and {available_mb} MB \
         are available; use fewer (--agents) or smaller ones (--memory)"
    )]
    Memory {
        /// How many nodes.
        nodes: usize,
        /// The memory of each.
        memory_mb: u64,
        /// With what QEMU takes.
        needed_mb: u64,
        /// What the kernel thinks can be had.
        available_mb: u64,
    },
    /// A port is taken.
    #[error("{address} for the {part} is taken: {hint}")]
    Port {
        /// The address.
        address: String,
        /// What was to listen there.
        part: String,
        /// What to do.
        hint: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// That QEMU is there.
///
/// # Errors
/// It is not.
pub fn qemu() -> Result<(), Unready> {
    let run = Command::new(QEMU)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(Unready::NoQemu),
    }
}

/// That there is a ZooKeeper to start.
///
/// # Errors
/// There is not.
pub fn zookeeper(archive: &Path) -> Result<(), Unready> {
    match archive.exists() {
        true => Ok(()),
        false => Err(Unready::NoZooKeeper {
            archive: archive.to_owned(),
        }),
    }
}

/// That there is memory for `nodes` of `memory_mb` each.
///
/// # Errors
/// There is not.
pub fn memory(nodes: usize, memory_mb: u64) -> Result<(), Unready> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_mb = kilobytes(&text, "MemAvailable:").unwrap_or(u64::MAX) / 1024;
    let needed_mb = (memory_mb.saturating_add(QEMU_MB)).saturating_mul(nodes as u64);
    if needed_mb <= available_mb {
        return Ok(());
    }
    Err(Unready::Memory {
        nodes,
        memory_mb,
        needed_mb,
        available_mb,
    })
}

/// That nobody listens on `address` yet, which `part` is to do.
///
/// # Errors
/// It is taken, or is no address of this host.
pub fn port(address: &str, part: &str) -> Result<(), Unready> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => {
            let port = address.rsplit(':').next().unwrap_or_default();
            Err(Unready::Port {
                address: address.to_owned(),
                part: part.to_owned(),
                hint: format!(
                    "`ss -ltnp 'sport = :{port}'` shows by whom; stop that, or another cluster with ./qemu/down"
                ),
                source,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_memory_and_a_taken_port_are_told_with_what_to_do() {
        assert!(memory(1, 1).is_ok());
        let error = memory(1_000_000, 1 << 20).unwrap_err().to_string();
        assert!(
            error.contains("--agents") && error.contains("--memory"),
            "{error}"
        );

        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = port(&address, "master").unwrap_err().to_string();
        assert!(
            error.contains(&address) && error.contains("is taken"),
            "{error}"
        );
        drop(taken);
        // Somebody else's connection may have it for a moment.
        let is_free = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            port(&address, "master").is_ok()
        });
        assert!(is_free);
    }
}
