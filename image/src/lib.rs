//! The parts of a boot image that come from outside: Debian's kernel with the modules a node needs,
//! busybox, CA certificates, and the template file system.
//!
//! Packages are downloaded and unpacked by the host's apt tools under a private configuration,
//! and never installed. What was downloaded is pinned (`packages`), what was made of it is
//! described by a manifest with hashes (`manifest`), and both are checked before each use.
//! Putting the parts into an archive is the `initramfs` crate's work.

pub mod apt;
pub mod boot;
pub mod kernel;
pub mod manifest;
pub mod modules;
pub mod packages;
pub mod parts;
pub mod sources;
pub mod sparse;
pub mod template;

pub use kernel::Kernel;
pub use manifest::Manifest;
pub use parts::{Parts, Refresh, Xfs, prepare};
