//! A file system's image as the list of its blocks that are not all zero.
//!
//! The node's template for a blank work disk is 128 MiB, nearly all of it zero; the root of an
//! initramfs is memory, and PID 1 should need no decompressor. The format, little-endian:
//!
//! ```text
//! "TEPUIFS1", u32 block size, u64 blocks in the image, u32 count,
//! then `count` times: u64 block number (ascending), the block.
//! ```

use std::io::{self, Read};

/// The first bytes of the format.
pub const MAGIC: [u8; 8] = *b"TEPUIFS1";

/// The size of a block: that of the file system within.
pub const BLOCK: usize = 4096;

/// Reads an image, whose last block is filled up with zeroes, and returns it in the sparse format.
///
/// # Errors
/// The image cannot be read.
pub fn encode(mut image: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut blocks: u64 = 0;
    let mut count: u32 = 0;
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        image.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            break;
        }
        if block.iter().any(|byte| *byte != 0) {
            block.resize(BLOCK, 0);
            kept.extend_from_slice(&blocks.to_le_bytes());
            kept.extend_from_slice(&block);
            count += 1;
        }
        blocks += 1;
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&(BLOCK as u32).to_le_bytes());
    out.extend_from_slice(&blocks.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.append(&mut kept);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_with_something_in_them_are_kept() {
        let mut image = vec![0; 5 * BLOCK];
        image[BLOCK] = 7;
        image[4 * BLOCK + 9] = 8;
        let sparse = encode(image.as_slice()).unwrap();
        assert_eq!(&sparse[..8], b"TEPUIFS1");
        assert_eq!(sparse[8..12], 4096_u32.to_le_bytes());
        assert_eq!(sparse[12..20], 5_u64.to_le_bytes());
        assert_eq!(sparse[20..24], 2_u32.to_le_bytes());
        assert_eq!(sparse[24..32], 1_u64.to_le_bytes());
        assert_eq!(sparse[32..32 + BLOCK], image[BLOCK..2 * BLOCK]);
        assert_eq!(sparse[32 + BLOCK..40 + BLOCK], 4_u64.to_le_bytes());
        assert_eq!(sparse[40 + BLOCK..], image[4 * BLOCK..]);
    }

    #[test]
    fn a_last_block_cut_short_is_filled_up() {
        let sparse = encode([1].as_slice()).unwrap();
        assert_eq!(sparse.len(), 24 + 8 + BLOCK);
    }
}
