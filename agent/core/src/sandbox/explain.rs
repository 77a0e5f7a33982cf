//! Explain: what a container runs under, from its plan and from what the kernel enforced of it.
//!
//! Each row tells one thing that keeps the container in its bounds: what is planned, whether it is in
//! force and, where it is not, why. The exposure from 0 (nothing is open) to 10 (nothing is closed) is
//! what is open of the weights of all rows (`weights`), as `systemd-analyze security` reckons it.
//!
//! Every field of a plan and every isolation is named here: a new one does not compile until somebody
//! has decided what it is worth.

mod calls;
mod files;
mod identity;
mod landlock;
mod limits;
mod names;
mod namespaces;
mod weights;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::PortRanges;
use model::sandbox::{
    CgroupLimits, CgroupPlan, Enforcement, Isolation, LaunchPlan, Namespace, Seccomp,
};

pub use calls::{is_missing, stopped};
pub use weights::Area;

/// The whole of a row's weight, in the parts that a state is given in.
const WHOLE: u32 = 10;

/// What a container runs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One line for each thing.
    pub rows: Vec<Row>,
}

/// One thing that keeps a container in its bounds, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What kind of thing it is.
    pub area: Area,
    /// What is planned, in words.
    pub what: String,
    /// What became of it.
    pub state: State,
    /// Why it is in that state; empty where the plan is in force and nothing is to be said.
    pub reason: String,
    /// What it counts for; 0 for a row that only informs.
    pub weight: u32,
    /// What of the weight is open, in tenths of a unit: 10 for each unit of a weight that is all open.
    pub exposure: u32,
}

/// What became of a thing that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is in force.
    Enforced,
    /// It was planned, and this kernel or host does not give it, or not all of it.
    Degraded,
    /// It is that of the container which this one is nested in, whose bounds hold.
    Shared,
    /// The plan leaves it open: the task asked for that, or nothing was asked.
    Open,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Enforced, Self::Degraded, Self::Shared, Self::Open];

    /// The word that documents and tables have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforced => "ENFORCED",
            Self::Degraded => "DEGRADED",
            Self::Shared => "SHARED",
            Self::Open => "OPEN",
        }
    }
}

impl Report {
    /// The exposure in tenths: 0 to 100.
    #[must_use]
    pub fn exposure_tenths(&self) -> u32 {
        let weight: u32 = self.rows.iter().map(|row| row.weight).sum();
        let open: u32 = self.rows.iter().map(|row| row.exposure).sum();
        // A tenth of a unit of exposure, by units of weight: times 10, rounded half up.
        (open * WHOLE + weight / 2).checked_div(weight).unwrap_or(0)
    }

    /// The exposure in a word.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.exposure_tenths() {
            0..=15 => "CLOSED",
            16..=35 => "GOOD",
            36..=60 => "MEDIUM",
            _ => "EXPOSED",
        }
    }

    /// Takes over the limits that a container was given while it runs, and the ports, where they are
    /// bounded.
    pub fn resize(&mut self, limits: &CgroupLimits, ports: &PortRanges, enforcement: &Enforcement) {
        if let Some(row) = self
            .rows
            .iter_mut()
            .find(|row| namespaces::is_of_ports(row))
        {
            let mut writer = Writer::new(enforcement);
            namespaces::ports(Some(ports), &mut writer);
            writer.rows.into_iter().for_each(|new| *row = new);
        }
        let mut writer = Writer::new(enforcement);
        limits::of(Some(limits), &mut writer);
        let changed = writer.rows;
        let Some(at) = self
            .rows
            .iter()
            .position(|row| changed.iter().any(|new| new.area == row.area))
        else {
            return;
        };
        self.rows
            .retain(|row| !changed.iter().any(|new| new.area == row.area));
        let rest = self.rows.split_off(at.min(self.rows.len()));
        self.rows.extend(changed);
        self.rows.extend(rest);
    }
}

/// Explains a container that runs.
#[must_use]
pub fn explain(plan: &LaunchPlan, enforcement: &Enforcement) -> Report {
    // Without `..`: a field that is not explained does not compile.
    let LaunchPlan {
        container: _,
        hostname,
        joined,
        namespaces,
        ids,
        network,
        root,
        mounts,
        sandbox: _,
        io: _,
        run,
        capabilities,
        seccomp,
        landlock,
        required: _,
        cgroup,
        oom_score_adj,
        view,
        disk,
    } = plan;
    let CgroupPlan {
        limits,
        nesting,
        cpus,
        devices,
        ports,
    } = cgroup;
    let mut writer = Writer::new(enforcement);
    let seen = namespaces::Seen {
        own: namespaces,
        joined,
        ids: *ids,
        hostname: hostname.as_deref(),
        network,
    };
    namespaces::of(&seen, &mut writer);
    namespaces::ports(ports.as_deref(), &mut writer);
    files::of(root, mounts, &mut writer);
    files::view(root, mounts, view.as_ref(), &mut writer);
    files::devices(mounts, devices, &mut writer);
    identity::of(&seen, run, capabilities, &mut writer);
    calls::of(seccomp, &mut writer);
    landlock::of(landlock.as_ref(), &mut writer);
    limits::placement(*nesting, &mut writer);
    limits::cpus(cpus.as_ref(), &mut writer);
    limits::of(limits.as_ref(), &mut writer);
    limits::rank(*oom_score_adj, &mut writer);
    limits::disk(disk.as_ref(), &mut writer);
    writer.leftovers();
    Report { rows: writer.rows }
}

