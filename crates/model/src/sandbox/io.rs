//! Io: where a container's standard input comes from and its output goes.

/// The standard input, output and error of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// Nothing to read, and what is written is lost.
    Nothing,
    /// Nothing to read; output is appended to the files of the sandbox.
    Files,
    /// Three pipes, whose other ends the agent gets. The files of the sandbox are made, and the
    /// agent gets them, too.
    Pipes,
    /// One terminal, whose other end the agent gets, and the files of the sandbox as well.
    Terminal(WindowSize),
}

/// The size of a terminal in characters; 0 by 0 where nobody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowSize {
    /// From top to bottom.
    pub rows: u16,
    /// From left to right.
    pub columns: u16,
}
