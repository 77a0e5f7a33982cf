//! Disk: what containers and persistent volumes may keep on the disk of the work directory.
//!
//! Where the file system has quotas of projects, each container with all that is nested in it, and
//! each volume, is a project with a hard limit: the kernel counts, and refuses what is too much. Else
//! what containers keep is counted now and then, and those that keep more than they asked for are
//! ended, as Mesos' disk/du does it.
//!
//! Which numbers are taken is told by the file system itself, at the start of the agent as later: a
//! project is free when nothing has its number any more. No other record has to agree with it.

mod scan;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_core::projects::{ProjectRange, Projects};
use agent_core::sandbox::{self, Demand, DiskFacts, DiskPolicy, HardLimits};
use agent_kernel::quota::{self, Kind, Quotas};
use model::ContainerId;
use model::sandbox::DiskQuota;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statvfs::statvfs;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::node::Input;

/// What the operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of containers that keep too much.
    pub policy: DiskPolicy,
    /// How often containers are looked at.
    pub watch_interval: Duration,
    /// The numbers of projects.
    pub projects: ProjectRange,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: DiskPolicy::default(),
            // As in Mesos.
            watch_interval: Duration::from_secs(15),
            projects: ProjectRange::DEFAULT,
        }
    }
}

impl Settings {
    /// The flags that say so, as texts.
    #[must_use]
    pub fn flags(&self) -> [(&'static str, String); 4] {
        let enforces = self.policy != DiskPolicy::Counted;
        let ends = self.policy == DiskPolicy::Ended;
        [
            (
                "container_disk_watch_interval",
                model::duration::format(self.watch_interval),
            ),
            ("enforce_container_disk_quota", enforces.to_string()),
            ("xfs_kill_containers", ends.to_string()),
            ("xfs_project_range", self.projects.to_string()),
        ]
    }
}

/// The disk of a work directory, and who keeps how much on it.
#[derive(Debug)]
pub struct Disks {
    settings: Settings,
    facts: DiskFacts,
    /// The reason where there are none.
    quotas: Result<Quotas, String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    projects: Projects,
    /// The outermost containers that are there.
    containers: BTreeMap<ContainerId, Kept>,
}

/// What is known of a container.
#[derive(Debug, Clone)]
struct Kept {
    demand: Demand,
    project: Option<u32>,
    /// What its files are in.
    folders: Vec<PathBuf>,
    /// What it took when it was last counted.
    used_bytes: Option<u64>,
    /// Whether its bounds are kept; else the reason.
    bounds: Result<(), String>,
}

/// What a container keeps, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// What it keeps, where that was counted.
    pub used_bytes: Option<u64>,
    /// What it may; `None` where nothing bounds it.
    pub limit_bytes: Option<u64>,
}

/// A container keeps more than it asked for, and is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Which.
    pub container: ContainerId,
    /// What it asked for.
    pub limit_bytes: u64,
    /// What it keeps.
    pub used_bytes: u64,
}

impl Disks {
    /// The disk of a work directory of which so much is offered.
    #[must_use]
    pub fn open(work_dir: &Path, offered_bytes: u64, settings: Settings) -> Self {
        let stat = statvfs(work_dir).ok();
        let facts = DiskFacts {
            bytes: stat.map_or(0, |stat| stat.blocks() * stat.fragment_size()),
            inodes: stat.map_or(0, |stat| stat.files()),
            offered_bytes,
            policy: settings.policy,
        };
        let quotas = folder(work_dir).and_then(Quotas::of);
        let quotas = quotas.map_err(|errno| {
            format!("the work directory's file system keeps no quotas of projects: {errno}")
        });
        let mut projects = Projects::new(settings.projects);
        match &quotas {
            Ok(quotas) => find(quotas, &mut projects),
            Err(why) => warn!(
                why,
                "what containers keep on the disk is counted now and then"
            ),
        }
        Self {
            settings,
            facts,
            quotas,
            state: Mutex::new(State {
                projects,
                containers: BTreeMap::new(),
            }),
        }
    }

