//! Zip archives.

use std::fs::File;
use std::io::{BufReader, Read};

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::decode::{Meter, Metered};
use super::fault::Fault;
use super::layout::shown;
use super::tree::{Meta, Tree};

/// Of a link's target.
const TARGET_BYTES_MAX: u64 = 4095;
/// The kind of a file, in its mode.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// Writes the files of a zip archive.
pub(super) fn unpack(input: BufReader<File>, meter: &Meter, tree: &mut Tree) -> Result<(), Fault> {
    let mut archive = ZipArchive::new(input).map_err(fault)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(fault)?;
        let name = entry.name_raw().to_vec();
        let mode = entry.unix_mode();
        if name.ends_with(b"/") {
            tree.directory(&name, Meta::plain(mode.unwrap_or(0o755)))?;
            continue;
        }
        if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = Vec::new();
            let read = entry.by_ref().take(TARGET_BYTES_MAX + 1);
            { read }.read_to_end(&mut target).map_err(Fault::read)?;
            tree.symlink(&name, &target, Meta::plain(0o777))?;
            continue;
        }
        let meta = Meta::plain(mode.filter(|mode| mode & 0o777 != 0).unwrap_or(0o644));
        let mut file = tree.file(&name, meta)?;
        // Sizes in the archive are claims: what really comes is counted.
        tree.fill(&mut file, &mut Metered::new(&mut entry, meter.clone()))
            .map_err(|fault| match fault {
                Fault::Archive(why) => Fault::archive(format_args!("{}: {why}", shown(&name))),
                other => other,
            })?;
        tree.close(file)?;
    }
    Ok(())
}

fn fault(error: ZipError) -> Fault {
    match error {
        ZipError::Io(error) => Fault::read(error),
        error => Fault::archive(error),
    }
}
