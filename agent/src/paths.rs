//! Paths: Mesos' layout of the work directory, and the names under which sandboxes are reached.
//!
//! `slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>`, with the link
//! `latest` beside the runs. Over HTTP the same files have the virtual path
//! `/frameworks/<framework>/executors/<executor>/runs/<container or latest>`.

use std::path::{Path, PathBuf};

use model::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};

/// The name of the link to the newest run.
pub const LATEST: &str = "latest";

/// Where the sandboxes of nested containers are, within that of the one they are nested in.
const CONTAINERS: &str = "containers";

/// The folder of the agent's own, beneath the work directory.
pub const META: &str = "meta";

/// The checkpoint of agent-core.
#[must_use]
pub fn checkpoint(work_dir: &Path) -> PathBuf {
    work_dir.join(META).join("checkpoint.log")
}

/// The sandboxes of an agent, beneath the work directory.
#[must_use]
pub fn sandboxes(agent: &AgentId) -> PathBuf {
    Path::new("slaves").join(agent.as_str())
}

/// The runs of an executor, beneath the work directory.
#[must_use]
pub fn runs(agent: &AgentId, framework: &FrameworkId, executor: &ExecutorId) -> PathBuf {
    sandboxes(agent)
        .join("frameworks")
        .join(framework.as_str())
        .join("executors")
        .join(executor.as_str())
        .join("runs")
}

/// The sandbox of a container, beneath the work directory.
#[must_use]
pub fn sandbox(
    agent: &AgentId,
    framework: &FrameworkId,
    executor: &ExecutorId,
    container: &ContainerId,
) -> PathBuf {
    runs(agent, framework, executor).join(container.as_str())
}

/// The sandbox of a container that belongs to no framework, beneath the work directory.
#[must_use]
pub fn standalone(container: &ContainerId) -> PathBuf {
    Path::new(CONTAINERS).join(container.as_str())
}

/// Whether a path beneath the work directory is that of an executor's container.
#[must_use]
pub fn is_run(path: &Path) -> bool {
    let names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
    matches!(
        names.as_slice(),
        ["slaves", _, "frameworks", _, "executors", _, "runs", _]
    )
}

/// The sandboxes of executors' containers that are on the disk, beneath the work directory: of
/// every agent that this work directory ever was.
#[must_use]
pub fn all_runs(work_dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("slaves")];
    for below in [None, Some("frameworks"), Some("executors"), Some("runs")] {
        let folders = found.into_iter().flat_map(|folder| {
            let folder = below.map_or(folder.clone(), |name| folder.join(name));
            folders_in(work_dir, &folder)
        });
        found = folders.collect();
    }
    found
}

/// The folders in one; a link to one is none.
fn folders_in(work_dir: &Path, folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(work_dir.join(folder)) else {
        return Vec::new();
    };
    let folders = entries.flatten().filter(|entry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_dir())
    });
    folders
        .map(|entry| folder.join(entry.file_name()))
        .collect()
}

/// The sandbox of a container that is nested in others, within that of the outermost.
#[must_use]
pub fn nested(outermost: PathBuf, container: &ContainerId) -> PathBuf {
    let names = container.names().skip(1);
    names.fold(outermost, |sandbox, name| {
        sandbox.join(CONTAINERS).join(name)
    })
}

/// The link by which a task of a pod is found in the pod's sandbox, and where it points to.
#[must_use]
pub fn task_link(pod: &Path, task: &TaskId, container: &ContainerId) -> (PathBuf, PathBuf) {
    let target = Path::new("..").join(CONTAINERS).join(container.name());
    (pod.join("tasks").join(task.as_str()), target)
}

/// What a path of the HTTP API names, beneath the work directory; `None` for what is not in a
/// sandbox. Whether it is there, and does not lead out, is for whoever opens it.
#[must_use]
pub fn beneath(work_dir: &Path, agent: Option<&AgentId>, asked: &str) -> Option<PathBuf> {
    let asked = Path::new(asked);
    let real = match asked.strip_prefix(work_dir) {
        Ok(rest) => rest.to_path_buf(),
        Err(_) => sandboxes(agent?).join(asked.strip_prefix("/").ok()?),
    };
    let names: Option<Vec<&str>> = real.iter().map(|name| name.to_str()).collect();
    let inside = match names?.as_slice() {
        [
            "slaves",
            agent,
            "frameworks",
            framework,
            "executors",
            executor,
            "runs",
            run,
            ..,
        ] => {
            // An id is never `.` or `..`.
            let ids = [agent, framework, executor, run];
            ids.into_iter().all(|name| model::id::check(name).is_ok())
        }
        _ => false,
    };
    inside.then_some(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sandboxes_are_reached_by_either_name() {
        let agent = AgentId::new("S1").expect("an id");
        let work_dir = Path::new("/var/lib/mesos");
        let run = "slaves/S1/frameworks/f/executors/e/runs/latest";
        for (asked, real) in [
            (
                "/frameworks/f/executors/e/runs/latest",
                Some(run.to_string()),
            ),
            (
                "/frameworks/f/executors/e/runs/latest/stdout",
                Some(format!("{run}/stdout")),
            ),
            (
                "/var/lib/mesos/slaves/S1/frameworks/f/executors/e/runs/latest/a/b",
                Some(format!("{run}/a/b")),
            ),
            ("/frameworks/f/executors/e", None),
            ("/frameworks/f/executors/e/runs", None),
            ("/var/lib/mesos/meta/checkpoint.log", None),
            ("/var/lib/mesos", None),
            ("/frameworks/../executors/../runs/../../secret", None),
            ("/frameworks/f/executors/e/runs/../../secret", None),
            ("/etc/passwd", None),
            ("frameworks/f/executors/e/runs/latest", None),
            ("", None),
        ] {
            assert_eq!(
                beneath(work_dir, Some(&agent), asked),
                real.map(PathBuf::from),
                "{asked}"
            );
        }
    }
}
