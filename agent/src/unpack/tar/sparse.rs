//! Sparse files: pieces of content with holes between them, in GNU's form and that of pax.

use std::io::{BufRead, Read};

use ::tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader};

use super::{BLOCK_BYTES, copy, cut_short, read_block};
use crate::unpack::fault::Fault;
use crate::unpack::tree::{Tree, Writing};

/// Pieces of a sparse file.
const PIECES_MAX: usize = 1 << 16;

/// What of a file is content.
pub(super) struct Map {
    /// Each an offset and a length.
    pieces: Vec<(u64, u64)>,
    /// The file's length, holes included.
    whole: u64,
}

impl Map {
    /// The map in a header of GNU's, and in the blocks after it.
    pub(super) fn gnu(stream: &mut impl Read, header: &GnuHeader) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut more = header.is_extended();
        add_pieces(&header.sparse, &mut pieces)?;
        while more {
            let mut block = GnuExtSparseHeader::new();
            if read_block(stream, block.as_mut_bytes())? != BLOCK_BYTES {
                return Err(cut_short());
            }
            add_pieces(block.sparse(), &mut pieces)?;
            more = block.is_extended();
        }
        let whole = header.real_size().map_err(|_| bad_map())?;
        Ok(Self { pieces, whole })
    }

    /// The map in front of the data, as pax format 1 has it; takes it off what is left of the entry.
    pub(super) fn pax(
        stream: &mut impl Read,
        whole: Option<u64>,
        left: &mut u64,
    ) -> Result<Self, Fault> {
        let (pieces, taken) = pax_pieces(stream, *left)?;
        *left -= taken;
        let whole = whole.ok_or_else(bad_map)?;
        Ok(Self { pieces, whole })
    }

    /// Writes the pieces, which take up what is left of the entry at most.
    pub(super) fn write(
        &self,
        stream: &mut impl BufRead,
        tree: &mut Tree,
        file: &mut Writing,
        left: &mut u64,
    ) -> Result<(), Fault> {
        for (offset, length) in &self.pieces {
            tree.hole(file, *offset)?;
            copy(stream, tree, file, left, *length)?;
        }
        tree.hole(file, self.whole)
    }
}

fn add_pieces(from: &[GnuSparseHeader], to: &mut Vec<(u64, u64)>) -> Result<(), Fault> {
    for piece in from.iter().filter(|piece| !piece.is_empty()) {
        let offset = piece.offset().map_err(|_| bad_map())?;
        let length = piece.length().map_err(|_| bad_map())?;
        to.push((offset, length));
    }
    match to.len() > PIECES_MAX {
        true => Err(Fault::Bound(format!(
            "a file of more than {PIECES_MAX} pieces"
        ))),
        false => Ok(()),
    }
}

/// The map of pax format 1, which stands before the data as decimal lines, filled up to a block; and
/// how many bytes that were.
fn pax_pieces(stream: &mut impl Read, left: u64) -> Result<(Vec<(u64, u64)>, u64), Fault> {
    let mut taken = 0;
    let mut block = [0; BLOCK_BYTES];
    let mut at = BLOCK_BYTES;
    let mut number = || -> Result<u64, Fault> {
        let mut value = 0_u64;
        loop {
            if at == BLOCK_BYTES {
                taken += BLOCK_BYTES as u64;
                if taken > left || read_block(stream, &mut block)? != BLOCK_BYTES {
                    return Err(bad_map());
                }
                at = 0;
            }
            let byte = block[at];
            at += 1;
            match byte {
                b'\n' => return Ok(value),
                b'0'..=b'9' => {
                    let more = value.checked_mul(10);
                    let more = more.and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    value = more.ok_or_else(bad_map)?;
                }
                _ => return Err(bad_map()),
            }
        }
    };
    let count = usize::try_from(number()?).map_err(|_| bad_map())?;
    if count > PIECES_MAX {
        return Err(Fault::Bound(format!("a file of {count} pieces")));
    }
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push((number()?, number()?));
    }
    Ok((pieces, taken))
}

pub(super) fn bad_map() -> Fault {
    Fault::archive("the map of a sparse file is wrong")
}
