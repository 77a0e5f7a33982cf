//! Need: the resources a task asks for, taken out of an offer, or else what is short and where.
//!
//! Amounts are thousandths, as everywhere (reference, section 5.1).

use std::collections::BTreeSet;

use api::v1::{Resource, value};

use crate::client::state::{Amounts, Node};
use crate::table::{amount, size};

/// What a task needs, in thousandths of each scalar resource.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    cpus: i64,
    mem: i64,
    disk: i64,
    /// Ports in their order; 0 is any.
    ports: Vec<u16>,
}

/// What a need takes of an offer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) resources: Vec<Resource>,
    /// The ports, in the order in which they were asked for.
    pub(crate) ports: Vec<u16>,
}

impl Need {
    /// A need for so many cpus, megabytes of memory and, perhaps, megabytes of disk.
    pub(crate) fn new(cpus: f64, mem: f64, disk: Option<f64>) -> Self {
        Self {
            cpus: thousandths(cpus),
            mem: thousandths(mem),
            disk: thousandths(disk.unwrap_or(0.0)),
            ports: Vec::new(),
        }
    }

    /// And for these ports, of which 0 is any.
    pub(crate) fn with_ports(self, ports: &[u16]) -> Self {
        let ports = ports.to_vec();
        Self { ports, ..self }
    }

    fn scalars(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let all = [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk)];
        all.into_iter().filter(|(_, needed)| *needed > 0)
    }

    /// The part of an offer's resources that fills the need; `None` where they do not suffice.
    ///
    /// Reserved resources are taken first, since others cannot use them. Resources that may be
    /// taken away again, and volumes, are left alone.
    pub(crate) fn take(&self, offered: &[Resource]) -> Option<Taken> {
        let mut resources = self.take_scalars(offered)?;
        let ports = self.take_ports(offered, &BTreeSet::new(), &mut resources)?;
        Some(Taken { resources, ports })
    }

    fn take_scalars(&self, offered: &[Resource]) -> Option<Vec<Resource>> {
        let mut taken = Vec::new();
        for (name, needed) in self.scalars() {
            let mut missing = needed;
            for resource in usable(offered, name) {
                let here = thousandths(resource.scalar.as_ref().map_or(0.0, |s| s.value));
                let part = missing.min(here);
                if part > 0 {
                    let mut piece = resource.clone();
                    piece.scalar = Some(value::Scalar {
                        value: from_thousandths(part),
                    });
                    taken.push(piece);
                    missing -= part;
                }
            }
            if missing > 0 {
                return None;
            }
        }
        Some(taken)
    }

    fn fixed_ports(&self) -> BTreeSet<u16> {
        let fixed = self.ports.iter().copied().filter(|port| *port > 0);
        fixed.collect()
    }

    /// Picks the ports, of those that are `others` none, and adds what they are taken from.
    fn take_ports(
        &self,
        offered: &[Resource],
        others: &BTreeSet<u16>,
        taken: &mut Vec<Resource>,
    ) -> Option<Vec<u16>> {
        let fixed = self.fixed_ports();
        let usable = usable(offered, "ports");
        let all = usable.iter().flat_map(|resource| ports(resource));
        let mut free = all.filter(|port| !fixed.contains(port) && !others.contains(port));
        let picked: Option<Vec<u16>> = self
            .ports
            .iter()
            .map(|port| match port {
                0 => free.next(),
                port => Some(*port),
            })
            .collect();
        let picked = picked?;
        let mut missing: BTreeSet<u16> = picked.iter().copied().collect();
        for resource in &usable {
            let here: Vec<u16> = ports(resource)
                .filter(|port| missing.remove(port))
                .collect();
            if here.is_empty() {
                continue;
            }
            let range = here.into_iter().map(|port| value::Range {
                begin: port.into(),
                end: port.into(),
            });
            taken.push(Resource {
                ranges: Some(value::Ranges {
                    range: range.collect(),
                }),
                ..(*resource).clone()
            });
        }
        missing.is_empty().then_some(picked)
    }

    /// What a run without a fitting offer waits for, in words.
    pub(crate) fn shortage(&self, nodes: &[Node]) -> String {
        let active: Vec<&Node> = nodes.iter().filter(|node| node.active).collect();
        if active.is_empty() {
            return "waiting for a node: none is registered".to_owned();
        }
        for (name, needed) in self.scalars() {
            let total = |node: &Node| thousandths(of(&node.resources, name));
            let largest = active.iter().max_by_key(|node| total(node));
            if let Some(node) = largest.filter(|node| total(node) < needed) {
                return format!(
                    "no node offers {}; the largest is {} with {}",
                    words(name, needed),
                    node.hostname,
                    words(name, total(node)),
                );
            }
        }
        let mut wanted: Vec<String> = self.scalars().map(|(name, n)| words(name, n)).collect();
        wanted.extend(self.ports.iter().map(|port| match port {
            0 => "a port".to_owned(),
            port => format!("port {port}"),
        }));
        let wanted = wanted.join(", ");
        let free = |node: &Node| thousandths(node.free().cpus);
        match active.iter().max_by_key(|node| free(node)) {
            Some(node) => format!(
                "waiting for {wanted} on one node; most cpus are free on {}: {}, {}",
                node.hostname,
                words("cpus", free(node)),
                words("mem", thousandths(node.free().mem)),
            ),
            None => format!("waiting for {wanted}"),
        }
    }
}

