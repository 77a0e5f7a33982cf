//! Election: which master leads, and for how long this one may be sure that it is the one.
//!
//! Every master has a znode in ZooKeeper that ends with its session (`model::election`); the one with
//! the lowest sequence leads, under an epoch that follows from the sequence.
//!
//! Invariants:
//! - A master acts only inside its lease: [`LEASE_PARTS`] of the session's timeout, counted from the
//!   moment at which the newest answered request was asked. ZooKeeper heard that request later, and
//!   keeps the session for the whole timeout from then on, so that the lease ends before the session
//!   can. A process that was stopped finds its lease over before it does anything else.
//! - Whoever led never leads again: after [`Effect::StepDown`] nothing comes but silence, and the
//!   process ends, as Mesos' does. One that did not lead yet opens a new session and stands again.
//! - The children are listed again every [`LIST_PARTS`] of the timeout, whether or not ZooKeeper said
//!   that they changed: a watch that is lost holds nobody up for longer (MESOS-9426).

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::election::{Candidate, leader};
use model::{Blob, Instant};

/// The lease, in tenths of the session's timeout; the rest is for clocks that run apart.
pub const LEASE_PARTS: u32 = 9;
/// The longest pause between two lists, in tenths of the session's timeout.
pub const LIST_PARTS: u32 = 2;
/// The first pause before something that did not work is tried again; it doubles.
pub const RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest such pause.
pub const RETRY_MAX: Duration = Duration::from_secs(8);

/// Sessions of one process, numbered by [`Election`]; answers to an earlier one are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionNumber(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time passing; wanted at [`Election::deadline`].
    Tick,
    /// A session is open.
    Opened {
        /// Which.
        session: SessionNumber,
        /// The timeout that ZooKeeper agreed to.
        timeout: Duration,
    },
    /// ZooKeeper says that a session is over, and with it its znode.
    Expired {
        /// Which.
        session: SessionNumber,
    },
    /// The znode of this master is made.
    Joined {
        /// In which session.
        session: SessionNumber,
        /// Its name, without the path before it.
        name: String,
    },
    /// The children were listed, and a watch is set on them.
    Listed {
        /// In which session.
        session: SessionNumber,
        /// When the list was asked for.
        asked: Instant,
        /// Their names.
        names: Vec<String>,
    },
    /// The watch on the children fired.
    Changed {
        /// In which session.
        session: SessionNumber,
    },
    /// The leader's znode was read.
    Read {
        /// In which session.
        session: SessionNumber,
        /// Its name.
        name: String,
        /// What it holds; none where it is gone.
        data: Option<Blob>,
    },
    /// A request was not answered: it may have been carried out or not.
    Failed {
        /// In which session.
        session: SessionNumber,
        /// Which.
        request: Request,
    },
}

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// [`Effect::Open`].
    Open,
    /// [`Effect::Join`].
    Join,
    /// [`Effect::List`].
    List,
    /// [`Effect::Read`].
    Read,
}

/// What is to be done. Each request is answered by one event, [`Event::Failed`] if by no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Opens a session; the one before is closed, or left to expire.
    Open {
        /// The new one.
        session: SessionNumber,
    },
    /// Makes this master's znode, ephemeral and sequential.
    Join {
        /// In which session.
        session: SessionNumber,
    },
    /// Lists the children and watches them.
    List {
        /// In which session.
        session: SessionNumber,
    },
    /// Reads a znode.
    Read {
        /// In which session.
        session: SessionNumber,
        /// Its name.
        name: String,
    },
    /// This master leads from now on, while [`Election::leads`] says so.
    Lead {
        /// Greater than that of every leader before.
        epoch: u64,
    },
    /// Another master leads, or none that is known.
    Follow {
        /// What the leader's znode holds.
        leader: Option<Blob>,
    },
    /// This master no longer leads, and must end without acting again.
    StepDown {
        /// Why.
        why: &'static str,
    },
}

