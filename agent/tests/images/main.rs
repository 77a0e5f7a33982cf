//! Images from a registry that misbehaves in every way, on loopback; without root.
//!
//! The registry is the test's own, and so is the unpacker: it only reckons the digest of what it is
//! given. Real layers, a real registry and containers are tests/images/pull.py's.

mod faults;
mod pulls;
mod server;
mod shown;
mod world;