/// Fills needs out of one offer, one after the other; `None` where it does not suffice for all.
pub(crate) fn take_all(needs: &[&Need], offered: &[Resource]) -> Option<Vec<Taken>> {
    let fixed: BTreeSet<u16> = needs.iter().flat_map(|need| need.fixed_ports()).collect();
    let mut left = offered.to_vec();
    let taken = needs.iter().map(|need| {
        let mut resources = need.take_scalars(&left)?;
        let ports = need.take_ports(&left, &fixed, &mut resources)?;
        for piece in &resources {
            remove(&mut left, piece);
        }
        Some(Taken { resources, ports })
    });
    taken.collect()
}

/// What several needs are together.
pub(crate) fn sum(needs: &[&Need]) -> Need {
    let total = |of: fn(&Need) -> i64| needs.iter().map(|need| of(need)).sum();
    Need {
        cpus: total(|need| need.cpus),
        mem: total(|need| need.mem),
        disk: total(|need| need.disk),
        ports: needs.iter().flat_map(|need| need.ports.clone()).collect(),
    }
}

/// Takes a piece off the resource that it is of.
fn remove(left: &mut [Resource], piece: &Resource) {
    let kind = |resource: &Resource| Resource {
        scalar: None,
        ranges: None,
        ..resource.clone()
    };
    let whole = kind(piece);
    let Some(resource) = left.iter_mut().find(|resource| kind(resource) == whole) else {
        return;
    };
    if let (Some(amount), Some(part)) = (&mut resource.scalar, &piece.scalar) {
        amount.value = from_thousandths(thousandths(amount.value) - thousandths(part.value));
    }
    let gone: BTreeSet<u16> = ports(piece).collect();
    if !gone.is_empty() {
        let kept = ports(resource).filter(|port| !gone.contains(port));
        let kept = kept.map(|port| value::Range {
            begin: port.into(),
            end: port.into(),
        });
        let range = kept.collect();
        resource.ranges = Some(value::Ranges { range });
    }
}

/// The resources of a name that a run may take, those first that others cannot use.
fn usable<'a>(offered: &'a [Resource], name: &str) -> Vec<&'a Resource> {
    let usable = offered.iter().filter(|resource| {
        resource.name == name && resource.revocable.is_none() && resource.disk.is_none()
    });
    let mut usable: Vec<&Resource> = usable.collect();
    usable.sort_by_key(|resource| !is_reserved(resource));
    usable
}

/// The ports of a resource.
fn ports(resource: &Resource) -> impl Iterator<Item = u16> + '_ {
    let ranges = resource.ranges.iter().flat_map(|ranges| &ranges.range);
    let ranges = ranges.filter_map(|range| {
        let end = u16::try_from(range.end).unwrap_or(u16::MAX);
        Some(u16::try_from(range.begin).ok()?..=end)
    });
    ranges.flatten()
}

fn is_reserved(resource: &Resource) -> bool {
    let old = resource.role.as_deref().unwrap_or("*") != "*";
    old || resource.reservation.is_some() || !resource.reservations.is_empty()
}

fn of(amounts: &Amounts, name: &str) -> f64 {
    match name {
        "cpus" => amounts.cpus,
        "mem" => amounts.mem,
        _ => amounts.disk,
    }
}

fn words(name: &str, thousandth: i64) -> String {
    let value = from_thousandths(thousandth);
    match name {
        "cpus" => format!("{} cpus", amount(value)),
        name => format!("{} {name}", size(value)),
    }
}

/// Half away from zero, as Mesos rounds.
fn thousandths(value: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and nothing is larger than an i64 of thousandths"
    )]
    let rounded = (value * 1000.0).round() as i64;
    rounded
}

