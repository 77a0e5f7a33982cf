//! Filters: what stands between a container and the kernel's calls, made ready by the agent.

use std::sync::Arc;

use model::sandbox::{Enforcement, Isolation, LaunchPlan, Scope, Seccomp};

use super::host::Host;
use super::spawn::LaunchError;
use crate::landlock::Abi;
use crate::seccomp::{self, Program, Refusals};

/// The filters of a container.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// That of the task.
    pub(super) task: Option<Arc<Program>>,
    /// Whether the kernel tells what it stops.
    pub(super) refusals: Refusals,
    /// That of its init.
    pub(super) init: Option<Arc<Program>>,
}

impl Filters {
    /// Takes those of the plan, as far as this kernel has any, and tells what will be in force.
    pub(super) fn of(
        host: &Host,
        plan: &LaunchPlan,
        report: &mut Enforcement,
    ) -> Result<Self, LaunchError> {
        report_landlock(host.landlock, plan, report);
        if !host.has_seccomp {
            let why = "the kernel has no filters of system calls".to_string();
            report.note(Isolation::Seccomp, Err(why));
            return Ok(Self::default());
        }
        let program = |filter| host.programs.of(filter).map_err(LaunchError::Seccomp);
        let task = match &plan.seccomp {
            Seccomp::Filter(filter) => Some(program(filter)?),
            Seccomp::Unconfined => None,
        };
        let outcome = match task {
            Some(_) => Ok(()),
            None => Err("the container is unconfined, as it asked".to_string()),
        };
        report.note(Isolation::Seccomp, outcome);
        let init = Some(program(&seccomp::of_init())?);
        Ok(Self {
            task,
            refusals: host.refusals,
            init,
        })
    }
}

/// What this kernel makes of the landlock ruleset of a plan; the launcher does as much.
fn report_landlock(abi: Abi, plan: &LaunchPlan, report: &mut Enforcement) {
    report.landlock_abi = abi.0;
    let Some(landlock) = &plan.landlock else {
        return;
    };
    if !landlock.files.is_empty() {
        report.note(Isolation::Landlock, abi.files());
    }
    if [landlock.sockets, landlock.signals].contains(&Scope::Container) {
        report.note(Isolation::Scopes, abi.scopes());
    }
    if landlock.ports.is_some() {
        report.note(Isolation::TcpPorts, abi.ports());
    }
}
