//! Layers as they should be.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Duration;

use agent::unpack::{Bounds, What};
use agent_core::sandbox::STORE_IDS;
use agent_kernel::confine::Landlock;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::{EntryType, GnuExtSparseHeader, Header};

use crate::Outcome;
use crate::archive::{Archive, Entry};
use crate::world::{BOUNDS, Place, World};

pub(crate) fn owners_modes_times_and_links_are_kept(world: &World) -> Outcome {
    let capability: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut bare = Entry::file("bare", b"b");
    bare.header.as_old_mut().uid = [0; 8];
    bare.header.as_old_mut().mtime = [b' '; 12];
    let bytes = Archive::default()
        .with(Entry::directory("./").mode(0o755))
        .with(Entry::directory("bin/"))
        .with(Entry::file("bin/su", b"#!").mode(0o4755))
        .with(
            Entry::file("bin/mine", b"m")
                .owner(1000, 65_534)
                .mode(0o640),
        )
        .with(Entry::link("bin/again", "bin/su"))
        .with(Entry::symlink("sbin", "/bin"))
        .with(bare)
        .with(Entry::file("sbin/through", b"t"))
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"n"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("mtime", b"1234567890.5"),
        ])
        .with(Entry::file("bin/ping", b"p"))
        .with(Entry::directory("tmp").mode(0o1777))
        .with(Entry::new(EntryType::Char, b"null"))
        .with(Entry::new(EntryType::Fifo, b"pipe"))
        .end();
    let place = Place::new()?;
    let done = world.unpack(&bytes, &What::Layer, BOUNDS, &place.inside())?;
    assert_eq!((done.skipped, done.bytes), (1, 6));
    let digest = format!("sha256:{:x}", Sha256::digest(&bytes));
    assert_eq!(done.digest, Some(digest));
    assert_ne!(done.landlock, Landlock::Missing, "this host has landlock");
    let inside = place.inside();
    let data = |name: &str| fs::symlink_metadata(inside.join(name));
    let first = STORE_IDS.first;
    let su = data("bin/su")?;
    assert_eq!(
        (su.uid(), su.mode() & 0o7777, su.nlink()),
        (first, 0o4755, 2)
    );
    let mine = data("bin/mine")?;
    assert_eq!((mine.uid(), mine.gid()), (first + 1000, first + 65_534));
    assert_eq!(su.ino(), data("bin/again")?.ino());
    assert_eq!(
        fs::read_link(inside.join("sbin"))?,
        std::path::Path::new("/bin")
    );
    assert_eq!(fs::read(inside.join("bin/through"))?, b"t");
    let ping = data("bin/ping")?;
    assert_eq!(
        (ping.mtime(), ping.mtime_nsec()),
        (1_234_567_890, 500_000_000)
    );
    let tmp = data("tmp")?;
    assert_eq!((tmp.mode() & 0o7777, tmp.mtime()), (0o1777, 1_000_000));
    assert!(data("pipe")?.file_type().is_fifo());
    assert!(data("null").is_err());
    let names = attributes(&inside.join("bin/ping"))?;
    assert_eq!(names, ["security.capability", "user.note"]);
    Ok(())
}

/// By the node's `getfattr`, if it has one; otherwise by Python's.
fn attributes(path: &std::path::Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let code = "import os, sys; print('\\n'.join(sorted(os.listxattr(sys.argv[1]))))";
    let output = std::process::Command::new("python3")
        .arg("-c")
        .arg(code)
        .arg(path)
        .output()?;
    Ok(String::from_utf8(output.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}

pub(crate) fn whiteouts_become_those_of_overlayfs(world: &World) -> Outcome {
    let bytes = Archive::default()
        .with(Entry::file("etc/.wh.passwd", b""))
        .with(Entry::file("opt/.wh..wh..opq", b""))
        .with(Entry::file("opt/new", b"n"))
        .with(Entry::file("a/.wh..wh.plnk", b""))
        .with(Entry::file(".wh.gone", b""))
        .with(Entry::directory("gone"))
        .end();
    let place = Place::new()?;
    world.unpack(&bytes, &What::Layer, BOUNDS, &place.inside())?;
    let inside = place.inside();
    let passwd = fs::symlink_metadata(inside.join("etc/passwd"))?;
    assert!(passwd.file_type().is_char_device() && passwd.rdev() == 0);
    assert_eq!(attributes(&inside.join("opt"))?, ["user.overlay.opaque"]);
    assert_eq!(attributes(&inside.join("gone"))?, ["user.overlay.opaque"]);
    assert!(inside.join("opt/new").exists() && inside.join("gone").is_dir());
    assert!(!inside.join("a").exists());
    Ok(())
}

pub(crate) fn every_compression_gives_the_same_files_and_digest(world: &World) -> Outcome {
    let content: Vec<u8> = (0..400_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    let plain = Archive::default().with(Entry::file("big", &content)).end();
    let gzip = {
        let mut all = Vec::new();
        // Several members, as parallel compressors write them.
        for part in plain.chunks(100_000) {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part)?;
            all.extend(encoder.finish()?);
        }
        all
    };
    let by = |program: &str| -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let place = Place::new()?;
        let path = place.outside().join("plain");
        fs::write(&path, &plain)?;
        let output = std::process::Command::new(program)
            .arg("-c")
            .arg(&path)
            .output()?;
        assert!(output.status.success(), "{program}");
        Ok(output.stdout)
    };
    let zstd = zstd::encode_all(plain.as_slice(), 3)?;
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4],
        zstd.as_slice(),
    ]
    .concat();
    let bzip2 = {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(&plain)?;
        encoder.finish()?
    };
    let digest = format!("sha256:{:x}", Sha256::digest(&plain));
    let mut all = vec![plain.clone(), gzip, zstd, skippable, bzip2];
    match by("xz") {
        Ok(xz) => all.push(xz),
        Err(error) => println!("    without xz: {error}"),
    }
    for (at, bytes) in all.iter().enumerate() {
        let place = Place::new()?;
        let done = world.unpack(bytes, &What::Layer, BOUNDS, &place.inside())?;
        assert_eq!(done.digest.as_ref(), Some(&digest), "compression {at}");
        assert_eq!(fs::read(place.inside().join("big"))?, content);
    }
    Ok(())
}

