//! Namespaces: which a container has of its own, and its ids.

use model::sandbox::{IdRange, Namespace};

/// All but the network, which is the node's.
pub(super) const ALL: [Namespace; 6] = [
    Namespace::User,
    Namespace::Pid,
    Namespace::Mount,
    Namespace::Ipc,
    Namespace::Uts,
    Namespace::Cgroup,
];

/// How many ids a container has: enough for every id that images use, `nobody` (65534) included.
const LENGTH: u32 = 65_536;

/// The first id of the first range. Below it are the node's own, above it the ranges lie end to end.
const FIRST: u32 = 524_288;

/// The ids that files of images have on the node's disk, which no container has: an image's 0 is the
/// first of them, and idmapped mounts give each container its own instead.
pub const STORE_IDS: IdRange = IdRange {
    first: FIRST - LENGTH,
    length: LENGTH,
};

/// How many ranges there are. The last ends below 2^31: tools that read ids as signed stay right.
pub const ID_RANGES_MAX: u32 = 32_000;

const _: () = assert!(FIRST as u64 + ID_RANGES_MAX as u64 * (LENGTH as u64) < 1 << 31);

/// The ids of the container that has this index; no two containers alive share one. `None` at
/// [`ID_RANGES_MAX`] and above.
#[must_use]
pub const fn id_range(index: u32) -> Option<IdRange> {
    if index >= ID_RANGES_MAX {
        return None;
    }
    Some(IdRange {
        first: FIRST + index * LENGTH,
        length: LENGTH,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_end_to_end_and_never_wrap() {
        for index in [0, 1, 2, 1_000, ID_RANGES_MAX - 2] {
            let (this, next) = (id_range(index), id_range(index + 1));
            let end = this.map(|range| range.first + range.length);
            assert_eq!(end, next.map(|range| range.first), "range {index}");
        }
        assert_eq!(id_range(ID_RANGES_MAX), None);
        assert_eq!(id_range(u32::MAX), None);
    }
}
