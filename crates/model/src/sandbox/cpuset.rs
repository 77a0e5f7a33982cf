//! Cpuset: the processors that a container's processes run on.

use alloc::vec::Vec;
use core::fmt;

/// Processors by the kernel's numbers, in growing order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuList(pub Vec<u32>);

impl fmt::Display for CpuList {
    /// As the kernel writes them, `0-3,8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut comma = "";
        while let Some(first) = rest.first() {
            let run = (*first..)
                .zip(rest)
                .take_while(|(wanted, cpu)| wanted == *cpu);
            let length = run.count();
            let (run, others) = rest.split_at(length);
            match run.last().filter(|last| *last != first) {
                Some(last) => write!(f, "{comma}{first}-{last}")?,
                None => write!(f, "{comma}{first}")?,
            }
            (rest, comma) = (others, ",");
        }
        Ok(())
    }
}

/// Which processors a container has, where they are shared out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpuSet {
    /// These are its own: no other container runs there.
    Own(CpuList),
    /// It shares these with others.
    Shared(CpuList),
    /// The same, and it asked for so many of its own, of which not enough were left.
    Lacking {
        /// What it shares.
        shared: CpuList,
        /// What it asked for.
        wanted: u64,
    },
}

impl CpuSet {
    /// The processors that it runs on.
    #[must_use]
    pub const fn cpus(&self) -> &CpuList {
        match self {
            Self::Own(cpus) | Self::Shared(cpus) | Self::Lacking { shared: cpus, .. } => cpus,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_list_is_written_as_the_kernel_writes_it() {
        for (cpus, text) in [
            (&[][..], ""),
            (&[7], "7"),
            (&[0, 1, 2, 3, 8], "0-3,8"),
            (&[1, 3, 4, 6], "1,3-4,6"),
        ] {
            assert_eq!(CpuList(cpus.to_vec()).to_string(), text);
        }
    }
}
