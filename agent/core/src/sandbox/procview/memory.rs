//! Memory: `/proc/meminfo` and `/proc/swaps` out of a memory cgroup.

use alloc::format;
use alloc::string::String;

use model::sandbox::ViewFacts;

use super::value;

/// The memory of a container, in bytes.
struct Memory<'a> {
    total: u64,
    free: u64,
    available: u64,
    swap_total: u64,
    swap_free: u64,
    stat: &'a str,
}

impl Memory<'_> {
    fn of(facts: &ViewFacts) -> Memory<'_> {
        let node = |key| kilobytes(&facts.node, key).saturating_mul(1024);
        let stat = facts.memory_stat.as_str();
        let total = facts.memory_bytes_max.unwrap_or(u64::MAX);
        let total = total.min(node("MemTotal"));
        let free = total.saturating_sub(facts.memory_bytes.unwrap_or(0));
        // What the kernel takes back before it kills.
        let reclaimable = ["active_file", "inactive_file", "slab_reclaimable"];
        let reclaimable = reclaimable.map(|key| value(stat, key));
        let reclaimable = reclaimable.into_iter().fold(0, u64::saturating_add);
        let available = free.saturating_add(reclaimable).min(total);
        // Without a limit of its own the node's memory is the limit, and others have some of it.
        let is_bound = facts.memory_bytes_max.is_some_and(|max| max <= total);
        let (free, available) = match is_bound {
            true => (free, available),
            false => (
                free.min(node("MemFree")),
                available.min(node("MemAvailable")),
            ),
        };
        let swap_total = facts.swap_bytes_max.unwrap_or(u64::MAX);
        let swap_total = swap_total.min(node("SwapTotal"));
        Memory {
            total,
            free,
            available,
            swap_total,
            swap_free: swap_total.saturating_sub(facts.swap_bytes),
            stat,
        }
    }

    /// The bytes behind a name of `/proc/meminfo`; `None` for what only a node has.
    fn bytes(&self, name: &str) -> Option<u64> {
        let stat = |key| value(self.stat, key);
        let both = |one, other| stat(one).saturating_add(stat(other));
        Some(match name {
            "MemTotal" => self.total,
            "MemFree" => self.free,
            "MemAvailable" => self.available,
            "Cached" => stat("file"),
            "SwapCached" => stat("swapcached"),
            "Active" => both("active_anon", "active_file"),
            "Inactive" => both("inactive_anon", "inactive_file"),
            "Active(anon)" => stat("active_anon"),
            "Inactive(anon)" => stat("inactive_anon"),
            "Active(file)" => stat("active_file"),
            "Inactive(file)" => stat("inactive_file"),
            "Unevictable" => stat("unevictable"),
            "SwapTotal" => self.swap_total,
            "SwapFree" => self.swap_free,
            "Zswap" => stat("zswap"),
            "Zswapped" => stat("zswapped"),
            "Dirty" => stat("file_dirty"),
            "Writeback" => stat("file_writeback"),
            "AnonPages" => stat("anon"),
            "Mapped" => stat("file_mapped"),
            "Shmem" => stat("shmem"),
            "KReclaimable" | "SReclaimable" => stat("slab_reclaimable"),
            "Slab" => stat("slab"),
            "SUnreclaim" => stat("slab_unreclaimable"),
            "KernelStack" => stat("kernel_stack"),
            "PageTables" => stat("pagetables"),
            "SecPageTables" => stat("sec_pagetables"),
            "Percpu" => stat("percpu"),
            "VmallocUsed" => stat("vmalloc"),
            "AnonHugePages" => stat("anon_thp"),
            "ShmemHugePages" => stat("shmem_thp"),
            "FileHugePages" => stat("file_thp"),
            // All of it may be promised to processes, as nothing here overcommits for them.
            "CommitLimit" => self.total.saturating_add(self.swap_total),
            "Committed_AS" => both("anon", "shmem"),
            // No account of these is kept by container.
            "Buffers" | "Mlocked" | "NFS_Unstable" | "Bounce" | "WritebackTmp" | "VmallocChunk"
            | "ShmemPmdMapped" | "FilePmdMapped" | "Hugetlb" | "HardwareCorrupted" | "CmaTotal"
            | "CmaFree" | "Unaccepted" | "Balloon" => 0,
            _ => return None,
        })
    }
}

/// `fs/proc/meminfo.c`, with the lines that this node's kernel has.
pub(super) fn meminfo(facts: &ViewFacts) -> String {
    let memory = Memory::of(facts);
    let mut text = String::new();
    for line in facts.node.lines() {
        let Some((name, _)) = line.split_once(':') else {
            continue;
        };
        let label = format!("{name}:");
        if let Some(bytes) = memory.bytes(name) {
            // Names are padded to 16 columns, numbers to 8 more.
            text += &format!("{label:<16}{:>8} kB\n", bytes / 1024);
        } else if name.starts_with("HugePages_") {
            text += &format!("{label:<16}{:>8}\n", 0);
        } else if matches!(name, "Hugepagesize" | "VmallocTotal") {
            text += line;
            text.push('\n');
        }
        // The rest (`DirectMap4k` and the like) tells of the machine, and of no container.
    }
    text
}