fn from_thousandths(thousandth: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "amounts stay far below 2^53 thousandths"
    )]
    let value = thousandth as f64 / 1000.0;
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::v1::resource::ReservationInfo;

    fn scalar(name: &str, amount: f64) -> Resource {
        Resource {
            name: name.into(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value: amount }),
            ..Default::default()
        }
    }

    fn node(hostname: &str, cpus: f64, used: f64) -> Node {
        let amounts = |cpus| Amounts {
            cpus,
            mem: 1024.0,
            disk: 0.0,
        };
        Node {
            hostname: hostname.into(),
            active: true,
            resources: amounts(cpus),
            used_resources: Amounts {
                cpus: used,
                ..Amounts::default()
            },
            ..Node::default()
        }
    }

    #[test]
    fn reserved_resources_are_taken_first_and_no_more_than_needed() {
        let mut reserved = scalar("cpus", 0.3);
        reserved.reservations = vec![ReservationInfo::default()];
        let offered = [scalar("cpus", 2.0), reserved.clone(), scalar("mem", 512.0)];
        let taken = Need::new(0.5, 64.0, None).take(&offered).unwrap();
        let taken = taken.resources;
        let amounts: Vec<f64> = taken.iter().map(|r| r.scalar.unwrap().value).collect();
        assert_eq!(amounts, [0.3, 0.2, 64.0]);
        assert_eq!(taken[0].reservations, reserved.reservations);
        assert!(Need::new(2.301, 64.0, None).take(&offered).is_none());
        assert!(Need::new(0.5, 64.0, Some(1.0)).take(&offered).is_none());
    }

    #[test]
    fn ports_are_those_asked_for_or_any_that_is_left() {
        let ranges = |ranges: &[(u64, u64)], reserved: bool| Resource {
            name: "ports".into(),
            r#type: value::Type::Ranges.into(),
            ranges: Some(value::Ranges {
                range: ranges
                    .iter()
                    .map(|(begin, end)| value::Range {
                        begin: *begin,
                        end: *end,
                    })
                    .collect(),
            }),
            reservations: vec![ReservationInfo::default(); usize::from(reserved)],
            ..Default::default()
        };
        let offered = [
            scalar("cpus", 1.0),
            scalar("mem", 64.0),
            ranges(&[(31_000, 31_002), (32_000, 32_000)], false),
            ranges(&[(80, 80)], true),
        ];
        let take = |ports: &[u16]| {
            let need = Need::new(0.1, 32.0, None).with_ports(ports);
            need.take(&offered)
        };
        let taken = take(&[0, 80, 0, 31_000]).unwrap();
        assert_eq!(taken.ports, [31_001, 80, 31_002, 31_000]);
        let resources: Vec<Vec<u16>> = taken.resources[2..]
            .iter()
            .map(|resource| ports(resource).collect())
            .collect();
        assert_eq!(resources, [vec![80], vec![31_000, 31_001, 31_002]]);
        assert_eq!(take(&[]).unwrap().resources.len(), 2);
        let one = Need::new(0.6, 32.0, None).with_ports(&[0]);
        let other = Need::new(0.4, 32.0, None).with_ports(&[0, 80]);
        let both = take_all(&[&one, &other], &offered).unwrap();
        let ports: Vec<&[u16]> = both.iter().map(|taken| &*taken.ports).collect();
        assert_eq!(ports, [&[31_000][..], &[31_001, 80]]);
        assert_eq!(take_all(&[&one, &one], &offered), None);
        assert_eq!(sum(&[&one, &other]).cpus, 1000);
        assert_eq!(take(&[81]), None);
        assert_eq!(take(&[80, 80, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_wait_is_told_with_the_resource_that_is_short() {
        let nodes = [node("node1", 2.0, 0.0), node("node2", 4.0, 4.0)];
        for (need, nodes, words) in [
            (
                Need::new(8.0, 64.0, None),
                &nodes[..],
                "no node offers 8 cpus; the largest is node2 with 4 cpus",
            ),
            (
                Need::new(1.0, 2048.0, None),
                &nodes[..1],
                "no node offers 2 GB mem; the largest is node1 with 1 GB mem",
            ),
            (
                Need::new(3.0, 64.0, None),
                &nodes[..],
                "waiting for 3 cpus, 64 MB mem on one node; most cpus are free on node1: \
                 2 cpus, 1 GB mem",
            ),
            (
                Need::new(1.0, 64.0, None),
                &[][..],
                "waiting for a node: none is registered",
            ),
        ] {
            assert_eq!(need.shortage(nodes), words);
        }
    }
}
