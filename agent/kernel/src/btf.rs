//! BTF: the kernel's own description of its functions and structures, read for a few of them.
//!
//! It is some megabytes long, and is read through once, a piece at a time (the kernel's bpf/btf.rst).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Where the kernel tells it.
pub(crate) const KERNEL: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const PIECE_BYTES: usize = 64 << 10;

/// `BTF_KIND_STRUCT` and `BTF_KIND_FUNC`.
const STRUCT: u32 = 4;
const FUNC: u32 = 12;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// A function.
    pub(crate) function: &'a str,
    /// A structure, and a member of it.
    pub(crate) member: Option<(&'a str, &'a str)>,
}

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The number of the function among all types.
    pub(crate) function: u32,
    /// Where the member is in its structure, in bytes; 0 where none was asked for.
    pub(crate) offset: u32,
}

/// Looks in the description of the kernel that runs.
///
/// # Errors
/// There is none, or it does not have all that is wanted.
pub(crate) fn of_kernel(wanted: Wanted<'_>) -> io::Result<Found> {
    find(File::open(KERNEL)?, wanted)
}

fn find(mut source: impl Read + Seek, wanted: Wanted<'_>) -> io::Result<Found> {
    let mut header = [0; HEADER_BYTES];
    source.read_exact(&mut header)?;
    let word = |at: usize| word(&header, at);
    if u16::from_le_bytes([header[0], header[1]]) != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no BTF"));
    }
    let start = u64::from(word(4));
    let (types, types_length) = (start + u64::from(word(8)), u64::from(word(12)));
    let (names, names_length) = (start + u64::from(word(16)), u64::from(word(20)));
    let mut source = BufReader::with_capacity(PIECE_BYTES, source);
    source.seek(SeekFrom::Start(names))?;
    let (structure, member) = wanted.member.unzip();
    let looked_for = [Some(wanted.function), structure, member];
    let [function, structure, member] = places((&mut source).take(names_length), looked_for)?;
    source.seek(SeekFrom::Start(types))?;
    let mut types = source.take(types_length);
    let (mut found, mut offset) = (None, None);
    for number in 1_u32.. {
        if types.fill_buf()?.is_empty() {
            break;
        }
        let [name, info, _] = words(&mut types)?;
        let (kind, length) = (info >> 24 & 0x1f, info & 0xffff);
        if kind == FUNC && Some(name) == function {
            found = found.or(Some(number));
        }
        let is_wanted = kind == STRUCT && Some(name) == structure;
        for _ in 0..members(kind, length) {
            match kind {
                STRUCT if is_wanted => {
                    let [name, _, bits] = words(&mut types)?;
                    if Some(name) == member {
                        offset = offset.or(Some((bits & 0x00ff_ffff) / 8));
                    }
                }
                _ => pass(&mut types, member_bytes(kind))?,
            }
        }
    }
    let none = || io::Error::from(io::ErrorKind::NotFound);
    Ok(Found {
        function: found.ok_or_else(none)?,
        offset: match wanted.member {
            Some(_) => offset.ok_or_else(none)?,
            None => 0,
        },
    })
}

/// Where names begin among all names, of those that are wanted.
fn places<const N: usize>(
    mut names: impl BufRead,
    wanted: [Option<&str>; N],
) -> io::Result<[Option<u32>; N]> {
    let mut places = [None; N];
    let (mut at, mut name) = (0_u64, Vec::new());
    loop {
        name.clear();
        let length = names.read_until(0, &mut name)?;
        if length == 0 {
            break;
        }
        name.pop();
        for (place, wanted) in places.iter_mut().zip(wanted) {
            if wanted.is_some_and(|wanted| wanted.as_bytes() == name) {
                *place = u32::try_from(at).ok();
            }
        }
        at += length as u64;
    }
    match places
        .iter()
        .zip(wanted)
        .all(|(place, wanted)| place.is_some() == wanted.is_some())
    {
        true => Ok(places),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// How many pieces follow a type.
const fn members(kind: u32, length: u32) -> u32 {
    match kind {
        // Integers, arrays, variables and tags of declarations have one, whatever their length says.
        1 | 3 | 14 | 17 => 1,
        // Structures, unions, enumerations, prototypes, sections and large enumerations.
        4 | 5 | 6 | 13 | 15 | 19 => length,
        _ => 0,
    }
}

/// How long one of them is.
const fn member_bytes(kind: u32) -> u64 {
    match kind {
        1 | 14 | 17 => 4,
        6 | 13 => 8,
        _ => 12,
    }
}

fn words<const N: usize>(source: &mut impl Read) -> io::Result<[u32; N]> {
    let mut all = [0; N];
    for one in &mut all {
        let mut bytes = [0; 4];
        source.read_exact(&mut bytes)?;
        *one = u32::from_le_bytes(bytes);
    }
    Ok(all)
}

fn pass(source: &mut impl Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut source.take(bytes), &mut io::sink())? == bytes {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// An integer, a structure of two members and a function, as a compiler would write them.
    fn description() -> Vec<u8> {
        let names = b"\0int\0cred\0usage\0user_ns\0cap_capable\0";
        let place = |name: &str| {
            let at = names
                .windows(name.len())
                .position(|part| part == name.as_bytes());
            u32::try_from(at.expect("a name")).expect("small")
        };
        let types = [
            vec![place("int"), 1 << 24, 4, 32],
            vec![place("cred"), 4 << 24 | 2, 16],
            vec![place("usage"), 1, 0, place("user_ns"), 1, 64],
            vec![place("cap_capable"), 12 << 24, 1],
        ]
        .concat();
        let length = |bytes: usize| u32::try_from(bytes).expect("small");
        let header = [
            0x0001_eb9f,
            24,
            0,
            length(types.len() * 4),
            length(types.len() * 4),
            length(names.len()),
        ];
        let words = header.iter().chain(&types);
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(names);
        bytes
    }

    const WANTED: Wanted<'static> = Wanted {
        function: "cap_capable",
        member: Some(("cred", "user_ns")),
    };

    #[test]
    fn a_function_has_its_number_and_a_member_its_place() {
        let found = find(Cursor::new(description()), WANTED).expect("both");
        let expected = Found {
            function: 3,
            offset: 8,
        };
        assert_eq!(found, expected);
        let alone = Wanted {
            member: None,
            ..WANTED
        };
        let found = find(Cursor::new(description()), alone).expect("the function");
        let expected = Found {
            offset: 0,
            ..expected
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_there_or_broken_off_is_an_error() {
        let wanted = Wanted {
            function: "user_ns",
            ..WANTED
        };
        assert!(
            find(Cursor::new(description()), wanted).is_err(),
            "no function"
        );
        let whole = description();
        for length in 0..whole.len() {
            assert!(
                find(Cursor::new(&whole[..length]), WANTED).is_err(),
                "{length}"
            );
        }
    }
}
