//! Frameworks and their executors as messages.

use api::convert::to_both;
use api::v1;
use api::v1::master::response::{get_executors, get_frameworks};
use master_core::event::{Capabilities, Capability};
use master_core::frameworks::FrameworkState;
use master_core::{Master, WallTime};
use model::FrameworkId;

use super::time;
use crate::convert::maintenance::wire_inverse_offer;
use crate::convert::{events, message};
use crate::state::Snapshot;
use crate::state::view::Framework;

impl Snapshot {
    /// Frameworks that are not over, by id.
    pub(crate) fn frameworks(&self) -> impl Iterator<Item = get_frameworks::Framework> {
        self.view.frameworks.iter().map(framework)
    }

    /// Frameworks that are over and remembered.
    pub(crate) fn completed_frameworks(&self) -> impl Iterator<Item = get_frameworks::Framework> {
        self.view.completed.iter().map(framework)
    }

    /// Executors other than those of command tasks.
    pub(crate) fn executors(&self) -> impl Iterator<Item = get_executors::Executor> {
        let frameworks = self.view.every_framework();
        let executors = frameworks.flat_map(|framework| &framework.executors);
        executors.map(|(agent_id, info)| get_executors::Executor {
            executor_info: message(info),
            agent_id: v1::AgentId::from(agent_id),
        })
    }
}

/// A framework as it is now, where it is not over: itself alone, and without a date as a zero, as
/// Mesos tells it to those who watch.
pub(crate) fn framework_of(core: &Master, id: &FrameworkId) -> Option<get_frameworks::Framework> {
    let view = core.view();
    let found = view.framework(id)?;
    let (first, last) = (found.registered_time, found.reregistered_time);
    let connected = matches!(found.state, FrameworkState::Connected { .. });
    Some(get_frameworks::Framework {
        framework_info: v1::FrameworkInfo {
            id: Some(v1::FrameworkId::from(&found.id)),
            ..message(&found.info.info)
        },
        active: connected,
        connected,
        recovered: matches!(found.state, FrameworkState::Recovered { .. }),
        registered_time: Some(time(first)),
        reregistered_time: Some(time(last.unwrap_or(first))),
        unregistered_time: Some(time(WallTime(0))),
        ..get_frameworks::Framework::default()
    })
}

/// A framework with what it is offered and uses.
fn framework(framework: &Framework) -> get_frameworks::Framework {
    // Operators see offers whole, whatever the framework is shown of them.
    let everything = [Capability::MultiRole, Capability::ReservationRefinement];
    let everything: Capabilities = everything.into_iter().collect();
    let offers = framework.offers.iter();
    get_frameworks::Framework {
        framework_info: v1::FrameworkInfo {
            id: Some(v1::FrameworkId::from(&framework.id)),
            ..message(&framework.info)
        },
        active: framework.connected,
        connected: framework.connected,
        recovered: framework.recovered,
        registered_time: Some(time(framework.registered)),
        reregistered_time: Some(time(framework.reregistered.unwrap_or(framework.registered))),
        unregistered_time: framework.unregistered.map(time),
        offers: offers
            .map(|offer| events::wire_offer(offer, everything))
            .collect(),
        inverse_offers: framework
            .inverse_offers
            .iter()
            .map(|offer| wire_inverse_offer(offer))
            .collect(),
        allocated_resources: to_both(&framework.used),
        offered_resources: to_both(&framework.offered),
        offer_constraints: Some(
            framework
                .offer_constraints
                .as_ref()
                .map(message)
                .unwrap_or_default(),
        ),
    }
}
