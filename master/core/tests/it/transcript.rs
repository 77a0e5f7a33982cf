//! Effects as lines of a transcript.

use master_core::event::{Change, Effect, FrameworkEvent, MasterMessage, RegistryChange, Status};
use master_core::tasks::TaskStatus;
use model::Resources;

use crate::{notation, roles_script};

/// A line; none for what scripts do not look at.
pub(crate) fn print(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Send { stream, event } => format!("s{} {}", stream.0, print_event(event)),
        Effect::CloseStream { stream } => format!("s{} closed", stream.0),
        Effect::Answer { request, answer } => format!("r{} {answer:?}", request.0),
        Effect::ToAgent { link, message, .. } => {
            format!("l{} {}", link.0, print_message(message)?)
        }
        Effect::CloseLink { link } => format!("l{} closed", link.0),
        Effect::Store { change, .. } => match change {
            RegistryChange::Admit { agent_id, .. } => format!("store admit {agent_id}"),
            RegistryChange::MarkUnreachable { agent_id, .. } => {
                format!("store unreachable {agent_id}")
            }
            RegistryChange::MarkGone { agent_id, .. } => format!("store gone {agent_id}"),
            RegistryChange::Remove { agent_id } => format!("store remove {agent_id}"),
            RegistryChange::Cluster(entries) => {
                format!("store {}", roles_script::print(entries))
            }
        },
        Effect::Publish(change) => print_change(change),
        Effect::Note(_) => return None,
    })
}

fn print_change(change: &Change) -> String {
    let told = |status: &TaskStatus| match status {
        TaskStatus::Relayed(status) => String::from_utf8_lossy(status.as_bytes()).into_owned(),
        TaskStatus::Made(status) => print_status(status),
    };
    match change {
        Change::TaskAdded { framework_id, task } => {
            format!("w TASK_ADDED {framework_id} {} {}", task.id, task.state)
        }
        Change::TaskUpdated {
            framework_id,
            status,
            state,
            task: _,
        } => format!("w TASK_UPDATED {framework_id} {state}: {}", told(status)),
        Change::AgentAdded { agent_id } => format!("w AGENT_ADDED {agent_id}"),
        Change::AgentRemoved { agent_id } => format!("w AGENT_REMOVED {agent_id}"),
        Change::FrameworkAdded { framework_id } => format!("w FRAMEWORK_ADDED {framework_id}"),
        Change::FrameworkUpdated { framework_id } => format!("w FRAMEWORK_UPDATED {framework_id}"),
        Change::FrameworkRemoved { framework_id, .. } => {
            format!("w FRAMEWORK_REMOVED {framework_id}")
        }
    }
}

fn print_event(event: &FrameworkEvent) -> String {
    match event {
        FrameworkEvent::Subscribed { framework_id, .. } => format!("SUBSCRIBED {framework_id}"),
        FrameworkEvent::Heartbeat => "HEARTBEAT".into(),
        FrameworkEvent::Offers { offers, .. } => offers.iter().fold("OFFERS".into(), |text, o| {
            format!(
                "{text} {} {} {} {}",
                o.id,
                o.agent_id,
                o.role,
                quiet(&o.resources)
            )
        }),
        FrameworkEvent::Rescind { offer_id } => format!("RESCIND {offer_id}"),
        FrameworkEvent::InverseOffers { offers } => {
            offers.iter().fold("INVERSE_OFFERS".into(), |text, o| {
                let until = o.unavailability.start_ns;
                format!("{text} {} {} from {until}", o.id, o.agent_id)
            })
        }
        FrameworkEvent::RescindInverseOffer { inverse_offer_id } => {
            format!("RESCIND_INVERSE_OFFER {inverse_offer_id}")
        }
        FrameworkEvent::Relayed { status } => {
            format!("UPDATE {}", String::from_utf8_lossy(status.as_bytes()))
        }
        FrameworkEvent::Made(status) => print_status(status),
        FrameworkEvent::Message {
            executor_id, data, ..
        } => {
            let data = String::from_utf8_lossy(data.as_bytes());
            format!("MESSAGE {executor_id}: {data}")
        }
        FrameworkEvent::OperationStatus(status) => notation::print_status(status),
        FrameworkEvent::Failure { agent_id, executor } => {
            format!("FAILURE {agent_id} {executor:?}")
        }
        FrameworkEvent::Error { message } => format!("ERROR {message}"),
    }
}

fn print_status(status: &Status) -> String {
    let agent = status.agent_id.as_deref().unwrap_or("-");
    format!(
        "UPDATE {} on {agent} {} {}: {}",
        status.task_id, status.state, status.reason, status.message
    )
}

fn print_message(message: &MasterMessage) -> Option<String> {
    Some(match message {
        MasterMessage::Registered { agent_id, .. } => format!("registered {agent_id}"),
        MasterMessage::Refused { reason, .. } => format!("refused: {reason}"),
        MasterMessage::Ping { .. } => return None,
        MasterMessage::RunTask {
            task,
            allocation_role,
            ..
        } => format!(
            "run {} for {allocation_role}",
            String::from_utf8_lossy(task.as_bytes())
        ),
        MasterMessage::RunTaskGroup {
            executor,
            tasks,
            allocation_role,
            ..
        } => tasks.iter().fold(
            format!(
                "run in {} for {allocation_role}:",
                String::from_utf8_lossy(executor.as_bytes())
            ),
            |text, task| format!("{text} {}", String::from_utf8_lossy(task.as_bytes())),
        ),
        MasterMessage::FrameworkMessage {
            executor_id, data, ..
        } => {
            let data = String::from_utf8_lossy(data.as_bytes());
            format!("message for {executor_id}: {data}")
        }
        MasterMessage::FrameworkUpdated { framework_id, .. } => format!("updated {framework_id}"),
        MasterMessage::KillTask { task_id, .. } => format!("kill {task_id}"),
        MasterMessage::ApplyOperation { info, .. } => {
            format!("apply {}", notation::print_change(&info.change))
        }
        MasterMessage::AcknowledgeOperation { status_uuid, .. } => {
            format!("acknowledge operation {}", status_uuid.0[0])
        }
        MasterMessage::ReconcileOperations { operations } => {
            format!("reconcile {} operations", operations.len())
        }
        MasterMessage::AcknowledgeUpdate { task_id, uuid, .. } => {
            format!("acknowledge {task_id} {}", uuid.0[0])
        }
        MasterMessage::ShutdownFramework { framework_id } => format!("shut down {framework_id}"),
        MasterMessage::ShutdownExecutor { executor_id, .. } => {
            format!("shut down executor {executor_id}")
        }
        MasterMessage::DrainAgent { config } => format!("drain {config:?}"),
        MasterMessage::ReconcileTasks { tasks } => format!("reconcile {tasks:?}"),
        MasterMessage::Shutdown { reason } => format!("shut down: {reason}"),
        MasterMessage::FrameworkSubscribed { framework_id } => {
            format!("subscribed {framework_id}")
        }
    })
}

fn quiet(resources: &Resources) -> String {
    resources.unallocate().to_string().replace("; ", ";")
}
