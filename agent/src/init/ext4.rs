//! ext4 from outside: the superblock, and the template of a fresh file system.
//!
//! Both are read from bytes that anybody may have written.

/// Where the superblock begins on a disk, and how much of it is read here.
const SUPERBLOCK: usize = 1024;
const SUPERBLOCK_LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;

/// What a superblock says (`struct ext4_super_block`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) label: String,
    pub(super) block_size: u64,
    pub(super) blocks: u64,
    /// Unmounted in good order.
    pub(super) clean: bool,
    /// The journal holds what the disk does not: mounting replays it.
    pub(super) needs_recovery: bool,
    /// Errors that the kernel has met since the last check.
    pub(super) errors: u32,
}

/// Reads the superblock from the first bytes of a disk; none where it is no ext4.
pub(super) fn superblock(disk: &[u8]) -> Option<Superblock> {
    let bytes = disk.get(SUPERBLOCK..SUPERBLOCK + SUPERBLOCK_LENGTH)?;
    let two = |at| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let four = |at| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    if two(0x38)? != MAGIC {
        return None;
    }
    let label = bytes.get(0x78..0x88)?;
    let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
    let incompatible = four(0x60)?;
    // INCOMPAT_64BIT: the upper halves count; otherwise they may hold anything.
    let upper = if incompatible & 0x80 == 0 {
        0
    } else {
        four(0x150)?
    };
    let state = two(0x3a)?;
    Some(Superblock {
        label: String::from_utf8_lossy(label).into_owned(),
        block_size: 1024_u64
            .checked_shl(four(0x18)?)
            .filter(|size| *size <= 65536)?,
        blocks: u64::from(upper) << 32 | u64::from(four(0x4)?),
        // EXT4_VALID_FS without EXT4_ERROR_FS.
        clean: state & 3 == 1,
        // INCOMPAT_RECOVER.
        needs_recovery: incompatible & 4 != 0,
        errors: four(0x194)?,
    })
}

/// A fresh file system as its blocks that are not zero.
///
/// `TEPUIFS1`, then in little-endian numbers: block size (4 bytes), blocks of the file system (8), count
/// (4), and count times the block's number (8) and its bytes. Numbers ascend, and block 0 is among them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template<'a> {
    pub(super) block_size: u32,
    pub(super) blocks: u64,
    pub(super) written: Vec<(u64, &'a [u8])>,
}

/// Reads a template; none where it is cut short or says what cannot be.
pub(super) fn template(bytes: &[u8]) -> Option<Template<'_>> {
    let rest = bytes.strip_prefix(b"TEPUIFS1")?;
    let (block_size, rest) = rest.split_first_chunk()?;
    let (blocks, rest) = rest.split_first_chunk()?;
    let (count, mut rest) = rest.split_first_chunk()?;
    let block_size = u32::from_le_bytes(*block_size);
    let blocks = u64::from_le_bytes(*blocks);
    if !(1024..=65536).contains(&block_size) || blocks.checked_mul(block_size.into()).is_none() {
        return None;
    }
    let mut written: Vec<(u64, &[u8])> = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (number, block) = rest.split_first_chunk()?;
        let number = u64::from_le_bytes(*number);
        let ascends = written.last().is_none_or(|(last, _)| number > *last);
        if number >= blocks || !ascends {
            return None;
        }
        let (block, next) = block.split_at_checked(block_size as usize)?;
        written.push((number, block));
        rest = next;
    }
    let whole = rest.is_empty() && written.first().is_some_and(|(number, _)| *number == 0);
    whole.then_some(Template {
        block_size,
        blocks,
        written,
    })
}

#[cfg(test)]
mod tests {
    use super::super::file_system::LABEL;
    use super::*;

    fn disk() -> Vec<u8> {
        let mut disk = vec![0; 4096];
        let at = |at: usize| SUPERBLOCK + at;
        disk[at(0x4)..at(0x8)].copy_from_slice(&32768_u32.to_le_bytes());
        disk[at(0x18)] = 2;
        disk[at(0x38)..at(0x3a)].copy_from_slice(&MAGIC.to_le_bytes());
        disk[at(0x3a)] = 1;
        disk[at(0x60)] = 0xc4;
        disk[at(0x78)..at(0x82)].copy_from_slice(LABEL.as_bytes());
        disk[at(0x150)] = 1;
        disk[at(0x194)] = 3;
        disk
    }

    #[test]
    fn a_superblock_tells_label_size_and_state() {
        assert_eq!(
            superblock(&disk()),
            Some(Superblock {
                label: LABEL.to_owned(),
                block_size: 4096,
                blocks: (1 << 32) + 32768,
                clean: true,
                needs_recovery: true,
                errors: 3,
            })
        );
        assert_eq!(superblock(&vec![0; 4096]), None);
        assert_eq!(superblock(&disk()[..2000]), None);
    }

    #[test]
    fn a_template_cut_short_is_none() {
        let mut bytes = b"TEPUIFS1".to_vec();
        bytes.extend(1024_u32.to_le_bytes());
        bytes.extend(100_u64.to_le_bytes());
        bytes.extend(2_u32.to_le_bytes());
        for number in [0_u64, 99] {
            bytes.extend(number.to_le_bytes());
            bytes.extend([7; 1024]);
        }
        let read = template(&bytes).expect("a template");
        assert_eq!((read.block_size, read.blocks), (1024, 100));
        assert_eq!(read.written.len(), 2);
        assert_eq!(read.written[1], (99, [7; 1024].as_slice()));
        for length in 0..bytes.len() {
            assert_eq!(template(&bytes[..length]), None, "{length}");
        }
        bytes.push(0);
        assert_eq!(template(&bytes), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(
            noise in proptest::collection::vec(proptest::num::u8::ANY, 0..1200),
            at in 0..4096_usize,
        ) {
            let _ = template(&[b"TEPUIFS1", noise.as_slice()].concat());
            let mut disk = disk();
            for (place, byte) in disk[at..].iter_mut().zip(noise) {
                *place = byte;
            }
            let _ = superblock(&disk);
        }
    }
}
