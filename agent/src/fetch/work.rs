//! Work: the fetcher itself, in its own process.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent_kernel::confine::{self, Confinement, Network};
use hyper::StatusCode;
use model::sandbox::User;
use serde::{Deserialize, Serialize};

use super::ROLE;
use crate::init::chain;
use crate::unpack::{Bounds, Fault, Folder};
use crate::web::{Authorities, Client, Get, Patience};
use crate::workers;

/// TLS, and a few buffers.
const MEMORY_BYTES_MAX: u64 = 96 << 20;
const DESCRIPTORS_MAX: u64 = 64;
/// What it takes to find a host by its name.
const NAMES: [&str; 4] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
];
/// Of a path in the sandbox.
const DEPTH_MAX: usize = 64;

/// What a fetcher is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// The address; without one the input is copied.
    pub(super) web: Option<String>,
    /// The file to write, beneath the folder.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) bytes_max: u64,
    pub(super) stall_max: Duration,
    pub(super) authorities: Option<PathBuf>,
}

/// The program's main function when it is run as `fetch`.
pub fn enter() -> ExitCode {
    workers::work(
        ROLE,
        |orders: Orders, folder| confined(&orders, folder),
        |panic| Err(Fault::Node(panic)),
    )
}

fn confined(orders: &Orders, folder: OwnedFd) -> Result<(), Fault> {
    let node = |what: &str, error: &dyn std::error::Error| {
        Fault::Node(format!("{what}: {}", chain(error)))
    };
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = File::from(input.map_err(|error| node("open the input", &error))?);
    // Before the filter: a runtime makes a pair of sockets for signals, which nobody needs later.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| node("start the fetcher", &error))?;
    let user = User {
        uid: orders.uid,
        gid: orders.gid,
        groups: Vec::new(),
    };
    let mut readable: Vec<&Path> = Vec::new();
    let mut network = Network::None;
    if orders.web.is_some() {
        readable.extend(NAMES.iter().map(Path::new));
        readable.extend(orders.authorities.as_deref());
        network = Network::Outwards;
    }
    let confinement = Confinement {
        folder: folder.as_fd(),
        readable: &readable,
        network,
        user: &user,
        capabilities: &[],
        memory_bytes_max: MEMORY_BYTES_MAX,
        descriptors_max: DESCRIPTORS_MAX,
    };
    confine::confine(&confinement).map_err(|error| node("confine the fetcher", &error))?;
    let bounds = Bounds {
        bytes: orders.bytes_max,
        depth: DEPTH_MAX,
        ..Bounds::default()
    };
    let mut folder = Folder::new(folder, bounds);
    let Some(address) = &orders.web else {
        return folder.copy(&orders.path, orders.mode, input);
    };
    runtime.block_on(load(orders, address, &mut folder))
}

async fn load(orders: &Orders, address: &str, folder: &mut Folder) -> Result<(), Fault> {
    let failed = |error: &dyn std::error::Error| Fault::Node(chain(error));
    let uri = address
        .parse()
        .map_err(|_| Fault::Node("it is no address".to_owned()))?;
    let authorities = match &orders.authorities {
        Some(path) => Authorities::with_file(path).map_err(|error| failed(&error))?,
        None => Authorities::default(),
    };
    let patience = Patience {
        stall: orders.stall_max,
        ..Patience::default()
    };
    let client = Client::new(&authorities, patience).map_err(|error| failed(&error))?;
    let answer = client.get(Get::new(uri)).await;
    let answer = answer.map_err(|error| failed(&error))?;
    if answer.status() != StatusCode::OK {
        let text = format!("the server answered {}", answer.status());
        return Err(Fault::Node(text));
    }
    let mut body = answer.into_body();
    let mut file = folder.begin(&orders.path, orders.mode)?;
    while let Some(bytes) = body.chunk().await.map_err(|error| failed(&error))? {
        folder.write(&mut file, &bytes)?;
    }
    folder.end(file)
}
