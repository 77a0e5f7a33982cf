//! Configuration: flags, environment and kernel command line become one [`Config`], or all faults
//! together.
//!
//! There is one table of settings (`config::settings`); a setting is spelt `--name=value` as a flag,
//! `MESOS_NAME=value` in the environment and `tepui.name=value` on the kernel command line. A flag
//! wins over the environment. A node reads its kernel command line and nothing else, an ordinary
//! Linux host its flags and environment and nothing else. Later code sees no raw text.

mod boot;
mod disk;
mod draft;
pub mod fetching;
pub mod images;
pub mod isolation;
mod masters;
pub mod networks;
pub mod oversubscription;
pub mod recovery;
mod settings;
mod values;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use api::domain::DomainSource;
use model::sandbox::Ipv4Net;

use crate::housekeeping;

use fetching::Fetching;
use recovery::Recovery;
use settings::Setting;

pub use masters::Masters;

/// What the agent was told to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the master is to be found that leads.
    pub master: Masters,
    /// The timeout of a session with ZooKeeper, where that is where.
    pub zk_session_timeout: Duration,
    /// Where masters are reached that tell an address of the loopback.
    pub loopback_master_ip: Option<IpAddr>,
    /// Where sandboxes and the checkpoint live.
    pub work_dir: PathBuf,
    /// The address to listen on; every address where it is not given.
    pub ip: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// The name to be known by; the machine's own where it is not given.
    pub hostname: Option<String>,
    /// The address that others reach this agent at, where it is not the one it listens on.
    pub advertise_ip: Option<IpAddr>,
    /// The port that others reach this agent at, where it is not the one it listens on.
    pub advertise_port: Option<u16>,
    /// The file of the credential for the link; none is shown where it is not given.
    pub credential: Option<PathBuf>,
    /// Resources in Mesos' notation; measured from the machine where it is not given.
    pub resources: Option<String>,
    /// Attributes in Mesos' notation.
    pub attributes: Option<String>,
    /// Where this agent stands, as far as failures go.
    pub domain: Option<DomainSource>,
    /// Whether tasks run as the user they name; otherwise as the agent's own.
    pub switch_user: bool,
    /// The root that a task without an image gets.
    pub default_rootfs: Option<PathBuf>,
    /// How long an executor may take to end by itself.
    pub executor_shutdown_grace_period: Duration,
    /// How long an executor may take to subscribe, from its launch on.
    pub executor_registration_timeout: Duration,
    /// How long an executor may take to subscribe again after a restart of the agent.
    pub executor_reregistration_timeout: Duration,
    /// How long an executor waits for an agent that is gone before it ends itself.
    pub recovery_timeout: Duration,
    /// When sandboxes go, and how output is rotated.
    pub housekeeping: housekeeping::Settings,
    /// What containers are allowed.
    pub isolation: isolation::Isolation,
    /// The networks of containers.
    pub networks: networks::Networks,
    /// What containers may keep on the disk.
    pub disk: crate::disk::Settings,
    /// What becomes of what an earlier process of this agent left.
    pub recovery: Recovery,
    /// What is given out twice, and when it is taken back.
    pub oversubscription: agent_core::oversubscription::Settings,
    /// What commands may have fetched.
    pub fetching: Fetching,
    /// Authorities that are believed beside Mozilla's, where this node takes something from elsewhere.
    pub ca_file: Option<PathBuf>,
    /// Where images come from.
    pub images: images::Images,
    /// The file of the key that signs executors' tokens; they get none where it is not given.
    pub jwt_secret_key: Option<PathBuf>,
    /// Whether executors are refused that show no token.
    pub authenticate_http_executors: bool,
    /// The least severe events that are logged.
    pub logging_level: LoggingLevel,
    /// What only a booting node needs to know.
    pub boot: Boot,
}

/// The settings of a node's first seconds, and of its hardware; an ordinary Linux host ignores them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The address of the first network device; asked for by DHCP where it is not given.
    pub address: Option<StaticAddress>,
    /// The address of the second network device, the LAN between nodes.
    pub lan: Option<Ipv4Net>,
    /// The work disk; the first blank or known one where it is not given.
    pub disk: Option<PathBuf>,
    /// A disk that is formatted whatever it holds.
    pub format: Option<PathBuf>,
    /// Who shares the work disk out by weight.
    pub disk_weights: DiskWeights,
    /// The time server; DHCP's where it is not given.
    pub ntp: Option<HostPort>,
    /// How long the hardware's watchdog waits; it is not used where that is zero.
    pub watchdog_max: Duration,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            address: None,
            lan: None,
            disk: None,
            format: None,
            disk_weights: DiskWeights::default(),
            ntp: None,
            // Longer than this program takes to be executed again.
            watchdog_max: Duration::from_secs(60),
        }
    }
}

