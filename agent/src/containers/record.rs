//! Record: what is kept of a container for the next process of this agent, in protobuf's encoding.
//!
//! It is written before the container does anything, and once more when its task runs. The agent's own
//! runtime folder has it, which no task sees, and it is of no use to another run of the machine.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use agent_core::rotation::{Rule, Rules};
use agent_core::sandbox::explain::{Area, Report, Row, State};
use agent_core::sandbox::{Class, Demand, ParentsNetwork};
use agent_kernel::procview::Time;
use model::ContainerId;
use model::sandbox::{
    Bridge, CgroupLimits, CpuQuota, CpuSet, Endpoint, HugePages, Ipv4Net, Neighbours, PortMapping,
    Process, Rates, Shares, Transport, User, View, ViewFile,
};
use prost::Message;

use crate::networks::Connected;

/// The version of what is kept that this program writes: raised where one that does not know a field would
/// do wrong. It reads those before it.
const VERSION: u32 = 1;

/// Whether this program can go on with a container of which this is kept.
///
/// # Errors
/// It cannot, in words.
pub fn check_record(bytes: &[u8]) -> Result<(), String> {
    let record = Record::decode(bytes).map_err(|error| error.to_string())?;
    match record.version > VERSION {
        true => Err(format!(
            "it is of version {}, and this program reads up to {VERSION}",
            record.version
        )),
        false => Ok(()),
    }
}

/// A container that was started.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    /// The run of the machine (`/proc/sys/kernel/random/boot_id`).
    #[prost(string, tag = "1")]
    pub(super) boot: String,
    /// Its init, and when that began.
    #[prost(int32, tag = "2")]
    pub(super) pid: i32,
    #[prost(uint64, tag = "3")]
    pub(super) born: u64,
    /// Whether its task was seen to run.
    #[prost(bool, tag = "4")]
    pub(super) runs: bool,
    /// Whether the launcher stays and tells how the task ended.
    #[prost(bool, tag = "5")]
    pub(super) has_init: bool,
    #[prost(uint32, tag = "6")]
    pub(super) class: u32,
    /// The call that launched it, where one did.
    #[prost(bytes = "vec", optional, tag = "7")]
    pub(super) requested: Option<Vec<u8>>,
    /// Beneath the work directory.
    #[prost(string, tag = "8")]
    pub(super) sandbox: String,
    /// Its range of ids.
    #[prost(uint32, tag = "9")]
    pub(super) index: u32,
    #[prost(bool, tag = "10")]
    pub(super) has_limits: bool,
    #[prost(bool, tag = "11")]
    own_network: bool,
    #[prost(message, optional, tag = "12")]
    program: Option<Program>,
    #[prost(message, optional, tag = "13")]
    connection: Option<ConnectionRecord>,
    #[prost(message, optional, tag = "14")]
    rotation: Option<RotationRecord>,
    #[prost(uint64, tag = "15")]
    disk_bytes: u64,
    #[prost(message, optional, tag = "16")]
    view: Option<ViewRecord>,
    /// The layers of all of its images.
    #[prost(string, repeated, tag = "17")]
    pub(super) layers: Vec<String>,
    #[prost(bool, tag = "18")]
    pub(super) has_scratch: bool,
    #[prost(message, repeated, tag = "19")]
    rows: Vec<RowRecord>,
    #[prost(uint32, tag = "20")]
    time: u32,
    /// [`VERSION`] of who wrote it; 0 before there were versions.
    #[prost(uint32, tag = "21")]
    version: u32,
    /// The number of its own view.
    #[prost(uint64, tag = "22")]
    pub(super) view_number: u64,
    /// Where the processors were shared out as it started.
    #[prost(message, optional, tag = "23")]
    pub(super) cpus: Option<CpusRecord>,
}

/// The processors of a container.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CpusRecord {
    /// Those that are its own.
    #[prost(uint32, repeated, tag = "1")]
    pub(super) own: Vec<u32>,
}

