//! Facts: what a text is made of, read from the node's `/proc` and the container's cgroups.
//!
//! What has no file, since the kernel lacks a controller, is what the plan said.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::sandbox::{CpuQuota, Load, ViewFacts, ViewFile};

use super::container::{Account, Container};
use super::{Shared, lock};

/// How old a text of the node is at most: it is for what hardly changes, and some machines take
/// milliseconds to make it.
const FRESH: Duration = Duration::from_secs(1);

/// Threads of one container whose state is looked at; of more, the rest is taken to be like them.
const LOOKED_AT_MAX: usize = 128;

/// Groups of one container that are walked through.
const GROUPS_MAX: usize = 64;

/// Texts of the node, which all views share.
#[derive(Debug, Default)]
pub(super) struct Node(Mutex<BTreeMap<ViewFile, (Instant, String)>>);

impl Node {
    fn text(&self, file: ViewFile) -> String {
        let known = lock(&self.0).get(&file).cloned();
        match known {
            Some((at, text)) if at.elapsed() < FRESH => text,
            _ => {
                let text = fs::read_to_string(file.path()).unwrap_or_default();
                lock(&self.0).insert(file, (Instant::now(), text.clone()));
                text
            }
        }
    }
}

/// Reads what a file needs.
pub(super) fn read(
    shared: &Shared,
    container: &Container,
    file: ViewFile,
    account: &mut Account,
) -> ViewFacts {
    let own = |name: &str| own(container, name);
    let mut facts = ViewFacts {
        view: container.view,
        node: String::new(),
        cpus: 1,
        cpu_quota: None,
        cpu_weight: None,
        cpu_stat: String::new(),
        memory_bytes_max: None,
        memory_bytes: None,
        memory_stat: String::new(),
        swap_bytes_max: None,
        swap_bytes: 0,
        io_stat: String::new(),
        tasks: 0,
        age: container.clocks.since.elapsed(),
        begun: None,
        load: Load::default(),
        idle: Duration::ZERO,
    };
    match file {
        ViewFile::Meminfo => {
            facts.node = shared.node.text(file);
            let planned = container.limits.and_then(|limits| limits.memory_bytes_max);
            facts.memory_bytes_max = least(container, "memory.max").unwrap_or(planned);
            facts.memory_bytes = number(&own("memory.current"));
            facts.memory_stat = own("memory.stat");
            swap(container, &mut facts);
        }
        ViewFile::Swaps => {
            facts.node = shared.node.text(file);
            swap(container, &mut facts);
        }
        ViewFile::Cpuinfo => {
            facts.node = shared.node.text(file);
            processors(shared, container, &mut facts);
        }
        ViewFile::OnlineCpus => processors(shared, container, &mut facts),
        ViewFile::Stat => {
            facts.node = shared.node.text(file);
            facts.begun = begun(container, facts.age);
            processors(shared, container, &mut facts);
            times(shared, container, &mut facts, account);
            load(shared, container, &mut facts, account);
        }
        ViewFile::Uptime => {
            processors(shared, container, &mut facts);
            times(shared, container, &mut facts, account);
        }
        ViewFile::Loadavg => {
            facts.cpu_stat = own("cpu.stat");
            load(shared, container, &mut facts, account);
        }
        ViewFile::Diskstats => {
            facts.node = shared.node.text(file);
            facts.io_stat = own("io.stat");
        }
    }
    facts
}

/// When the clocks of a container began by the wall clock, as the kernel reckons it.
fn begun(container: &Container, age: Duration) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let begun = now.saturating_sub(age);
    container.clocks.are_own.then_some(begun)
}

