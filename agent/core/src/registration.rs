//! Registration: the link to the leading master, from the first connection to the next.
//!
//! ```text
//! Idle -> Waiting -> Opening -> Registering -> Registered -> Waiting -> …
//! ```
//!
//! Invariant: a frame is followed only over the current link, from the epoch that registered the
//! agent there, and for this incarnation; and no epoch below one that was followed before.

use core::time::Duration;

use model::{AgentId, Instant};

use crate::effect::LinkId;
use crate::random::Random;

/// The first wait after a loss is random below this (Mesos' `registration_backoff_factor`), so
/// that the agents of a cluster do not all come at once when a master fails over.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The bound of the wait doubles up to this (`REGISTER_RETRY_INTERVAL_MAX`).
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How long a connection may take, and how long a master may take to answer a registration.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Where the agent stands with its master.
#[derive(Debug)]
pub struct Registration {
    /// The agent's id, once it has one.
    pub agent_id: Option<AgentId>,
    /// Counts the starts of the agent on its work directory.
    pub incarnation: u64,
    state: State,
    links: u64,
    epoch_max: u64,
    backoff: Duration,
}

/// Where the link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Waiting {
        until: Instant,
    },
    Opening {
        link: LinkId,
        until: Instant,
    },
    Registering {
        link: LinkId,
        until: Instant,
    },
    Registered {
        link: LinkId,
        epoch: u64,
        silence_max: Duration,
        until: Instant,
    },
}

/// What is to be done about the link.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Open this one.
    Open(LinkId),
    /// Close this one; a wait has begun.
    Close(LinkId),
}

impl Registration {
    /// No link, no id.
    #[must_use]
    pub fn new() -> Self {
        Self {
            agent_id: None,
            incarnation: 0,
            state: State::Idle,
            links: 0,
            epoch_max: 0,
            backoff: BACKOFF_MIN,
        }
    }

    /// Begins at once: only a loss is answered by a wait, a start is not.
    pub fn start(&mut self, now: Instant) {
        self.state = State::Waiting { until: now };
    }

    /// No link is wanted any more; gives the one that is to be closed.
    pub fn stop(&mut self) -> Option<LinkId> {
        let link = self.link();
        self.state = State::Idle;
        link
    }

    /// The link that is open or being opened.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Idle | State::Waiting { .. } => None,
            State::Opening { link, .. }
            | State::Registering { link, .. }
            | State::Registered { link, .. } => Some(link),
        }
    }

    /// The link and the master's epoch, while the agent is registered.
    #[must_use]
    pub fn registered(&self) -> Option<(LinkId, u64)> {
        match self.state {
            State::Registered { link, epoch, .. } => Some((link, epoch)),
            State::Idle
            | State::Waiting { .. }
            | State::Opening { .. }
            | State::Registering { .. } => None,
        }
    }

    /// The stream is open; whether Register is to be sent over it.
    pub fn opened(&mut self, now: Instant, link: LinkId) -> Opened {
        match self.state {
            State::Opening { link: ours, .. } if ours == link => {
                self.state = State::Registering {
                    link,
                    until: now + ANSWER_MAX,
                };
                Opened::Register
            }
            _ => Opened::Stale,
        }
    }

    /// The stream is gone, or is to be given up: a wait begins. Says whether it was the current.
    pub fn lost(&mut self, now: Instant, link: LinkId, random: &mut Random) -> Lost {
        if self.link() != Some(link) {
            return Lost::Stale;
        }
        self.state = State::Waiting {
            until: now + random.below(self.backoff),
        };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        Lost::Current
    }

    /// There is another leader to turn to: the wait begins anew, and short, whatever became of the
    /// attempts to reach the one before. Gives the link that is to be closed.
    pub fn turn(&mut self, now: Instant, random: &mut Random) -> Option<LinkId> {
        if self.state == State::Idle {
            return None;
        }
        let link = self.link();
        self.backoff = BACKOFF_MIN;
        self.state = State::Waiting {
            until: now + random.below(self.backoff),
        };
        link
    }

    /// Whether a frame is to be followed, or why not.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn accept(
        &mut self,
        now: Instant,
        link: LinkId,
        epoch: u64,
        incarnation: u64,
    ) -> Result<(), Fence> {
        if self.link() != Some(link) {
            return Err(Fence::Link);
        }
        if incarnation != self.incarnation {
            return Err(Fence::Incarnation {
                theirs: incarnation,
                ours: self.incarnation,
            });
        }
        if epoch == 0 || epoch < self.epoch_max {
            return Err(Fence::Epoch {
                theirs: epoch,
                ours: self.epoch_max,
            });
        }
        if let State::Registered {
            epoch: ours,
            silence_max,
            until,
            ..
        } = &mut self.state
        {
            if epoch != *ours {
                return Err(Fence::Epoch {
                    theirs: epoch,
                    ours: *ours,
                });
            }
            *until = now + *silence_max;
        }
        Ok(())
    }

    /// The master admitted the agent; `accept` was asked before.
    pub fn admitted(&mut self, now: Instant, link: LinkId, epoch: u64, silence_max: Duration) {
        self.epoch_max = epoch;
        self.backoff = BACKOFF_MIN;
        self.state = State::Registered {
            link,
            epoch,
            silence_max,
            until: now + silence_max,
        };
    }

    /// What is due now.
    pub fn due(&mut self, now: Instant, random: &mut Random) -> Due {
        match self.state {
            State::Waiting { until } if until <= now => {
                self.links += 1;
                let link = LinkId(self.links);
                self.state = State::Opening {
                    link,
                    until: now + ANSWER_MAX,
                };
                Due::Open(link)
            }
            State::Opening { link, until }
            | State::Registering { link, until }
            | State::Registered { link, until, .. }
                if until <= now =>
            {
                self.lost(now, link, random);
                Due::Close(link)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Opening { .. }
            | State::Registering { .. }
            | State::Registered { .. } => Due::Nothing,
        }
    }

    /// When [`Self::due`] next has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Waiting { until }
            | State::Opening { until, .. }
            | State::Registering { until, .. }
            | State::Registered { until, .. } => Some(until),
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::new()
    }
}

/// What an open stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Register is to be sent over it.
    Register,
    /// It was given up before.
    Stale,
}

/// What the end of a stream means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The agent has no master now.
    Current,
    /// It was given up before.
    Stale,
}

/// Why a frame is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fence {
    /// It came over a link that was given up.
    #[error("frame over a link that was given up")]
    Link,
    /// It is for another start of this agent.
    #[error("frame for incarnation {theirs}, this is {ours}")]
    Incarnation {
        /// The frame's.
        theirs: u64,
        /// The agent's.
        ours: u64,
    },
    /// Its sender no longer leads, or does not say what it leads.
    #[error("frame of epoch {theirs}, the leader's is {ours}")]
    Epoch {
        /// The frame's.
        theirs: u64,
        /// The newest that was followed.
        ours: u64,
    },
}
