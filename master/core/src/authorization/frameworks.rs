//! What frameworks may do, in the words that Mesos has for it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::FrameworkId;

use super::Action;
use crate::event::{FrameworkInfo, LaunchGroup, LaunchTask};
use crate::frameworks::Framework;
use crate::{Master, subscription};

impl Master {
    /// Whether a framework may have the roles that it asks for.
    ///
    /// # Errors
    /// What it may not, in Mesos' words.
    pub fn check_registration(&self, info: &FrameworkInfo) -> Result<(), String> {
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

    /// Whether a framework may run a task as the user that the task wants.
    pub(crate) fn check_authorized(
        &self,
        id: &FrameworkId,
        task: &LaunchTask,
    ) -> Result<(), String> {
        let Some((framework, forbidden)) = self.forbidden_launch(id, task) else {
            return Ok(());
        };
        let principal = framework.info.principal.as_deref().unwrap_or_default();
        // "no authorized" is how Mesos has it.
        Err(format!(
            "Principal '{principal}' no authorized to {forbidden}"
        ))
    }

    /// Whether it may run all of a group; otherwise none of it runs.
    pub(crate) fn check_group_authorized(
        &self,
        id: &FrameworkId,
        group: &LaunchGroup,
    ) -> Result<(), String> {
        // Of several Mesos tells the last.
        let tasks = group.tasks.iter().rev();
        let mut forbidden = tasks.filter_map(|task| {
            let (_, forbidden) = self.forbidden_launch(id, task)?;
            Some((&task.task_id, forbidden))
        });
        match forbidden.next() {
            None => Ok(()),
            Some((task_id, forbidden)) => {
                // Mesos writes no space there.
                Err(format!("Task '{task_id}' is not authorized to{forbidden}"))
            }
        }
    }

    /// What a framework may not do where it may not run a task.
    fn forbidden_launch(
        &self,
        id: &FrameworkId,
        task: &LaunchTask,
    ) -> Option<(&Framework, String)> {
        let framework = self.frameworks.get(id)?;
        let user = task.user.as_ref().unwrap_or(&framework.info.user);
        let principal = framework.info.principal.as_deref();
        let acls = &self.config.acls;
        let launch = || {
            format!(
                "launch task {} of framework {id} under user '{user}'",
                task.task_id
            )
        };
        let allowed = acls.allow(principal, Action::RunTask, Some(user));
        (!allowed).then(|| (framework, launch()))
    }
}
