//! The daemon as others meet it: over HTTP, over agents' links, and as a program.

mod access;
mod cluster;
mod connections;
mod domain;
mod election;
mod grpc;
mod http;
mod operations;
mod operator;
mod process;
mod program;
mod state;
mod support;
#[path = "../../src/registry/suite/server.rs"]
mod zookeeper;
