//! Sight: what of the cluster one principal may see.
//!
//! What the rules hide is not there for its reader, in documents as on event streams: frameworks,
//! tasks and executors by the user they run as, resources and operations by role.

use std::sync::Arc;

use api::v1;
use api::v1::master::Event;
use master_core::authorization::Action;
use master_core::event::{AgentFacts, Change};
use model::resources::Resource;
use model::{Blob, Resources};

use super::Snapshot;
use super::view::{Agent, Framework, Task, View};
use crate::access::Identity;
use crate::convert::{blob, message, tasks};

/// Every action by which something can be hidden.
const VIEWS: [Action; 9] = [
    Action::ViewFramework,
    Action::ViewTask,
    Action::ViewExecutor,
    Action::ViewRole,
    Action::ViewFlags,
    Action::GetQuota,
    Action::GetMaintenanceSchedule,
    Action::GetMaintenanceStatus,
    Action::AccessMesosLog,
];

/// What a reader may see; everything, until somebody reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight(Option<Identity>);

impl Sight {
    /// Whether its reader may do this with this object.
    pub(super) fn may(&self, action: Action, object: Option<&str>) -> bool {
        let Self(identity) = self;
        identity
            .as_ref()
            .is_none_or(|identity| identity.may(action, object))
    }
}

/// Whether anything can be hidden from this reader.
pub(crate) fn is_limited(identity: &Identity) -> bool {
    identity.is_restricted(&VIEWS)
}

impl Snapshot {
    /// The snapshot as this reader may see it.
    pub(crate) fn seen_by(self: Arc<Self>, identity: &Identity) -> Arc<Self> {
        if !is_limited(identity) {
            return self;
        }
        let identity = identity.clone();
        let (step, version, items) = (self.step, self.version, self.items);
        Arc::new(Self::made_by(step, version, items, move || {
            let mut view = View::clone(&self.view);
            view.hide_from(&identity);
            view
        }))
    }
}

impl View {
    fn hide_from(&mut self, identity: &Identity) {
        self.sight = Sight(Some(identity.clone()));
        for frameworks in [&mut self.frameworks, &mut self.completed] {
            frameworks.retain_mut(|framework| framework.hide_from(identity));
        }
        for agent in Arc::make_mut(&mut self.agents) {
            agent.hide_from(identity);
        }
        for (_, info) in &mut self.recovered {
            *info = without_roles(info, identity);
        }
        self.operations.retain(|operation| {
            let mut resources = operation.info.change.resources();
            resources.all(|resource| shows(identity, resource))
        });
    }
}

impl Framework {
    /// Whether the framework is shown; if so, without what is hidden in it.
    fn hide_from(&mut self, identity: &Identity) -> bool {
        let info: v1::FrameworkInfo = message(&self.info);
        let user = info.user;
        if !identity.may(Action::ViewFramework, Some(&user)) {
            return false;
        }
        for tasks in [
            Arc::make_mut(&mut self.tasks),
            &mut self.unreachable_tasks,
            &mut self.completed_tasks,
        ] {
            tasks.retain(|task: &Task| may_see_task(identity, &task.info, &user));
        }
        self.executors.retain(|(_, info)| {
            let info: v1::ExecutorInfo = message(info);
            let own = info.command.and_then(|command| command.user);
            let user = own.as_deref().unwrap_or(&user);
            identity.may(Action::ViewExecutor, Some(user))
        });
        true
    }
}

impl Agent {
    fn hide_from(&mut self, identity: &Identity) {
        if !identity.is_restricted(&[Action::ViewRole]) {
            return;
        }
        for resources in [&mut self.used, &mut self.offered] {
            *resources = shown(resources, identity);
        }
        let base = self.base_mut();
        base.total = Arc::new(shown(&base.total, identity));
        base.facts = Arc::new(AgentFacts {
            info: without_roles(&base.facts.info, identity),
            ..AgentFacts::clone(&base.facts)
        });
    }
}

/// Whether the task of a change is shown; `user` is its framework's.
pub(crate) fn shows_task(identity: &Identity, change: &Change, user: Option<&str>) -> bool {
    let info = match change {
        Change::TaskAdded { task, .. } => &task.info,
        Change::TaskUpdated { task, .. } => task,
        Change::AgentAdded { .. }
        | Change::AgentRemoved { .. }
        | Change::FrameworkAdded { .. }
        | Change::FrameworkUpdated { .. }
        | Change::FrameworkRemoved { .. } => return true,
    };
    let user = user.unwrap_or_default();
    identity.may(Action::ViewFramework, Some(user)) && may_see_task(identity, info, user)
}

/// An event about a framework or an agent as this reader may see it; `None` where it is hidden.
pub(crate) fn of_event(identity: &Identity, mut event: Event) -> Option<Event> {
    let added = event
        .framework_added
        .as_mut()
        .map(|event| &mut event.framework);
    let updated = event
        .framework_updated
        .as_mut()
        .map(|event| &mut event.framework);
    for framework in added.into_iter().chain(updated) {
        if !identity.may(Action::ViewFramework, Some(&framework.framework_info.user)) {
            return None;
        }
        keep_shown(&mut framework.allocated_resources, identity);
        keep_shown(&mut framework.offered_resources, identity);
    }
    if let Some(removed) = &event.framework_removed {
        let user = Some(removed.framework_info.user.as_str());
        if !identity.may(Action::ViewFramework, user) {
            return None;
        }
    }
    if let Some(added) = &mut event.agent_added {
        let agent = &mut added.agent;
        keep_shown(&mut agent.agent_info.resources, identity);
        for resources in [
            &mut agent.total_resources,
            &mut agent.allocated_resources,
            &mut agent.offered_resources,
        ] {
            keep_shown(resources, identity);
        }
    }
    Some(event)
}

fn may_see_task(identity: &Identity, info: &Blob, user: &str) -> bool {
    if !identity.is_restricted(&[Action::ViewTask]) {
        return true;
    }
    let info: v1::TaskInfo = message(info);
    let user = tasks::user(&info).unwrap_or(user);
    identity.may(Action::ViewTask, Some(user))
}

fn shown(resources: &Resources, identity: &Identity) -> Resources {
    resources.filter(|resource| shows(identity, resource))
}

/// Whether every role that a resource is reserved for, or allocated to, is shown.
fn shows(identity: &Identity, resource: &Resource) -> bool {
    let reserved = resource
        .reservations
        .iter()
        .map(|reservation| &reservation.role);
    let mut roles = reserved.chain(&resource.allocation_role);
    roles.all(|role| identity.may(Action::ViewRole, Some(role.as_str())))
}

/// An AgentInfo without the resources whose roles are hidden.
fn without_roles(info: &Blob, identity: &Identity) -> Blob {
    let mut info: v1::AgentInfo = message(info);
    keep_shown(&mut info.resources, identity);
    blob(&info)
}

fn keep_shown(resources: &mut Vec<v1::Resource>, identity: &Identity) {
    resources.retain(|resource| {
        let list = std::slice::from_ref(resource);
        // What is malformed says nothing of roles.
        api::convert::resources(list).map_or(true, |read| {
            read.iter().all(|resource| shows(identity, resource))
        })
    });
}
