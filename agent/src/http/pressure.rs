//! Pressure: how much of its time a container waits for processors, memory and disks, by the kernel's names
//! (accounting/psi.rst). Mesos tells nothing of the kind.

use agent_kernel::cgroup::{Cgroup, Pressure, Resource};
use serde_json::{Map, Value, json};

/// By what is waited for; without what this kernel does not account for.
pub(super) fn of(cgroup: &Cgroup) -> Value {
    let all = Resource::ALL.into_iter().filter_map(|resource| {
        let found = cgroup.pressure(resource)?;
        Some((resource.name().to_owned(), document(found)))
    });
    Value::Object(all.collect::<Map<_, _>>())
}

fn document(found: Pressure) -> Value {
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    json!({
        "some": {
            "avg10": percent(found.some_10s),
            "avg60": percent(found.some_60s),
            "total_secs": found.some.as_secs_f64(),
        },
        "full": {
            "avg10": percent(found.full_10s),
            "avg60": percent(found.full_60s),
            "total_secs": found.full.as_secs_f64(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pressure_is_told_in_percent_and_seconds_by_the_kernels_names() {
        let found = Pressure {
            some_10s: 1234,
            some_60s: 5,
            full_10s: 100,
            full_60s: 0,
            some: Duration::from_micros(1_500_000),
            full: Duration::ZERO,
        };
        let expected = json!({
            "some": {"avg10": 12.34, "avg60": 0.05, "total_secs": 1.5},
            "full": {"avg10": 1.0, "avg60": 0.0, "total_secs": 0.0},
        });
        assert_eq!(document(found), expected);
    }
}
