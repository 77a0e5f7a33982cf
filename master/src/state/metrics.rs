//! `/metrics/snapshot`: one flat object of numbers, under Mesos' names (reference, section 7.10).
//!
//! Every name that a Mesos master reports is reported, 0 where this master has nothing to count,
//! since exporters look for the names.

use std::collections::BTreeMap;

use model::resources::Resource;
use model::{Resources, TaskState};

use super::allocator;
use super::system::System;
use super::view::{Framework, View};
use crate::facts::{Facts, wall_clock};
use crate::metrics::{CALLS, Counters, FrameworkCounters, as_f64, name_of};

pub(super) type Numbers = BTreeMap<String, f64>;

/// Every number by its name.
pub(super) fn numbers(view: &View, counters: &Counters, facts: &Facts) -> Numbers {
    let mut out = Numbers::new();
    for name in ALWAYS {
        out.insert((*name).to_owned(), 0.0);
    }
    operations(&view.counters, &mut out);
    core_counters(view, counters, &mut out);
    agents(view, &mut out);
    frameworks(view, counters, &mut out);
    resources(view, &mut out);
    allocator::add(view, counters, &mut out);
    counters
        .state_store
        .list("registrar/state_store_ms", &mut out);
    let uptime = wall_clock().0.saturating_sub(facts.started.0);
    put(&mut out, "master/uptime_secs", as_f64(uptime) / 1e9);
    let leads = facts.standing.leads();
    put(&mut out, "master/elected", f64::from(u8::from(leads)));
    // Who does not lead has no registry.
    if leads {
        put(&mut out, "registrar/state_fetch_ms", 0.0);
        put(
            &mut out,
            "registrar/registry_size_bytes",
            as_f64(counters.registry_size),
        );
    }
    system(System::read(), &mut out);
    out
}

/// Names that are there from the start, whether or not anything here counts them.
const ALWAYS: &[&str] = &[
    "allocator/event_queue_dispatches",
    "allocator/mesos/event_queue_dispatches",
    "master/dropped_messages",
    "master/event_queue_dispatches",
    "master/event_queue_http_requests",
    "master/event_queue_messages",
    "master/http_cache_hits",
    "master/invalid_executor_to_framework_messages",
    "master/invalid_framework_to_executor_messages",
    "master/invalid_operation_status_update_acknowledgements",
    "master/invalid_operation_status_updates",
    "master/invalid_status_update_acknowledgements",
    "master/invalid_status_updates",
    "master/messages_authenticate",
    "master/messages_deactivate_framework",
    "master/messages_decline_offers",
    "master/messages_executor_to_framework",
    "master/messages_exited_executor",
    "master/messages_framework_to_executor",
    "master/messages_kill_task",
    "master/messages_launch_tasks",
    "master/messages_operation_status_update",
    "master/messages_operation_status_update_acknowledgement",
    "master/messages_reconcile_operations",
    "master/messages_reconcile_tasks",
    "master/messages_register_framework",
    "master/messages_register_slave",
    "master/messages_reregister_framework",
    "master/messages_reregister_slave",
    "master/messages_resource_request",
    "master/messages_revive_offers",
    "master/messages_status_update",
    "master/messages_status_update_acknowledgement",
    "master/messages_suppress_offers",
    "master/messages_unregister_framework",
    "master/messages_unregister_slave",
    "master/messages_update_slave",
    "master/operator_event_stream_subscribers",
    "master/recovery_slave_removals",
    "master/slave_registrations",
    "master/slave_removals",
    "master/slave_removals/reason_registered",
    "master/slave_removals/reason_unhealthy",
    "master/slave_removals/reason_unregistered",
    "master/slave_reregistrations",
    "master/slave_shutdowns_canceled",
    "master/slave_shutdowns_completed",
    "master/slave_shutdowns_scheduled",
    "master/slave_unreachable_canceled",
    "master/slave_unreachable_completed",
    "master/slave_unreachable_scheduled",
    "master/valid_executor_to_framework_messages",
    "master/valid_framework_to_executor_messages",
    "master/valid_operation_status_update_acknowledgements",
    "master/valid_operation_status_updates",
    "master/valid_status_update_acknowledgements",
    "master/valid_status_updates",
    "registrar/queued_operations",
];

