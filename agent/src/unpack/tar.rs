//! Tar archives: ustar, GNU and pax, as image layers and ACIs are.
//!
//! Fields are read by the `tar` crate, entry by entry here, so that no claim in a header makes more
//! memory be taken than its bound.

mod sparse;

use std::ffi::CString;
use std::io::{self, BufRead, Read};

use ::tar::{EntryType, Header, PaxExtensions};

use super::fault::Fault;
use super::layout::shown;
use super::tree::{Meta, Tree, Writing, is_kept};

use sparse::{Map, bad_map};

const BLOCK_BYTES: usize = 512;
/// Of what stands before an entry: a long name, or its pax records.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Of all extended attributes of a file: ext4 has one block for them.
const ATTRIBUTES_BYTES_MAX: usize = 64 << 10;
/// How a pax record names an extended attribute.
const ATTRIBUTE_KEYS: [&[u8]; 2] = [b"SCHILY.xattr.", b"LIBARCHIVE.xattr."];

/// What stands before an entry and belongs to it.
#[derive(Debug, Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
    modified: Option<(i64, i64)>,
    attributes: Vec<(CString, Vec<u8>)>,
    sparse: bool,
    real_size: Option<u64>,
}

/// Writes the files of a tar archive; reads up to its end marker, or to the end of the stream.
pub(super) fn unpack(stream: &mut impl BufRead, tree: &mut Tree) -> Result<(), Fault> {
    let mut extensions = Extensions::default();
    let mut first = true;
    while let Some(header) = header(stream, first)? {
        first = false;
        let size = header
            .entry_size()
            .map_err(|_| Fault::archive("a header's size is no number"))?;
        match header.entry_type() {
            EntryType::GNULongName => {
                extensions.name = Some(until_nul(extension(stream, size)?));
            }
            EntryType::GNULongLink => {
                extensions.target = Some(until_nul(extension(stream, size)?));
            }
            EntryType::XHeader => read_pax(&extension(stream, size)?, &mut extensions)?,
            // What holds for all entries is a comment, in practice.
            EntryType::XGlobalHeader => drop(extension(stream, size)?),
            _ => {
                let extensions = std::mem::take(&mut extensions);
                let size = extensions.size.unwrap_or(size);
                entry(stream, tree, &header, size, extensions)?;
            }
        }
    }
    Ok(())
}

/// The next header; `None` at the end.
fn header(stream: &mut impl Read, first: bool) -> Result<Option<Header>, Fault> {
    let mut header = Header::new_old();
    let block = header.as_mut_bytes();
    match read_block(stream, block)? {
        // Many archives lack the end marker.
        0 if !first => return Ok(None),
        BLOCK_BYTES => {}
        0 => return Err(Fault::archive("it is empty")),
        _ => return Err(Fault::archive("it ends in the middle of a header")),
    }
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    // The field counts as blanks in its own sum.
    let sum: u32 = block[..148]
        .iter()
        .chain(&block[156..])
        .copied()
        .map(u32::from)
        .sum();
    if header.cksum().ok() != Some(sum + 8 * u32::from(b' ')) {
        return Err(Fault::archive(match first {
            true => "it is no tar archive",
            false => "the sum of a header is wrong",
        }));
    }
    Ok(Some(header))
}

fn read_block(stream: &mut impl Read, block: &mut [u8]) -> Result<usize, Fault> {
    let mut length = 0;
    while length < block.len() {
        match stream.read(&mut block[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::read(error)),
        }
    }
    Ok(length)
}

