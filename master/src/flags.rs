//! Command line and environment become a [`Config`], all faults reported together.
//!
//! Flags carry Mesos' names: `--flag=value` on the command line, `MESOS_FLAG` in the environment;
//! the command line wins. Variables with that prefix which are no flag of this program are not
//! looked at, as operators share one environment file between masters and agents.

mod access;
mod leader;
mod scheduling;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use api::domain::{self, DomainSource};
use detector::ZkSource;
use model::resources::Scalar;

pub use access::AccessFlags;
pub use leader::Leader;
pub use scheduling::SchedulingFlags;

/// Where entries of the registry are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryKind {
    /// Where they outlive a master: in ZooKeeper with `--zk`, in redb without.
    Durable,
    /// In ZooKeeper, beside the election.
    ZooKeeper,
    /// A redb file in the work directory.
    Redb,
    /// Nowhere but in memory: admitted agents are forgotten at the end of the process.
    InMemory,
}

/// The settings of one master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on.
    pub ip: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The name told to agents and frameworks; without it, the name of the machine.
    pub hostname: Option<String>,
    /// The address told to agents and frameworks, where it differs from `ip`.
    pub advertise_ip: Option<IpAddr>,
    /// The port told to agents and frameworks, where it differs from `port`.
    pub advertise_port: Option<u16>,
    /// The folder of the registry; not needed with [`RegistryKind::InMemory`].
    pub work_dir: Option<PathBuf>,
    /// A name of the cluster for people.
    pub cluster: Option<String>,
    /// Where this master stands, as far as failures go.
    pub domain: Option<DomainSource>,
    /// The log of this master, where something keeps one: shown as `/master/log`.
    pub external_log_file: Option<PathBuf>,
    /// Where the registry is kept.
    pub registry: RegistryKind,
    /// An agent that does not answer a ping for so long has missed it.
    pub agent_ping_timeout: Duration,
    /// An agent that has missed so many pings is unreachable.
    pub max_agent_ping_timeouts: u32,
    /// The pause between two batch allocations.
    pub allocation_interval: Duration,
    /// An offer that nobody answers is rescinded after so long; without it, never.
    pub offer_timeout: Option<Duration>,
    /// Where there is quota, nothing is offered for so long after a start, unless enough agents are
    /// back before.
    pub allocator_recovery_timeout: Duration,
    /// The part of the agents known to the registry that is enough.
    pub allocator_agent_recovery_factor: Scalar,
    /// Resources of these names do not count for anyone's share.
    pub fair_sharing_excluded: BTreeSet<Arc<str>>,
    /// Agents known to the registry that are not back so long after a start are unreachable.
    pub agent_reregister_timeout: Duration,
    /// Who may come in, and what they may do.
    pub access: AccessFlags,
    /// What frameworks may do, and what is kept of them.
    pub scheduling: SchedulingFlags,
    /// Which master leads, where no election decides.
    pub leader: Leader,
    /// The ZooKeeper in which masters are elected; none where there is no election.
    pub zk: Option<ZkSource>,
    /// The timeout of a session with it.
    pub zk_session_timeout: Duration,
    /// How many masters had to agree in Mesos; nothing is made of it.
    pub quorum: Option<u32>,
    /// So many operators may watch; one more takes the place of the oldest.
    pub max_operator_event_stream_subscribers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 5050,
            hostname: None,
            advertise_ip: None,
            advertise_port: None,
            work_dir: None,
            cluster: None,
            domain: None,
            external_log_file: None,
            registry: RegistryKind::Durable,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            allocation_interval: Duration::from_secs(1),
            offer_timeout: None,
            allocator_recovery_timeout: Duration::from_secs(600),
            allocator_agent_recovery_factor: Scalar(800),
            fair_sharing_excluded: BTreeSet::new(),
            agent_reregister_timeout: Duration::from_secs(600),
            access: AccessFlags::default(),
            scheduling: SchedulingFlags::default(),
            leader: Leader::Own,
            zk: None,
            zk_session_timeout: Duration::from_secs(10),
            quorum: None,
            max_operator_event_stream_subscribers: 1000,
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run a master with these settings.
    Run(Box<Config>),
    /// Look at the registry that a master with these settings has, or fill it.
    Registry(RegistryAct, Box<Config>),
    /// Print the list of flags.
    Help,
    /// Print the version.
    Version,
}

/// What an operator does with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryAct {
    /// Print it for people.
    Show,
    /// Print it for [`RegistryAct::Import`].
    Export,
    /// Read from standard input what was exported.
    Import,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FlagsError {
    faults: Vec<String>,
}

