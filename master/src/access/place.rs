//! Which path asks for which credentials, and which of them only a leader answers.

/// What credentials are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Realm {
    /// Reading.
    Readonly,
    /// Changing something.
    Readwrite,
    /// Being a framework.
    Scheduler,
    /// Being an agent.
    Agents,
}

/// Who answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answerer {
    /// Whatever master gets it.
    Anyone,
    /// The leader; others send the client there.
    Leader,
}

impl Realm {
    /// Its name in `WWW-Authenticate`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Readonly => "mesos-master-readonly",
            Self::Readwrite => "mesos-master-readwrite",
            Self::Scheduler => "mesos-master-scheduler",
            Self::Agents => "tepui-master-agents",
        }
    }
}

/// The realm of a path; `None` where nobody is asked. A path that is not named here is for readers.
pub(crate) fn realm(path: &str) -> Option<Realm> {
    match own(path) {
        "/health" | "/redirect" | "/version" | "/help" | "/files/debug" | "/system/stats.json"
        | "/__processes__" => None,
        path if path.starts_with("/help/") || path.starts_with("/redirect/") => None,
        "/api/v1/scheduler" => Some(Realm::Scheduler),
        "/api/v1"
        | "/teardown"
        | "/reserve"
        | "/unreserve"
        | "/create-volumes"
        | "/destroy-volumes"
        | "/maintenance/schedule"
        | "/machine/down"
        | "/machine/up"
        | "/quota"
        | "/weights"
        | "/logging/toggle" => Some(Realm::Readwrite),
        path if path.starts_with("/profiler/") || path.starts_with("/memory-profiler/") => {
            Some(Realm::Readwrite)
        }
        _ => Some(Realm::Readonly),
    }
}

/// Who answers a path that exists.
pub(crate) fn answerer(path: &str) -> Answerer {
    match own(path) {
        "/health" | "/flags" | "/version" | "/help" | "/metrics" | "/metrics/snapshot"
        | "/redirect" | "/logging/toggle" | "/system/stats.json" | "/__processes__" => {
            Answerer::Anyone
        }
        path if [
            "/files/",
            "/help/",
            "/profiler/",
            "/memory-profiler/",
            "/redirect/",
            "/registrar",
        ]
        .iter()
        .any(|prefix| path.starts_with(prefix)) =>
        {
            Answerer::Anyone
        }
        _ => Answerer::Leader,
    }
}

/// The path without the name of the process, and without one slash at its end.
fn own(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.strip_prefix("/master").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_the_realms_of_mesos_and_unknown_ones_are_for_readers() {
        for (path, expected) in [
            ("/master/health", None),
            ("/version", None),
            ("/master/redirect/", None),
            ("/help/master/state", None),
            ("/files/debug", None),
            ("/files/read", Some(Realm::Readonly)),
            ("/metrics/snapshot", Some(Realm::Readonly)),
            ("/metrics", Some(Realm::Readonly)),
            ("/master/state", Some(Realm::Readonly)),
            ("/flags", Some(Realm::Readonly)),
            ("/what-comes-next", Some(Realm::Readonly)),
            ("/api/v1", Some(Realm::Readwrite)),
            ("/master/api/v1/", Some(Realm::Readwrite)),
            ("/logging/toggle", Some(Realm::Readwrite)),
            ("/master/maintenance/status", Some(Realm::Readonly)),
            ("/master/maintenance/schedule", Some(Realm::Readwrite)),
            ("/api/v1/scheduler", Some(Realm::Scheduler)),
        ] {
            assert_eq!(realm(path), expected, "{path}");
        }
    }

    #[test]
    fn a_master_answers_for_itself_and_the_leader_for_the_cluster() {
        for (path, expected) in [
            ("/master/health", Answerer::Anyone),
            ("/master/flags", Answerer::Anyone),
            ("/metrics/snapshot", Answerer::Anyone),
            ("/files/browse", Answerer::Anyone),
            ("/master/redirect/x", Answerer::Anyone),
            ("/state", Answerer::Leader),
            ("/api/v1", Answerer::Leader),
            ("/api/v1/scheduler", Answerer::Leader),
            ("/master/teardown", Answerer::Leader),
        ] {
            assert_eq!(answerer(path), expected, "{path}");
        }
    }
}
