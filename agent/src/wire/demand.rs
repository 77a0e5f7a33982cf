//! Demand: what a container may use, by resources and the limits that stand apart from them.

use std::collections::BTreeMap;

use agent_core::allocation::{Allocation, Revocable};
use agent_core::sandbox::{Ceiling, Demand};
use api::{convert, v1};
use model::Resources;
use model::resources::{Resource, Scalar, Value};
use model::sandbox::HugePages;

/// What a container may keep of the work directory's disk, its volumes not counted.
const DISK: &str = "disk";

/// The two limits that there are.
const CPUS: &str = "cpus";
const MEM: &str = "mem";
/// Huge pages: a resource for each size, as `hugepages-2MB`, in MB.
const HUGE_PAGES: &str = "hugepages-";
/// Ports of the node.
const PORTS: &str = "ports";

/// What resources mean for a container.
#[must_use]
pub fn of(resources: &Resources) -> Demand {
    let thousandths = |name: &str| u64::try_from(resources.scalar(name).thousandths()).unwrap_or(0);
    Demand {
        cpus_milli: thousandths(CPUS),
        memory_bytes: bytes(thousandths(MEM)),
        disk_bytes: {
            let own = resources.filter(|one| !one.is_persistent_volume() && is_of_work_dir(one));
            let thousandths = own.scalar(DISK).thousandths();
            bytes(u64::try_from(thousandths).unwrap_or(0))
        },
        huge_pages: HugePages::of(|size| bytes(thousandths(&format!("{HUGE_PAGES}{size}")))),
        revocable: revocable(resources),
        ..Demand::default()
    }
}

fn revocable(resources: &Resources) -> Revocable {
    let has = |name| {
        let mut all = resources.iter();
        all.any(|one| one.revocable && &*one.name == name)
    };
    Revocable {
        cpus: has(CPUS),
        memory: has(MEM),
    }
}

/// What agent-core reckons with; of resources that are none nothing is.
#[must_use]
pub fn allocation(resources: &[v1::Resource]) -> Allocation {
    let all = convert::resources(resources).unwrap_or_default();
    let demand = of(&all.into_iter().collect());
    Allocation {
        cpus_milli: demand.cpus_milli,
        memory_bytes: demand.memory_bytes,
        revocable: demand.revocable,
    }
}

/// The size of a persistent volume.
#[must_use]
pub fn volume_bytes(volume: &Resource) -> u64 {
    let all: Resources = [volume.clone()].into_iter().collect();
    bytes(u64::try_from(all.scalar(DISK).thousandths()).unwrap_or(0))
}

fn is_of_work_dir(resource: &Resource) -> bool {
    let disk = resource.disk.as_ref();
    disk.is_none_or(|disk| disk.source.is_none())
}

/// The ports of the node among resources, first and last of each range.
#[must_use]
pub fn ports(resources: &Resources) -> Vec<(u16, u16)> {
    let all = resources.iter().filter(|resource| &*resource.name == PORTS);
    let ranges = all.filter_map(|resource| match &resource.value {
        Value::Ranges(ranges) => Some(ranges.as_slice()),
        Value::Scalar(_) | Value::Set(_) => None,
    });
    let port = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let ranges = ranges.flatten();
    // No port has a number above these.
    let ranges = ranges.filter(|range| range.begin <= u64::from(u16::MAX));
    ranges
        .map(|range| (port(range.begin), port(range.end)))
        .collect()
}

/// The same with limits of its own.
#[must_use]
pub fn limited(resources: &Resources, limits: &Limits) -> Demand {
    let limit = |name| limits.get(name).map(|limit| limit.value);
    Demand {
        cpus_milli_max: limit(CPUS).map(|value| ceiling(value, |thousandths| thousandths)),
        memory_bytes_max: limit(MEM).map(|value| ceiling(value, bytes)),
        ..of(resources)
    }
}

/// The limits of a message, by the resource's name.
pub type Limits = BTreeMap<String, v1::value::Scalar>;

