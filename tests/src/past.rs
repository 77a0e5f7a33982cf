//! Frames of the past, for a network that brings them again.
//!
//! Each carries the epoch of its master and the incarnation of its agent, by which a receiver tells
//! that it is old. The newest [`KEPT_MAX`] of each direction are kept.

use std::collections::VecDeque;

use agent_core::{FromMaster, ToMaster};

/// How many frames of each direction are kept.
const KEPT_MAX: usize = 64;

/// A frame as it was sent.
#[derive(Debug, Clone)]
pub struct Sent<T> {
    /// The node at its one end.
    pub node: usize,
    /// The epoch under which it was sent.
    pub epoch: u64,
    /// The incarnation of the agent that it was sent to or by.
    pub incarnation: u64,
    /// What it says.
    pub frame: T,
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Past {
    /// To agents.
    pub down: VecDeque<Sent<FromMaster>>,
    /// To masters.
    pub up: VecDeque<Sent<ToMaster>>,
}

impl Past {
    /// Keeps a frame to an agent; pings are nothing to remember.
    pub fn keep_down(&mut self, node: usize, epoch: u64, incarnation: u64, frame: &FromMaster) {
        if !matches!(frame, FromMaster::Ping { .. }) {
            keep(&mut self.down, node, epoch, incarnation, frame);
        }
    }

    /// Keeps a frame to a master.
    pub fn keep_up(&mut self, node: usize, epoch: u64, incarnation: u64, frame: &ToMaster) {
        if !matches!(frame, ToMaster::Pong { .. } | ToMaster::Register(_)) {
            keep(&mut self.up, node, epoch, incarnation, frame);
        }
    }
}

fn keep<T: Clone>(
    all: &mut VecDeque<Sent<T>>,
    node: usize,
    epoch: u64,
    incarnation: u64,
    frame: &T,
) {
    if all.len() == KEPT_MAX {
        all.pop_front();
    }
    let frame = frame.clone();
    all.push_back(Sent {
        node,
        epoch,
        incarnation,
        frame,
    });
}
