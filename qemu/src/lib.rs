//! Clusters of QEMU guests: starts them, speaks to their consoles and monitors, and stops them.
//!
//! A cluster is a folder: its state (`cluster.json`), logs, sockets and disks. Its processes
//! outlive the program that started them and are known again by process id and command line, so
//! that nothing is ever stopped that was not started here. No root is needed.
//!
//! Built files (the image, the master) come in by path.

pub mod accel;
pub mod boot_files;
pub mod cluster;
pub mod forward;
pub mod guest;
pub mod http;
pub mod keeper;
pub mod preflight;
pub mod process;
pub mod qmp;
pub mod records;
pub mod state;
pub mod switch;
pub mod terminal;

pub use accel::{Accel, AccelChoice};
pub use boot_files::BootFiles;
pub use cluster::{Cluster, ClusterError, Phase, Spec};
pub use guest::{Guest, Machine};
