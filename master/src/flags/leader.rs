//! The flags that say which master leads, or where that is decided.

use std::fmt;

use super::{Config, Flag, RegistryKind, duration, value};

/// Which master leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Leader {
    /// This one.
    #[default]
    Own,
    /// Another one: requests that only a leader can answer are sent there.
    Elsewhere {
        /// Its name.
        hostname: String,
        /// Its port.
        port: u16,
    },
    /// None that is known.
    Unknown,
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("self"),
            Self::Elsewhere { hostname, port } => write!(f, "{hostname}:{port}"),
            Self::Unknown => f.write_str("none"),
        }
    }
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        name: "zk",
        value: "URL",
        help: "ZooKeeper that elects among several masters, and keeps their registry: \
               zk://[USER:PASSWORD@]HOST:PORT,.../PATH, or file:///FILE that holds this (none: this \
               master is the only one)",
        set: |config, text| {
            let source = text
                .parse()
                .map_err(|error: detector::ZkUrlError| error.to_string());
            config.zk = Some(source?);
            Ok(())
        },
        get: |config| config.zk.as_ref().map(ToString::to_string),
    },
    Flag {
        name: "zk_session_timeout",
        value: "DURATION",
        help: "time after which another master leads where this one is not heard (10secs)",
        set: |config, text| duration(text, &mut config.zk_session_timeout),
        get: |config| Some(model::duration::format(config.zk_session_timeout)),
    },
    Flag {
        name: "quorum",
        value: "NUMBER",
        help: "taken because Mesos' files have it; nothing needs it here: ZooKeeper's own servers agree",
        set: |config, text| {
            value(text, config.quorum.insert(0))?;
            match config.quorum {
                Some(0) => Err("must be 1 or more".into()),
                _ => Ok(()),
            }
        },
        get: |config| config.quorum.map(|quorum| quorum.to_string()),
    },
    Flag {
        name: "leader",
        value: "HOST:PORT",
        help: "without --zk, the master that leads: self, none, or another, to which this one redirects (self)",
        set: |config, text| {
            config.leader = match text {
                "self" => Leader::Own,
                "none" => Leader::Unknown,
                address => elsewhere(address).ok_or("expected self, none or HOST:PORT")?,
            };
            Ok(())
        },
        get: |config| Some(config.leader.to_string()),
    },
];

/// What is wrong with these flags together.
pub(super) fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let has_zk = config.zk.is_some();
    if has_zk && config.leader != Leader::Own {
        faults.push("--leader: with --zk the election decides; leave one of them out".into());
    }
    match config.registry {
        RegistryKind::Redb if has_zk => faults.push(
            "--registry=redb: is one master's own, and the next leader would not find it; with --zk \
             give zookeeper or in_memory"
                .into(),
        ),
        RegistryKind::ZooKeeper if !has_zk => {
            faults.push("--registry=zookeeper: needs --zk".into());
        }
        RegistryKind::Durable
        | RegistryKind::ZooKeeper
        | RegistryKind::Redb
        | RegistryKind::InMemory => {}
    }
    faults
}

fn elsewhere(address: &str) -> Option<Leader> {
    let (hostname, port) = address.rsplit_once(':')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    let named = !hostname.is_empty() && hostname.chars().all(is_name);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    named.then(|| Leader::Elsewhere {
        hostname: hostname.to_owned(),
        port,
    })
}