/// Who shares a node's work disk out by the weights of containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskWeights {
    /// Nobody: what costs the least.
    #[default]
    None,
    /// The kernel's iocost, once the disk is as busy as the kernel takes a disk of its kind for.
    Iocost,
    /// The kernel's scheduler BFQ, always, which costs a fast disk some of its throughput.
    Bfq,
}

/// An address that was not asked of anyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddress {
    /// The address and its network.
    pub net: Ipv4Net,
    /// Where other networks are reached.
    pub gateway: Option<Ipv4Addr>,
    /// The name servers.
    pub dns: Vec<Ipv4Addr>,
}

/// A name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How much is logged, in Mesos' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoggingLevel {
    /// Everything, for whoever looks for a fault.
    Debug,
    /// State changes.
    #[default]
    Info,
    /// What an operator should look at.
    Warning,
    /// What went wrong.
    Error,
}

/// Where settings are read from.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A node: the kernel command line, as `/proc/cmdline` has it.
    KernelCommandLine(&'a str),
    /// An ordinary Linux host: arguments without the program's name, and the environment.
    Arguments {
        /// The arguments, in order.
        arguments: &'a [String],
        /// Names and values.
        environment: &'a [(String, String)],
    },
}

/// What the settings ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To be an agent.
    Run(Box<Config>),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting as it was written, or as it would be.
    pub name: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad setting {}: {}", self.name, self.what)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A setting that was given: how it was spelt, its place in the table, its value.
struct Given<'a> {
    spelt: String,
    setting: &'static Setting,
    value: &'a str,
}

/// Reads the settings.
///
/// # Errors
/// Every setting that is unknown, badly written or missing, at once.
pub fn parse(input: Input<'_>) -> Result<Request, Faults> {
    let mut faults = Vec::new();
    let words;
    let given = match input {
        Input::KernelCommandLine(text) => {
            words = kernel_words(text);
            from_kernel(&words, &mut faults)
        }
        Input::Arguments {
            arguments,
            environment,
        } => {
            let mut given = from_environment(environment);
            match from_flags(arguments, &mut given, &mut faults) {
                Asked::Settings => given,
                Asked::Help => return Ok(Request::Help),
                Asked::Version => return Ok(Request::Version),
            }
        }
    };
    let mut draft = draft::Draft::default();
    for Given {
        spelt,
        setting,
        value,
    } in given
    {
        if let Err(why) = (setting.set)(&mut draft, value) {
            let what = format!("{value:?} is not {}{why}", setting.allowed);
            faults.push(Fault { name: spelt, what });
        }
    }
    let spell = |name: &str| match input {
        Input::KernelCommandLine(_) => format!("tepui.{name}"),
        Input::Arguments { .. } => format!("--{name}"),
    };
    match draft.finish() {
        Ok(config) if faults.is_empty() => Ok(Request::Run(Box::new(config))),
        Ok(_) => Err(Faults(faults)),
        Err(missing) => {
            let name = spell(missing.name);
            // A setting that was given badly is not missing as well.
            if !faults.iter().any(|fault| fault.name == name) {
                let what = format!("not given; it wants {}", missing.allowed);
                faults.push(Fault { name, what });
            }
            Err(Faults(faults))
        }
    }
}

/// A host name where the text is one, for names that come from elsewhere.
#[must_use]
pub(crate) fn host_name(text: &str) -> Option<String> {
    values::hostname(text).ok()
}

/// The text of `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "tepui-agent: the agent of a Mesos-compatible cluster\n\n\
         usage: tepui-agent --master=HOST:PORT [flags]\n\n\
         Each flag may be given as MESOS_<NAME> in the environment too; a flag wins. A booting node\n\
         reads tepui.<name>=<value> from its kernel command line instead.\n",
    );
    for (title, boot) in [("flags", false), ("read by a booting node only", true)] {
        text.push_str(&format!("\n{title}:\n"));
        for setting in settings::all().filter(|s| s.boot == boot) {
            let name = if setting.switch {
                format!("--[no-]{}", setting.name)
            } else {
                format!("--{}={}", setting.name, setting.value)
            };
            text.push_str(&format!("  {name}\n      {}\n", setting.help));
        }
    }
    text.push_str("\n  --help\n      print this\n  --version\n      print the version\n");
    text
}

