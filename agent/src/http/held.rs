//! Held: what the agent and its containers hold of the kernel's things. An agent without containers
//! holds as much after ten thousand of them as before; `cargo xtask bench soak` compares.

use std::fs;
use std::path::Path;

use super::Context;
use crate::networks;

/// Folders within folders that are counted, at most.
const DEPTH_MAX: usize = 16;

/// All counts, by their names.
pub(super) fn counts(context: &Context) -> Vec<(&'static str, u64)> {
    let snapshot = context.snapshot();
    let held = snapshot.counters.held;
    let groups = context
        .cgroups
        .as_ref()
        .map(agent_kernel::cgroup::Tree::path);
    let children = children();
    let zombies = children.iter().filter(|pid| is_zombie(pid)).count();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let counts = [
        ("tepui/open_files", entries("/proc/self/fd")),
        ("tepui/threads", entries("/proc/self/task")),
        ("tepui/children", children.len()),
        ("tepui/zombies", zombies),
        ("tepui/mounts", mounts.lines().count()),
        (
            "tepui/cgroups",
            groups.map_or(0, |path| folders(path, DEPTH_MAX)),
        ),
        ("tepui/network_interfaces", entries("/sys/class/net")),
        (
            "tepui/nftables_elements",
            networks::elements(&context.work_dir),
        ),
        ("tepui/containers_running", held.running),
        ("tepui/containers_waiting", held.waiting),
        ("tepui/id_ranges", held.id_ranges),
        ("tepui/cgroups_lingering", held.lingering),
        ("tepui/executed_again", context.history.executions),
    ];
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    counts.map(|(name, count)| (name, number(count))).to_vec()
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The folders in a folder, and in those.
fn folders(folder: &Path, depth: usize) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let inner = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    inner
        .map(|entry| {
            1 + if depth == 0 {
                0
            } else {
                folders(&entry.path(), depth - 1)
            }
        })
        .sum()
}

/// The processes whose end this one is told of.
fn children() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task");
    let threads = threads.into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    let lists: Vec<String> = lists.flatten().collect();
    let all = lists.iter().flat_map(|list| list.split_whitespace());
    all.map(str::to_owned).collect()
}

/// Whether it has ended, and nobody has taken its status.
fn is_zombie(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may hold anything but its own last bracket.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_that_ended_and_was_not_waited_for_is_a_zombie() {
        let mut child = Command::new("true").spawn().expect("a child");
        let pid = child.id().to_string();
        let begun = std::time::Instant::now();
        while !is_zombie(&pid) {
            assert!(begun.elapsed().as_secs() < 20, "true never ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(children().contains(&pid));
        child.wait().expect("its status");
        assert!(!is_zombie(&pid) && !children().contains(&pid));
    }

    #[test]
    fn folders_are_counted_on_every_level_and_files_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        fs::create_dir(folder.path().join("c")).expect("a folder");
        fs::write(folder.path().join("file"), "").expect("a file");
        assert_eq!(folders(folder.path(), DEPTH_MAX), 3);
        assert_eq!(folders(Path::new("/nonexistent"), DEPTH_MAX), 0);
    }
}