    /// What plans need to know.
    #[must_use]
    pub const fn facts(&self) -> DiskFacts {
        self.facts
    }

    /// A container is about to write into its sandbox, which is there; nested ones count with the
    /// outermost. Called again, it changes nothing.
    ///
    /// # Errors
    /// No number is left for it.
    pub fn begun(
        &self,
        container: &ContainerId,
        sandbox: &Path,
        demand: Demand,
    ) -> Result<(), String> {
        if container.depth() > 1 {
            return Ok(());
        }
        let mut state = self.state();
        if state.containers.contains_key(container) {
            return Ok(());
        }
        let mut kept = Kept {
            demand,
            project: None,
            folders: vec![sandbox.to_path_buf()],
            used_bytes: None,
            bounds: self.quotas.as_ref().map(|_| ()).map_err(String::clone),
        };
        if let Ok(quotas) = &self.quotas {
            match self.place(quotas, &mut state.projects, sandbox) {
                Ok(project) => {
                    kept.project = Some(project);
                    kept.bounds = self.bound(project, sandbox::disk_quota(demand, self.facts));
                }
                Err(Unplaced::Exhausted) => {
                    return Err(format!(
                        "every project id of --xfs_project_range={} is taken by what is on the disk",
                        self.settings.projects
                    ));
                }
                Err(Unplaced::Refused(why)) => kept.bounds = Err(why),
            }
        }
        state.containers.insert(container.clone(), kept);
        Ok(())
    }

    /// A container writes into another directory, too, which is empty as yet.
    ///
    /// # Errors
    /// It cannot be counted.
    pub fn also(&self, container: &ContainerId, path: &Path) -> Result<(), String> {
        let mut state = self.state();
        let Some(kept) = state.containers.get_mut(&container.root()) else {
            return Ok(());
        };
        kept.folders.push(path.to_path_buf());
        let Some(project) = kept.project else {
            return Ok(());
        };
        let placed =
            folder(path).and_then(|folder| quota::set_project(folder, project, Kind::Directory));
        placed.map_err(|errno| format!("put {} into project {project}: {errno}", path.display()))
    }

    /// A container may keep as much as this from now on.
    pub fn resize(&self, container: &ContainerId, demand: Demand) {
        let mut state = self.state();
        let Some(kept) = state.containers.get_mut(container) else {
            return;
        };
        if kept.demand.disk_bytes == demand.disk_bytes {
            return;
        }
        kept.demand = demand;
        if let Some(project) = kept.project {
            kept.bounds = self.bound(project, sandbox::disk_quota(demand, self.facts));
            if let Err(why) = &kept.bounds {
                warn!(%container, why, "disk quota stays as it was");
            }
        }
    }

    /// A container is gone; what it left keeps its project.
    pub fn ended(&self, container: &ContainerId) {
        self.state().containers.remove(container);
    }

    /// Bounds a persistent volume to its size.
    pub fn volume(&self, path: &Path, bytes: u64) {
        let Ok(quotas) = &self.quotas else {
            return;
        };
        let quota = sandbox::volume_quota(bytes, self.facts);
        let mut state = self.state();
        let bounded = match self.place(quotas, &mut state.projects, path) {
            Ok(project) => self.bound(project, quota),
            Err(Unplaced::Exhausted) => Err("every project id is taken".to_string()),
            Err(Unplaced::Refused(why)) => Err(why),
        };
        if let Err(why) = bounded {
            warn!(volume = %path.display(), why, "volume has no bounds");
        }
    }

    /// A volume has another size now; one that nobody has used yet is bounded when it is.
    pub fn resize_volume(&self, path: &Path, bytes: u64) {
        let project = folder(path).and_then(quota::project_of);
        let Ok(project) = project else {
            return;
        };
        if self.settings.projects.contains(project) {
            let bounded = self.bound(project, sandbox::volume_quota(bytes, self.facts));
            if let Err(why) = bounded {
                warn!(volume = %path.display(), why, "volume keeps its bounds");
            }
        }
    }