impl fmt::Display for FlagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        write!(f, "see tepui-master --help")
    }
}

/// One flag: its name, what its value looks like, what it does, and how it enters the settings.
struct Flag {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
    get: fn(&Config) -> Option<String>,
}

/// The value of a flag that may stand without one, as `--flag` or `--no-flag`.
const BOOL: &str = "true|false";

/// Every flag, in the order of `--help`.
fn flags() -> impl Iterator<Item = &'static Flag> {
    let all = [FLAGS, scheduling::FLAGS, access::FLAGS, leader::FLAGS];
    all.into_iter().flatten()
}

const FLAGS: &[Flag] = &[
    Flag {
        name: "ip",
        value: "ADDRESS",
        help: "address to listen on (0.0.0.0)",
        set: |config, text| value(text, &mut config.ip),
        get: |config| Some(config.ip.to_string()),
    },
    Flag {
        name: "port",
        value: "PORT",
        help: "port to listen on (5050)",
        set: |config, text| value(text, &mut config.port),
        get: |config| Some(config.port.to_string()),
    },
    Flag {
        name: "hostname",
        value: "NAME",
        help: "name told to agents and frameworks (the machine's)",
        set: |config, text| name(text, &mut config.hostname),
        get: |config| config.hostname.clone(),
    },
    Flag {
        name: "advertise_ip",
        value: "ADDRESS",
        help: "address told to agents and frameworks (that of --ip)",
        set: |config, text| value(text, config.advertise_ip.insert(config.ip)),
        get: |config| config.advertise_ip.map(|ip| ip.to_string()),
    },
    Flag {
        name: "advertise_port",
        value: "PORT",
        help: "port told to agents and frameworks (that of --port)",
        set: |config, text| value(text, config.advertise_port.insert(0)),
        get: |config| config.advertise_port.map(|port| port.to_string()),
    },
    Flag {
        name: "work_dir",
        value: "FOLDER",
        help: "folder of the registry; needed unless it is in memory or in ZooKeeper",
        set: |config, text| {
            config.work_dir = Some(PathBuf::from(present(text)?));
            Ok(())
        },
        get: |config| {
            config
                .work_dir
                .as_ref()
                .map(|path| path.display().to_string())
        },
    },
    Flag {
        name: "cluster",
        value: "NAME",
        help: "name of the cluster, for people",
        set: |config, text| name(text, &mut config.cluster),
        get: |config| config.cluster.clone(),
    },
    Flag {
        name: "domain",
        value: "DOMAIN",
        help: "region and zone of this master: region:NAME;zone:NAME, Mesos' JSON, or the path of a file that \
               holds it; all masters are in one region, and agents with a domain need one here (none)",
        set: |config, text| {
            let source = text.parse();
            let wrong = |fault| format!("expected {}: {fault}", domain::ALLOWED);
            config.domain = Some(source.map_err(wrong)?);
            Ok(())
        },
        get: |config| config.domain.as_ref().map(ToString::to_string),
    },
    Flag {
        name: "external_log_file",
        value: "FILE",
        help: "log of this master, to be shown as /master/log (none)",
        set: |config, text| {
            config.external_log_file = Some(PathBuf::from(present(text)?));
            Ok(())
        },
        get: |config| {
            config
                .external_log_file
                .as_ref()
                .map(|path| path.display().to_string())
        },
    },
    Flag {
        name: "registry",
        value: "KIND",
        help: "zookeeper (needs --zk), redb (a file in the work directory) or in_memory; replicated_log, \
               as Mesos' files have it, stands for the first of them that can be (that one)",
        set: |config, text| {
            config.registry = match text {
                "redb" => RegistryKind::Redb,
                "in_memory" => RegistryKind::InMemory,
                "zookeeper" => RegistryKind::ZooKeeper,
                "replicated_log" => RegistryKind::Durable,
                _ => return Err("expected zookeeper, redb or in_memory".into()),
            };
            Ok(())
        },
        get: |config| {
            Some(match config.registry() {
                RegistryKind::ZooKeeper | RegistryKind::Durable => "zookeeper".into(),
                RegistryKind::Redb => "redb".into(),
                RegistryKind::InMemory => "in_memory".into(),
            })
        },
    },
    Flag {
        name: "agent_ping_timeout",
        value: "DURATION",
        help: "time an agent has to answer a ping (15secs)",
        set: |config, text| duration(text, &mut config.agent_ping_timeout),
        get: |config| Some(model::duration::format(config.agent_ping_timeout)),
    },
    Flag {
        name: "max_agent_ping_timeouts",
        value: "NUMBER",
        help: "missed pings after which an agent is unreachable (5)",
        set: |config, text| {
            value(text, &mut config.max_agent_ping_timeouts)?;
            match config.max_agent_ping_timeouts {
                0 => Err("must be 1 or more".into()),
                _ => Ok(()),
            }
        },
        get: |config| Some(config.max_agent_ping_timeouts.to_string()),
    },
    Flag {
        name: "allocation_interval",
        value: "DURATION",
        help: "pause between two batch allocations (1secs)",
        set: |config, text| duration(text, &mut config.allocation_interval),
        get: |config| Some(model::duration::format(config.allocation_interval)),
    },
    Flag {
        name: "offer_timeout",
        value: "DURATION",
        help: "time after which an unanswered offer is rescinded (never)",
        set: |config, text| duration(text, config.offer_timeout.insert(Duration::ZERO)),
        get: |config| config.offer_timeout.map(model::duration::format),
    },
    Flag {
        name: "allocator_recovery_timeout",
        value: "DURATION",
        help: "longest pause of offers after a start, where there is quota (10mins)",
        set: |config, text| duration(text, &mut config.allocator_recovery_timeout),
        get: |config| Some(model::duration::format(config.allocator_recovery_timeout)),
    },
    Flag {
        name: "allocator_agent_recovery_factor",
        value: "PART",
        help: "part of the known agents whose return ends that pause (0.8)",
        set: |config, text| part(text, &mut config.allocator_agent_recovery_factor),
        get: |config| Some(config.allocator_agent_recovery_factor.to_string()),
    },
    Flag {
        name: "fair_sharing_excluded_resource_names",
        value: "NAMES",
        help: "resources that count for nobody's share, as in gpus,disk (none)",
        set: |config, text| {
            let names = text.split(',').map(str::trim);
            let names = names.filter(|name| !name.is_empty());
            config.fair_sharing_excluded = names.map(Arc::from).collect();
            Ok(())
        },
        get: |config| {
            let names: Vec<&str> = config.fair_sharing_excluded.iter().map(|n| &**n).collect();
            (!names.is_empty()).then(|| names.join(","))
        },
    },
    Flag {
        name: "agent_reregister_timeout",
        value: "DURATION",
        help: "time known agents have to come back after a start (10mins)",
        set: |config, text| duration(text, &mut config.agent_reregister_timeout),
        get: |config| Some(model::duration::format(config.agent_reregister_timeout)),
    },
    Flag {
        name: "max_operator_event_stream_subscribers",
        value: "NUMBER",
        help: "number of operators that may watch at a time (1000)",
        set: |config, text| {
            value(text, &mut config.max_operator_event_stream_subscribers)?;
            match config.max_operator_event_stream_subscribers {
                0 => Err("must be 1 or more".into()),
                _ => Ok(()),
            }
        },
        get: |config| Some(config.max_operator_event_stream_subscribers.to_string()),
    },
];

