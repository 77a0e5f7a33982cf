//! The console: standard input, output and error of PID 1.

use std::fs::File;
use std::path::Path;

/// A console that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The device is not there, or cannot be opened.
    #[error("open the console")]
    Open(#[source] std::io::Error),
    /// A standard descriptor cannot be replaced.
    #[error("make the console a standard descriptor")]
    Attach(#[source] nix::errno::Errno),
}

/// Makes the device standard input, output and error.
///
/// # Errors
/// The device cannot be opened.
pub fn attach(device: &Path) -> Result<(), ConsoleError> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(device)
        .map_err(ConsoleError::Open)?;
    nix::unistd::dup2_stdin(&file).map_err(ConsoleError::Attach)?;
    nix::unistd::dup2_stdout(&file).map_err(ConsoleError::Attach)?;
    nix::unistd::dup2_stderr(&file).map_err(ConsoleError::Attach)
}
