//! Lean: what a launcher that stays as an init gives back of its memory.
//!
//! A launcher is the agent's whole program: its tables of addresses are relocated at each start, some
//! 430 kB that are written once and never shared, and what it read of the plan fills a few hundred kB
//! more. An init needs none of that: it waits for signals with code and a stack.
//!
//! Afterwards nothing is allocated or freed, and no text is formatted: both look into what is gone. An
//! access to it ends the init by SIGSEGV, which every test of an init's life would see.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::{from_mut, from_ref, with_exposed_provenance_mut};

use nix::errno::Errno;
use nix::libc;

/// Room for the list of mappings, of which a launcher has some twenty.
const LIST_BYTES_MAX: usize = 8192;

/// The kernel's pages here, as everywhere on this architecture.
const PAGE: usize = 4096;

/// The list of this process's mappings, open before its `/proc` is out of sight.
pub(super) struct List(File);

impl List {
    /// Opens it; `None` where there is none, and then nothing is given back.
    pub(super) fn open() -> Option<Self> {
        File::open("/proc/self/maps").ok().map(Self)
    }

    /// What can be given back; the list is closed.
    pub(super) fn read(self) -> Spare {
        let mut text = [0_u8; LIST_BYTES_MAX];
        let mut length = 0;
        // Each read gives whole lines.
        while let Some(room) = text.get_mut(length..).filter(|room| !room.is_empty()) {
            let (fd, start, size) = (self.0.as_raw_fd(), room.as_mut_ptr(), room.len());
            // SAFETY: `room` is a place for `size` bytes.
            let read = unsafe { libc::read(fd, start.cast(), size) };
            match Errno::result(read).map(usize::try_from) {
                Ok(Ok(read)) if read > 0 => length += read,
                _ => break,
            }
        }
        let mut spare = Spare::default();
        let list = text.get(..length).unwrap_or_default();
        spare.find(list, &in_use());
        spare.add(tables());
        spare
    }
}

/// Addresses, the first and the one past the last.
type Range = (usize, usize);

/// How many ranges there may be.
const RANGES_MAX: usize = 32;

/// Ranges of memory that an init does without.
#[derive(Debug)]
pub(super) struct Spare {
    ranges: [Range; RANGES_MAX],
    length: usize,
}

impl Default for Spare {
    fn default() -> Self {
        Self {
            ranges: [(0, 0); RANGES_MAX],
            length: 0,
        }
    }
}

impl Spare {
    /// Gives it all back. From here on nothing may be allocated, freed or formatted.
    pub(super) fn give_back(&self) {
        let mut index = 0;
        while index < self.length && index < RANGES_MAX {
            let (start, end) = self.ranges[index];
            let address = with_exposed_provenance_mut::<c_void>(start);
            // SAFETY: nothing in this range is looked at any more: it is neither code nor stack, nor
            // the memory of the thread, nor the program's own variables, and the caller, which never
            // returns, keeps to the rule above.
            let rc = unsafe { libc::munmap(address, end - start) };
            // What stays is memory wasted, no more.
            let _ = Errno::result(rc);
            index += 1;
        }
    }

    fn add(&mut self, (start, end): Range) {
        if let (true, Some(place)) = (start < end, self.ranges.get_mut(self.length)) {
            *place = (start, end);
            self.length += 1;
        }
    }

    /// Finds the memory without a name that is in nobody's use, in the kernel's list (proc(5)).
    fn find(&mut self, list: &[u8], in_use: &[usize]) {
        // Variables without a value of a program, or a library, lie behind the file that it is.
        let mut file_end = 0;
        // One that is cut off could have lost its name.
        for line in list.split_inclusive(|byte| *byte == b'\n') {
            let Some(mapping) = Mapping::read(line) else {
                continue;
            };
            let (start, end) = mapping.range;
            if mapping.is_file {
                file_end = end;
                continue;
            }
            let is_used = in_use.iter().any(|place| (start..end).contains(place));
            if mapping.is_spare && start != file_end && !is_used {
                self.add(mapping.range);
            }
        }
    }
}

/// A line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    range: Range,
    is_file: bool,
    /// It can be written to, is private, and is neither a file nor named by the kernel.
    is_spare: bool,
}

impl Mapping {
    /// `START-END PERMISSIONS OFFSET DEVICE INODE [NAME]`.
    fn read(line: &[u8]) -> Option<Self> {
        let mut fields = line
            .strip_suffix(b"\n")?
            .split(|byte| *byte == b' ')
            .filter(|field| !field.is_empty());
        let mut range = fields.next()?.split(|byte| *byte == b'-');
        let range = (address(range.next()?)?, address(range.next()?)?);
        let permissions = fields.next()?;
        let inode = fields.nth(2)?;
        let is_file = inode != b"0";
        let is_named = fields.next().is_some();
        Some(Self {
            range,
            is_file,
            is_spare: permissions == b"rw-p" && !is_file && !is_named,
        })
    }
}