/// Where this master stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Without a session, until then.
    Waiting { until: Instant },
    /// A session is being opened.
    Opening,
    /// In a session, without a znode that it knows of.
    Joining,
    /// With a znode.
    Candidate { name: String },
    /// It leads.
    Leader { name: String },
    /// It led.
    Down,
}

/// The list of children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// Wanted at that time.
    Due(Instant),
    /// Asked for, and once more after the answer if the watch fired meanwhile.
    Asked { again: Again },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// One master's part in the election.
#[derive(Debug)]
pub struct Election {
    session: SessionNumber,
    timeout: Duration,
    standing: Standing,
    list: List,
    /// The lease.
    certain_until: Instant,
    /// The znode of the leader that is followed or being read.
    seen: Option<String>,
    /// Whether what that holds was told.
    told: Option<Blob>,
    retry: Duration,
}

impl Election {
    /// One that begins at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            session: SessionNumber(0),
            timeout: Duration::ZERO,
            standing: Standing::Waiting { until: now },
            list: List::Due(now),
            certain_until: now,
            seen: None,
            told: None,
            retry: RETRY_MIN,
        }
    }

    /// Whether this master leads at this moment. To be asked before each act of a leader.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// Until when this master may act as the leader, as far as it knows yet; none where it does not
    /// lead. What asks before each act may keep this instead of the whole election.
    #[must_use]
    pub fn leads_until(&self) -> Option<Instant> {
        let leads = matches!(self.standing, Standing::Leader { .. });
        leads.then_some(self.certain_until)
    }

    /// Applies one event; the effects are to be carried out in order.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        self.end_lease(now, &mut out);
        if self.standing != Standing::Down {
            self.apply(now, event, &mut out);
            self.run(now, &mut out);
        }
        out
    }

    /// When `step` wants to be called with [`Event::Tick`], if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let list = match self.list {
            List::Due(at) => Some(at),
            List::Asked { .. } => None,
        };
        let lease = Some(self.certain_until);
        match &self.standing {
            Standing::Waiting { until } => Some(*until),
            Standing::Opening | Standing::Down => None,
            Standing::Joining | Standing::Candidate { .. } => {
                let lease = lease.filter(|_| self.seen.is_some());
                list.into_iter().chain(lease).min()
            }
            Standing::Leader { .. } => list.into_iter().chain(lease).min(),
        }
    }

    /// What this master is sure of ends with its lease.
    fn end_lease(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if now < self.certain_until {
            return;
        }
        match self.standing {
            Standing::Leader { .. } => self.step_down("ZooKeeper was not heard for too long", out),
            Standing::Waiting { .. }
            | Standing::Opening
            | Standing::Joining
            | Standing::Candidate { .. } => self.forget_leader(out),
            Standing::Down => {}
        }
    }

    fn step_down(&mut self, why: &'static str, out: &mut Vec<Effect>) {
        self.standing = Standing::Down;
        out.push(Effect::StepDown { why });
    }

    fn forget_leader(&mut self, out: &mut Vec<Effect>) {
        self.seen = None;
        if self.told.take().is_some() {
            out.push(Effect::Follow { leader: None });
        }
    }

    fn apply(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Tick => {}
            Event::Opened { session, timeout } if session == self.session => {
                self.timeout = timeout;
                self.standing = Standing::Joining;
                self.list = List::Due(now);
                out.push(Effect::Join { session });
            }
            Event::Expired { session } if session == self.session => {
                self.lost("the session with ZooKeeper ended", now, out);
            }
            Event::Joined { session, name } if session == self.session => {
                if self.standing == Standing::Joining {
                    self.standing = Standing::Candidate { name };
                    self.list_again(now);
                }
            }
            Event::Listed {
                session,
                asked,
                names,
            } if session == self.session => self.listed(now, asked, &names, out),
            Event::Changed { session } if session == self.session => self.list_again(now),
            Event::Read {
                session,
                name,
                data,
            } if session == self.session => self.read(now, &name, data, out),
            Event::Failed { session, request } if session == self.session => {
                self.failed(now, request, out);
            }
            Event::Opened { .. }
            | Event::Expired { .. }
            | Event::Joined { .. }
            | Event::Listed { .. }
            | Event::Changed { .. }
            | Event::Read { .. }
            | Event::Failed { .. } => {}
        }
    }

    fn run(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.standing {
            Standing::Waiting { until } if until <= now => {
                self.session = SessionNumber(self.session.0 + 1);
                self.standing = Standing::Opening;
                let session = self.session;
                out.push(Effect::Open { session });
            }
            Standing::Joining | Standing::Candidate { .. } | Standing::Leader { .. } => {
                if let List::Due(at) = self.list
                    && at <= now
                {
                    self.list = List::Asked { again: Again::No };
                    let session = self.session;
                    out.push(Effect::List { session });
                }
            }
            Standing::Waiting { .. } | Standing::Opening | Standing::Down => {}
        }
    }

    /// The session or the znode is lost.
    fn lost(&mut self, why: &'static str, now: Instant, out: &mut Vec<Effect>) {
        if matches!(self.standing, Standing::Leader { .. }) {
            return self.step_down(why, out);
        }
        self.forget_leader(out);
        self.standing = Standing::Waiting { until: now };
    }

    fn list_again(&mut self, now: Instant) {
        self.list = match self.list {
            List::Due(_) => List::Due(now),
            List::Asked { .. } => List::Asked { again: Again::Yes },
        };
    }

    fn listed(&mut self, now: Instant, asked: Instant, names: &[String], out: &mut Vec<Effect>) {
        self.retry = RETRY_MIN;
        let next = now + self.timeout * LIST_PARTS / 10;
        let again = self.list == List::Asked { again: Again::Yes };
        self.list = List::Due(if again { now } else { next });
        let lease = self.timeout * LEASE_PARTS / 10;
        self.certain_until = self.certain_until.max(asked + lease);
        // What was asked before the watch fired, or before this master joined, may be out of date.
        if again || now >= self.certain_until {
            return;
        }
        let first = leader(names.iter().map(String::as_str));
        match &self.standing {
            Standing::Candidate { name } | Standing::Leader { name } if !names.contains(name) => {
                return self.lost("the znode of this master is gone", now, out);
            }
            Standing::Candidate { name } => {
                if let Some(first) = first.filter(|first| first.name == name) {
                    let epoch = first.epoch();
                    self.standing = Standing::Leader { name: name.clone() };
                    self.seen = None;
                    self.told = None;
                    return out.push(Effect::Lead { epoch });
                }
            }
            Standing::Leader { name } => {
                if first.is_some_and(|first| first.name != name) {
                    self.step_down("another master has a lower sequence", out);
                }
                return;
            }
            Standing::Waiting { .. } | Standing::Opening | Standing::Joining | Standing::Down => {}
        }
        self.look_at(first, out);
    }

    fn look_at(&mut self, first: Option<Candidate<'_>>, out: &mut Vec<Effect>) {
        let Some(first) = first else {
            return self.forget_leader(out);
        };
        if self.seen.as_deref() != Some(first.name) {
            self.forget_leader(out);
            self.seen = Some(String::from(first.name));
            out.push(Effect::Read {
                session: self.session,
                name: String::from(first.name),
            });
        }
    }

    fn read(&mut self, now: Instant, name: &str, data: Option<Blob>, out: &mut Vec<Effect>) {
        if self.seen.as_deref() != Some(name) {
            return;
        }
        match data {
            Some(data) => {
                self.told = Some(data.clone());
                out.push(Effect::Follow { leader: Some(data) });
            }
            None => {
                self.forget_leader(out);
                self.list_again(now);
            }
        }
    }

    fn failed(&mut self, now: Instant, request: Request, out: &mut Vec<Effect>) {
        let until = now + self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        match request {
            Request::Open => self.standing = Standing::Waiting { until },
            // There may be a znode that this master does not know: it goes with its session.
            Request::Join => {
                self.forget_leader(out);
                self.standing = Standing::Waiting { until };
            }
            Request::List => self.list = List::Due(until),
            Request::Read => {
                self.forget_leader(out);
                self.list = List::Due(until);
            }
        }
    }
}

#[cfg(test)]
mod tests;
