//! Detection: where a cluster's masters are to be found, and which of them leads.
//!
//! Masters, agents and `tepui` read the same znodes in the same way. Who may lead, and how long, is
//! the election's question (`master-core::election`), not asked here.
#![forbid(unsafe_code)]

mod leader;
mod place;
mod watch;
mod zk_url;

pub use leader::{Leader, LeaderError, region};
pub use place::Place;
pub use watch::{DetectError, Detector, Term, find};
pub use zk_url::{ZkSource, ZkSourceError, ZkUrl, ZkUrlError};
