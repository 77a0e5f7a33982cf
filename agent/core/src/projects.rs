//! Projects: the numbers by which the file system counts what containers and volumes keep.
//!
//! Each sandbox and each persistent volume has one as long as anything of it is on the disk, which is
//! longer than a container lives: files are counted by the number that they were made with. Numbers
//! are given out in a round, so that one that was just given back rests.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

/// The numbers that are an agent's to give (`--xfs_project_range`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectRange {
    first: u32,
    last: u32,
}

impl ProjectRange {
    /// Mesos begins at 5000, too, and ends at 10000. A sandbox is kept for a week, and a node may run
    /// more containers in a week than that.
    pub const DEFAULT: Self = Self {
        first: 5_000,
        last: 1_000_000,
    };

    /// Reads `[first-last]`; 0 is the project of what is in none.
    ///
    /// # Errors
    /// It is no such text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inside = text.trim();
        let inside = inside
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let (first, last) = inside
            .and_then(|text| text.split_once('-'))
            .ok_or_else(String::new)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| String::new());
        let (first, last) = (number(first)?, number(last)?);
        if first == 0 {
            return Err("; 0 is the project of all other files".into());
        }
        if first > last {
            return Err("; it ends before it begins".into());
        }
        Ok(Self { first, last })
    }

    /// Whether a number is in it.
    #[must_use]
    pub const fn contains(self, project: u32) -> bool {
        self.first <= project && project <= self.last
    }

    /// The least number.
    #[must_use]
    pub const fn first(self) -> u32 {
        self.first
    }
}

impl fmt::Display for ProjectRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}-{}]", self.first, self.last)
    }
}

/// Which numbers are taken.
#[derive(Debug, Clone)]
pub struct Projects {
    range: ProjectRange,
    taken: BTreeSet<u32>,
    next: u32,
}

impl Projects {
    /// None is taken.
    #[must_use]
    pub fn new(range: ProjectRange) -> Self {
        Self {
            range,
            taken: BTreeSet::new(),
            next: range.first,
        }
    }

    /// Takes a number that is on the disk already; whether it is one of ours.
    pub fn keep(&mut self, project: u32) -> bool {
        self.range.contains(project) && {
            self.taken.insert(project);
            true
        }
    }

    /// Takes a free number; none where all are taken.
    pub fn take(&mut self) -> Option<u32> {
        let start = self.next;
        let free = self
            .free_from(start)
            .or_else(|| self.free_from(self.range.first))?;
        self.taken.insert(free);
        self.next = if free == self.range.last {
            self.range.first
        } else {
            free + 1
        };
        Some(free)
    }

    /// The first free number from one on.
    fn free_from(&self, start: u32) -> Option<u32> {
        let mut free = start;
        for taken in self.taken.range(start..) {
            if *taken != free {
                break;
            }
            free = free.checked_add(1)?;
        }
        self.range.contains(free).then_some(free)
    }

    /// Gives a number back: nothing on the disk has it any more.
    pub fn release(&mut self, project: u32) {
        self.taken.remove(&project);
    }

    /// All that are taken, in order.
    pub fn taken(&self) -> impl Iterator<Item = u32> {
        self.taken.iter().copied()
    }

    /// The range.
    #[must_use]
    pub const fn range(&self) -> ProjectRange {
        self.range
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn numbers_are_given_in_a_round_and_none_twice() {
        let range = ProjectRange::parse("[7-9]").expect("a range");
        let mut projects = Projects::new(range);
        assert!(projects.keep(8), "what a volume has from before");
        assert!(!projects.keep(10), "somebody else's");
        assert_eq!(projects.take(), Some(7));
        assert_eq!(projects.take(), Some(9));
        assert_eq!(projects.take(), None);
        projects.release(7);
        projects.release(8);
        assert_eq!(projects.take(), Some(7));
        projects.release(7);
        assert_eq!(projects.take(), Some(8), "7 rests");
        assert_eq!(projects.taken().collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn a_range_ends_at_the_last_number_there_is() {
        let range = ProjectRange::parse("[4294967294-4294967295]").expect("a range");
        let mut projects = Projects::new(range);
        assert_eq!(projects.take(), Some(u32::MAX - 1));
        assert_eq!(projects.take(), Some(u32::MAX));
        assert_eq!(projects.take(), None);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "5", "5-6", "[6-5]", "[0-5]", "[a-b]", "[1-4294967296]"] {
            assert!(ProjectRange::parse(text).is_err(), "{text}");
        }
        let range = ProjectRange::parse(" [5000 - 10000]").expect("as in Mesos");
        assert_eq!(alloc::format!("{range}"), "[5000-10000]");
    }
}
