//! Metrics: what `/metrics/snapshot` and GET_METRICS answer, under Mesos' names and no others
//! (reference, section 7.10). `/metrics` has ours as well, which begin with `tepui/`.

use std::collections::BTreeMap;
use std::fs;

use agent_core::executor::Task;
use agent_kernel::{cgroup, facts};
use model::{FrameworkId, Resources, TaskState};
use serde_json::{Value, json};

use super::view::{self, Standing};
use super::{Context, held};
use crate::snapshot::Snapshot;

/// `/metrics/snapshot`
pub(super) fn snapshot(context: &Context) -> Value {
    let all = figures(context).into_iter();
    Value::Object(all.map(|(name, value)| (name, json!(value))).collect())
}

/// All figures by their names: Mesos' and our own.
pub(super) fn all(context: &Context) -> BTreeMap<String, f64> {
    let mut all = figures(context);
    let memory = Memory::of_this_process();
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let own = [
        ("tepui/agent_pss_bytes", memory.pss_bytes),
        ("tepui/agent_rss_bytes", memory.rss_bytes),
        (
            "tepui/mem_available_bytes",
            kilobytes(&info, "MemAvailable:"),
        ),
    ];
    let held = held::counts(context).into_iter();
    let counts = context.upgrades.counts();
    let programs = [
        ("tepui/upgrades", counts.upgrades),
        ("tepui/upgrades_refused", counts.refused),
        ("tepui/upgrades_undone", counts.undone),
    ];
    let own = own.into_iter().chain(held).chain(programs);
    all.extend(own.map(|(name, value)| (name.to_owned(), count(value))));
    if let Some(tree) = &context.cgroups {
        let containers = tree.all();
        for resource in cgroup::Resource::ALL {
            let found = containers.pressure(resource);
            all.extend(
                found
                    .into_iter()
                    .flat_map(|found| pressure(resource, found)),
            );
        }
    }
    all
}

/// How much all containers together wait for a resource, in percent of the last 10 and 60 s.
fn pressure(resource: cgroup::Resource, found: cgroup::Pressure) -> [(String, f64); 4] {
    let name = resource.name();
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    [
        ("some_10s", found.some_10s),
        ("some_60s", found.some_60s),
        ("full_10s", found.full_10s),
        ("full_60s", found.full_60s),
    ]
    .map(|(kind, value)| {
        (
            format!("tepui/pressure/{name}_{kind}_percent"),
            percent(value),
        )
    })
}

/// The figures that Mesos has, by their names.
pub(super) fn figures(context: &Context) -> BTreeMap<String, f64> {
    let snapshot = context.snapshot();
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: f64| {
        all.insert(name.to_string(), value);
    };
    resources(&snapshot, &mut put);
    tasks(&snapshot, &mut put);
    let counters = &snapshot.counters;
    put(
        "slave/container_launch_errors",
        count(counters.launch_errors),
    );
    put(
        "slave/executors_preempted",
        count(counters.executors_preempted),
    );
    put("slave/invalid_framework_messages", 0.0);
    put("slave/invalid_status_updates", 0.0);
    put("slave/recovery_errors", 0.0);
    put("slave/recovery_time_secs", counters.recovery.as_secs_f64());
    put(
        "slave/registered",
        f64::from(u8::from(snapshot.is_registered)),
    );
    put("slave/uptime_secs", context.started.elapsed().as_secs_f64());
    put(
        "slave/valid_framework_messages",
        count(counters.framework_messages),
    );
    put("slave/valid_status_updates", count(counters.updates));
    put("containerizer/mesos/container_destroy_errors", 0.0);
    let collected = counters.collected;
    put("gc/path_removals_pending", count(collected.pending));
    put("gc/path_removals_succeeded", count(collected.removed));
    put("gc/path_removals_failed", count(collected.failed));
    put(
        "slave/executor_directory_max_allowed_age_secs",
        collected.allowed_age.as_secs_f64(),
    );
    let fetched = counters.fetched;
    put(
        "containerizer/fetcher/cache_size_total_bytes",
        count(fetched.cache_bytes_max),
    );
    put(
        "containerizer/fetcher/cache_size_used_bytes",
        count(fetched.cache_bytes),
    );
    put(
        "containerizer/fetcher/task_fetches_succeeded",
        count(fetched.succeeded),
    );
    put(
        "containerizer/fetcher/task_fetches_failed",
        count(fetched.failed),
    );
    // There is nothing to count: no resource provider can subscribe, roots are no bind mounts, and
    // what cannot be removed is removed at the next start.
    for name in [
        "containerizer/mesos/provisioner/bind/remove_rootfs_errors",
        "containerizer/mesos/provisioner/remove_container_errors",
        "resource_provider_manager/events/disconnect",
        "resource_provider_manager/events/subscribe",
        "resource_provider_manager/subscribed",
    ] {
        put(name, 0.0);
    }
    for (name, value) in system_figures() {
        put(&format!("system/{name}"), value);
    }
    all
}