/// Reads the arguments (without the program's name) and the environment.
///
/// # Errors
/// Every fault of every flag, each naming the flag and where it came from.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Command, FlagsError> {
    let mut faults = Vec::new();
    let mut arguments = arguments.into_iter().peekable();
    let act = match arguments.next_if(|first| first == "registry") {
        None => None,
        Some(_) => match arguments.next().as_deref() {
            Some("show") => Some(RegistryAct::Show),
            Some("export") => Some(RegistryAct::Export),
            Some("import") => Some(RegistryAct::Import),
            Some("--help" | "-h") => return Ok(Command::Help),
            _ => {
                faults.push("registry: wants one of show, export and import next".into());
                None
            }
        },
    };
    let mut given: BTreeMap<&'static str, (String, String)> = BTreeMap::new();
    for (variable, text) in environment {
        let flag = flags().find(|flag| variable == variable_of(flag));
        if let Some(flag) = flag {
            given.insert(flag.name, (variable, text));
        }
    }

    let mut seen = Vec::new();
    for argument in arguments {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(Command::Help);
        }
        if matches!(argument.as_str(), "--version" | "-V") {
            return Ok(Command::Version);
        }
        match flag_of(&argument) {
            Ok((flag, _)) if seen.contains(&flag.name) => {
                faults.push(format!("--{}: given more than once", flag.name));
            }
            Ok((flag, text)) => {
                seen.push(flag.name);
                given.insert(flag.name, (format!("--{}", flag.name), text.to_owned()));
            }
            Err(fault) => faults.push(fault),
        }
    }

    let mut config = Config::default();
    for flag in flags() {
        let Some((from, text)) = given.get(flag.name) else {
            continue;
        };
        if let Err(fault) = (flag.set)(&mut config, text) {
            faults.push(format!("{from}={text}: {fault}"));
        }
    }
    faults.extend(config.access.faults());
    faults.extend(leader::faults(&config));
    let leads = config.leader == Leader::Own;
    if leads && config.registry() == RegistryKind::Redb && !given.contains_key("work_dir") {
        faults.push("--work_dir: missing; the registry is kept there".into());
    }
    if act.is_some() && config.registry() == RegistryKind::InMemory {
        faults
            .push("--registry=in_memory: ends with its master; there is nothing to look at".into());
    }
    if !faults.is_empty() {
        return Err(FlagsError { faults });
    }
    let config = Box::new(config);
    Ok(match act {
        Some(act) => Command::Registry(act, config),
        None => Command::Run(config),
    })
}