/// What several use together. Where one has a limit of its own, those of the others are their
/// requests, as in Mesos.
#[must_use]
pub fn together(all: &[Demand]) -> Demand {
    let sum = |of: fn(&Demand) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
    let most = |limit: fn(&Demand) -> Option<Ceiling>, request: fn(&Demand) -> u64| {
        all.iter().find_map(limit)?;
        let each = all
            .iter()
            .map(|one| limit(one).unwrap_or(Ceiling::At(request(one))));
        Some(each.fold(Ceiling::At(0), |sum, one| match (sum, one) {
            (Ceiling::At(sum), Ceiling::At(one)) => Ceiling::At(sum.saturating_add(one)),
            (Ceiling::Unlimited, _) | (_, Ceiling::Unlimited) => Ceiling::Unlimited,
        }))
    };
    Demand {
        cpus_milli: sum(|one| one.cpus_milli),
        memory_bytes: sum(|one| one.memory_bytes),
        cpus_milli_max: most(|one| one.cpus_milli_max, |one| one.cpus_milli),
        memory_bytes_max: most(|one| one.memory_bytes_max, |one| one.memory_bytes),
        disk_bytes: sum(|one| one.disk_bytes),
        huge_pages: all
            .iter()
            .fold(HugePages::default(), |sum, one| sum.plus(one.huge_pages)),
        revocable: all
            .iter()
            .fold(Revocable::default(), |sum, one| sum.or(one.revocable)),
    }
}

/// Thousandths of a MB to bytes.
fn bytes(thousandths: u64) -> u64 {
    thousandths.saturating_mul(1 << 20) / 1000
}

fn ceiling(value: f64, unit: impl Fn(u64) -> u64) -> Ceiling {
    if value.is_infinite() {
        return Ceiling::Unlimited;
    }
    // What is no number at all is refused by the master.
    let thousandths = Scalar::from_f64(value).map_or(0, Scalar::thousandths);
    Ceiling::At(unit(u64::try_from(thousandths).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_infinite() {
        let scalar = |value| v1::value::Scalar { value };
        let limits = Limits::from([
            (CPUS.to_string(), scalar(1.5)),
            (MEM.to_string(), scalar(f64::INFINITY)),
        ]);
        let demand = limited(&Resources::default(), &limits);
        assert_eq!(demand.cpus_milli_max, Some(Ceiling::At(1500)));
        assert_eq!(demand.memory_bytes_max, Some(Ceiling::Unlimited));
        let limits = Limits::from([(MEM.to_string(), scalar(64.5))]);
        let demand = limited(&Resources::default(), &limits);
        assert_eq!(demand.memory_bytes_max, Some(Ceiling::At(129 << 19)));
        assert_eq!(demand.cpus_milli_max, None);
    }

    #[test]
    fn those_without_a_limit_count_with_their_request() {
        let one = |cpus_milli, cpus_milli_max| Demand {
            cpus_milli,
            cpus_milli_max,
            memory_bytes: 10,
            disk_bytes: 7,
            ..Demand::default()
        };
        let sum = together(&[one(100, None), one(200, Some(Ceiling::At(1000)))]);
        assert_eq!((sum.cpus_milli, sum.memory_bytes), (300, 20));
        assert_eq!(sum.disk_bytes, 14);
        assert_eq!(sum.cpus_milli_max, Some(Ceiling::At(1100)));
        assert_eq!(sum.memory_bytes_max, None);
        let sum = together(&[one(100, None), one(200, Some(Ceiling::Unlimited))]);
        assert_eq!(sum.cpus_milli_max, Some(Ceiling::Unlimited));
    }

    #[test]
    fn huge_pages_are_resources_by_their_size_in_mb() {
        let text = "cpus:1;hugepages-2MB:8;hugepages-1GB:1024;hugepages-3MB:7";
        let resources = model::resources::parse(text).expect("resources");
        let demand = of(&resources);
        let both = together(&[demand, demand]);
        let some = both.huge_pages.iter().filter(|(_, bytes)| *bytes > 0);
        let some: Vec<_> = some.collect();
        assert_eq!(some, [("2MB", 16 << 20), ("1GB", 2 << 30)]);
    }
}
