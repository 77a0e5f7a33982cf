//! SUBSCRIBE and UPDATE_FRAMEWORK: how a framework gets its stream, comes back, and changes.
//!
//! Whoever subscribes with the id of a framework takes it over: the stream before is ended.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::resources::Role;
use model::{FrameworkId, OfferId};

use crate::allocator::Allocator;
use crate::constraints::Constraints;
use crate::event::{
    Change, Effect, FrameworkEvent, FrameworkInfo, MasterMessage, StreamId, Subscription, Text,
};
use crate::frameworks::{Framework, FrameworkState, HEARTBEAT_INTERVAL};
use crate::timers::Timer;
use crate::{Master, subscription};

/// Why UPDATE_FRAMEWORK changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchanged {
    /// It cannot be changed into that: 400.
    Invalid(String),
    /// Its principal may not: 403.
    Forbidden(String),
}

/// What a framework cannot change by subscribing again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFields {
    /// `user`.
    pub user: Text,
    /// `checkpoint`.
    pub checkpoint: bool,
}

impl Master {
    pub(crate) fn subscribe(&mut self, stream: StreamId, mut subscription: Subscription) {
        let again = subscription.framework.id.is_some();
        self.counters.count(if again {
            "messages_reregister_framework"
        } else {
            "messages_register_framework"
        });
        let constraints = match self.check_subscription(&mut subscription) {
            Ok(constraints) => constraints,
            Err(message) => {
                let event = FrameworkEvent::Error { message };
                self.out.push(Effect::Send { stream, event });
                self.out.push(Effect::CloseStream { stream });
                return;
            }
        };
        let info = &subscription.framework;
        let id = match &info.id {
            Some(id) => id.clone(),
            None => match self.next_framework_id() {
                Some(id) => id,
                None => return,
            },
        };
        let change = if self.frameworks.contains_key(&id) {
            self.fail_over(&id, info);
            let framework_id = id.clone();
            self.publish(Change::FrameworkUpdated { framework_id });
            "subscribed again"
        } else {
            self.add_framework(&id, info, FrameworkState::Connected { stream });
            if again {
                // One of another master's: since when, nobody knows.
                self.came_back(&id);
            }
            let framework_id = id.clone();
            self.publish(Change::FrameworkAdded { framework_id });
            "subscribed"
        };
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.constraints = Arc::new(constraints);
            framework.offer_constraints = subscription.offer_constraints.message;
        }
        self.connect(&id, stream, &subscription.suppressed_roles);
        self.tell_holders(&id);
        self.note_framework(&id, change);
    }

    fn came_back(&mut self, id: &FrameworkId) {
        let now = self.wall_time();
        if let Some(framework) = self.frameworks.get_mut(id) {
            if matches!(framework.state, FrameworkState::Recovered { .. }) {
                framework.registered_time = now;
            }
            framework.reregistered_time = Some(now);
        }
    }

    /// What a framework says of itself may have changed; and updates that came while it was away
    /// went nowhere: the agents send them again.
    fn tell_holders(&mut self, id: &FrameworkId) {
        self.tell_holders_of_update(id);
        let holders = self.frameworks.get(id).map(Framework::holders);
        for agent_id in holders.unwrap_or_default() {
            let framework_id = id.clone();
            self.send_to_agent(
                &agent_id,
                MasterMessage::FrameworkSubscribed { framework_id },
            );
        }
    }

    fn tell_holders_of_update(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        let message = framework.updated();
        for agent_id in framework.holders() {
            self.send_to_agent(&agent_id, message.clone());
        }
    }

    /// What a framework that is known cannot change by subscribing again: it stays as it was.
    #[must_use]
    pub fn kept_fields(&self, id: &FrameworkId) -> Option<KeptFields> {
        let info = &self.frameworks.get(id)?.info;
        Some(KeptFields {
            user: info.user.clone(),
            checkpoint: info.checkpoint,
        })
    }

    fn check_subscription(&self, subscription: &mut Subscription) -> Result<Constraints, String> {
        self.check_framework(subscription)?;
        let wanted = &subscription.offer_constraints;
        let constraints = Constraints::new(wanted, self.config.pattern_limits)?;
        self.check_registration(&subscription.framework)?;
        let info = &mut subscription.framework;
        let known = info.id.as_ref().and_then(|id| self.frameworks.get(id));
        if let Some(known) = known {
            info.user = known.info.user.clone();
            info.checkpoint = known.info.checkpoint;
            subscription::check_update(&known.info, info)?;
        }
        Ok(constraints)
    }

    /// Checks what a framework says of itself, as it subscribes or later.
    fn check_framework(&self, subscription: &Subscription) -> Result<(), String> {
        let info = &subscription.framework;
        subscription::check(info)?;
        self.check_whitelist(info)?;
        subscription::check_suppressed(subscription)?;
        if !self.config.root_submissions && *info.user == *"root" {
            return Err(
                "User 'root' is not allowed to run frameworks without --root_submissions set"
                    .into(),
            );
        }
        if info.id.as_ref().is_some_and(|id| self.is_completed(id)) {
            return Err("Framework has been removed".into());
        }
        subscription::check_failover_timeout(info)
    }

    /// The next id that nobody has, not even someone who made it up.
    fn next_framework_id(&mut self) -> Option<FrameworkId> {
        loop {
            let number = self.next_framework;
            self.next_framework = number.saturating_add(1);
            let id = FrameworkId::new(&format!("{}-{number:04}", self.config.master_id)).ok()?;
            if !self.frameworks.contains_key(&id) && !self.is_completed(&id) {
                return Some(id);
            }
        }
    }

    /// Takes a framework from its old stream, if it has one.
    fn fail_over(&mut self, id: &FrameworkId, info: &FrameworkInfo) {
        self.came_back(id);
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        framework.info = info.clone();
        let old_stream = framework.stream();
        if let Some(remove_at) = framework.remove_at() {
            self.timers.cancel(remove_at, Timer::Failover(id.clone()));
        }
        if let Some(stream) = old_stream {
            let message = "Framework failed over".into();
            let event = FrameworkEvent::Error { message };
            self.out.push(Effect::Send { stream, event });
            self.out.push(Effect::CloseStream { stream });
            self.streams.remove(&stream);
        }
        self.allocator.deactivate_framework(id);
        self.recover_offers_of(id);
        self.recover_inverse_offers_of(id);
    }

    /// Gives a framework its stream and lets it have offers.
    fn connect(&mut self, id: &FrameworkId, stream: StreamId, suppressed: &[Text]) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        framework.state = FrameworkState::Connected { stream };
        let demand = framework.demand(suppressed);
        self.streams.insert(stream, id.clone());
        let event = FrameworkEvent::Subscribed {
            framework_id: id.clone(),
            heartbeat: HEARTBEAT_INTERVAL,
        };
        self.out.push(Effect::Send { stream, event });
        self.heartbeat(stream);
        self.allocator.set_framework(self.now, id, demand);
        self.allocator.activate_framework(self.now, id);
        self.ask_again(id);
    }

    /// Where `--roles` names roles, there are no others but `*`.
    fn check_whitelist(&self, info: &FrameworkInfo) -> Result<(), String> {
        let Some(listed) = &self.config.roles else {
            return Ok(());
        };
        let roles = subscription::roles(info);
        let others = roles
            .iter()
            .filter(|r| !r.is_star() && !listed.contains(*r));
        let others: Vec<&str> = others.map(Role::as_str).collect();
        if others.is_empty() {
            return Ok(());
        }
        Err(format!(
            "Roles {{ {} }} are not present in the master's --roles",
            others.join(", ")
        ))
    }

    /// Whether a framework may change what it subscribed with into this.
    ///
    /// # Errors
    /// Why not, in Mesos' words.
    pub fn check_update(&self, id: &FrameworkId, update: &Subscription) -> Result<(), Unchanged> {
        self.constraints_of_update(id, update).map(drop)
    }

    fn constraints_of_update(
        &self,
        id: &FrameworkId,
        update: &Subscription,
    ) -> Result<Constraints, Unchanged> {
        self.check_framework(update).map_err(|fault| {
            Unchanged::Invalid(format!("Supplied FrameworkInfo is not valid: {fault}"))
        })?;
        if let Some(framework) = self.frameworks.get(id) {
            subscription::check_update(&framework.info, &update.framework).map_err(|fault| {
                Unchanged::Invalid(format!("FrameworkInfo update is not valid: {fault}"))
            })?;
        }
        let constraints = Constraints::new(&update.offer_constraints, self.config.pattern_limits);
        let constraints = constraints.map_err(|fault| {
            Unchanged::Invalid(format!(
                "'UpdateFramework.offer_constraints' are not valid: {fault}"
            ))
        })?;
        self.check_registration(&update.framework)
            .map_err(Unchanged::Forbidden)?;
        Ok(constraints)
    }

    pub(crate) fn update_framework(&mut self, id: &FrameworkId, update: Subscription) {
        let constraints = match self.constraints_of_update(id, &update) {
            Ok(constraints) => constraints,
            Err(Unchanged::Invalid(fault) | Unchanged::Forbidden(fault)) => {
                self.drop_message("call", fault);
                return;
            }
        };
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        let has_changed = framework.info.info != update.framework.info;
        framework.info = update.framework;
        framework.constraints = Arc::new(constraints);
        framework.offer_constraints = update.offer_constraints.message;
        let roles = framework.roles();
        let demand = framework.demand(&update.suppressed_roles);
        let left: Vec<OfferId> = framework
            .offers
            .iter()
            .filter(|id| {
                self.offers
                    .get(*id)
                    .is_some_and(|o| !roles.contains(&o.role))
            })
            .cloned()
            .collect();
        self.allocator.set_framework(self.now, id, demand);
        for offer_id in left {
            self.rescind(&offer_id);
        }
        if has_changed {
            self.tell_holders_of_update(id);
        }
        let framework_id = id.clone();
        self.publish(Change::FrameworkUpdated { framework_id });
        self.note_framework(id, "updated");
    }
}