/// What runs, as far as what is nested in it asks for that.
#[derive(Clone, PartialEq, Message)]
struct Program {
    #[prost(message, repeated, tag = "1")]
    environment: Vec<Variable>,
    #[prost(string, tag = "2")]
    directory: String,
    #[prost(uint32, tag = "3")]
    uid: u32,
    #[prost(uint32, tag = "4")]
    gid: u32,
    #[prost(uint32, repeated, tag = "5")]
    groups: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Variable {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ConnectionRecord {
    #[prost(string, tag = "1")]
    network: String,
    #[prost(string, tag = "2")]
    hostname: String,
    #[prost(uint32, tag = "3")]
    device_number: u32,
    #[prost(string, tag = "4")]
    device: String,
    #[prost(string, tag = "5")]
    bridge: String,
    #[prost(fixed32, tag = "6")]
    gateway: u32,
    #[prost(uint32, tag = "7")]
    prefix: u32,
    #[prost(fixed32, tag = "8")]
    address: u32,
    #[prost(bool, tag = "9")]
    has_neighbours: bool,
    #[prost(message, repeated, tag = "10")]
    mappings: Vec<MappingRecord>,
    #[prost(uint64, optional, tag = "11")]
    egress: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    ingress: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct MappingRecord {
    #[prost(bool, tag = "1")]
    is_udp: bool,
    #[prost(uint32, tag = "2")]
    host_port: u32,
    #[prost(uint32, tag = "3")]
    container_port: u32,
}

#[derive(Clone, PartialEq, Message)]
struct RotationRecord {
    #[prost(uint64, tag = "1")]
    stdout_size: u64,
    #[prost(uint32, tag = "2")]
    stdout_keep: u32,
    #[prost(uint64, tag = "3")]
    stderr_size: u64,
    #[prost(uint32, tag = "4")]
    stderr_keep: u32,
}

/// The files of a view, and what makes them where they are the container's own.
#[derive(Clone, PartialEq, Message)]
struct ViewRecord {
    #[prost(uint32, repeated, tag = "1")]
    files: Vec<u32>,
    #[prost(bool, optional, tag = "2")]
    by_share: Option<bool>,
    #[prost(uint64, tag = "3")]
    cpus_milli_apart: u64,
    #[prost(message, optional, tag = "4")]
    limits: Option<LimitsRecord>,
}

/// As much of the limits as a view is made of.
#[derive(Clone, PartialEq, Message)]
struct LimitsRecord {
    #[prost(uint64, tag = "1")]
    cpu_weight: u64,
    #[prost(uint64, optional, tag = "2")]
    quota_us: Option<u64>,
    #[prost(uint64, tag = "3")]
    period_us: u64,
    #[prost(uint64, tag = "4")]
    memory_bytes_low: u64,
    #[prost(uint64, optional, tag = "5")]
    memory_bytes_max: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    swap_bytes_max: Option<u64>,
    #[prost(uint64, tag = "7")]
    pids_max: u64,
    #[prost(uint64, tag = "8")]
    io_weight: u64,
}

/// A row of what it runs under.
#[derive(Clone, PartialEq, Message)]
struct RowRecord {
    #[prost(string, tag = "1")]
    area: String,
    #[prost(string, tag = "2")]
    what: String,
    #[prost(string, tag = "3")]
    state: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(uint32, tag = "5")]
    weight: u32,
    #[prost(uint32, tag = "6")]
    exposure: u32,
}

/// What a container sees of its limits in `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The files.
    pub(super) files: Vec<ViewFile>,
    /// What makes them, where they are its own.
    pub(super) own: Option<(View, Option<CgroupLimits>)>,
}

const CLASSES: [Class; 5] = [
    Class::Task,
    Class::Executor,
    Class::Pod,
    Class::Nested,
    Class::Debug,
];

impl Record {
    /// One of this program's.
    pub(super) fn begin() -> Self {
        Self {
            version: VERSION,
            ..Self::default()
        }
    }

    pub(super) fn set_class(&mut self, class: Class) {
        let number = CLASSES.iter().position(|one| *one == class);
        self.class = number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(u32::MAX);
    }

    /// Whether it is a process in another container, for somebody who was attached or a check.
    pub(super) fn is_guest(&self) -> bool {
        let class = usize::try_from(self.class)
            .ok()
            .and_then(|number| CLASSES.get(number));
        class.is_none_or(|class| *class == Class::Debug)
    }

    pub(super) fn sandbox(&self) -> PathBuf {
        PathBuf::from(&self.sandbox)
    }