fn resources(snapshot: &Snapshot, put: &mut impl FnMut(&str, f64)) {
    let used = view::live_executors(snapshot)
        .fold(Resources::default(), |sum, one| sum.plus(&one.allocated()));
    let all = [
        ("", &snapshot.total, used.filter(|one| !one.revocable)),
        (
            "_revocable",
            &snapshot.oversubscribed,
            used.filter(|one| one.revocable),
        ),
    ];
    for (kind, total, used) in all {
        for name in ["cpus", "mem", "disk", "gpus"] {
            let total = thousandths(total.scalar(name).thousandths());
            let taken = thousandths(used.scalar(name).thousandths());
            put(&format!("slave/{name}{kind}_total"), total);
            put(&format!("slave/{name}{kind}_used"), taken);
            put(
                &format!("slave/{name}{kind}_percent"),
                if total > 0.0 { taken / total } else { 0.0 },
            );
        }
    }
}

fn tasks(snapshot: &Snapshot, put: &mut impl FnMut(&str, f64)) {
    let number = |wanted: &dyn Fn(&(FrameworkId, Task)) -> bool| {
        let found = snapshot.tasks.iter().filter(|one| wanted(one)).count();
        count(u64::try_from(found).unwrap_or(u64::MAX))
    };
    let frameworks = u64::try_from(snapshot.frameworks.len()).unwrap_or(u64::MAX);
    put("slave/frameworks_active", count(frameworks));
    let executors: Vec<Standing> = view::live_executors(snapshot)
        .map(|executor| executor.standing)
        .collect();
    for (name, standing) in [
        ("registering", Standing::Registering),
        ("running", Standing::Running),
        ("terminating", Standing::Terminating),
    ] {
        let found = executors.iter().filter(|one| **one == standing).count();
        let found = u64::try_from(found).unwrap_or(u64::MAX);
        put(&format!("slave/executors_{name}"), count(found));
    }
    let counters = &snapshot.counters;
    put(
        "slave/executors_terminated",
        count(counters.executors_terminated),
    );
    for (name, state) in [
        ("staging", TaskState::Staging),
        ("starting", TaskState::Starting),
        ("running", TaskState::Running),
        ("killing", TaskState::Killing),
    ] {
        put(
            &format!("slave/tasks_{name}"),
            number(&|(_, task)| task.state() == state),
        );
    }
    put("slave/tasks_finished", count(counters.finished));
    put("slave/tasks_failed", count(counters.failed));
    put("slave/tasks_killed", count(counters.killed));
    put("slave/tasks_lost", count(counters.lost));
    put("slave/tasks_gone", count(counters.gone));
}

/// `/system/stats.json`
pub(super) fn system() -> Value {
    let figures = system_figures().into_iter();
    let named = figures.map(|(name, value)| match name {
        "load_1min" | "load_5min" | "load_15min" => (format!("avg_{name}"), json!(value)),
        _ => (name.to_string(), json!(value)),
    });
    Value::Object(named.collect())
}

fn system_figures() -> Vec<(&'static str, f64)> {
    let mut all = Vec::new();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let names = ["load_1min", "load_5min", "load_15min"];
    let loads = load.split(' ').map(|text| text.parse().unwrap_or(0.0));
    all.extend(names.into_iter().zip(loads));
    let facts = facts::measure("/".as_ref());
    let cpus = u64::try_from(facts.cpus).unwrap_or(1);
    all.push(("cpus_total", count(cpus)));
    all.push(("mem_total_bytes", count(facts.memory_bytes.unwrap_or(0))));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    all.push(("mem_free_bytes", count(kilobytes(&memory, "MemFree:"))));
    all
}

/// What this process takes of the machine's memory.
struct Memory {
    /// Its share of what is shared counted in.
    pss_bytes: u64,
    /// All that it can touch without a fault.
    rss_bytes: u64,
}

impl Memory {
    fn of_this_process() -> Self {
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        Self {
            pss_bytes: kilobytes(&rollup, "Pss:"),
            rss_bytes: kilobytes(&rollup, "Rss:"),
        }
    }
}

/// The bytes of a line such as `Pss:   123 kB`; 0 where there is none.
pub(super) fn kilobytes(text: &str, name: &str) -> u64 {
    facts::kilobytes(text, name).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "figures of a monitor")]
fn count(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures of a monitor")]
fn thousandths(number: i64) -> f64 {
    number as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_a_line_that_is_missing_is_nothing() {
        let memory = Memory::of_this_process();
        assert!(memory.pss_bytes > 0 && memory.pss_bytes <= memory.rss_bytes);
        assert_eq!(kilobytes("Pss:      12 kB\nRss: 4 kB\n", "Rss:"), 4096);
        assert_eq!(kilobytes("Pss: x kB\n", "Pss:"), 0);
        assert_eq!(kilobytes("", "Pss:"), 0);
    }
}