    /// Whether the bounds of a container are kept; else the reason.
    ///
    /// # Errors
    /// The reason.
    pub fn bounds(&self, container: &ContainerId) -> Result<(), String> {
        let state = self.state();
        let kept = state.containers.get(container);
        kept.map_or(Ok(()), |kept| kept.bounds.clone())
    }

    /// What a container keeps, with all that is nested in it; `None` for one that is not there, or
    /// nested itself.
    #[must_use]
    pub fn usage(&self, container: &ContainerId) -> Option<DiskUsage> {
        let kept = self.state().containers.get(container).cloned()?;
        let asked = Some(kept.demand.disk_bytes).filter(|bytes| *bytes > 0);
        let project = self.quotas.as_ref().ok().zip(kept.project);
        let counted = project.and_then(|(quotas, project)| quotas.usage(project).ok());
        let bound = counted.and_then(|usage| usage.quota.bytes_max);
        Some(DiskUsage {
            used_bytes: counted.map(|usage| usage.bytes).or(kept.used_bytes),
            limit_bytes: asked.or(bound),
        })
    }

    /// Counts, and frees what is no longer used; gives the containers that are to end.
    fn look(&self) -> Vec<Passed> {
        let containers = self.state().containers.clone();
        let mut passed = Vec::new();
        for (container, kept) in containers {
            let project = self.quotas.as_ref().ok().zip(kept.project);
            let (used_bytes, hard) = match project {
                Some((quotas, project)) => match quotas.usage(project) {
                    Ok(usage) => (usage.bytes, HardLimits::Kept),
                    Err(_) => continue,
                },
                None => (scan::size(&kept.folders), HardLimits::Missing),
            };
            if let Some(kept) = self.state().containers.get_mut(&container) {
                kept.used_bytes = Some(used_bytes);
            }
            let policy = self.settings.policy;
            if let Some(limit_bytes) = sandbox::passed(kept.demand, used_bytes, policy, hard) {
                passed.push(Passed {
                    container,
                    limit_bytes,
                    used_bytes,
                });
            }
        }
        if let Ok(quotas) = &self.quotas {
            self.free(quotas);
        }
        passed
    }

    /// Gives the numbers back that nothing on the disk has any more.
    fn free(&self, quotas: &Quotas) {
        let mut state = self.state();
        let containers = state.containers.values();
        let held: BTreeSet<u32> = containers.filter_map(|kept| kept.project).collect();
        let others: Vec<u32> = state
            .projects
            .taken()
            .filter(|id| !held.contains(id))
            .collect();
        for project in others {
            let usage = quotas.usage(project);
            let is_unused = usage.is_ok_and(|usage| usage.bytes == 0 && usage.inodes == 0);
            if is_unused && quotas.limit(project, DiskQuota::default()).is_ok() {
                state.projects.release(project);
            }
        }
    }

    /// The project of a directory, which it has already, or is given with all that is in it.
    fn place(
        &self,
        quotas: &Quotas,
        projects: &mut Projects,
        path: &Path,
    ) -> Result<u32, Unplaced> {
        let failed = |act: &str| {
            let text = format!("{act} {}", path.display());
            move |errno: Errno| Unplaced::Refused(format!("{text}: {errno}"))
        };
        let folder = folder(path).map_err(failed("open"))?;
        let own = quota::project_of(&folder).map_err(failed("read the project of"))?;
        if own != 0 {
            return match projects.keep(own) {
                true => Ok(own),
                false => Err(Unplaced::Refused(format!(
                    "{} is in project {own}, which is not in --xfs_project_range",
                    path.display()
                ))),
            };
        }
        let project = projects.take().ok_or(Unplaced::Exhausted)?;
        let placed = tree::place(folder, project).map_err(failed("set the project of"));
        if placed.is_err() && quotas.usage(project).is_ok_and(|usage| usage.inodes == 0) {
            projects.release(project);
        }
        placed.map(|()| project)
    }