/// `mm/swapfile.c`. A container has no swap, or a part of what the node has, in no file of its own.
pub(super) fn swaps(facts: &ViewFacts) -> String {
    let mut text = String::from("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    // Name, kind, size, used, priority; sizes are in kB.
    let areas = facts.node.lines().skip(1);
    let sizes = areas.filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    let node = sizes.fold(0_u64, u64::saturating_add);
    let max = facts.swap_bytes_max.map_or(u64::MAX, |bytes| bytes / 1024);
    let (size, used) = (max.min(node), facts.swap_bytes / 1024);
    if size > 0 {
        let used = used.min(size);
        text += &format!("{:<40}{}\t{size}\t\t{used}\t\t-2\n", "none", "virtual\t");
    }
    text
}

/// A number of `/proc/meminfo`.
fn kilobytes(meminfo: &str, name: &str) -> u64 {
    let mut lines = meminfo.lines();
    let found = lines.find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        rest.split_whitespace().next()?.parse().ok()
    });
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;
    use expect_test::{Expect, expect};

    /// Of a node with Linux 6.12, shortened by lines that are like their neighbours.
    const NODE: &str = "\
MemTotal:         478208 kB
MemFree:          300000 kB
MemAvailable:     350000 kB
Buffers:            1064 kB
Cached:            89848 kB
SwapCached:            0 kB
Active:            21924 kB
Inactive:          79912 kB
Active(anon):        916 kB
SwapTotal:         65536 kB
SwapFree:          65536 kB
Dirty:                12 kB
AnonPages:          9172 kB
SReclaimable:       8132 kB
CommitLimit:      304640 kB
VmallocTotal:   34359738367 kB
HugePages_Total:       4
Hugepagesize:       2048 kB
SomethingNew:         17 kB
DirectMap4k:       51064 kB
";

    const STAT: &str = "\
anon 4194304
file 9437184
file_dirty 8192
active_anon 12288
inactive_anon 4182016
active_file 1048576
inactive_file 8388608
slab_reclaimable 524288
slab 700000
";

    fn check(facts: &ViewFacts, expected: &Expect) {
        expected.assert_eq(&meminfo(facts));
    }

    #[test]
    fn a_container_with_a_limit_sees_it_and_what_it_uses_in_the_form_of_its_kernel() {
        let facts = ViewFacts {
            node: NODE.into(),
            memory_stat: STAT.into(),
            ..facts()
        };
        check(
            &facts,
            &expect![[r#"
                MemTotal:          65536 kB
                MemFree:           49152 kB
                MemAvailable:      58880 kB
                Buffers:               0 kB
                Cached:             9216 kB
                SwapCached:            0 kB
                Active:             1036 kB
                Inactive:          12276 kB
                Active(anon):         12 kB
                SwapTotal:             0 kB
                SwapFree:              0 kB
                Dirty:                 8 kB
                AnonPages:          4096 kB
                SReclaimable:        512 kB
                CommitLimit:       65536 kB
                VmallocTotal:   34359738367 kB
                HugePages_Total:       0
                Hugepagesize:       2048 kB
            "#]],
        );
    }

    #[test]
    fn a_container_without_a_limit_sees_what_the_node_can_still_give() {
        let facts = ViewFacts {
            node: NODE.into(),
            memory_bytes_max: None,
            memory_bytes: Some(300 << 20),
            swap_bytes_max: None,
            swap_bytes: 1 << 20,
            ..facts()
        };
        let text = meminfo(&facts);
        for line in [
            "MemTotal:         478208 kB",
            "MemFree:          171008 kB",
            "MemAvailable:     171008 kB",
            "SwapTotal:         65536 kB",
            "SwapFree:          64512 kB",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        let above = ViewFacts {
            memory_bytes_max: Some(u64::MAX),
            memory_bytes: Some(1 << 20),
            ..facts.clone()
        };
        assert!(meminfo(&above).contains("MemFree:          300000 kB"));
        let nothing_known = ViewFacts {
            memory_bytes: None,
            memory_bytes_max: Some(64 << 20),
            ..facts
        };
        assert!(meminfo(&nothing_known).contains("MemFree:           65536 kB"));
    }

    #[test]
    fn more_than_the_limit_in_use_leaves_nothing() {
        let facts = ViewFacts {
            node: NODE.into(),
            memory_bytes: Some(u64::MAX),
            memory_stat: "inactive_file 18446744073709551615\nactive_file 0\n".into(),
            ..facts()
        };
        let text = meminfo(&facts);
        assert!(text.contains("MemFree:               0 kB"), "{text}");
        assert!(text.contains("MemAvailable:      65536 kB"), "{text}");
    }

    #[test]
    fn swap_is_a_part_of_the_nodes_or_none() {
        let node = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
                    /dev/vdb                                partition\t1048572\t\t0\t\t-2\n";
        let seen = |max| {
            swaps(&ViewFacts {
                node: node.into(),
                swap_bytes_max: max,
                swap_bytes: 4 << 20,
                ..facts()
            })
        };
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert_eq!(seen(Some(0)), head);
        let line = |size| format!("{head}{:<40}virtual\t\t{size}\t\t4096\t\t-2\n", "none");
        assert_eq!(seen(Some(8 << 20)), line(8192));
        assert_eq!(seen(None), line(1_048_572));
    }
}
