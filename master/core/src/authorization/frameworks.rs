//! What frameworks may do, in the words that Mesos has for it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Action;
use crate::event::FrameworkInfo;
use crate::{Master, subscription};

impl Master {
    /// Whether a framework may have the roles that it asks for.
    pub(crate) fn check_registration(&self, info: &FrameworkInfo) -> Result<(), String> {
        let roles = subscription::roles(info);
        let names = roles.iter().map(|role| role.as_str());
        let principal = info.principal.as_deref();
        let acls = &self.config.acls;
        if acls.allow_all(principal, Action::RegisterFramework, names.clone()) {
            return Ok(());
        }
        let id = info.id.as_ref().map_or("", |id| id.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        Err(format!(
            "Not authorized to register framework {id} with roles {{ {names} }}"
        ))
    }
}
