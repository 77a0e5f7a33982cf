//! Work: the unpacker itself, in its own process.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use agent_core::sandbox::STORE_IDS;
use agent_kernel::confine::{self, Confinement, Landlock, Network};
use model::sandbox::{Capability, IdRange, User};
use serde::{Deserialize, Serialize};

use super::decode::{Algorithm, Meter, Stream};
use super::fault::Fault;
use super::tree::{Meta, Rules, Tree};
use super::{Bounds, Format, ROLE, Unpacked, What, tar, zip};
use crate::init::chain;
use crate::workers;

/// The most memory of an unpacker. The largest window of xz is 64 MB with its own presets, that of
/// zstd 128 MB.
const MEMORY_BYTES_MAX: u64 = 320 << 20;
/// A folder that is emptied is open with all that it is in, as deep as the bounds are.
const DESCRIPTORS_MAX: u64 = 512;

/// What it takes to give files any owner, mode and capability of one's own namespace:
/// `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_FSETID` and `CAP_SETFCAP`.
const FOR_OWNERS: [Capability; 5] = [
    Capability(0),
    Capability(1),
    Capability(3),
    Capability(4),
    Capability(31),
];

/// What an unpacker is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    format: Format,
    rules: Rules,
    uid: u32,
    gid: u32,
    bounds: Bounds,
    digest: Option<Algorithm>,
}

/// The orders for a kind of archive, and the ids to give the worker.
pub(super) fn orders(what: &What, bounds: Bounds) -> (IdRange, Orders) {
    let image = |rules, digest| {
        let orders = Orders {
            format: Format::Tar,
            rules,
            uid: 0,
            gid: 0,
            bounds,
            digest: Some(digest),
        };
        (STORE_IDS, orders)
    };
    match what {
        What::Layer => image(Rules::Layer, Algorithm::Sha256),
        What::Aci => image(Rules::Image, Algorithm::Sha512),
        What::Files { format, owner } => {
            let orders = Orders {
                format: format.clone(),
                rules: Rules::Files,
                uid: owner.uid,
                gid: owner.gid,
                bounds,
                digest: None,
            };
            (owner.ids, orders)
        }
    }
}

/// What an unpacker says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Done {
        entries: u64,
        bytes: u64,
        skipped: u64,
        digest: Option<String>,
        landlock: u8,
    },
    Failed(Fault),
}

impl Answer {
    /// As the agent's own type.
    pub(super) fn result(self) -> Result<Unpacked, Fault> {
        match self {
            Self::Failed(fault) => Err(fault),
            Self::Done {
                entries,
                bytes,
                skipped,
                digest,
                landlock,
            } => Ok(Unpacked {
                entries,
                bytes,
                skipped,
                digest,
                landlock: match landlock {
                    0 => Landlock::Full,
                    1 => Landlock::Partial,
                    _ => Landlock::Missing,
                },
            }),
        }
    }
}

impl From<Result<Unpacked, Fault>> for Answer {
    fn from(result: Result<Unpacked, Fault>) -> Self {
        match result {
            Err(fault) => Self::Failed(fault),
            Ok(unpacked) => Self::Done {
                entries: unpacked.entries,
                bytes: unpacked.bytes,
                skipped: unpacked.skipped,
                digest: unpacked.digest,
                landlock: match unpacked.landlock {
                    Landlock::Full => 0,
                    Landlock::Partial => 1,
                    Landlock::Missing => 2,
                },
            },
        }
    }
}

/// The program's main function when it is run as `unpack`.
pub fn enter() -> ExitCode {
    workers::work(
        ROLE,
        |orders: Orders, folder| Answer::from(confined(&orders, folder)),
        |panic| Answer::Failed(Fault::Node(panic)),
    )
}

fn confined(orders: &Orders, folder: OwnedFd) -> Result<Unpacked, Fault> {
    let user = User {
        uid: orders.uid,
        gid: orders.gid,
        groups: Vec::new(),
    };
    let capabilities: &[Capability] = match orders.rules {
        Rules::Layer | Rules::Image => &FOR_OWNERS,
        Rules::Files => &[],
    };
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = File::from(input.map_err(Fault::io("open", "the input"))?);
    let landlock = confine::confine(&Confinement {
        folder: folder.as_fd(),
        readable: &[],
        network: Network::None,
        user: &user,
        capabilities,
        memory_bytes_max: MEMORY_BYTES_MAX,
        descriptors_max: DESCRIPTORS_MAX,
    })
    .map_err(|error| Fault::Node(format!("confine the unpacker: {}", chain(&error))))?;
    let unpacked = run(orders, input, folder)?;
    Ok(Unpacked {
        landlock,
        ..unpacked
    })
}

/// Unpacks an archive of files in this very process, as whoever it runs as and without confinement:
/// for tests of what reads the formats.
///
/// # Errors
/// As [`super::Unpacker::unpack`].
pub fn here(
    source: File,
    format: Format,
    bounds: Bounds,
    into: OwnedFd,
) -> Result<Unpacked, Fault> {
    let orders = Orders {
        format,
        rules: Rules::Files,
        uid: 0,
        gid: 0,
        bounds,
        digest: None,
    };
    run(&orders, source, into)
}

/// Reads the input and writes beneath the folder.
fn run(orders: &Orders, input: File, folder: OwnedFd) -> Result<Unpacked, Fault> {
    let meter = Meter::new(orders.bounds.bytes);
    let mut tree = Tree::new(folder, orders.rules, orders.bounds, meter.clone());
    let digest = match &orders.format {
        Format::Tar => {
            let mut stream = Stream::open(input, meter, orders.digest)?;
            tar::unpack(&mut stream, &mut tree)?;
            stream.finish()?
        }
        Format::Zip => {
            zip::unpack(BufReader::new(input), &meter, &mut tree)?;
            None
        }
        Format::One(name) => {
            let mut stream = Stream::open(input, meter, None)?;
            one(name, &mut stream, &mut tree)?;
            None
        }
    };
    let made = tree.finish()?;
    Ok(Unpacked {
        entries: made.entries,
        bytes: made.bytes,
        skipped: made.skipped,
        digest,
        landlock: Landlock::Missing,
    })
}

/// A stream that is one file.
fn one(name: &str, stream: &mut impl Read, tree: &mut Tree) -> Result<(), Fault> {
    let mut file = tree.file(name.as_bytes(), Meta::plain(0o644))?;
    tree.fill(&mut file, stream)?;
    tree.close(file)
}
