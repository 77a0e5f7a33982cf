//! An executor that a framework brings with a task or a task group.

use alloc::format;
use alloc::string::{String, ToString};

use model::{ExecutorId, Resources};

use super::{Ground, LaunchableExecutor, NewExecutor, allocated};
use crate::event::ExecutorSpec;
use crate::resource_rules;

/// An executor that passed what is checked of every one.
#[derive(Debug)]
pub(super) struct Checked<'a> {
    pub(super) id: ExecutorId,
    pub(super) resources: Resources,
    spec: &'a ExecutorSpec,
}

impl Checked<'_> {
    /// What there is to start of it.
    pub(super) fn launchable(self, ground: Ground<'_>) -> LaunchableExecutor {
        let key = (ground.agent.id.clone(), self.id.clone());
        let runs = ground.framework.executors.contains_key(&key);
        LaunchableExecutor {
            start: (!runs).then(|| NewExecutor {
                resources: self.resources,
                info: self.spec.info.clone(),
                identity: self.spec.identity.clone(),
            }),
            id: self.id,
        }
    }
}

/// Checks what is checked of every executor.
pub(super) fn check_executor<'a>(
    spec: &'a ExecutorSpec,
    ground: Ground<'_>,
) -> Result<Checked<'a>, String> {
    spec.type_fault.clone().map_or(Ok(()), Err)?;
    let id = ExecutorId::new(&spec.executor_id).map_err(|fault| fault.to_string())?;
    if spec.shutdown_grace_ns.is_some_and(|grace| grace < 0) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".into());
    }
    spec.content_fault.clone().map_or(Ok(()), Err)?;
    let Some(framework_id) = &spec.framework_id else {
        return Err("'ExecutorInfo.framework_id' must be set".into());
    };
    if **framework_id != *ground.framework.id.as_str() {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {framework_id} vs Expected: {})",
            ground.framework.id
        ));
    }
    let resources = executor_resources(spec, ground)?;
    let key = (ground.agent.id.clone(), id.clone());
    let running = ground.framework.executors.get(&key);
    if running.is_some_and(|running| running.identity != spec.identity) {
        return Err(
            "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID."
                .into(),
        );
    }
    Ok(Checked {
        id,
        resources,
        spec,
    })
}

fn executor_resources(spec: &ExecutorSpec, ground: Ground<'_>) -> Result<Resources, String> {
    let given = allocated(&spec.resources, ground.role)?;
    resource_rules::check(&given).map_err(|f| format!("Executor uses invalid resources: {f}"))?;
    let resources: Resources = given.into_iter().collect();
    resource_rules::check_unique_persistence(&resources)
        .map_err(|fault| format!("Executor uses duplicate persistence ID: {fault}"))?;
    resource_rules::check_single_role(&resources)
        .map_err(|fault| format!("Invalid executor resources: {fault}"))?;
    resource_rules::check_revocable_mix(&resources).map_err(|fault| {
        format!("Executor mixes revocable and non-revocable resources: {fault}")
    })?;
    Ok(resources)
}

/// An executor shares no cgroup: there is none above it.
pub(super) fn check_share_cgroups(spec: &ExecutorSpec) -> Result<(), String> {
    if spec.share_cgroups == Some(true) {
        return Err(
            "The 'share_cgroups' field cannot be set to 'true' on executor containers".into(),
        );
    }
    Ok(())
}
