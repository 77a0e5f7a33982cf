//! Witness: what agents tell of the tasks that live on them, and what those must keep whatever happens to
//! the agent: their process, and every line of their output.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What is seen of tasks, by their ids.
pub(crate) type Seen = BTreeMap<String, Life>;

/// What is seen of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    /// The number of its process on its node.
    pid: u64,
    /// What is wrong with its output.
    gap: Option<String>,
}

/// Asks agents.
///
/// # Errors
/// One does not answer, or in other words.
pub(crate) fn look<'a>(agents: impl IntoIterator<Item = &'a str>) -> Result<Seen> {
    let mut seen = Seen::new();
    for address in agents {
        let containers = document(address, "/containers")?;
        let state = document(address, "/state")?;
        for container in containers.as_array().context("no list of containers")? {
            let (Some(task), Some(pid)) = (
                container["executor_id"].as_str(),
                container["status"]["executor_pid"].as_u64(),
            ) else {
                // It is being made.
                continue;
            };
            let gap = match directory(&state, task) {
                Some(directory) => gap(&output(address, directory)?),
                None => None,
            };
            seen.insert(task.to_owned(), Life { pid, gap });
        }
    }
    Ok(seen)
}

/// What tasks have not kept that were there before and are after.
pub(crate) fn faults(before: &Seen, after: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    for (task, life) in after {
        if let Some(gap) = &life.gap {
            faults.push(format!("the output of {task}: {gap}"));
        }
        if let Some(was) = before.get(task).filter(|was| was.pid != life.pid) {
            faults.push(format!(
                "the process of {task} is {}, and was {}",
                life.pid, was.pid
            ));
        }
    }
    faults
}

fn document(address: &str, path: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&get(address, path)?)?)
}

fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let asked = || format!("ask {address} for {path}");
    let (status, body) = qemu::http::get(address, path).with_context(asked)?;
    ensure!(status == 200, "{address} answers {status} to {path}");
    Ok(body)
}

/// The sandbox of a task's executor, as a node's state tells it.
fn directory<'a>(state: &'a Value, task: &str) -> Option<&'a str> {
    let frameworks = state["frameworks"].as_array()?.iter();
    let mut executors = frameworks
        .filter_map(|framework| framework["executors"].as_array())
        .flatten();
    let executor = executors.find(|executor| executor["id"] == task)?;
    executor["directory"].as_str()
}

fn output(address: &str, directory: &str) -> Result<String> {
    let output = get(address, &format!("/files/download?path={directory}/stdout"))?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// What an output lacks that begins with the name of the run and then counts from 0, or stops there.
fn gap(text: &str) -> Option<String> {
    // The last line may be on its way.
    let whole = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    let numbers = whole.skip(1).enumerate();
    let mut wrong = numbers.filter(|(number, line)| number.to_string() != *line);
    wrong
        .next()
        .map(|(number, line)| format!("{line:?} stands where {number} should"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_lost_or_stands_twice_is_seen() {
        for whole in ["", "ru", "run\n", "run\n0\n", "run\n0\n1\n2\n3"] {
            assert_eq!(gap(whole), None, "{whole:?}");
        }
        for broken in ["run\n1\n", "run\n0\n0\n", "run\n0\n2\n3\n", "run\n0\n\n1\n"] {
            assert!(gap(broken).is_some(), "{broken:?}");
        }
    }

    #[test]
    fn a_task_that_lives_on_has_its_process() {
        let life = |pid| Life { pid, gap: None };
        let seen = |lives: &[(&str, u64)]| -> Seen {
            let all = lives.iter();
            all.map(|(task, pid)| ((*task).to_owned(), life(*pid)))
                .collect()
        };
        let before = seen(&[("a", 7), ("over", 8)]);
        assert!(faults(&before, &seen(&[("a", 7), ("new", 9)])).is_empty());
        assert_eq!(
            faults(&before, &seen(&[("a", 9)])),
            ["the process of a is 9, and was 7"]
        );
        let gap = Some("\"2\" stands where 1 should".to_owned());
        let broken = Seen::from([("b".to_owned(), Life { pid: 1, gap })]);
        assert_eq!(
            faults(&before, &broken),
            ["the output of b: \"2\" stands where 1 should"]
        );
    }

    #[test]
    fn a_sandbox_is_found_by_its_executor() {
        let executor = serde_json::json!({ "id": "a", "directory": "/d" });
        let state = serde_json::json!({ "frameworks": [{}, { "executors": [executor] }] });
        assert_eq!(directory(&state, "a"), Some("/d"));
        assert_eq!(directory(&state, "b"), None);
    }
}