    fn bound(&self, project: u32, quota: DiskQuota) -> Result<(), String> {
        let quotas = self.quotas.as_ref().map_err(String::clone)?;
        let bounded = quotas.limit(project, quota);
        bounded.map_err(|errno| format!("set the limits of project {project}: {errno}"))?;
        match self.settings.policy {
            DiskPolicy::Counted => Err("--no-enforce_container_disk_quota".to_string()),
            DiskPolicy::Bounded | DiskPolicy::Ended => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of it is whole or not begun.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why something is in no project.
#[derive(Debug)]
enum Unplaced {
    /// There is no number left.
    Exhausted,
    /// The file system, in words.
    Refused(String),
}

/// Takes the numbers that something on the disk has; limits of nothing go.
fn find(quotas: &Quotas, projects: &mut Projects) {
    let range = projects.range();
    let mut from = range.first();
    let mut found = 0_u32;
    while let Ok(Some((project, usage))) = quotas.next(from) {
        if !range.contains(project) {
            break;
        }
        if usage.bytes == 0 && usage.inodes == 0 {
            // One that cannot be taken away bounds whoever has the number next, until it is told
            // another.
            let _ = quotas.limit(project, DiskQuota::default());
        } else {
            projects.keep(project);
            found += 1;
        }
        let Some(next) = project.checked_add(1) else {
            break;
        };
        from = next;
    }
    if found > 0 {
        info!(projects = found, "found projects on the disk");
    }
}

/// A directory, and no link to one.
fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

/// Looks at the disk now and then as long as the runtime lives, and tells the main loop of containers
/// that are to end.
pub fn watch(disks: Arc<Disks>, inputs: mpsc::Sender<Input>) {
    tokio::spawn(async move {
        let mut times = interval(disks.settings.watch_interval);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let looking = Arc::clone(&disks);
            let looked = tokio::task::spawn_blocking(move || looking.look()).await;
            // A panic in there was logged; the next look may do better.
            for passed in looked.unwrap_or_default() {
                // The main loop is gone where nobody listens, and the containers go with it.
                let _ = inputs.send(Input::DiskPassed(passed)).await;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_quotas_what_a_container_keeps_is_counted_and_too_much_ends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = folder.path().join("sandbox");
        std::fs::create_dir(&sandbox).expect("a sandbox");
        let disks = Disks::open(folder.path(), 0, Settings::default());
        if disks.quotas.is_ok() {
            return println!("left out: the folder for temporary files has quotas");
        }
        let container = ContainerId::new("c").expect("an id");
        let demand = Demand {
            disk_bytes: 1 << 20,
            ..Demand::default()
        };
        disks.begun(&container, &sandbox, demand).expect("begun");
        let why = disks.bounds(&container).expect_err("no quotas");
        assert!(why.contains("keeps no quotas of projects"), "{why}");
        assert_eq!(disks.look(), []);
        std::fs::write(sandbox.join("file"), vec![7; 2 << 20]).expect("a file");
        let passed = disks.look();
        assert_eq!(passed.len(), 1);
        assert_eq!(
            (&passed[0].container, passed[0].limit_bytes),
            (&container, 1 << 20)
        );
        assert!(passed[0].used_bytes >= 2 << 20);
        let usage = disks.usage(&container).expect("it is there");
        assert_eq!(usage.limit_bytes, Some(1 << 20));
        assert_eq!(usage.used_bytes, Some(passed[0].used_bytes));
        disks.resize(&container, Demand::default());
        assert_eq!(disks.look(), [], "it asks for nothing in particular");
        disks.ended(&container);
        assert_eq!(disks.usage(&container), None);
    }
}
