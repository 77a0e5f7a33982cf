//! Overlays: layers of directories seen as one, with owners mapped into a container's range.
//!
//! Made by the agent, in the initial user namespace: one made inside a container breaks on Linux 6.1
//! (DESIGN, "Facts"). The layers have to be mounts of the maker's mount namespace up to Linux 6.14
//! (`clone_private_mount`), so that a thread makes them in one of its own, which is gone with it:
//! nothing shows on the node, and nothing is left over whatever happens.

use std::os::fd::AsFd;
use std::path::Path;

use model::sandbox::{IdRange, Overlay, Scratch};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};

use crate::mounts::{self, Attributes, Detached};
use crate::namespaces::IdMap;
use crate::stage;

/// The most that the places of the layers take.
const PLACES_BYTES_MAX: u64 = 1 << 20;

/// Where layers and changes are mounted, in the thread's own mount namespace.
const CHANGES: &str = "changes";
const MERGED: &str = "merged";

/// What went wrong: the act and its object, and what the kernel said.
pub(crate) struct Failed(pub(crate) String, pub(crate) Errno);

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self("make a stage".into(), errno)
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(Errno) -> Failed {
    let what = what.into();
    move |errno| Failed(what, errno)
}

/// Makes an overlay whose files have ids of this range, as a detached mount.
///
/// It can be written to, whatever the plan says, as long as places for mounts are to be made in it.
/// `place` is any directory of the node; what is in it is hidden from the maker alone.
pub(crate) fn make(overlay: &Overlay, ids: IdRange, place: &Path) -> Result<Detached, Failed> {
    stage::on(|| make_apart(overlay, ids, place))
}

fn make_apart(overlay: &Overlay, ids: IdRange, place: &Path) -> Result<Detached, Failed> {
    // All that is named is opened before the stage hides what may be beneath it.
    let layers = open_layers(overlay, ids)?;
    let changes = match &overlay.scratch {
        Scratch::Directory(path) => Detached::bind(Path::new(path), Attributes::NO_DEVICES)
            .map_err(failed(format!("open {path}")))?,
        Scratch::Memory { bytes_max } => {
            Detached::tmpfs(*bytes_max, 0o700, Attributes::NO_DEVICES).map_err(failed("tmpfs"))?
        }
    };
    let places = Detached::tmpfs(PLACES_BYTES_MAX, 0o700, Attributes::DATA);
    places
        .and_then(|places| stage::enter(&places, place))
        .map_err(failed("make a place for the layers"))?;
    let top = layers.last().ok_or(Errno::EINVAL);
    let root = top.and_then(fstat).map_err(failed("find a layer"))?;
    for (index, layer) in layers.iter().enumerate() {
        put(layer, &index.to_string()).map_err(failed(format!("place layer {index}")))?;
    }
    put(&changes, CHANGES).map_err(failed("place the changes"))?;
    for name in ["upper", "work"] {
        make_directory(&changes, name).map_err(failed(format!("make {name}")))?;
    }
    // The merged root is as the upper one is.
    let upper = open(
        "changes/upper",
        OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    let upper = upper.map_err(failed("open upper"))?;
    mounts::give(&upper, root.st_uid, root.st_gid).map_err(failed("chown upper"))?;
    fchmod(&upper, Mode::from_bits_truncate(root.st_mode)).map_err(failed("chmod upper"))?;
    make_directory(AT_FDCWD, MERGED).map_err(failed("make a place"))?;
    let options = options(layers.len());
    // By mount(2): the values of fsconfig(2) end at 256 bytes, and before Linux 6.5 it knows no
    // other way to name many layers.
    mount(
        Some("overlay"),
        MERGED,
        Some("overlay"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
    .map_err(failed("mount the layers"))?;
    Detached::bind(Path::new(MERGED), Attributes::NO_DEVICES).map_err(failed("take the layers"))
}

/// What marks a directory that hides those below is an attribute of users (`user.overlay.opaque`),
/// since layers are unpacked without the right to set another.
fn options(layers: usize) -> String {
    let names: Vec<_> = (0..layers).rev().map(|index| index.to_string()).collect();
    let lower = names.join(":");
    format!("userxattr,lowerdir={lower},upperdir={CHANGES}/upper,workdir={CHANGES}/work")
}

fn open_layers(overlay: &Overlay, ids: IdRange) -> Result<Vec<Detached>, Failed> {
    let map = overlay
        .ids
        .map(|disk| IdMap::between(disk, ids))
        .transpose();
    let map = map.map_err(failed("make a map of ids"))?;
    let attributes = Attributes::NO_DEVICES.with(model::sandbox::Access::ReadOnly);
    let open_layer = |path: &String| {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(path.as_str(), flags, Mode::empty());
        let directory = directory.map_err(failed(format!("open layer {path}")))?;
        match &map {
            Some(map) => Detached::bind_mapped(&directory, attributes, map)
                .map_err(failed(format!("map the ids of layer {path}"))),
            None => Detached::bind_open(&directory, attributes)
                .map_err(failed(format!("take layer {path}"))),
        }
    };
    overlay.layers.iter().map(open_layer).collect()
}

fn put(mount: &Detached, name: &str) -> Result<(), Errno> {
    make_directory(AT_FDCWD, name)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    mounts::attach(mount, open(name, flags, Mode::empty())?)
}

fn make_directory(directory: impl AsFd, name: &str) -> Result<(), Errno> {
    match mkdirat(directory, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_layer_is_named_first() {
        let expected = "userxattr,lowerdir=2:1:0,upperdir=changes/upper,workdir=changes/work";
        assert_eq!(options(3), expected);
    }
}
