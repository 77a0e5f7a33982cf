//! Identity: one principal together with the rules, asked what it may do.

use std::sync::Arc;

use http::Extensions;
use master_core::authorization::{Acls, Action};
use master_core::event::Text;

/// Who a request is by; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    principal: Option<Text>,
    acls: Arc<Acls>,
}

impl Identity {
    /// A principal, or nobody in particular.
    pub(super) const fn new(principal: Option<Text>, acls: Arc<Acls>) -> Self {
        Self { principal, acls }
    }

    /// Whom the router found a request to be by.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        // The router leaves one with every request. Without, nothing is allowed.
        extensions.get().cloned().unwrap_or_else(|| Self {
            principal: None,
            acls: Arc::new(Acls {
                permissive: false,
                ..Acls::default()
            }),
        })
    }

    /// Its name, where authenticated.
    pub(crate) const fn principal(&self) -> Option<&Text> {
        self.principal.as_ref()
    }

    /// Whether any of these actions can be forbidden to somebody.
    pub(crate) fn is_restricted(&self, actions: &[Action]) -> bool {
        self.acls.restrict(actions)
    }

    /// Whether it may do this with this object; `None` stands for any.
    pub(crate) fn may(&self, action: Action, object: Option<&str>) -> bool {
        self.acls.allow(self.principal.as_deref(), action, object)
    }
}