/// States in which a task is over.
const ENDS: [TaskState; 8] = [
    TaskState::Dropped,
    TaskState::Error,
    TaskState::Failed,
    TaskState::Finished,
    TaskState::Gone,
    TaskState::GoneByOperator,
    TaskState::Killed,
    TaskState::Lost,
];

/// States in which it is not.
const ACTIVE: [TaskState; 5] = [
    TaskState::Killing,
    TaskState::Running,
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Unreachable,
];

/// Events of the scheduler API.
const EVENTS: [&str; 11] = [
    "error",
    "failure",
    "heartbeat",
    "inverse_offers",
    "message",
    "offers",
    "rescind",
    "rescind_inverse_offer",
    "subscribed",
    "update",
    "update_operation_status",
];

/// Operations on offers.
const OPERATIONS: [&str; 10] = [
    "create",
    "create_disk",
    "destroy",
    "destroy_disk",
    "grow_volume",
    "launch",
    "launch_group",
    "reserve",
    "shrink_volume",
    "unreserve",
];

/// What may become of an operation.
const OPERATION_STATES: [&str; 9] = [
    "dropped",
    "error",
    "failed",
    "finished",
    "gone_by_operator",
    "pending",
    "recovering",
    "total",
    "unreachable",
];

fn operations(counters: &master_core::counters::Counters, out: &mut Numbers) {
    for state in OPERATION_STATES {
        out.insert(format!("master/operations/{state}"), 0.0);
        for kind in OPERATIONS {
            if !kind.starts_with("launch") {
                out.insert(format!("master/operations/{kind}/{state}"), 0.0);
            }
        }
    }
    for ((kind, state), count) in counters.operations() {
        let kind = kind.name().to_ascii_lowercase();
        let state = state.name().trim_start_matches("OPERATION_");
        let state = state.to_ascii_lowercase();
        for name in [
            format!("master/operations/{state}"),
            format!("master/operations/{kind}/{state}"),
            "master/operations/total".to_owned(),
            format!("master/operations/{kind}/total"),
        ] {
            if let Some(sum) = out.get_mut(&name) {
                *sum += as_f64(*count);
            }
        }
    }
}

fn core_counters(view: &View, counters: &Counters, out: &mut Numbers) {
    for (name, count) in view.counters.named() {
        put(out, &format!("master/{name}"), as_f64(*count));
    }
    let invalid = out
        .entry("master/invalid_status_updates".into())
        .or_default();
    *invalid += as_f64(counters.invalid_frames);
    for state in ENDS {
        put(out, &format!("master/{}", tasks_name(state)), 0.0);
    }
    for ((state, source, reason), count) in view.counters.task_ends() {
        *out.entry(format!("master/{}", tasks_name(*state)))
            .or_default() += as_f64(*count);
        if let Some(reason) = reason {
            let name = format!(
                "master/{}/{}/{}",
                state.name().to_ascii_lowercase(),
                source.name().to_ascii_lowercase(),
                reason.name().to_ascii_lowercase()
            );
            *out.entry(name).or_default() += as_f64(*count);
        }
    }
    for state in ACTIVE {
        let tasks = view.frameworks.iter().flat_map(Framework::live_tasks);
        let count = tasks.filter(|task| task.state == state).count();
        put(
            out,
            &format!("master/{}", tasks_name(state)),
            as_f64(count as u64),
        );
    }
}

/// `TASK_RUNNING` as `tasks_running`.
fn tasks_name(state: TaskState) -> String {
    state
        .name()
        .to_ascii_lowercase()
        .replacen("task_", "tasks_", 1)
}

fn agents(view: &View, out: &mut Numbers) {
    let all = view.agents.len();
    let connected = view.agents.iter().filter(|agent| agent.connected).count();
    let active = view.agents.iter().filter(|agent| agent.active).count();
    for (name, count) in [
        ("active", active),
        ("inactive", all - active),
        ("connected", connected),
        ("disconnected", all - connected),
        ("unreachable", view.unreachable),
    ] {
        put(out, &format!("master/slaves_{name}"), as_f64(count as u64));
    }
}