pub(crate) fn later_entries_win_and_what_is_brought_is_not_taken_away(world: &World) -> Outcome {
    let bytes = Archive::default()
        .with(Entry::file("a", b"old"))
        .with(Entry::file("a", b"new"))
        .with(Entry::file("kept", b"k"))
        .with(Entry::file(".wh.kept", b""))
        .with(Entry::file("deep/er/file", b"1"))
        .with(Entry::directory("deep/er/more"))
        .with(Entry::file("deep", b"2"))
        .with(Entry::symlink("to", "a"))
        .with(Entry::directory("to"))
        .with(Entry::file("to/b", b"b"))
        .end();
    let place = Place::new()?;
    world.unpack(&bytes, &What::Layer, BOUNDS, &place.inside())?;
    let read = |name: &str| fs::read_to_string(place.inside().join(name)).ok();
    assert_eq!(read("a").as_deref(), Some("new"));
    assert_eq!(read("kept").as_deref(), Some("k"));
    assert_eq!(read("deep").as_deref(), Some("2"));
    assert_eq!(read("to/b").as_deref(), Some("b"));
    Ok(())
}

pub(crate) fn sparse_files_have_their_content(world: &World) -> Outcome {
    let mut expected = vec![0; 1 << 20];
    expected[4096..4099].copy_from_slice(b"abc");
    expected[1_000_000..1_000_002].copy_from_slice(b"yz");
    let gnu = {
        let mut entry = Entry::file("gnu", b"abcyz");
        entry.header.set_entry_type(EntryType::GNUSparse);
        let header = entry.header.as_gnu_mut().ok_or("a GNU header")?;
        header.sparse[0].set_offset(4096);
        header.sparse[0].set_length(3);
        header.set_real_size(1 << 20);
        header.set_is_extended(true);
        let mut more = GnuExtSparseHeader::new();
        more.sparse_mut()[0].set_offset(1_000_000);
        more.sparse_mut()[0].set_length(2);
        entry.header.set_cksum();
        let header: Header = entry.header;
        Archive::default()
            .raw(&header)
            .bytes(more.as_bytes())
            .bytes(b"abcyz")
    };
    let map = b"2\n4096\n3\n1000000\n2\n";
    let mut content = map.to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"abcyz");
    let bytes = gnu
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"pax"),
            ("GNU.sparse.realsize", b"1048576"),
        ])
        .with(Entry::file("GNUSparseFile.0/pax", &content))
        .end();
    let place = Place::new()?;
    world.unpack(&bytes, &What::Layer, BOUNDS, &place.inside())?;
    for name in ["gnu", "pax"] {
        assert_eq!(fs::read(place.inside().join(name))?, expected, "{name}");
        assert!(
            fs::metadata(place.inside().join(name))?.blocks() < 64,
            "{name}"
        );
    }
    Ok(())
}

pub(crate) fn an_aci_keeps_its_names_and_has_its_own_digest(world: &World) -> Outcome {
    let bytes = Archive::default()
        .with(Entry::file("manifest", b"{}"))
        .with(Entry::directory("rootfs"))
        .with(Entry::file("rootfs/.wh.name", b"x"))
        .end();
    let place = Place::new()?;
    let done = world.unpack(&bytes, &What::Aci, BOUNDS, &place.inside())?;
    let digest = format!("sha512-{:x}", sha2::Sha512::digest(&bytes));
    assert_eq!(done.digest, Some(digest));
    assert!(place.inside().join("rootfs/.wh.name").is_file());
    Ok(())
}

pub(crate) fn a_pipe_that_is_not_written_any_more_is_a_cut_archive(world: &World) -> Outcome {
    let bytes = Archive::default()
        .with(Entry::file("a", &[7; 100_000]))
        .end();
    let (reader, writer) = std::io::pipe()?;
    let feeding = std::thread::spawn(move || {
        // The child ends first where it finds fault before.
        let _ = { writer }.write_all(&bytes[..50_000]);
    });
    let place = Place::new()?;
    let result = world.unpack_from(reader.into(), &What::Layer, BOUNDS, &place.inside());
    assert!(result.is_err_and(|error| error.to_string().contains("cut short")));
    feeding.join().map_err(|_| "the writer")?;
    Ok(())
}

pub(crate) fn a_stream_that_never_ends_is_given_up(world: &World) -> Outcome {
    let (reader, writer) = std::io::pipe()?;
    let bounds = Bounds {
        time: Duration::from_millis(300),
        ..BOUNDS
    };
    let place = Place::new()?;
    let result = world.unpack_from(reader.into(), &What::Layer, bounds, &place.inside());
    let error = result.err().ok_or("no end")?;
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(source.is_some_and(|text| text.contains("not done after")));
    let _: File = File::from(std::os::fd::OwnedFd::from(writer));
    Ok(())
}
