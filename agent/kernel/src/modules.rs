//! Kernel modules: loaded by file, in the order that is given.
//!
//! There is no modprobe and no dependency search here: whoever wrote the list solved that.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

/// A module that was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file is not there, or cannot be read.
    #[error("open module {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refused it.
    #[error("load module {path}")]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
}

/// Loads one module; a module that is there already, or built in, is no error.
///
/// # Errors
/// The file cannot be read, or the kernel refuses it.
pub fn load(path: &Path) -> Result<(), ModuleError> {
    let file = File::open(path).map_err(|source| ModuleError::Open {
        path: path.to_owned(),
        source,
    })?;
    match finit_module(&file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(source) => Err(ModuleError::Load {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The running kernel's release, the name of its folder below `/lib/modules`.
///
/// # Errors
/// The kernel does not tell.
pub fn release() -> Result<String, Errno> {
    nix::sys::utsname::uname().map(|names| names.release().to_string_lossy().into_owned())
}
