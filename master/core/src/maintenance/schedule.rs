//! Schedules: which machines will be away, from when on and for how long.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Machine;

/// A maintenance Schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// `windows`.
    pub windows: Vec<Window>,
}

/// Machines that are away at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// `machine_ids`.
    pub machines: Vec<Machine>,
    /// `unavailability`.
    pub unavailability: Unavailability,
}

/// When a machine is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailability {
    /// `start`, nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// `duration`, nanoseconds; none: for good.
    pub duration_ns: Option<i64>,
}

impl Schedule {
    /// # Errors
    /// What is wrong with it, in Mesos' words and order.
    pub(crate) fn check(&self, down: &BTreeSet<Machine>) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for window in &self.windows {
            if window.machines.is_empty() {
                return Err("List of machines in the maintenance window is empty".into());
            }
            if window.unavailability.duration_ns.is_some_and(|ns| ns < 0) {
                return Err("Unavailability 'duration' is negative".into());
            }
            check_each(&window.machines, &mut seen)?;
        }
        match down.iter().find(|machine| !seen.contains(machine)) {
            Some(machine) => Err(format!(
                "Machine '{}' is deactivated and cannot be removed from the schedule",
                machine.json()
            )),
            None => Ok(()),
        }
    }

    /// The machines in it, each with its time.
    pub(crate) fn machines(&self) -> BTreeMap<Machine, Unavailability> {
        let windows = self.windows.iter();
        windows
            .flat_map(|window| {
                let machines = window.machines.iter();
                machines.map(|machine| (machine.clone(), window.unavailability))
            })
            .collect()
    }

    /// The schedule without these machines, and without windows that have no others.
    pub(crate) fn without(&self, gone: &[Machine]) -> Self {
        let gone: BTreeSet<&Machine> = gone.iter().collect();
        let windows = self.windows.iter().filter_map(|window| {
            let machines = window.machines.iter();
            let machines: Vec<Machine> = machines.filter(|m| !gone.contains(m)).cloned().collect();
            (!machines.is_empty()).then_some(Window {
                machines,
                unavailability: window.unavailability,
            })
        });
        Self {
            windows: windows.collect(),
        }
    }
}

/// Checks a list of machines that are to be brought down, or up.
///
/// # Errors
/// What is wrong with it, in Mesos' words.
pub(crate) fn check_machines(machines: &[Machine]) -> Result<(), String> {
    if machines.is_empty() {
        return Err("List of machines is empty".into());
    }
    check_each(machines, &mut BTreeSet::new())
}

fn check_each<'a>(machines: &'a [Machine], seen: &mut BTreeSet<&'a Machine>) -> Result<(), String> {
    for machine in machines {
        machine.check()?;
        if !seen.insert(machine) {
            return Err(format!(
                "Machine '{}' appears more than once in the schedule",
                machine.json()
            ));
        }
    }
    Ok(())
}
