//! Maintenance and draining: machines, schedules, inverse offers.

use api::v1;
use api::v1::maintenance as wire;
use api::v1::{DrainState as WireDrainState, DurationInfo, TimeInfo};
use master_core::draining::{DrainConfig, DrainInfo, DrainState};
use master_core::event::Text;
use master_core::maintenance::{InverseOffer, Machine, Schedule, Unavailability, Window};

use super::events::agent_url;

/// A MachineID as it came.
pub(crate) fn machine(id: v1::MachineId) -> Machine {
    Machine {
        hostname: id.hostname.map(Text::from),
        ip: id.ip.map(Text::from),
    }
}

/// A MachineID to be sent.
pub(crate) fn wire_machine(machine: &Machine) -> v1::MachineId {
    v1::MachineId {
        hostname: machine.hostname.as_ref().map(ToString::to_string),
        ip: machine.ip.as_ref().map(ToString::to_string),
    }
}

/// A Schedule as it came.
pub(crate) fn schedule(schedule: wire::Schedule) -> Schedule {
    let windows = schedule.windows.into_iter();
    let windows = windows.map(|window| Window {
        machines: window.machine_ids.into_iter().map(machine).collect(),
        unavailability: Unavailability {
            start_ns: window.unavailability.start.nanoseconds,
            duration_ns: window.unavailability.duration.map(|d| d.nanoseconds),
        },
    });
    Schedule {
        windows: windows.collect(),
    }
}

/// A Schedule to be sent.
pub(crate) fn wire_schedule(schedule: &Schedule) -> wire::Schedule {
    let windows = schedule.windows.iter().map(|window| wire::Window {
        machine_ids: window.machines.iter().map(wire_machine).collect(),
        unavailability: wire_unavailability(window.unavailability),
    });
    wire::Schedule {
        windows: windows.collect(),
    }
}

/// An Unavailability to be sent.
pub(crate) fn wire_unavailability(unavailability: Unavailability) -> v1::Unavailability {
    v1::Unavailability {
        start: TimeInfo {
            nanoseconds: unavailability.start_ns,
        },
        duration: unavailability
            .duration_ns
            .map(|nanoseconds| DurationInfo { nanoseconds }),
    }
}

/// An InverseOffer to be sent. It asks for whatever there is: as in Mesos it names no resources.
pub(crate) fn wire_inverse_offer(offer: &InverseOffer) -> v1::InverseOffer {
    v1::InverseOffer {
        id: v1::OfferId::from(&offer.id),
        url: Some(agent_url(&offer.agent.hostname, &offer.agent.address)),
        framework_id: v1::FrameworkId::from(&offer.framework_id),
        agent_id: Some(v1::AgentId::from(&offer.agent_id)),
        unavailability: wire_unavailability(offer.unavailability),
        resources: Vec::new(),
    }
}

/// A DrainConfig to be sent.
pub(crate) fn wire_drain_config(config: DrainConfig) -> v1::DrainConfig {
    v1::DrainConfig {
        max_grace_period: config
            .max_grace_ns
            .map(|nanoseconds| DurationInfo { nanoseconds }),
        mark_gone: Some(config.mark_gone),
    }
}

/// A DrainInfo to be sent.
pub(crate) fn wire_drain_info(info: DrainInfo) -> v1::DrainInfo {
    let state = match info.state {
        DrainState::Draining => WireDrainState::Draining,
        DrainState::Drained => WireDrainState::Drained,
    };
    v1::DrainInfo {
        state: state.into(),
        config: wire_drain_config(info.config),
    }
}

/// A DrainInfo as it was stored; `None` where its state is none that a stored one has.
pub(crate) fn drain_info(info: &v1::DrainInfo) -> Option<DrainInfo> {
    let state = match WireDrainState::try_from(info.state).ok()? {
        WireDrainState::Draining => DrainState::Draining,
        WireDrainState::Drained => DrainState::Drained,
        WireDrainState::Unknown => return None,
    };
    let config = DrainConfig {
        max_grace_ns: info.config.max_grace_period.map(|d| d.nanoseconds),
        mark_gone: info.config.mark_gone(),
    };
    Some(DrainInfo { state, config })
}