/// What flags ask for.
enum Asked {
    Settings,
    Help,
    Version,
}

fn from_flags<'a>(
    arguments: &'a [String],
    given: &mut Vec<Given<'a>>,
    faults: &mut Vec<Fault>,
) -> Asked {
    let mut arguments = arguments.iter().peekable();
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix("--") else {
            faults.push(Fault {
                name: argument.clone(),
                what: "flags begin with --, as in --master=HOST:PORT".to_owned(),
            });
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        match (name, value) {
            ("help", None) => return Asked::Help,
            ("version", None) => return Asked::Version,
            _ => {}
        }
        let negated = name
            .strip_prefix("no-")
            .and_then(find)
            .filter(|setting| setting.switch);
        let spelt = format!("--{name}");
        match (negated, find(name), value) {
            (Some(setting), _, None) => given.push(Given {
                spelt,
                setting,
                value: "false",
            }),
            (Some(_), _, Some(_)) => faults.push(Fault {
                name: spelt,
                what: "takes no value".to_owned(),
            }),
            (None, Some(setting), Some(value)) => given.push(Given {
                spelt,
                setting,
                value,
            }),
            (None, Some(setting), None) if setting.switch => given.push(Given {
                spelt,
                setting,
                value: "true",
            }),
            (None, Some(setting), None) => {
                match arguments.next_if(|next| !next.starts_with("--")) {
                    Some(value) => given.push(Given {
                        spelt,
                        setting,
                        value,
                    }),
                    None => faults.push(Fault {
                        name: spelt,
                        what: format!("no value; it wants {}", setting.allowed),
                    }),
                }
            }
            (None, None, _) => faults.push(unknown(spelt, name)),
        }
    }
    Asked::Settings
}

/// Unknown `MESOS_` names are not ours to judge: executors and tools have their own.
fn from_environment(environment: &[(String, String)]) -> Vec<Given<'_>> {
    let mut given = Vec::new();
    for (variable, value) in environment {
        let setting = variable
            .strip_prefix("MESOS_")
            .and_then(|name| find(&name.to_ascii_lowercase()));
        if let Some(setting) = setting {
            given.push(Given {
                spelt: variable.clone(),
                setting,
                value,
            });
        }
    }
    given
}

/// Words without our prefix are the kernel's, or another's.
fn from_kernel<'a>(words: &'a [String], faults: &mut Vec<Fault>) -> Vec<Given<'a>> {
    let mut given = Vec::new();
    for word in words {
        let Some(text) = word.strip_prefix("tepui.") else {
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let spelt = format!("tepui.{name}");
        match (find(name), value) {
            (Some(setting), Some(value)) => given.push(Given {
                spelt,
                setting,
                value,
            }),
            (Some(setting), None) if setting.switch => given.push(Given {
                spelt,
                setting,
                value: "true",
            }),
            (Some(setting), None) => faults.push(Fault {
                name: spelt,
                what: format!("no value; it wants {}", setting.allowed),
            }),
            (None, _) => faults.push(unknown(spelt, name)),
        }
    }
    given
}

/// Splits as the kernel does: at blanks outside of double quotes, which are dropped.
fn kernel_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c == '"' {
            quoted = !quoted;
        } else if c.is_ascii_whitespace() && !quoted {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn find(name: &str) -> Option<&'static Setting> {
    settings::all().find(|setting| setting.name == name)
}

fn unknown(spelt: String, name: &str) -> Fault {
    let nearest = settings::all()
        .map(|setting| (distance(name, setting.name), setting.name))
        .min();
    let what = match nearest {
        // Half of the letters wrong is another word, not a slip.
        Some((steps, near)) if steps * 2 <= near.len() => {
            let prefix = &spelt[..spelt.len() - name.len()];
            format!("unknown; did you mean {prefix}{near}?")
        }
        _ => format!(
            "unknown; known are {}",
            settings::all()
                .map(|setting| setting.name)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    Fault { name: spelt, what }
}

/// Insertions, deletions and replacements between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
