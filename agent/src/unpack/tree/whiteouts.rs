//! Whiteouts: what a layer takes away of those beneath it, as overlayfs has it.

use std::ffi::CStr;
use std::path::Path;

use agent_kernel::Errno;
use agent_kernel::files::set_attribute;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, makedev, mknodat};

use super::{Rules, Tree, kind};
use crate::unpack::fault::Fault;
use crate::unpack::layout::shown;

/// Begins the name of what says that another name is gone.
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout of all that lower layers have in a folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Begins the names that only AUFS knew.
const AUFS: &[u8] = b".wh..wh.";
/// Overlayfs mounted with `userxattr` reads it, and so needs no rights of the node's own namespace.
const OPAQUE_ATTRIBUTE: &CStr = c"user.overlay.opaque";
impl Tree {
    /// Whether a name says that another one is gone; then that was seen to.
    pub(in crate::unpack) fn whiteout(&mut self, name: &[u8]) -> Result<bool, Fault> {
        if self.rules != Rules::Layer {
            return Ok(false);
        }
        let cut = name.iter().rposition(|byte| *byte == b'/');
        let (folder, leaf) = name.split_at(cut.map_or(0, |slash| slash + 1));
        let Some(gone) = leaf.strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        if leaf == OPAQUE {
            // The folder may have no entry of its own.
            let inside = [folder, b"x"].concat();
            let place = self.place(&inside)?;
            let parent = self.parent(&place, &inside)?;
            self.keep(&place, parent);
            let folder = place.path().parent().unwrap_or(Path::new(""));
            self.opaque(folder, name)?;
            return Ok(true);
        }
        if leaf.starts_with(AUFS) {
            self.skip()?;
            return Ok(true);
        }
        let gone = [folder, gone].concat();
        let place = self.place(&gone)?;
        let (parent, leaf) = match place.split() {
            Some((_, leaf)) if !gone.ends_with(b"/") && !gone.ends_with(b"/.") => {
                (self.parent(&place, &gone)?, leaf)
            }
            _ => {
                let text = format_args!("{:?} takes away no name", shown(name));
                return Err(Fault::archive(text));
            }
        };
        match mknodat(&parent, leaf, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)) {
            Ok(()) => {}
            // It takes away what lower layers have, not what this one brings.
            Err(Errno::EEXIST) => {
                let there = self.stat(&parent, leaf, name)?;
                if kind(&there) == SFlag::S_IFDIR {
                    self.opaque(place.path(), name)?;
                }
            }
            Err(errno) => return Err(Fault::file("white out", shown(&gone))(errno)),
        }
        self.keep(&place, parent);
        Ok(true)
    }

    /// Hides what lower layers have in a folder.
    pub(super) fn opaque(&self, folder: &Path, name: &[u8]) -> Result<(), Fault> {
        self.folder(folder, OFlag::O_RDONLY)
            .and_then(|folder| set_attribute(&folder, OPAQUE_ATTRIBUTE, b"y"))
            .map_err(Fault::file("make opaque for", shown(name)))
    }
}
