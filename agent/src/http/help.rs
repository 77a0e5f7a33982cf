//! What `/help` tells of the agent.

use api::http::help::Help;

/// Everything that has a page.
pub(super) const HELP: Help = Help {
    delegate: "slave(1)",
    parts: &[
        (
            "files",
            &[
                ("browse", "Lists a folder of a sandbox: `path`."),
                ("debug", "Lists the sandboxes, each with its folder."),
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
            "slave(1)",
            &[
                (
                    "api/v1",
                    "The operator API: every call of `mesos.v1.agent.Call`, as JSON or protobuf.",
                ),
                (
                    "api/v1/executor",
                    "The executor API: every call of `mesos.v1.executor.Call`, as JSON or protobuf.",
                ),
                (
                    "containerizer/debug",
                    "What containers wait for. Here nothing waits unseen: the list is empty.",
                ),
                (
                    "containers",
                    "Containers of executors: all, or those with `container_id`, or `framework_id` and `executor_id`; with `pressure=true` how much they wait.",
                ),
                (
                    "explain",
                    "What a container runs under: `container_id`, or `framework_id` and `task_id`.",
                ),
                ("flags", "The settings that are in force."),
                ("health", "Answers 200 as long as the agent serves."),
                (
                    "monitor/statistics",
                    "What the containers of executors use.",
                ),
                (
                    "state",
                    "Everything: resources, frameworks, executors, tasks.",
                ),
                (
                    "upgrade",
                    "Executes the program in the body in the place of this one, signed as `tepui upgrade` does.",
                ),
            ],
        ),
        (
            "system",
            &[("stats.json", "Processors, load and memory of the machine.")],
        ),
        ("version", &[("", "The version of the interfaces.")]),
    ],
};