    pub(super) fn set_network(&mut self, network: ParentsNetwork) {
        self.own_network = network == ParentsNetwork::Own;
    }

    pub(super) fn network(&self) -> ParentsNetwork {
        match self.own_network {
            true => ParentsNetwork::Own,
            false => ParentsNetwork::Nodes,
        }
    }

    pub(super) fn set_process(&mut self, process: &Process) {
        let variables = process.environment.iter();
        let variables = variables.map(|(name, value)| Variable {
            name: name.clone(),
            value: value.clone(),
        });
        self.program = Some(Program {
            environment: variables.collect(),
            directory: process.directory.clone(),
            uid: process.user.uid,
            gid: process.user.gid,
            groups: process.user.groups.clone(),
        });
    }

    /// What runs. Its program, arguments and limits are not kept: nobody asks for them.
    pub(super) fn process(&self) -> Option<Process> {
        let program = self.program.as_ref()?;
        let variables = program.environment.iter();
        Some(Process {
            program: String::new(),
            arguments: Vec::new(),
            environment: variables
                .map(|one| (one.name.clone(), one.value.clone()))
                .collect(),
            directory: program.directory.clone(),
            user: User {
                uid: program.uid,
                gid: program.gid,
                groups: program.groups.clone(),
            },
            rlimits: Vec::new(),
        })
    }

    pub(super) fn set_connected(&mut self, connected: Connected) {
        let Connected {
            network,
            endpoint,
            hostname,
            device,
            ..
        } = connected;
        let mappings = endpoint.mappings.iter().map(|mapping| MappingRecord {
            is_udp: mapping.protocol == Transport::Udp,
            host_port: mapping.host_port.into(),
            container_port: mapping.container_port.into(),
        });
        self.connection = Some(ConnectionRecord {
            network,
            hostname,
            device_number: device,
            mappings: mappings.collect(),
            device: endpoint.device,
            bridge: endpoint.bridge.device,
            gateway: endpoint.bridge.gateway.address.to_bits(),
            prefix: endpoint.bridge.gateway.prefix.into(),
            address: endpoint.address.to_bits(),
            has_neighbours: endpoint.neighbours == Neighbours::Open,
            egress: endpoint.rates.egress,
            ingress: endpoint.rates.ingress,
        });
    }

    pub(super) fn connected(&self, container: &ContainerId) -> Option<Connected> {
        let record = self.connection.as_ref()?;
        let port = |port: u32| u16::try_from(port).ok();
        let mappings = record.mappings.iter().map(|mapping| {
            Some(PortMapping {
                protocol: match mapping.is_udp {
                    true => Transport::Udp,
                    false => Transport::Tcp,
                },
                host_port: port(mapping.host_port)?,
                container_port: port(mapping.container_port)?,
            })
        });
        Some(Connected {
            container: container.clone(),
            network: record.network.clone(),
            endpoint: Endpoint {
                bridge: Bridge {
                    device: record.bridge.clone(),
                    gateway: Ipv4Net {
                        address: Ipv4Addr::from_bits(record.gateway),
                        prefix: u8::try_from(record.prefix).ok()?,
                    },
                },
                device: record.device.clone(),
                address: Ipv4Addr::from_bits(record.address),
                neighbours: match record.has_neighbours {
                    true => Neighbours::Open,
                    false => Neighbours::Apart,
                },
                mappings: mappings.collect::<Option<_>>()?,
                rates: Rates {
                    egress: record.egress,
                    ingress: record.ingress,
                },
            },
            hostname: record.hostname.clone(),
            device: record.device_number,
        })
    }

    pub(super) fn set_cpus(&mut self, set: &CpuSet) {
        let own = match set {
            CpuSet::Own(own) => own.0.clone(),
            CpuSet::Shared(_) | CpuSet::Lacking { .. } => Vec::new(),
        };
        self.cpus = Some(CpusRecord { own });
    }

    pub(super) fn set_time(&mut self, time: Time) {
        self.time = match time {
            Time::Nodes => 0,
            Time::Own => 1,
            Time::Joined => 2,
        };
    }

    pub(super) const fn time(&self) -> Time {
        match self.time {
            1 => Time::Own,
            2 => Time::Joined,
            _ => Time::Nodes,
        }
    }