fn frameworks(view: &View, counters: &Counters, out: &mut Numbers) {
    let all = view.frameworks.len();
    let connected = view.frameworks.iter().filter(|f| f.connected).count();
    let offers: usize = view.frameworks.iter().map(|f| f.offers.len()).sum();
    for (name, count) in [
        ("frameworks_active", connected),
        ("frameworks_inactive", all - connected),
        ("frameworks_connected", connected),
        ("frameworks_disconnected", all - connected),
        ("outstanding_offers", offers),
    ] {
        put(out, &format!("master/{name}"), as_f64(count as u64));
    }
    let nothing = FrameworkCounters::default();
    for framework in &view.frameworks {
        let counted = counters.frameworks.get(&framework.id).unwrap_or(&nothing);
        one_framework(framework, counted, out);
    }
}

fn one_framework(framework: &Framework, counted: &FrameworkCounters, out: &mut Numbers) {
    let prefix = format!(
        "master/frameworks/{}/{}",
        percent_encode(&framework.name),
        framework.id
    );
    let count = |counts: &BTreeMap<&'static str, u64>, name: &str| {
        as_f64(counts.get(name).copied().unwrap_or(0))
    };
    let sum = |counts: &BTreeMap<&'static str, u64>| as_f64(counts.values().sum());
    let mut add = |name: &str, value: f64| out.insert(format!("{prefix}/{name}"), value);

    add("subscribed", f64::from(u8::from(framework.connected)));
    add("calls", sum(&counted.calls));
    for kind in CALLS {
        let name = name_of(kind);
        add(&format!("calls/{name}"), count(&counted.calls, name));
    }
    add("events", sum(&counted.events));
    for name in EVENTS {
        add(&format!("events/{name}"), count(&counted.events, name));
    }
    add("operations", sum(&counted.operations));
    for name in OPERATIONS {
        let value = count(&counted.operations, name);
        add(&format!("operations/{name}"), value);
    }
    for name in ["accepted", "declined", "rescinded", "sent"] {
        add(&format!("offers/{name}"), count(&counted.offers, name));
    }
    for role in &framework.roles {
        let suppressed = framework.suppressed.contains(role);
        add(
            &format!("roles/{role}/suppressed"),
            f64::from(u8::from(suppressed)),
        );
    }
    for state in ACTIVE.into_iter().chain([TaskState::Unknown]) {
        let tasks = framework.live_tasks().filter(|task| task.state == state);
        let name = state.name().to_ascii_lowercase();
        add(
            &format!("tasks/active/{name}"),
            as_f64(tasks.count() as u64),
        );
    }
    for state in ENDS {
        let name = state.name().to_ascii_lowercase();
        let ended = counted.ended.get(&state).copied().unwrap_or(0);
        add(&format!("tasks/terminal/{name}"), as_f64(ended));
    }
}

fn resources(view: &View, out: &mut Numbers) {
    let connected = || view.agents.iter().filter(|agent| agent.connected);
    let total = sum(connected().map(|agent| &*agent.total));
    let used = sum(connected().map(|agent| &agent.used));
    for (suffix, revocable) in [("", false), ("_revocable", true)] {
        let part = |all: &Resources| {
            let kept: Resources = all.filter(|r: &Resource| r.revocable == revocable);
            kept.quantities()
        };
        let (total, used) = (part(&total), part(&used));
        for name in ["cpus", "mem", "disk", "gpus"] {
            let (all, taken) = (total.get(name).to_f64(), used.get(name).to_f64());
            let share = if all > 0.0 { taken / all } else { 0.0 };
            for (end, value) in [("percent", share), ("total", all), ("used", taken)] {
                put(out, &format!("master/{name}{suffix}_{end}"), value);
            }
        }
    }
}

fn system(system: System, out: &mut Numbers) {
    for (name, value) in [
        ("cpus_total", as_f64(system.cpus as u64)),
        ("load_1min", system.load[0]),
        ("load_5min", system.load[1]),
        ("load_15min", system.load[2]),
        ("mem_free_bytes", as_f64(system.mem_free)),
        ("mem_total_bytes", as_f64(system.mem_total)),
    ] {
        put(out, &format!("system/{name}"), value);
    }
}

pub(super) fn sum<'a>(all: impl Iterator<Item = &'a Resources>) -> Resources {
    all.fold(Resources::new(), |mut sum, one| {
        sum.add_all(one);
        sum
    })
}

pub(super) fn put(out: &mut Numbers, name: &str, value: f64) {
    out.insert(name.to_owned(), value);
}

/// A framework's name as it can stand in a metric's name.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
