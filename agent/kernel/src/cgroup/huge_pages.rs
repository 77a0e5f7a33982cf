//! Huge pages: those that the node has set aside, and what each container may take of them.
//!
//! Most nodes have none. What an operator sets aside (`hugepages=` of the kernel's command line,
//! `vm.nr_hugepages`) before the agent starts is shared out; where there was none at its start, none that
//! comes later is for containers.

use std::fs;
use std::path::Path;

use model::sandbox::HugePages;

use super::files::{groups_in, write};
use super::{Cgroup, text};

/// A folder for each size, as `hugepages-2048kB`.
const SIZES: &str = "/sys/kernel/mm/hugepages";

/// What containers may do with the node's huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Each takes what it may.
    Shared,
    /// There are none for them.
    Closed,
    /// There are some, and nothing keeps a container from them.
    Unbounded,
}

/// Whether the kernel has huge pages, or makes some when they are asked for.
pub(super) fn are_set_aside() -> bool {
    groups_in(Path::new(SIZES)).any(|size| {
        ["nr_hugepages", "nr_overcommit_hugepages"]
            .iter()
            .any(|file| {
                let text = fs::read_to_string(size.join(file)).unwrap_or_default();
                text.trim().parse::<u64>().is_ok_and(|pages| pages > 0)
            })
    })
}

/// Keeps all containers from pages that are set aside later.
pub(super) fn close(containers: &Path) -> Pool {
    let none = Cgroup {
        path: containers.to_path_buf(),
    };
    match none.limit_huge_pages(HugePages::default()) {
        Ok(()) => Pool::Closed,
        Err(_) => Pool::Unbounded,
    }
}

/// What a host without the controller has for containers: what it has at all.
pub(super) const fn unbounded(are_set_aside: bool) -> Pool {
    match are_set_aside {
        true => Pool::Unbounded,
        false => Pool::Closed,
    }
}

/// The limit of a container where there is nothing to take.
pub(super) fn of_none(wanted: HugePages) -> Result<(), String> {
    let mut sizes = wanted.iter().filter(|(_, bytes)| *bytes > 0);
    match sizes.next() {
        None => Ok(()),
        Some((size, _)) => Err(format!(
            "no huge pages of {size} were set aside on this node when the agent started"
        )),
    }
}

impl Cgroup {
    pub(super) fn limit_huge_pages(&self, wanted: HugePages) -> Result<(), String> {
        for (size, bytes) in wanted.iter() {
            // The one counts what is used, the other what is reserved by mmap(2): without it the last
            // pages of the node could be held by whoever never touches them.
            for file in ["max", "rsvd.max"] {
                let path = self.path.join(format!("hugetlb.{size}.{file}"));
                match path.exists() {
                    true => write(&path, &bytes.to_string()).map_err(text)?,
                    false if bytes > 0 && file == "max" => {
                        return Err(format!("this kernel has no huge pages of {size}"));
                    }
                    false => {}
                }
            }
        }
        Ok(())
    }
}