/// What this node does not give of a plan and why, for a status of its task; unset where it gives all. What
/// the container did not ask for, and a mere share of a disk, nobody misses.
#[must_use]
pub fn degraded(plan: &LaunchPlan, enforcement: &Enforcement) -> Option<String> {
    let has_io_limit = plan
        .cgroup
        .limits
        .is_some_and(|limits| limits.io_max.is_some());
    let missing = enforcement.missing.iter().filter(|(one, _)| match one {
        Isolation::Io => has_io_limit,
        Isolation::Seccomp => plan.seccomp != Seccomp::Unconfined,
        _ => true,
    });
    let all: Vec<_> = missing
        .map(|(one, why)| alloc::format!("{}: {why}", one.name()))
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Where the rows of an isolation stand.
const fn area(isolation: Isolation) -> Area {
    match isolation {
        Isolation::Namespace(Namespace::User) => Area::Users,
        Isolation::Namespace(Namespace::Pid) => Area::Processes,
        Isolation::Namespace(Namespace::Mount) => Area::Mounts,
        Isolation::Namespace(Namespace::Ipc) => Area::Ipc,
        Isolation::Namespace(Namespace::Uts) => Area::Hostname,
        Isolation::Namespace(Namespace::Cgroup) => Area::CgroupView,
        Isolation::Namespace(Namespace::Network) => Area::Network,
        Isolation::Namespace(Namespace::Time) => Area::Clocks,
        Isolation::Capabilities => Area::Capabilities,
        Isolation::NoNewPrivileges => Area::Privileges,
        Isolation::Seccomp => Area::Calls,
        Isolation::Landlock => Area::Landlock,
        Isolation::Scopes => Area::Scopes,
        Isolation::Root => Area::Root,
        Isolation::Placement => Area::Placement,
        Isolation::Cpu => Area::Cpu,
        Isolation::Cpuset => Area::Placement,
        Isolation::Memory | Isolation::HugePages => Area::Memory,
        Isolation::Pids => Area::Pids,
        Isolation::Devices => Area::Devices,
        Isolation::Disk => Area::Disk,
        Isolation::Io => Area::Io,
        Isolation::Ports | Isolation::TcpPorts | Isolation::Senders | Isolation::Rates => {
            Area::Network
        }
        Isolation::ProcView => Area::View,
    }
}

/// What became of one thing, before it is weighed.
struct Judged {
    state: State,
    /// How much of the weight is open, of [`WHOLE`].
    open: u32,
    reason: String,
}

impl Judged {
    fn enforced() -> Self {
        Self {
            state: State::Enforced,
            open: 0,
            reason: String::new(),
        }
    }

    fn open(open: u32, reason: impl Into<String>) -> Self {
        Self {
            state: State::Open,
            open,
            reason: reason.into(),
        }
    }

    /// Containers that are nested in one trust each other more than they trust the node's others.
    fn shared(reason: impl Into<String>) -> Self {
        Self {
            state: State::Shared,
            open: 2,
            reason: reason.into(),
        }
    }

    /// In force, and yet a part of it is open as planned.
    fn but(self, open: u32, reason: impl Into<String>) -> Self {
        match self.state {
            State::Enforced => Self {
                open,
                reason: reason.into(),
                ..self
            },
            State::Degraded | State::Shared | State::Open => self,
        }
    }
}

/// Collects the rows.
struct Writer<'a> {
    enforcement: &'a Enforcement,
    rows: Vec<Row>,
}

impl<'a> Writer<'a> {
    fn new(enforcement: &'a Enforcement) -> Self {
        Self {
            enforcement,
            rows: Vec::new(),
        }
    }

    /// What the kernel made of an isolation that is planned.
    fn outcome(&self, isolation: Isolation) -> Judged {
        let mut missing = self.enforcement.missing.iter();
        if let Some((_, why)) = missing.find(|(one, _)| *one == isolation) {
            return Judged {
                state: State::Degraded,
                open: WHOLE,
                reason: why.clone(),
            };
        }
        if self.enforcement.enforced.contains(&isolation) {
            return Judged::enforced();
        }
        Judged {
            state: State::Degraded,
            open: WHOLE,
            reason: "the launch did not tell what became of it".to_string(),
        }
    }

    /// A row that counts for what its area weighs.
    fn row(&mut self, area: Area, what: impl Into<String>, judged: Judged) {
        let (weight, worth) = area.weight();
        let reason = match (judged.open, judged.reason.is_empty()) {
            (0, _) => judged.reason,
            (_, true) => worth.to_string(),
            (_, false) => judged.reason + ": " + worth,
        };
        self.rows.push(Row {
            area,
            what: what.into(),
            state: judged.state,
            reason,
            weight,
            exposure: weight * judged.open.min(WHOLE),
        });
    }

    /// A row that only informs.
    fn note(&mut self, area: Area, what: impl Into<String>, judged: Judged) {
        self.rows.push(Row {
            area,
            what: what.into(),
            state: judged.state,
            reason: judged.reason,
            weight: 0,
            exposure: 0,
        });
    }

    /// What is missing and no row has told.
    fn leftovers(&mut self) {
        for (isolation, _) in &self.enforcement.missing {
            let area = area(*isolation);
            if !self.rows.iter().any(|row| row.area == area) {
                let judged = self.outcome(*isolation);
                self.row(area, isolation.to_string(), judged);
            }
        }
    }
}

#[cfg(test)]
mod tests;