/// A file of the container's own group.
fn own(container: &Container, name: &str) -> String {
    let group = container.groups.first();
    let text = group.and_then(|group| fs::read_to_string(group.join(name)).ok());
    text.unwrap_or_default()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The least number in a file of the groups; `Some(None)` where none has a limit, `None` where there is
/// no such file.
fn least(container: &Container, name: &str) -> Option<Option<u64>> {
    let groups = container.groups.iter();
    let texts: Vec<_> = groups
        .filter_map(|group| fs::read_to_string(group.join(name)).ok())
        .collect();
    match texts.is_empty() {
        true => None,
        false => Some(texts.iter().filter_map(|text| number(text)).min()),
    }
}

fn swap(container: &Container, facts: &mut ViewFacts) {
    // A container with a memory limit has no swap (`cgroup`, `limit_memory`).
    let planned = container.limits.and_then(|limits| limits.memory_bytes_max);
    let planned = planned.map(|_| 0);
    facts.swap_bytes_max = least(container, "memory.swap.max").unwrap_or(planned);
    facts.swap_bytes = number(&own(container, "memory.swap.current")).unwrap_or(0);
}

fn processors(shared: &Shared, container: &Container, facts: &mut ViewFacts) {
    let list = own(container, "cpuset.cpus.effective");
    let list = match list.trim() {
        "" => shared.node.text(ViewFile::OnlineCpus),
        _ => list,
    };
    facts.cpus = listed(&list).max(1);
    let quotas: Vec<_> = container
        .groups
        .iter()
        .filter_map(|group| fs::read_to_string(group.join("cpu.max")).ok())
        .collect();
    facts.cpu_quota = match quotas.is_empty() {
        true => container.limits.and_then(|limits| limits.cpu_quota),
        false => quotas
            .iter()
            .filter_map(|text| quota(text))
            .min_by_key(|cpu| cpu.quota_us.saturating_mul(1000) / cpu.period_us.max(1)),
    };
    let planned = container.limits.map(|limits| limits.cpu_weight);
    facts.cpu_weight = number(&own(container, "cpu.weight")).or(planned);
}

fn quota(text: &str) -> Option<CpuQuota> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(CpuQuota {
        quota_us: quota.parse().ok()?,
        period_us: period.parse().ok()?,
    })
}

/// How many processors a list of the kernel names, as in `0-3,8`.
fn listed(list: &str) -> u32 {
    let parts = list.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)?.saturating_add(1))
    });
    parts.fold(0, u32::saturating_add)
}

fn times(shared: &Shared, container: &Container, facts: &mut ViewFacts, account: &mut Account) {
    facts.cpu_stat = own(container, "cpu.stat");
    let cpus = (shared.author.cpus)(facts);
    facts.idle = account.idle(facts.age, used(&facts.cpu_stat), cpus);
}

/// The processor time in `cpu.stat`.
fn used(cpu_stat: &str) -> Duration {
    let mut lines = cpu_stat.lines();
    let used = lines.find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
    Duration::from_micros(used.unwrap_or(0))
}

fn load(shared: &Shared, container: &Container, facts: &mut ViewFacts, account: &mut Account) {
    facts.tasks = number(&own(container, "pids.current")).unwrap_or_else(|| {
        let groups = container.groups.first();
        let threads = groups.map_or(0, |group| threads(group, usize::MAX).len());
        u64::try_from(threads).unwrap_or(u64::MAX)
    });
    let whole_life = || {
        let (used, age) = (used(&facts.cpu_stat).as_micros(), facts.age.as_micros());
        let milli = used.saturating_mul(1000) / age.max(1);
        let mut load = Load::steady(u64::try_from(milli).unwrap_or(u64::MAX));
        load.running = running(container, &mut { LOOKED_AT_MAX }).unwrap_or(load.running);
        load
    };
    facts.load = account.load(whole_life);
    shared.clock.count();
}

/// How many tasks of a container run, or wait for a disk; `None` where there was no room to look.
pub(super) fn running(container: &Container, left: &mut usize) -> Option<u64> {
    let group = container.groups.first()?;
    let most = LOOKED_AT_MAX.min(*left);
    if most == 0 {
        return None;
    }
    let all = threads(group, usize::MAX);
    let looked_at = all.len().min(most);
    *left -= looked_at;
    let running = all.iter().take(most).filter(|thread| runs(thread)).count();
    let estimate = running.saturating_mul(all.len()) / looked_at.max(1);
    u64::try_from(estimate).ok()
}

/// Whether a thread is in the state R or D.
fn runs(thread: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    // The name before may hold anything, a `)` too.
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| state.starts_with(['R', 'D']))
}

/// The threads in a group and in those beneath it.
fn threads(group: &Path, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut groups = vec![group.to_path_buf()];
    let mut walked = 0;
    while let Some(group) = groups.pop() {
        walked += 1;
        if walked > GROUPS_MAX || found.len() >= most {
            break;
        }
        if let Ok(file) = fs::File::open(group.join("cgroup.threads")) {
            found.extend(BufReader::new(file).lines().map_while(Result::ok));
        }
        groups.extend(beneath(&group));
    }
    found
}

fn beneath(group: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_of_a_list_are_counted() {
        for (list, count) in [
            ("0\n", 1),
            ("0-3\n", 4),
            ("0-1,4,8-11\n", 7),
            ("", 0),
            ("3-1,x,4294967295", 1),
        ] {
            assert_eq!(listed(list), count, "{list:?}");
        }
    }

    #[test]
    fn a_quota_is_two_numbers_or_none() {
        let expected = CpuQuota {
            quota_us: 150_000,
            period_us: 100_000,
        };
        assert_eq!(quota("150000 100000\n"), Some(expected));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(
            used("usage_usec 7\nuser_usec 5\n"),
            Duration::from_micros(7)
        );
    }
}
