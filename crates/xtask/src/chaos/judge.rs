//! Judge: what must hold of a framework's tasks, whatever happened, from its journal and the runs
//! that tasks told of.

use std::collections::{BTreeMap, BTreeSet};

use model::TaskState;

use super::journal::{Line, What};

/// Runs by task: each has a name of its own.
pub(super) type Runs = BTreeMap<String, BTreeSet<String>>;

/// How long a task that runs may take to say so, in seconds.
const SAYS_IN: f64 = 20.0;

/// What a journal tells of one task.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Task {
    /// The agent that it was launched on.
    pub(super) agent: String,
    /// The newest state.
    pub(super) state: Option<String>,
    /// The ends that it was told of: state and uuid. Those that a master made have none.
    ends: BTreeSet<(String, Option<String>)>,
    /// Whether the framework gave it up.
    given_up: bool,
    /// When it was first said to run.
    running_since: Option<f64>,
    /// When it ended, as the framework heard it first.
    pub(super) ended_at: Option<f64>,
}

impl Task {
    /// Whether it was ever said to run.
    pub(super) const fn has_begun(&self) -> bool {
        self.running_since.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        self.given_up || !self.ends.is_empty()
    }
}

/// The tasks of a journal.
pub(super) fn tasks(lines: &[Line]) -> BTreeMap<String, Task> {
    let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
    for line in lines {
        match &line.what {
            What::Launch { task, agent } => {
                tasks
                    .entry(task.clone())
                    .or_default()
                    .agent
                    .clone_from(agent);
            }
            What::Status {
                task, state, uuid, ..
            } => {
                let task = tasks.entry(task.clone()).or_default();
                if is_terminal(state) {
                    task.ends.insert((state.clone(), uuid.clone()));
                    task.ended_at.get_or_insert(line.at);
                }
                if state == "TASK_RUNNING" {
                    task.running_since.get_or_insert(line.at);
                }
                if state != "TASK_UNKNOWN" {
                    task.state = Some(state.clone());
                }
            }
            What::GivenUp { task } => {
                let task = tasks.entry(task.clone()).or_default();
                task.given_up = true;
                task.ended_at.get_or_insert(line.at);
            }
            What::Registered { .. }
            | What::Reregistered
            | What::Disconnected
            | What::Offers { .. }
            | What::Failed { .. }
            | What::Error { .. } => {}
        }
    }
    tasks
}

fn is_terminal(name: &str) -> bool {
    let mut named = TaskState::ALL.iter().filter(|state| state.name() == name);
    named.any(|state| state.is_terminal())
}

/// The tasks that run, as the framework knows it.
pub(super) fn running(tasks: &BTreeMap<String, Task>) -> impl Iterator<Item = &String> {
    let running = |task: &Task| !task.is_over() && task.state.as_deref() == Some("TASK_RUNNING");
    let all = tasks.iter();
    all.filter(move |(_, task)| running(task))
        .map(|(name, _)| name)
}

/// Tasks that are over and did not end by themselves, from a time on.
pub(super) fn lost(tasks: &BTreeMap<String, Task>, since: f64) -> Vec<(&str, &Task)> {
    let all = tasks.iter();
    let lost = all.filter(|(_, task)| {
        task.ended_at.is_some_and(|at| at >= since)
            && task.state.as_deref() != Some("TASK_FINISHED")
    });
    lost.map(|(name, task)| (name.as_str(), task)).collect()
}

/// When the first offers came after a time, and after the framework had to subscribe again where that
/// is told: what an old leader still had on its way does not count.
pub(super) fn first_offer(lines: &[Line], since: f64, is_anew: bool) -> Option<f64> {
    let later = lines.iter().filter(|line| line.at >= since);
    let mut later = later.skip_while(|line| is_anew && !matches!(line.what, What::Reregistered));
    later
        .find(|line| matches!(line.what, What::Offers { number: 1.. }))
        .map(|line| line.at - since)
}

