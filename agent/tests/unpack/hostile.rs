//! Hostile archives: none writes outside of its folder, none hangs, none takes more than its bound.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use agent::unpack::{Bounds, Fault, Format, UnpackError, Unpacked, What};
use agent::workers;
use agent_core::sandbox::STORE_IDS;
use agent_kernel::confine::{self, Confinement, Network};
use agent_kernel::worker::Work;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::sandbox::{Namespace, User};
use tar::{EntryType, Header};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::Outcome;
use crate::archive::{Archive, Entry};
use crate::files::{sandbox, what};
use crate::world::{self, World};

/// This program's first argument that makes it try what a confined child must not.
pub(crate) const ROLE: &str = "try";

/// A bomb need not be larger than this to pass it.
const BOUNDS: Bounds = Bounds {
    bytes: 8 << 20,
    ..world::BOUNDS
};

/// How an archive may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Refused as bad.
    Bad,
    /// Refused as too big.
    Big,
    /// Taken, with what is harmful left out.
    Tamed,
}

/// An archive, the rules it meets, and its end.
type Case = (&'static str, Vec<u8>, What, End);

fn layer(name: &'static str, archive: Archive, end: End) -> Case {
    (name, archive.end(), What::Layer, end)
}

fn files(name: &'static str, archive: Archive, end: End) -> Case {
    (name, archive.end(), what(Format::Tar), end)
}

fn start() -> Archive {
    Archive::default()
}

fn cases() -> Vec<Case> {
    let mut all = climbing();
    all.extend(special());
    all.extend(lies());
    all.extend(bombs());
    all.extend(zips());
    all
}

/// Paths and links that lead out.
fn climbing() -> Vec<Case> {
    use End::{Bad, Tamed};
    let file = |name: &str| Entry::file(name, b"x");
    vec![
        layer("..", start().with(file("../outside/new")), Bad),
        layer(
            ".. inside a path",
            start().with(file("a/../../outside/new")),
            Bad,
        ),
        layer(
            "an absolute path stays inside",
            start().with(file("/outside/canary")),
            Tamed,
        ),
        layer(
            ".. in a pax path",
            start().pax(&[("path", b"../outside/p")]).with(file("a")),
            Bad,
        ),
        layer(
            ".. in a long name",
            start().long_name(b"../outside/l\0").with(file("a")),
            Bad,
        ),
        layer(
            "a link to a folder outside, and a file in it",
            start()
                .with(Entry::symlink("out", "../outside"))
                .with(file("out/new")),
            Bad,
        ),
        layer(
            "an absolute link, and a file in it",
            start()
                .with(Entry::symlink("out", "/../../../tmp"))
                .with(file("out/new")),
            Bad,
        ),
        layer(
            "a link over a link to outside",
            start()
                .with(Entry::symlink("a", ".."))
                .with(Entry::symlink("a/b", "../outside"))
                .with(file("b/canary")),
            Bad,
        ),
        layer(
            "a file through a link to a file outside",
            start()
                .with(Entry::symlink("canary", "../outside/canary"))
                .with(file("canary")),
            Tamed,
        ),
        layer(
            "a hard link outwards",
            start().with(Entry::link("c", "../outside/canary")),
            Bad,
        ),
        layer(
            "a hard link to a file of the node",
            start().with(Entry::link("p", "/etc/passwd")),
            Bad,
        ),
        layer(
            "a hard link through a link outwards",
            start()
                .with(Entry::symlink("o", "../outside"))
                .with(Entry::link("c", "o/canary")),
            Bad,
        ),
        layer(
            "a hard link to a link outwards, and a file over it",
            start()
                .with(Entry::symlink("s", "../outside/canary"))
                .with(Entry::link("h", "s"))
                .with(file("h")),
            Tamed,
        ),
        layer(
            "a whiteout of ..",
            start().with(Entry::file("a/.wh...", b"")),
            Bad,
        ),
        layer(
            "a whiteout of .",
            start().with(Entry::file("a/.wh..", b"")),
            Bad,
        ),
        layer(
            "a whiteout of nothing",
            start().with(Entry::file("a/.wh.", b"")),
            Bad,
        ),
        layer(
            "a whiteout through a link outwards",
            start()
                .with(Entry::symlink("o", "../outside"))
                .with(Entry::file("o/.wh.canary", b"")),
            Bad,
        ),
        layer(
            "an opaque folder through a link outwards",
            start()
                .with(Entry::symlink("o", "../outside"))
                .with(Entry::file("o/.wh..wh..opq", b"")),
            Bad,
        ),
        layer(
            "a link that is its own folder",
            start().with(Entry::symlink("a", "a")).with(file("a/b")),
            Bad,
        ),
        files(
            "in a sandbox, a link outwards and a file in it",
            start()
                .with(Entry::symlink("o", "../outside"))
                .with(file("o/new")),
            Bad,
        ),
        files(
            "in a sandbox, links to /proc",
            start()
                .with(Entry::symlink("o", "/proc/self/cwd"))
                .with(file("o/new")),
            Bad,
        ),
        layer(
            "a file as the folder itself",
            start().with(file("./")).with(file(".")),
            Bad,
        ),
    ]
}

/// Kinds of files, and names.
fn special() -> Vec<Case> {
    use End::{Bad, Big, Tamed};
    let device = |kind, name: &str| {
        let mut entry = Entry::new(kind, name.as_bytes());
        // A disk of most machines.
        let _ = entry.header.set_device_major(254);
        let _ = entry.header.set_device_minor(0);
        entry
    };
    let deep = "d/".repeat(100);
    vec![
        layer(
            "device nodes, and files over them",
            start()
                .with(device(EntryType::Block, "disk"))
                .with(device(EntryType::Char, "whiteout"))
                .with(Entry::file("disk", b"x")),
            Tamed,
        ),
        layer(
            "a hard link to a device",
            {
                start()
                    .with(device(EntryType::Block, "disk"))
                    .with(Entry::link("other", "disk"))
            },
            Bad,
        ),
        layer(
            "an unknown kind",
            start().with(Entry::new(EntryType::new(b'Z'), b"z")),
            Bad,
        ),
        layer(
            "names that differ in case only",
            start()
                .with(Entry::symlink("Out", "../outside"))
                .with(Entry::file("out/canary", b"x"))
                .with(Entry::file("OUT", b"x")),
            Tamed,
        ),
        layer(
            "a name with a NUL",
            start()
                .pax(&[("path", b"a\0b")])
                .with(Entry::file("a", b"")),
            Bad,
        ),
        layer(
            "a name of 300 bytes",
            start().long_name(&[b'n'; 300]).with(Entry::file("a", b"")),
            Bad,
        ),
        layer(
            "a path of 100 000 bytes",
            {
                start()
                    .long_name(&b"n/".repeat(50_000))
                    .with(Entry::file("a", b""))
            },
            Bad,
        ),
        layer(
            "a folder 100 deep",
            start()
                .long_name(deep.as_bytes())
                .with(Entry::directory("a")),
            Big,
        ),
        layer(
            "a link to a path of 10 000 bytes",
            {
                start()
                    .pax(&[("linkpath", &[b'l'; 10_000])])
                    .with(Entry::symlink("a", "b"))
            },
            Bad,
        ),
        layer(
            "an owner that no container has",
            start().with(Entry::file("a", b"").owner(70_000, 0)),
            Bad,
        ),
        layer(
            "an owner past 32 bits",
            {
                start()
                    .pax(&[("uid", b"4294967296")])
                    .with(Entry::file("a", b""))
            },
            Bad,
        ),
        layer(
            "attributes of overlayfs",
            {
                start()
                    .pax(&[
                        ("SCHILY.xattr.trusted.overlay.redirect", b"/"),
                        ("SCHILY.xattr.user.overlay.redirect", b"/"),
                        ("SCHILY.xattr.security.selinux", b"x"),
                    ])
                    .with(Entry::directory("a"))
            },
            Tamed,
        ),
    ]
}

/// Headers that say what is not so.
fn lies() -> Vec<Case> {
    use End::{Bad, Big};
    let sparse = |map: &[u8], real: &[u8]| {
        let mut content = map.to_vec();
        content.resize(512, 0);
        start()
            .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", real)])
            .with(Entry::file("s", &content))
    };
    let mut broken = Entry::file("a", b"").header;
    broken.as_mut_bytes()[148..156].copy_from_slice(b"0000000\0");
    let mut header: Header = Entry::file("a", b"").size(1 << 40).header;
    header.set_cksum();
    vec![
        layer(
            "a sparse file of an exabyte",
            sparse(b"1\n0\n0\n", b"1152921504606846976"),
            Big,
        ),
        layer(
            "a map that goes backwards",
            sparse(b"2\n512\n0\n0\n0\n", b"1024"),
            Bad,
        ),
        layer(
            "a map with more data than there is",
            sparse(b"1\n0\n99999\n", b"99999"),
            Bad,
        ),
        layer(
            "a map of a billion pieces",
            sparse(b"1000000000\n", b"1"),
            Big,
        ),
        layer("a map that is no numbers", sparse(b"x\n", b"1"), Bad),
        layer("a header with a wrong sum", start().raw(&broken), Bad),
        (
            "a size that is not there",
            header.as_bytes().to_vec(),
            What::Layer,
            Bad,
        ),
        layer(
            "a name of a gigabyte",
            {
                let mut entry = Entry::new(EntryType::GNULongName, b"l").size(1 << 30);
                entry.header.set_cksum();
                start().raw(&entry.header)
            },
            Big,
        ),
        ("nothing", Vec::new(), What::Layer, Bad),
        ("no archive", vec![b'n'; 5000], What::Layer, Bad),
        (
            "a broken gzip stream",
            b"\x1f\x8b\x08\x00garbage that is none".to_vec(),
            What::Layer,
            Bad,
        ),
    ]
}

fn gzip(write: impl FnOnce(&mut GzEncoder<Vec<u8>>) -> std::io::Result<()>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    write(&mut encoder).expect("written to memory");
    encoder.finish().expect("written to memory")
}

/// Little that becomes much.
fn bombs() -> Vec<Case> {
    use End::{Bad, Big};
    let zeros = gzip(|to| {
        let mut entry = Entry::new(EntryType::Regular, b"zeros").size(1 << 30);
        entry.header.set_cksum();
        to.write_all(entry.header.as_bytes())?;
        (0..12).try_for_each(|_| to.write_all(&[0; 1 << 20]))
    });
    let trailing = gzip(|to| {
        to.write_all(&Archive::default().with(Entry::file("a", b"x")).end())?;
        (0..12).try_for_each(|_| to.write_all(&[0; 1 << 20]))
    });
    let many = gzip(|to| {
        (0..5000).try_for_each(|n| {
            let mut entry = Entry::file(&format!("f{n}"), b"");
            entry.header.set_cksum();
            to.write_all(entry.header.as_bytes())
        })
    });
    // A frame that wants a window of 1 GB (RFC 8878, 3.1.1.1.2).
    let window = b"\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00".to_vec();
    let folders = (0..100).fold(start(), |archive, n| {
        let name = format!("{n}/{}", "e/".repeat(60));
        archive
            .long_name(name.as_bytes())
            .with(Entry::directory("d"))
    });
    vec![
        (
            "zeros that say they are a gigabyte",
            zeros,
            What::Layer,
            Big,
        ),
        ("zeros after the end marker", trailing, What::Layer, Big),
        ("5 000 files", many, What::Layer, Big),
        ("a window of a gigabyte", window, What::Layer, Bad),
        layer("folders that nobody asked for", folders, Big),
    ]
}

/// A zip archive that is being written.
type Zip = ZipWriter<Cursor<Vec<u8>>>;

fn zips() -> Vec<Case> {
    use End::{Bad, Big};
    let zip = |name: &str, write: &dyn Fn(&mut Zip)| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, SimpleFileOptions::default())
            .expect("begun");
        write(&mut zip);
        zip.finish().expect("written to memory").into_inner()
    };
    let case = |name, bytes, end| (name, bytes, what(Format::Zip), end);
    let bomb = zip("zeros", &|zip| {
        for _ in 0..12 {
            zip.write_all(&[0; 1 << 20]).expect("written to memory");
        }
    });
    let linked = zip("a", &|zip| {
        let options = SimpleFileOptions::default();
        zip.add_symlink("o", "../outside", options).expect("a link");
        zip.start_file("o/new", options).expect("begun");
    });
    let cut = zip("a", &|_| {});
    vec![
        case("a zip that climbs", zip("../outside/new", &|_| {}), Bad),
        case("a zip bomb", bomb, Big),
        case("a zip with a link outwards", linked, Bad),
        case("a zip that is cut", cut[..cut.len() - 9].to_vec(), Bad),
    ]
}

