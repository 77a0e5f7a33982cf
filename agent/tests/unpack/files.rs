//! Archives for a task: everything is the task's.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, chown, symlink};

use agent::unpack::{Format, Owner, What};
use agent_core::sandbox::id_range;
use model::sandbox::IdRange;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::Outcome;
use crate::archive::{Archive, Entry};
use crate::world::{BOUNDS, Place, World};

const IDS: IdRange = match id_range(7) {
    Some(ids) => ids,
    None => panic!("there are more ranges than that"),
};

/// For user 1000 of a container.
pub(crate) fn what(format: Format) -> What {
    What::Files {
        format,
        owner: owner(),
    }
}

pub(crate) fn owner() -> Owner {
    Owner {
        ids: IDS,
        uid: 1000,
        gid: 1000,
    }
}

/// A sandbox of that user.
pub(crate) fn sandbox() -> Result<Place, Box<dyn std::error::Error>> {
    let place = Place::new()?;
    chown(
        place.inside(),
        Some(IDS.first + 1000),
        Some(IDS.first + 1000),
    )?;
    Ok(place)
}

pub(crate) fn what_a_task_fetches_is_its_own_and_loses_set_user_id(world: &World) -> Outcome {
    let bytes = Archive::default()
        .with(Entry::directory("closed").mode(0o555))
        .with(Entry::file("closed/su", b"s").owner(0, 0).mode(0o6777))
        .with(Entry::file("a/.wh.b", b"plain"))
        .end();
    let place = sandbox()?;
    fs::write(place.inside().join("stdout"), "")?;
    let done = world.unpack(&bytes, &what(Format::Tar), BOUNDS, &place.inside())?;
    assert_eq!(done.digest, None);
    let su = fs::metadata(place.inside().join("closed/su"))?;
    assert_eq!((su.uid(), su.mode() & 0o7777), (IDS.first + 1000, 0o755));
    assert!(place.inside().join("a/.wh.b").is_file());
    let one = what(Format::One("plain".to_owned()));
    world.unpack(
        &zstd::encode_all(&b"text"[..], 1)?,
        &one,
        BOUNDS,
        &place.inside(),
    )?;
    assert_eq!(fs::read(place.inside().join("plain"))?, b"text");
    Ok(())
}

pub(crate) fn zip_archives_become_files_and_links(world: &World) -> Outcome {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.add_directory("d/", options)?;
    zip.start_file("d/run", options.unix_permissions(0o755))?;
    zip.write_all(&[b'x'; 100_000])?;
    zip.add_symlink("link", "d/run", options)?;
    let bytes = zip.finish()?.into_inner();
    let place = sandbox()?;
    world.unpack(&bytes, &what(Format::Zip), BOUNDS, &place.inside())?;
    let run = fs::metadata(place.inside().join("link"))?;
    assert_eq!((run.len(), run.mode() & 0o777), (100_000, 0o755));
    Ok(())
}

pub(crate) fn a_link_of_the_sandbox_leads_nowhere_else(world: &World) -> Outcome {
    for target in ["../outside", "/tmp", "/proc/self/root"] {
        let place = sandbox()?;
        symlink(target, place.inside().join("out"))?;
        let bytes = Archive::default().with(Entry::file("out/new", b"x")).end();
        let result = world.unpack(&bytes, &what(Format::Tar), BOUNDS, &place.inside());
        assert!(result.is_err(), "{target}");
        assert!(place.is_untouched(), "{target}");
    }
    Ok(())
}
