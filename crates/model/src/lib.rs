//! Model: the nouns and the arithmetic that both sides of a cluster share.
//!
//! Ids, resources, task states, time, and the vocabulary of the sandbox. No clock, no file, no
//! socket and no randomly ordered map is within reach here: outside facts come in as values.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod blob;
pub mod bytes;
pub mod container_id;
pub mod duration;
pub mod election;
pub mod id;
pub mod operation;
pub mod resources;
pub mod sandbox;
pub mod task;
pub mod time;
pub mod upgrade;

pub use blob::Blob;
pub use container_id::{ContainerId, ContainerIdError};
pub use id::{
    AgentId, ExecutorId, FrameworkId, IdError, MasterId, OfferId, OperationUuid, StatusUuid, TaskId,
};
pub use operation::OperationState;
pub use resources::Resources;
pub use task::{Reason, Source, TaskState};
pub use time::Instant;
