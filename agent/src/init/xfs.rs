//! XFS from outside: the superblock, read from bytes that anybody may have written.

/// At the start of the disk; all numbers are big-endian.
const MAGIC: &[u8] = b"XFSB";

/// What a superblock says (`struct xfs_dsb`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Superblock {
    pub(super) label: String,
    /// Directories tell what kind of file an entry is, without which no overlay can be made.
    pub(super) tells_types: bool,
    /// The kernel refuses it until `xfs_repair` has been over it.
    pub(super) needs_repair: bool,
}

/// Reads the superblock from the first bytes of a disk; none where it is no XFS.
pub(super) fn superblock(disk: &[u8]) -> Option<Superblock> {
    if !disk.starts_with(MAGIC) {
        return None;
    }
    let two = |at| Some(u16::from_be_bytes(*disk.get(at..)?.first_chunk()?));
    let four = |at| Some(u32::from_be_bytes(*disk.get(at..)?.first_chunk()?));
    let label = disk.get(108..120)?;
    let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
    let (version, features, incompatible) = (two(100)?, four(200)?, four(216)?);
    let is_fifth = version & 0xf == 5;
    Some(Superblock {
        label: String::from_utf8_lossy(label).into_owned(),
        tells_types: match is_fifth {
            // XFS_SB_FEAT_INCOMPAT_FTYPE.
            true => incompatible & 1 != 0,
            // XFS_SB_VERSION_MOREBITSBIT, without which there are no further ones, and
            // XFS_SB_VERSION2_FTYPE among those.
            false => version & 0x8000 != 0 && features & 0x200 != 0,
        },
        // XFS_SB_FEAT_INCOMPAT_NEEDSREPAIR.
        needs_repair: is_fifth && incompatible & 0x10 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a disk with these numbers.
    fn disk(version: u16, features: u32, incompatible: u32) -> Vec<u8> {
        let mut disk = vec![0; 512];
        disk[..4].copy_from_slice(MAGIC);
        disk[100..102].copy_from_slice(&version.to_be_bytes());
        disk[108..118].copy_from_slice(b"tepui-work");
        disk[200..204].copy_from_slice(&features.to_be_bytes());
        disk[216..220].copy_from_slice(&incompatible.to_be_bytes());
        disk
    }

    #[test]
    fn a_superblock_tells_its_label_and_what_it_can() {
        for (version, features, incompatible, tells_types, needs_repair) in [
            // As mkfs.xfs 6.1 writes it.
            (0xb4a5, 0x18a, 0xb, true, false),
            (0xb4a5, 0x18a, 0x1b, true, true),
            (0xb4a5, 0x38a, 0xa, false, false),
            (0xb4a4, 0x28a, 0, true, false),
            (0xb4a4, 0x08a, 1, false, false),
            (0x34a4, 0x28a, 0x10, false, false),
        ] {
            assert_eq!(
                superblock(&disk(version, features, incompatible)),
                Some(Superblock {
                    label: "tepui-work".to_owned(),
                    tells_types,
                    needs_repair,
                }),
                "{version:x} {features:x} {incompatible:x}"
            );
        }
        assert_eq!(superblock(&[0; 512]), None);
    }

    #[test]
    fn no_cut_of_a_superblock_panics() {
        let whole = disk(0xb4a5, 0x18a, 0xb);
        for length in 0..whole.len() {
            let found = superblock(&whole[..length]);
            assert!(found.is_none() || found == superblock(&whole));
        }
    }
}