/// What broke a promise, at any time.
pub(super) fn faults(lines: &[Line], runs: &Runs) -> Vec<String> {
    let mut faults = Vec::new();
    let now = lines.last().map_or(0.0, |line| line.at);
    for (name, task) in tasks(lines) {
        let runs = runs.get(&name).map_or(0, BTreeSet::len);
        if runs > 1 {
            faults.push(format!("{name} ran {runs} times"));
        }
        let states: BTreeSet<&str> = task.ends.iter().map(|(state, _)| state.as_str()).collect();
        if states.len() > 1 {
            faults.push(format!("{name} ended more than once: {states:?}"));
        }
        let uuids: BTreeSet<&str> = task
            .ends
            .iter()
            .filter_map(|(_, uuid)| uuid.as_deref())
            .collect();
        if uuids.len() > 1 {
            faults.push(format!("{name} ended with {} updates", uuids.len()));
        }
        if task.given_up && runs > 0 {
            faults.push(format!("{name} ran, and no master knew of it"));
        }
        if states.contains("TASK_FINISHED") && runs == 0 {
            faults.push(format!("{name} finished and never ran"));
        }
        let runs_for = task.running_since.map_or(0.0, |since| now - since);
        if !task.is_over() && runs_for > SAYS_IN && runs == 0 {
            faults.push(format!("{name} is said to run and never did"));
        }
    }
    let errors = lines.iter().filter_map(|line| match &line.what {
        What::Error { message } => Some(format!("the master says: {message}")),
        _ => None,
    });
    faults.extend(errors);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: f64, what: What) -> Line {
        Line { at, what }
    }

    fn launch(at: f64, task: &str) -> Line {
        let agent = "S0".to_owned();
        let task = task.to_owned();
        line(at, What::Launch { task, agent })
    }

    fn status(at: f64, task: &str, state: &str, uuid: &str) -> Line {
        let what = What::Status {
            task: task.to_owned(),
            state: format!("TASK_{state}"),
            uuid: Some(uuid.to_owned()).filter(|uuid| !uuid.is_empty()),
            agent: None,
            message: None,
        };
        line(at, what)
    }

    fn runs(runs: &[(&str, &[&str])]) -> Runs {
        let one = |(task, names): &(&str, &[&str])| {
            let names = names.iter().map(|name| (*name).to_owned());
            ((*task).to_owned(), names.collect())
        };
        runs.iter().map(one).collect()
    }

    #[test]
    fn what_is_told_again_or_asked_for_is_no_fault() {
        let lines = [
            launch(1.0, "a"),
            status(2.0, "a", "RUNNING", "u1"),
            status(3.0, "a", "RUNNING", ""),
            status(4.0, "a", "FINISHED", "u2"),
            status(5.0, "a", "FINISHED", "u2"),
            launch(6.0, "b"),
            status(7.0, "b", "UNREACHABLE", ""),
            status(8.0, "b", "RUNNING", ""),
        ];
        let runs = runs(&[("a", &["r1"]), ("b", &["r2"])]);
        assert_eq!(faults(&lines, &runs), Vec::<String>::new());
        let tasks = tasks(&lines);
        assert_eq!(running(&tasks).count(), 1);
        assert!(lost(&tasks, 0.0).is_empty());
    }

    #[test]
    fn every_broken_promise_is_seen() {
        let mut lines = vec![
            launch(1.0, "twice"),
            launch(1.0, "two-ends"),
            status(2.0, "two-ends", "FAILED", "u1"),
            status(3.0, "two-ends", "GONE", "u2"),
            launch(1.0, "ghost"),
            status(2.0, "ghost", "FINISHED", "u1"),
            launch(1.0, "said"),
            status(2.0, "said", "RUNNING", "u1"),
            launch(1.0, "given"),
        ];
        let task = "given".to_owned();
        lines.push(line(9.0, What::GivenUp { task }));
        let message = "no".to_owned();
        lines.push(line(9.0, What::Error { message }));
        lines.push(launch(30.0, "late"));
        lines.push(status(31.0, "late", "RUNNING", "u1"));
        let runs = runs(&[
            ("twice", &["r1", "r2"]),
            ("two-ends", &["r1"]),
            ("given", &["r1"]),
        ]);
        assert_eq!(
            faults(&lines, &runs),
            [
                "ghost finished and never ran",
                "given ran, and no master knew of it",
                "said is said to run and never did",
                "twice ran 2 times",
                "two-ends ended more than once: {\"TASK_FAILED\", \"TASK_GONE\"}",
                "two-ends ended with 2 updates",
                "the master says: no",
            ]
        );
        let tasks = tasks(&lines);
        let lost: Vec<&str> = lost(&tasks, 2.5).iter().map(|(name, _)| *name).collect();
        assert_eq!(lost, ["given"]);
    }

    #[test]
    fn the_first_offer_is_that_after_the_event() {
        let offers = |at, number| line(at, What::Offers { number });
        let lines = [offers(1.0, 3), offers(4.0, 0), offers(7.5, 1)];
        assert_eq!(first_offer(&lines, 2.0, false), Some(5.5));
        assert_eq!(first_offer(&lines, 8.0, false), None);
        assert_eq!(first_offer(&lines, 0.0, true), None);
        let anew = line(2.0, What::Reregistered);
        let lines = [offers(1.0, 3), anew, offers(7.5, 1)];
        assert_eq!(first_offer(&lines, 0.0, true), Some(7.5));
    }
}