    pub(super) fn set_rotation(&mut self, rules: Rules) {
        self.rotation = Some(RotationRecord {
            stdout_size: rules.stdout.size,
            stdout_keep: rules.stdout.keep,
            stderr_size: rules.stderr.size,
            stderr_keep: rules.stderr.keep,
        });
    }

    pub(super) fn rotation(&self) -> Option<Rules> {
        let record = self.rotation.as_ref()?;
        Some(Rules {
            stdout: Rule {
                size: record.stdout_size,
                keep: record.stdout_keep,
            },
            stderr: Rule {
                size: record.stderr_size,
                keep: record.stderr_keep,
            },
        })
    }

    pub(super) fn set_demand(&mut self, demand: Demand) {
        self.disk_bytes = demand.disk_bytes;
    }

    /// What it may keep on the disk; the rest stands in its cgroup.
    pub(super) fn demand(&self) -> Demand {
        Demand {
            disk_bytes: self.disk_bytes,
            ..Demand::default()
        }
    }

    pub(super) fn set_seen(&mut self, seen: &Seen) {
        let number = |file: &ViewFile| ViewFile::ALL.iter().position(|one| one == file);
        let files = seen.files.iter().filter_map(number);
        let limits = seen.own.and_then(|(_, limits)| limits);
        self.view = Some(ViewRecord {
            files: files
                .filter_map(|number| u32::try_from(number).ok())
                .collect(),
            by_share: seen.own.map(|(view, _)| view.shares == Shares::Share),
            cpus_milli_apart: seen.own.map_or(0, |(view, _)| view.cpus_milli_apart),
            limits: limits.map(|limits| LimitsRecord {
                cpu_weight: limits.cpu_weight,
                quota_us: limits.cpu_quota.map(|quota| quota.quota_us),
                period_us: limits.cpu_quota.map_or(0, |quota| quota.period_us),
                memory_bytes_low: limits.memory_bytes_low,
                memory_bytes_max: limits.memory_bytes_max,
                swap_bytes_max: limits.swap_bytes_max,
                pids_max: limits.pids_max,
                io_weight: limits.io_weight,
            }),
        });
    }

    pub(super) fn seen(&self) -> Option<Seen> {
        let record = self.view.as_ref()?;
        let file = |number: &u32| ViewFile::ALL.get(usize::try_from(*number).ok()?).copied();
        let limits = record.limits.as_ref().map(|limits| CgroupLimits {
            cpu_weight: limits.cpu_weight,
            cpu_quota: limits.quota_us.map(|quota_us| CpuQuota {
                quota_us,
                period_us: limits.period_us,
            }),
            memory_bytes_min: 0,
            memory_bytes_low: limits.memory_bytes_low,
            memory_bytes_high: None,
            huge_pages: HugePages::default(),
            memory_bytes_max: limits.memory_bytes_max,
            swap_bytes_max: limits.swap_bytes_max,
            pids_max: limits.pids_max,
            io_weight: limits.io_weight,
            io_max: None,
        });
        let view = |by_share| View {
            shares: match by_share {
                true => Shares::Share,
                false => Shares::Node,
            },
            cpus_milli_apart: record.cpus_milli_apart,
        };
        Some(Seen {
            files: record.files.iter().filter_map(file).collect(),
            own: record.by_share.map(|by_share| (view(by_share), limits)),
        })
    }

    pub(super) fn set_report(&mut self, report: &Report) {
        let rows = report.rows.iter().map(|row| RowRecord {
            area: row.area.name().to_string(),
            what: row.what.clone(),
            state: row.state.name().to_string(),
            reason: row.reason.clone(),
            weight: row.weight,
            exposure: row.exposure,
        });
        self.rows = rows.collect();
    }

    pub(super) fn report(&self) -> Report {
        let rows = self.rows.iter().filter_map(|row| {
            let mut areas = Area::ALL.into_iter();
            let mut states = State::ALL.into_iter();
            Some(Row {
                area: areas.find(|area| area.name() == row.area)?,
                what: row.what.clone(),
                state: states.find(|state| state.name() == row.state)?,
                reason: row.reason.clone(),
                weight: row.weight,
                exposure: row.exposure,
            })
        });
        Report {
            rows: rows.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
