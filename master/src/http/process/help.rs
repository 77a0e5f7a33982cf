//! What `/help` tells of the master.

use api::http::help::Help;

/// Everything that has a page.
pub(crate) const HELP: Help = Help {
    delegate: "master",
    parts: &[
        (
            "files",
            &[
                ("browse", "Lists a virtual folder: `path`."),
                ("debug", "Lists the virtual files, each with the real one."),
                ("download", "Gives a whole file: `path`."),
                (
                    "read",
                    "Gives a part of a file: `path`, `offset`, `length`; its size where the offset is -1.",
                ),
            ],
        ),
        (
            "logging",
            &[(
                "toggle",
                "Tells how much is logged, or sets it for a while: `level`, `duration`.",
            )],
        ),
        (
            "master",
            &[
                (
                    "api/v1",
                    "The operator API: every call of `mesos.v1.master.Call`, as JSON or protobuf.",
                ),
                (
                    "api/v1/scheduler",
                    "The scheduler API: every call of `mesos.v1.scheduler.Call`, as JSON or protobuf.",
                ),
                (
                    "create-volumes",
                    "Makes persistent volumes on an agent: a form with `slaveId` and `volumes`.",
                ),
                (
                    "destroy-volumes",
                    "Destroys persistent volumes on an agent: a form with `slaveId` and `volumes`.",
                ),
                ("flags", "The settings that are in force."),
                (
                    "frameworks",
                    "Frameworks with their tasks: all, or the one with `framework_id`.",
                ),
                ("health", "Answers 200 as long as the master serves."),
                (
                    "machine/down",
                    "Takes machines of the schedule out of use: a list of machines as JSON.",
                ),
                (
                    "machine/up",
                    "Takes machines into use again: a list of machines as JSON.",
                ),
                (
                    "maintenance/schedule",
                    "Tells the schedule of maintenance, or sets a new one.",
                ),
                (
                    "maintenance/status",
                    "Machines in maintenance, and what frameworks answered to it.",
                ),
                ("quota", "Tells, sets or removes the quota of a role."),
                ("redirect", "Leads to the leading master."),
                (
                    "reserve",
                    "Reserves resources on an agent: a form with `slaveId` and `resources`.",
                ),
                ("roles", "Roles with their weights, quotas and resources."),
                ("slaves", "Agents: all, or the one with `slave_id`."),
                ("state", "Everything: agents, frameworks, tasks."),
                (
                    "state-summary",
                    "Agents and frameworks with counts in place of tasks.",
                ),
                (
                    "tasks",
                    "Tasks: `framework_id`, `task_id`, `order` (asc or des), `limit`, `offset`.",
                ),
                (
                    "teardown",
                    "Ends a framework and its tasks: a form with `frameworkId`.",
                ),
                (
                    "unreserve",
                    "Takes reservations on an agent back: a form with `slaveId` and `resources`.",
                ),
                ("weights", "Tells the weights of roles, or sets them."),
            ],
        ),
        (
            "metrics",
            &[
                ("", "Counters and gauges in the form of Prometheus."),
                ("snapshot", "Counters and gauges as one flat JSON object."),
            ],
        ),
        (
            "profiler",
            &[
                ("start", "There is no profiler in this program."),
                ("stop", "There is no profiler in this program."),
            ],
        ),
        (
            "registrar(1)",
            &[("registry", "What outlives this master, as JSON.")],
        ),
        (
            "system",
            &[("stats.json", "Processors, load and memory of the machine.")],
        ),
        ("version", &[("", "The version of the interfaces.")]),
    ],
};
