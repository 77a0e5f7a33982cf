//! What comes to the main loop from other tasks of this process, as events.

use agent_core::LinkId;
use agent_core::checks::{self, ProbeId};
use agent_core::containers::RequestId;
use agent_core::event::Event;
use model::ContainerId;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::again::Failure;
use crate::containers::Outcome;
use crate::disk::Passed;
use crate::handle::Reply;
use crate::init::chain;
use crate::link::LinkEvent;
use crate::upgrade::Arrived;
use crate::wire;

use super::Main;

/// What other tasks of this process tell the main loop.
#[derive(Debug)]
pub enum Input {
    /// About a stream to the master.
    Link(LinkId, LinkEvent),
    /// About a launch.
    Launch(Outcome),
    /// A container that an earlier process of this agent launched has ended.
    Gone(ContainerId),
    /// A container keeps more on the disk than it may.
    DiskPassed(Passed),
    /// About a probe of a check.
    Probed(ProbeId, checks::Outcome),
    /// Something that someone waits for an answer to.
    Asked {
        /// The request that the event names.
        request: RequestId,
        /// What is asked.
        event: Event,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// Something that nobody waits for.
    Told(Event),
    /// The main loop is to fail.
    Fail(Failure),
    /// A program is to be executed in the place of this one.
    Exchange(Box<Arrived>),
}

impl Main {
    /// Takes an input.
    pub(super) fn input(&mut self, input: Input) -> Vec<Event> {
        match input {
            Input::Launch(outcome) => self.containers.answered(outcome),
            Input::Gone(container) => self.containers.gone(&container),
            Input::DiskPassed(passed) => {
                self.containers.passed(&passed);
                Vec::new()
            }
            Input::Probed(probe, outcome) => {
                self.probes.end(&probe);
                vec![Event::Probed { probe, outcome }]
            }
            Input::Asked {
                request,
                event,
                reply,
            } => {
                self.requests.insert(request, reply);
                vec![event]
            }
            Input::Told(event) => vec![event],
            Input::Fail(failure) => failure.happen(),
            Input::Exchange(arrived) => {
                self.successor.arrived(*arrived, &self.finder);
                Vec::new()
            }
            Input::Link(link, LinkEvent::Trying(why)) => {
                if self.link.as_ref().is_some_and(|current| current.id == link) {
                    self.complain(why);
                }
                Vec::new()
            }
            Input::Link(link, LinkEvent::Opened) => vec![Event::LinkOpened { link }],
            Input::Link(link, LinkEvent::Closed(why)) => {
                if self.link.as_ref().is_some_and(|current| current.id == link) {
                    self.link = None;
                    self.complain(why);
                }
                vec![Event::LinkClosed { link }]
            }
            Input::Link(link, LinkEvent::Frame(frame)) => {
                let (epoch, incarnation) = (frame.epoch, frame.incarnation);
                match wire::from_master(*frame) {
                    Ok(Some(frame)) => vec![Event::Frame {
                        link,
                        epoch,
                        incarnation,
                        frame,
                    }],
                    Ok(None) => {
                        debug!("frame of a kind that this agent does not know");
                        Vec::new()
                    }
                    Err(error) => {
                        warn!(error = chain(&error), "frame of the master left aside");
                        Vec::new()
                    }
                }
            }
        }
    }

    /// Says once why there is no link, and not again until there was one.
    pub(super) fn complain(&mut self, why: String) {
        if self.complaint != why {
            warn!(why, "no link to the master");
            self.complaint = why;
        }
    }
}