/// The text of `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "tepui-master: the master of a Tepui cluster\n\n\
         usage: tepui-master --work_dir=FOLDER [--FLAG=VALUE ...]\n       \
         tepui-master --zk=zk://HOST:PORT,.../PATH [--FLAG=VALUE ...]\n       \
         tepui-master registry show|export|import --work_dir=FOLDER|--zk=URL\n\n\
         The last shows a registry, writes it to standard output, or reads such an output into one that is\n\
         empty. A registry in a folder is looked at while its master is stopped, and every import is made\n\
         while no master runs; agents that were led from elsewhere are started again after it.\n\n\
         Each flag can also be given in the environment, as MESOS_FLAG.\n\n",
    );
    for flag in flags() {
        let left = format!("--{}={}", flag.name, flag.value);
        text.push_str(&format!("  {left:<36} {}\n", flag.help));
    }
    text.push_str("  --help                               print this\n");
    text.push_str("  --version                            print the version\n");
    text
}

impl Config {
    /// Where entries are kept, once [`RegistryKind::Durable`] is settled.
    #[must_use]
    pub const fn registry(&self) -> RegistryKind {
        match self.registry {
            RegistryKind::Durable if self.zk.is_some() => RegistryKind::ZooKeeper,
            RegistryKind::Durable => RegistryKind::Redb,
            given => given,
        }
    }

    /// Every flag that has a value, by name, as `/flags` shows it.
    #[must_use]
    pub fn listing(&self) -> BTreeMap<String, String> {
        flags()
            .filter_map(|flag| Some((flag.name.to_owned(), (flag.get)(self)?)))
            .collect()
    }
}

fn variable_of(flag: &Flag) -> String {
    format!("MESOS_{}", flag.name.to_ascii_uppercase())
}

fn flag_of(argument: &str) -> Result<(&'static Flag, &str), String> {
    let Some(rest) = argument.strip_prefix("--") else {
        return Err(format!("{argument}: unexpected; flags are --flag=value"));
    };
    let (name, text) = match rest.split_once('=') {
        Some((name, text)) => (name, Some(text)),
        None => (rest, None),
    };
    let named = |name: &str| flags().find(|flag| flag.name == name);
    let negated = name.strip_prefix("no-").and_then(named);
    if let (Some(flag), None) = (negated.filter(|flag| flag.value == BOOL), text) {
        return Ok((flag, "false"));
    }
    let flag = named(name).ok_or_else(|| format!("--{name}: unknown flag"))?;
    match text {
        Some(text) => Ok((flag, text)),
        None if flag.value == BOOL => Ok((flag, "true")),
        None => Err(format!(
            "--{name}: needs a value, as in --{name}={}",
            flag.value
        )),
    }
}

fn value<T: FromStr>(text: &str, into: &mut T) -> Result<(), String>
where
    T::Err: fmt::Display,
{
    *into = text.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(())
}

fn duration(text: &str, into: &mut Duration) -> Result<(), String> {
    let found = model::duration::parse(text).map_err(|error| error.to_string())?;
    if found.is_zero() {
        return Err("must be longer than nothing".into());
    }
    *into = found;
    Ok(())
}

/// A part between nothing and all.
fn part(text: &str, into: &mut Scalar) -> Result<(), String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    *into = part
        .and_then(Scalar::from_f64)
        .ok_or("expected a number between 0 and 1")?;
    Ok(())
}

fn name(text: &str, into: &mut Option<String>) -> Result<(), String> {
    *into = Some(present(text)?.to_owned());
    Ok(())
}

fn present(text: &str) -> Result<&str, String> {
    match text {
        "" => Err("must not be empty".into()),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests;