/// What belongs to the next entry, whole.
fn extension(stream: &mut impl BufRead, size: u64) -> Result<Vec<u8>, Fault> {
    if size > EXTENSION_BYTES_MAX {
        let text = format!("a name or its records take {size} bytes");
        return Err(Fault::Bound(text));
    }
    let mut content = Vec::new();
    let length = Read::by_ref(stream)
        .take(size)
        .read_to_end(&mut content)
        .map_err(Fault::read)?;
    if length as u64 != size {
        return Err(cut_short());
    }
    skip(stream, padding(size))?;
    Ok(content)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

fn read_pax(content: &[u8], to: &mut Extensions) -> Result<(), Fault> {
    let mut attributes_bytes = 0;
    for record in PaxExtensions::new(content) {
        let record = record.map_err(|_| Fault::archive("a pax record is malformed"))?;
        let (key, value) = (record.key_bytes(), record.value_bytes());
        let number = || -> Result<u64, Fault> {
            let text = record.value().ok().and_then(|text| text.parse().ok());
            text.ok_or_else(|| {
                Fault::archive(format_args!("pax record {} is no number", shown(key)))
            })
        };
        match key {
            b"path" | b"GNU.sparse.name" => to.name = Some(value.to_vec()),
            b"linkpath" => to.target = Some(value.to_vec()),
            b"uid" => to.uid = Some(number()?),
            b"gid" => to.gid = Some(number()?),
            b"size" => to.size = Some(number()?),
            b"mtime" => to.modified = record.value().ok().and_then(time),
            b"GNU.sparse.major" if value == b"1" => to.sparse = true,
            b"GNU.sparse.map" | b"GNU.sparse.numblocks" => {
                return Err(Fault::archive("sparse files of pax format 0 are not read"));
            }
            b"GNU.sparse.realsize" => to.real_size = Some(number()?),
            _ => {
                let mut keys = ATTRIBUTE_KEYS.iter();
                let Some(name) = keys.find_map(|start| key.strip_prefix(*start)) else {
                    continue;
                };
                attributes_bytes += name.len() + value.len();
                if attributes_bytes > ATTRIBUTES_BYTES_MAX {
                    let text = "the extended attributes of a file take too much".to_owned();
                    return Err(Fault::Bound(text));
                }
                if let Some(name) = CString::new(name).ok().filter(|_| is_kept(name)) {
                    to.attributes.push((name, value.to_vec()));
                }
            }
        }
    }
    Ok(())
}

/// Seconds since 1970 with a fraction.
fn time(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanos: i64 = digits.parse().ok()?;
    // The fraction counts away from zero, and the kernel's upwards.
    Some(match whole.starts_with('-') && nanos > 0 {
        true => (seconds.checked_sub(1)?, 1_000_000_000 - nanos),
        false => (seconds, nanos),
    })
}

fn entry(
    stream: &mut impl BufRead,
    tree: &mut Tree,
    header: &Header,
    size: u64,
    extensions: Extensions,
) -> Result<(), Fault> {
    let name = match extensions.name {
        Some(name) => name,
        None => header.path_bytes().into_owned(),
    };
    let target = extensions.target.clone();
    let target = target.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    let old = header.as_old();
    let field = |what: &str, bytes: &[u8], value: io::Result<u64>| {
        // A field that nobody filled in.
        if bytes.iter().all(|byte| matches!(byte, 0 | b' ')) {
            return Ok(0);
        }
        let text = || {
            Fault::archive(format_args!(
                "the {what} of {:?} is no number",
                shown(&name)
            ))
        };
        value.map_err(|_| text())
    };
    let id = |what: &str, given: Option<u64>, bytes: &[u8], value: io::Result<u64>| {
        let id = given.map_or_else(|| field(what, bytes, value), Ok)?;
        let big = || {
            Fault::archive(format_args!(
                "the {what} {id} of {:?} is none",
                shown(&name)
            ))
        };
        u32::try_from(id).map_err(|_| big())
    };
    let meta = Meta {
        uid: id("uid", extensions.uid, &old.uid, header.uid())?,
        gid: id("gid", extensions.gid, &old.gid, header.gid())?,
        mode: u32::try_from(field("mode", &old.mode, header.mode().map(u64::from))?).unwrap_or(0),
        modified: match extensions.modified {
            Some(time) => Some(time),
            None => i64::try_from(field("time", &old.mtime, header.mtime())?)
                .ok()
                .map(|time| (time, 0)),
        },
        attributes: extensions.attributes,
    };
    let mut left = size;
    if tree.whiteout(&name)? {
        return skip(stream, left.saturating_add(padding(size)));
    }
    match header.entry_type() {
        // The oldest archives tell a directory by its name only.
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => {
            tree.directory(&name, meta)?;
        }
        EntryType::Regular | EntryType::Continuous => {
            let mut file = tree.file(&name, meta)?;
            match extensions.sparse {
                true => {
                    let map = Map::pax(stream, extensions.real_size, &mut left)?;
                    map.write(stream, tree, &mut file, &mut left)?;
                }
                false => copy(stream, tree, &mut file, &mut left, size)?,
            }
            tree.close(file)?;
        }
        EntryType::GNUSparse => {
            let map = Map::gnu(stream, header.as_gnu().ok_or_else(bad_map)?)?;
            let mut file = tree.file(&name, meta)?;
            map.write(stream, tree, &mut file, &mut left)?;
            tree.close(file)?;
        }
        EntryType::Directory => tree.directory(&name, meta)?,
        EntryType::Symlink => tree.symlink(&name, &target.unwrap_or_default(), meta)?,
        EntryType::Link => tree.hard_link(&name, &target.unwrap_or_default())?,
        EntryType::Fifo => tree.pipe(&name, &meta)?,
        EntryType::Char | EntryType::Block => tree.skip()?,
        kind => match kind.as_byte() {
            // A volume's name is no file.
            b'V' => {}
            byte => {
                let (kind, name) = (char::from(byte), shown(&name));
                let text = format_args!("{name:?} is of the unknown kind {kind:?}");
                return Err(Fault::archive(text));
            }
        },
    }
    skip(stream, left.saturating_add(padding(size)))
}

/// Copies so many bytes.
fn copy(
    stream: &mut impl BufRead,
    tree: &mut Tree,
    file: &mut Writing,
    left: &mut u64,
    mut bytes: u64,
) -> Result<(), Fault> {
    *left = left.checked_sub(bytes).ok_or_else(bad_map)?;
    while bytes > 0 {
        let ready = stream.fill_buf().map_err(Fault::read)?;
        if ready.is_empty() {
            return Err(cut_short());
        }
        let length = usize::try_from(bytes).map_or(ready.len(), |bytes| bytes.min(ready.len()));
        tree.write(file, &ready[..length])?;
        stream.consume(length);
        bytes -= length as u64;
    }
    Ok(())
}

/// Reads past so many bytes.
fn skip(stream: &mut impl BufRead, mut bytes: u64) -> Result<(), Fault> {
    while bytes > 0 {
        let ready = stream.fill_buf().map_err(Fault::read)?.len();
        if ready == 0 {
            return Err(cut_short());
        }
        let length = usize::try_from(bytes).map_or(ready, |bytes| bytes.min(ready));
        stream.consume(length);
        bytes -= length as u64;
    }
    Ok(())
}

/// Bytes up to the next block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

fn cut_short() -> Fault {
    Fault::archive("it is cut short")
}
