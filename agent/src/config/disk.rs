//! Disk: what containers may keep, and what becomes of those that keep more.

use std::time::Duration;

use agent_core::projects::ProjectRange;
use agent_core::sandbox::DiskPolicy;

use super::settings::Setting;
use super::values::{DURATION, boolean, duration, put};
use crate::disk::Settings;

/// The settings as far as they were given.
#[derive(Default)]
pub(super) struct Disk {
    enforces: Option<bool>,
    ends: Option<bool>,
    watch_interval: Option<Duration>,
    projects: Option<ProjectRange>,
}

impl Disk {
    /// Fills in what was not given.
    pub(super) fn finish(self) -> Settings {
        let usual = Settings::default();
        Settings {
            policy: match (self.enforces, self.ends) {
                (Some(false), _) => DiskPolicy::Counted,
                (None | Some(true), Some(true)) => DiskPolicy::Ended,
                (None | Some(true), None | Some(false)) => DiskPolicy::Bounded,
            },
            watch_interval: self.watch_interval.unwrap_or(usual.watch_interval),
            projects: self.projects.unwrap_or(usual.projects),
        }
    }
}

pub(super) static DISK: &[Setting] = &[
    Setting {
        name: "enforce_container_disk_quota",
        value: "BOOL",
        allowed: "true or false",
        help: "keep containers to the disk that they asked for: they cannot write more where the file system\n      has quotas of projects (ext4, XFS), and are ended elsewhere (default: true)",
        boot: false,
        switch: true,
        set: |draft, text| put(&mut draft.disk.enforces, boolean(text)),
    },
    Setting {
        name: "xfs_kill_containers",
        value: "BOOL",
        allowed: "true or false",
        help: "end containers that write more than they asked for, also where writing could be refused, as it\n      is 10MB later; for ext4 as for XFS (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| put(&mut draft.disk.ends, boolean(text)),
    },
    Setting {
        name: "container_disk_watch_interval",
        value: "DURATION",
        allowed: DURATION,
        help: "how often it is looked at what containers keep on the disk (default: 15secs)",
        boot: false,
        switch: false,
        set: |draft, text| {
            // A scan of every sandbox is no work for a busy loop.
            let interval = duration(text, Duration::MAX)?;
            match interval >= Duration::from_secs(1) {
                true => put(&mut draft.disk.watch_interval, Ok(interval)),
                false => Err(", 1secs at least".to_owned()),
            }
        },
    },
    Setting {
        name: "xfs_project_range",
        value: "[FIRST-LAST]",
        allowed: "a range of numbers, as in [5000-1000000]",
        help: "the ids of projects that sandboxes and volumes have, on ext4 and XFS (default: [5000-1000000])",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.disk.projects, ProjectRange::parse(text)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_bounded_unless_the_operator_says_otherwise() {
        let policy = |enforces, ends| {
            let given = Disk {
                enforces,
                ends,
                ..Disk::default()
            };
            given.finish().policy
        };
        assert_eq!(policy(None, None), DiskPolicy::Bounded);
        assert_eq!(policy(Some(true), None), DiskPolicy::Bounded);
        assert_eq!(policy(None, Some(true)), DiskPolicy::Ended);
        assert_eq!(policy(Some(false), Some(true)), DiskPolicy::Counted);
    }
}