pub(crate) fn forty_hostile_archives_stay_inside_and_in_their_bounds(world: &World) -> Outcome {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (name, bytes, what, end) in &cases {
        let place = sandbox()?;
        let start = Instant::now();
        let result = world.unpack(bytes, what, BOUNDS, &place.inside());
        if ended(&result) != Some(*end) {
            wrong.push(format!("{name}: {result:?}"));
        }
        if !place.is_untouched() {
            wrong.push(format!("{name}: reached outside"));
        }
        if start.elapsed() > Duration::from_secs(30) {
            wrong.push(format!("{name}: took {:?}", start.elapsed()));
        }
        let (blocks, devices) = taken(&place.inside());
        if blocks * 512 > BOUNDS.bytes + (8 << 20) || devices > 0 {
            wrong.push(format!("{name}: {blocks} blocks, {devices} devices"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n    ").into()),
    }
}

fn ended(result: &Result<Unpacked, UnpackError>) -> Option<End> {
    match result {
        Ok(_) => Some(End::Tamed),
        Err(UnpackError::Fault(Fault::Archive(_))) => Some(End::Bad),
        Err(UnpackError::Fault(Fault::Bound(_))) => Some(End::Big),
        Err(_) => None,
    }
}

/// Blocks of the disk, and device nodes that are no whiteouts, beneath a folder.
fn taken(folder: &Path) -> (u64, usize) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold((0, 0), |(blocks, devices), entry| {
        let Ok(data) = entry.path().symlink_metadata() else {
            return (blocks, devices);
        };
        let inner = match data.is_dir() {
            true => taken(&entry.path()),
            false => (0, 0),
        };
        let kind = data.file_type();
        let device = kind.is_block_device() || (kind.is_char_device() && data.rdev() != 0);
        (
            blocks + data.blocks() + inner.0,
            devices + inner.1 + usize::from(device),
        )
    })
}

pub(crate) fn the_unpacker_has_no_network_and_no_files_but_its_folder(world: &World) -> Outcome {
    let place = sandbox()?;
    let folder = File::open(place.inside())?;
    std::os::unix::fs::fchown(&folder, Some(STORE_IDS.first), Some(STORE_IDS.first))?;
    let input = File::open("/dev/null")?;
    let start = move |workers: &agent_kernel::worker::Workers, orders: &[u8]| {
        workers.start(Work {
            role: ROLE,
            orders,
            namespaces: &[Namespace::User, Namespace::Mount],
            ids: STORE_IDS,
            input: input.into(),
            folder: folder.into(),
        })
    };
    let bounds = Bounds::default();
    let asked = workers::ask(&world.workers, &(), bounds.time, start);
    let done: Vec<String> = world.runtime.block_on(asked)?;
    assert_eq!(done, ["write beneath the folder"]);
    Ok(())
}

/// In a child: tries everything, and says what went well.
pub(crate) fn enter() -> ExitCode {
    workers::work(
        ROLE,
        |(): (), folder| {
            let confined = confine::confine(&Confinement {
                folder: folder.as_fd(),
                readable: &[],
                network: Network::None,
                user: &User::default(),
                capabilities: &[],
                memory_bytes_max: 64 << 20,
                descriptors_max: 16,
            });
            if let Err(error) = confined {
                return vec![format!("{error:?}")];
            }
            let mut done = Vec::new();
            let mut attempt = |what: &str, worked: bool| {
                if worked {
                    done.push(what.to_owned());
                }
            };
            let flags = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_CREAT;
            let mode = nix::sys::stat::Mode::S_IRWXU;
            let file = agent_kernel::files::beneath(&folder, Path::new("new"), flags, mode);
            attempt("write beneath the folder", file.is_ok());
            attempt("read /etc/passwd", fs::read("/etc/passwd").is_ok());
            attempt("list /", fs::read_dir("/").is_ok());
            attempt("write to /tmp", fs::write("/tmp/unpack-test", "x").is_ok());
            attempt(
                "connect",
                TcpStream::connect("127.0.0.1:9").is_ok_and(|_| true),
            );
            let socket = std::net::UdpSocket::bind("127.0.0.1:0");
            attempt("make a socket", socket.is_ok());
            attempt("execute", Command::new("/bin/true").status().is_ok());
            let user = nix::unistd::setuid(nix::unistd::Uid::from_raw(1));
            attempt("become another user", user.is_ok());
            let rename = std::os::unix::fs::symlink("/", "/tmp/unpack-link");
            attempt("make a link in /tmp", rename.is_ok());
            let much = std::panic::catch_unwind(|| Vec::<u8>::new().try_reserve_exact(1 << 30));
            attempt("take a gigabyte", matches!(much, Ok(Ok(()))));
            let open: Vec<_> = (0..32).map_while(|_| folder.try_clone().ok()).collect();
            attempt("open 32 descriptors", open.len() == 32);
            done
        },
        |panic| vec![panic],
    )
}
