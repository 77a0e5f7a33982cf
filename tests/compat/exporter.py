"""What a stock Prometheus exporter for Mesos reads of a master, and what of that is missing.

The names are those that the community's mesos_exporter looks up: counters and gauges in
`/metrics/snapshot`, and the fields it decodes of `/slaves` and `/state`. Those of a replicated log
are left out, since a master without one has none.
"""

import json
import urllib.request

ALLOCATOR = """
    mesos/allocation_runs mesos/event_queue_dispatches mesos/resources/cpus/offered_or_allocated
    mesos/resources/cpus/total mesos/resources/disk/offered_or_allocated
    mesos/resources/disk/total mesos/resources/mem/offered_or_allocated
    mesos/resources/mem/total
""".split()

MASTER = """
    cpus_percent cpus_revocable_percent cpus_revocable_total cpus_revocable_used cpus_total
    cpus_used disk_percent disk_revocable_percent disk_revocable_total disk_revocable_used
    disk_total disk_used dropped_messages elected event_queue_dispatches
    event_queue_http_requests event_queue_messages frameworks_active frameworks_disconnected
    frameworks_inactive gpus_percent gpus_revocable_percent gpus_revocable_total
    gpus_revocable_used gpus_total gpus_used invalid_executor_to_framework_messages
    invalid_framework_to_executor_messages invalid_status_update_acknowledgements
    invalid_status_updates mem_percent mem_revocable_percent mem_revocable_total
    mem_revocable_used mem_total mem_used messages_authenticate messages_deactivate_framework
    messages_decline_offers messages_executor_to_framework messages_exited_executor
    messages_framework_to_executor messages_kill_task messages_launch_tasks
    messages_reconcile_tasks messages_register_framework messages_register_slave
    messages_reregister_framework messages_reregister_slave messages_resource_request
    messages_revive_offers messages_status_update messages_status_update_acknowledgement
    messages_suppress_offers messages_unregister_framework messages_unregister_slave
    messages_update_slave outstanding_offers recovery_slave_removals slave_registrations
    slave_removals slave_reregistrations slave_shutdowns_canceled slave_shutdowns_completed
    slave_shutdowns_scheduled slave_unreachable_canceled slave_unreachable_completed
    slave_unreachable_scheduled slaves_active slaves_disconnected slaves_inactive
    slaves_unreachable tasks_dropped tasks_error tasks_failed tasks_finished tasks_gone
    tasks_gone_by_operator tasks_killed tasks_killing tasks_lost tasks_running tasks_staging
    tasks_starting tasks_unreachable uptime_secs valid_executor_to_framework_messages
    valid_framework_to_executor_messages valid_status_update_acknowledgements
    valid_status_updates
""".split()

REGISTRAR = """
    queued_operations registry_size_bytes state_fetch_ms state_store_ms
""".split()

GROUPS = {"allocator": ALLOCATOR, "master": MASTER, "registrar": REGISTRAR}

TIMERS = ["allocator/mesos/allocation_run_ms", "allocator/mesos/allocation_run_latency_ms"]
TIMERS += ["registrar/state_store_ms"]
STATISTICS = "min max p50 p90 p95 p99 p999 p9999".split()

# By list in /state and /slaves, the fields of an item that are decoded, and their types.
FIELDS = {
    "slaves": {
        "pid": str,
        "used_resources": dict,
        "unreserved_resources": dict,
        "resources": dict,
        "attributes": dict,
    },
    "frameworks": {"active": bool, "tasks": list, "completed_tasks": list},
}


def read(master, path):
    """A document of the master."""
    with urllib.request.urlopen(f"http://{master}{path}", timeout=10) as answer:
        return json.load(answer)


def missing(master):
    """What is not there, or is not of its type. The cluster has agents and frameworks."""
    metrics = read(master, "/metrics/snapshot")
    wanted = [f"{timer}/{one}" for timer in TIMERS for one in STATISTICS]
    for prefix, names in GROUPS.items():
        wanted += [f"{prefix}/{name}" for name in names]
    absent = [name for name in wanted if not isinstance(metrics.get(name), (int, float))]
    for path in ["/state", "/slaves"]:
        document = read(master, path)
        for kind, fields in FIELDS.items():
            # /slaves has agents alone.
            items = document.get(kind, []) if kind == "slaves" or path == "/state" else None
            if items == []:
                absent.append(f"{path}: no {kind} to look at")
            for item in items or []:
                absent += [
                    f"{path}: {kind}.{field}"
                    for field, kind_of in fields.items()
                    if not isinstance(item.get(field), kind_of)
                ]
    return sorted(set(absent))
