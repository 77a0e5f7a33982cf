//! Handle: how tasks of the HTTP side put questions to the main loop, and get its answers.
//!
//! Cloned freely. The queue to the main loop is bounded: whoever asks waits until it has a place, and
//! the connections that may ask are bounded before (`http`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent_core::containers::RequestId;
use agent_core::effect::Answer;
use agent_core::event::Event;
use api::v1::executor;
use tokio::sync::{mpsc, oneshot};

use crate::again::Failure;
use crate::node::Input;
use crate::upgrade::Arrived;

/// The main loop has ended, and with it all that could be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent ends")]
pub struct Ended;

/// What the main loop gives back.
#[derive(Debug)]
pub struct Reply {
    /// What agent-core said.
    pub answer: Answer,
    /// The stream of events that the request opened, if it did.
    pub events: Option<mpsc::Receiver<executor::Event>>,
}

/// A way to the main loop.
#[derive(Debug, Clone)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
    requests: Arc<AtomicU64>,
}

impl Handle {
    /// A handle on the queue of the main loop.
    #[must_use]
    pub fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self {
            inputs,
            requests: Arc::new(AtomicU64::new(1)),
        }
    }

    /// A number for a request that is about to be made.
    #[must_use]
    pub fn request(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Brings an event that names `request` before agent-core, and waits for its answer.
    ///
    /// # Errors
    /// The agent ended before it answered.
    pub async fn ask(&self, request: RequestId, event: Event) -> Result<Reply, Ended> {
        let (reply, answered) = oneshot::channel();
        let input = Input::Asked {
            request,
            event,
            reply,
        };
        self.inputs.send(input).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// Has the main loop fail, where it has room for that.
    pub fn fail(&self, failure: Failure) {
        // Whoever asked sees that nothing happened.
        let _ = self.inputs.try_send(Input::Fail(failure));
    }

    /// Has a program executed in the place of this one, when no launch is under way.
    pub async fn exchange(&self, arrived: Arrived) {
        // The agent ends where nobody listens, and the program with it.
        let _ = self.inputs.send(Input::Exchange(Box::new(arrived))).await;
    }

    /// Brings an event before agent-core that nobody waits for, from wherever; it is lost where the
    /// agent has ended.
    pub fn tell(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(input)) =
            self.inputs.try_send(Input::Told(event))
        {
            let inputs = self.inputs.clone();
            tokio::spawn(async move { inputs.send(input).await });
        }
    }
}
