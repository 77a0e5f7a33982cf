//! Election: what the names of znodes say about who leads.
//!
//! Each master that stands for election has one znode, `json.info_` and a sequence of ten digits,
//! as Mesos names it; the lowest sequence leads. Whoever looks for the leader reads the same names.

/// What stands before the `_` of a master whose znode holds a MasterInfo as JSON.
pub const LABEL: &str = "json.info";

/// A znode of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The whole name.
    pub name: &'a str,
    /// What stands before the last `_`; empty where there is none.
    pub label: &'a str,
    /// The number that ZooKeeper gave it.
    pub sequence: u32,
}

impl<'a> Candidate<'a> {
    /// Reads a name; none where it ends in no sequence, as that of Mesos' `log_replicas` does.
    #[must_use]
    pub fn read(name: &'a str) -> Option<Self> {
        let (label, digits) = name.rsplit_once('_').unwrap_or(("", name));
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = digits.parse().ok().filter(|_| is_number)?;
        Some(Self {
            name,
            label,
            sequence,
        })
    }

    /// The epoch under which this candidate leads, 1 or more: greater than that of every leader
    /// before, since a later znode has a greater sequence.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.sequence as u64 + 1
    }
}

/// The candidate that leads; none where nobody stands.
#[must_use]
pub fn leader<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Candidate<'a>> {
    let candidates = names.into_iter().filter_map(Candidate::read);
    candidates.min_by_key(|candidate| candidate.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_sequence_leads_whatever_the_label_and_the_order() {
        let names = ["info_0000000012", "log_replicas", "json.info_0000000009"];
        let found = leader(names).unwrap();
        assert_eq!(found.name, "json.info_0000000009");
        assert_eq!((found.label, found.epoch()), (LABEL, 10));
        assert_eq!(leader(["log_replicas", "json.info_", "x_+1"]), None);
    }

    #[test]
    fn a_sequence_is_read_after_the_last_underscore_and_without_a_label_too() {
        assert_eq!(Candidate::read("a_b_0000000003").unwrap().label, "a_b");
        assert_eq!(Candidate::read("0000000000").unwrap().epoch(), 1);
        // The counter of a znode's children is a signed number of 32 bits.
        assert_eq!(
            Candidate::read("json.info_2147483647").unwrap().epoch(),
            1 << 31
        );
        assert_eq!(Candidate::read("json.info_-2147483648"), None);
    }
}
