//! Again: a run that has lost its master, or its framework to another `tepui`.

use std::time::Duration;

use tokio::time::sleep;

use super::{Run, RunError};
use crate::aside::{self, Whose};
use crate::client::master::Master;
use crate::client::scheduler::{Calls, Events, SubscribeError, subscribe};
use crate::note;
use crate::stops::Stops;

/// Pauses between tries to find a master again.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// What came of the search for a master.
pub(super) enum Again {
    Subscribed(Box<(Calls, Events)>),
    Done(u8),
}

impl Run<'_> {
    /// Looks for a master that leads, and takes the framework up again there.
    pub(super) async fn subscribe_again(
        &mut self,
        master: &Master,
        lost: &str,
        stops: &mut Stops,
    ) -> Result<Again, RunError> {
        let framework = self.info.id.clone().unwrap_or_default().value;
        let mut pause = RETRY_MIN;
        let mut said = false;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                stop = stops.next() => {
                    let id = &self.task_id.value;
                    note(&format!("left {id} without a master; `tepui kill {id}` ends it"));
                    return Ok(Again::Done(stop.code()));
                }
            }
            match aside::whose(master, &framework).await {
                Ok(Whose::Another | Whose::Nobodys) if self.place.is_some() => {
                    return Ok(Again::Done(self.watch(master, stops).await));
                }
                Ok(Whose::Nobodys) => return Err(RunError::Ended("it is over".to_owned())),
                Ok(Whose::Another | Whose::Ours) => {
                    match subscribe(master, self.info.clone()).await {
                        Ok(new) => return Ok(Again::Subscribed(Box::new(new))),
                        Err(SubscribeError::Client(_)) => {}
                        Err(refused) => return Err(refused.into()),
                    }
                }
                Err(_) => {}
            }
            // A short gap is nobody's business; what is said is why the stream was lost.
            if !said {
                note(&format!("{lost}; trying again"));
                said = true;
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Waits for the task's end without the framework.
    pub(super) async fn watch(&mut self, master: &Master, stops: &mut Stops) -> u8 {
        let framework = self.info.id.clone().unwrap_or_default().value;
        let watched = aside::watch(master, &framework, &self.task_id.value);
        let ending = tokio::select! {
            ending = watched => ending,
            stop = stops.next() => return stop.code(),
        };
        self.drain(stops).await;
        self.code(&ending)
    }
}