fn address(digits: &[u8]) -> Option<usize> {
    let digits = str::from_utf8(digits).ok()?;
    usize::from_str_radix(digits, 16).ok()
}

/// The memory of this thread, which no name tells, and its stack.
fn in_use() -> [usize; 2] {
    let here = 0_u8;
    // SAFETY: the call takes nothing; the place is this thread's own and is not looked at.
    let thread = unsafe { libc::__errno_location() };
    [thread.addr(), from_ref(&here).addr()]
}

/// The program's tables of addresses: what is relocated before it starts and read-only from then on. The
/// last part of them, from which functions of libraries are called, is kept.
fn tables() -> Range {
    let mut found = (0, 0);
    // SAFETY: the function is called during the call alone, with the pointer that it casts back.
    unsafe { libc::dl_iterate_phdr(Some(of_program), from_mut(&mut found).cast()) };
    found
}

/// Looks at the first program that is told of, which is the one that runs.
///
/// # Safety
/// For [`tables`]: `info` is of `dl_iterate_phdr(3)` and `data` a [`Range`].
unsafe extern "C" fn of_program(
    info: *mut libc::dl_phdr_info,
    _: usize,
    data: *mut c_void,
) -> libc::c_int {
    const OVER: libc::c_int = 1;
    // SAFETY: the library gives a whole structure, of which it keeps the owner.
    let Some(info) = (unsafe { info.as_ref() }) else {
        return OVER;
    };
    let count = usize::from(info.dlpi_phnum);
    if data.is_null() || info.dlpi_phdr.is_null() {
        return OVER;
    }
    // SAFETY: as many headers as are told of stand there as long as the program runs.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, count) };
    let start = |kind: u32| {
        let header = headers.iter().find(|header| header.p_type == kind)?;
        usize::try_from(info.dlpi_addr + header.p_vaddr).ok()
    };
    // A program at a fixed address has nothing relocated.
    if let (Some(first), Some(last)) = (start(libc::PT_GNU_RELRO), start(libc::PT_DYNAMIC)) {
        let range = (first.next_multiple_of(PAGE), last / PAGE * PAGE);
        // SAFETY: the pointer is that of `tables`, whose range nobody else has meanwhile.
        unsafe { *data.cast::<Range>() = range };
    }
    OVER
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"\
55d0c0000000-55d0c0010000 r--p 00000000 fe:00 77                         /init
55d0c0010000-55d0c0020000 rw-p 00010000 fe:00 77                         /init
55d0c0020000-55d0c0030000 rw-p 00000000 00:00 0\x20
55d0c1000000-55d0c1100000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000100000 rw-p 00000000 00:00 0\x20
7f0000200000-7f0000201000 ---p 00000000 00:00 0\x20
7f0000201000-7f0000203000 rw-p 00000000 00:00 0\x20
7f0000300000-7f0000301000 rw-s 00000000 00:00 0\x20
7f0000400000-7f0000401000 r-xp 00000000 00:00 0                          [vdso]
7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn memory_without_a_name_that_nobody_uses_is_spare_and_nothing_else() {
        let mut spare = Spare::default();
        spare.find(LIST, &[0x7f00_0020_2000]);
        assert_eq!(
            spare.ranges[..spare.length],
            [(0x7f00_0000_0000, 0x7f00_0010_0000)]
        );
        let mut spare = Spare::default();
        spare.find(LIST, &[]);
        assert_eq!(spare.length, 2);
    }

    #[test]
    fn a_list_that_is_cut_off_or_no_list_tells_of_nothing_that_is_not_there() {
        for length in 0..LIST.len() {
            let mut spare = Spare::default();
            spare.find(&LIST[..length], &[]);
            let all = [
                (0x7f00_0000_0000, 0x7f00_0010_0000),
                (0x7f00_0020_1000, 0x7f00_0020_3000),
            ];
            let known = &spare.ranges[..spare.length];
            assert!(known.iter().all(|range| all.contains(range)), "{length}");
        }
        let mut many = Spare::default();
        let lines = LIST.repeat(40);
        many.find(&lines, &[]);
        assert_eq!(many.length, RANGES_MAX);
    }

    #[test]
    fn this_program_is_found_with_the_tables_that_it_has() {
        let (first, last) = tables();
        let here = from_ref(&LIST).addr();
        // Its own text lies in the same few hundred MB; a program at a fixed address has no tables.
        assert!(first == last || first.abs_diff(here) < 1 << 30);
        assert_eq!((first % PAGE, last % PAGE), (0, 0));
    }
}
