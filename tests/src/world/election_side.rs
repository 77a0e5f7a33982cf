//! ZooKeeper's side: requests of masters that arrive late, twice or not at all, and their answers.
//!
//! Requests of one session keep their order, and so do its answers. One that is lost is known to be
//! after [`UNHEARD`]: whether it was carried out nobody can say.

use std::collections::BTreeSet;
use std::time::Duration;

use master_core::election::{Effect, Event, Request, SessionNumber};
use master_core::event::{Registry, RegistryChange, StoreId};
use model::{Blob, Instant};

use super::{Happening, World};
use crate::planted::Planted;
use crate::zookeeper::SessionId;

/// The timeout of every session.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// When a client gives an answer up: two thirds of the timeout.
const UNHEARD: Duration = Duration::from_millis(6667);
/// How often ZooKeeper looks for sessions that are over.
pub(super) const EXPIRY_EVERY: Duration = Duration::from_millis(500);
/// When a write that was not answered is tried again.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// What a master asks of ZooKeeper, or of its own disk where there is none.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Open,
    Join,
    List {
        asked: Instant,
    },
    Read {
        name: String,
    },
    Begin {
        epoch: u64,
    },
    Write {
        epoch: u64,
        store: StoreId,
        change: RegistryChange,
    },
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Answered {
    Opened { id: SessionId },
    Election(Event),
    Began { epoch: u64, registry: Registry },
    Written { store: StoreId },
    Believed { store: StoreId },
    Refused,
    Unheard(Asked),
}

impl World {
    pub(super) fn has_zookeeper(&self) -> bool {
        self.masters.len() > 1
    }

    /// Whether a master may act as the leader now. One that may not any more ends here.
    pub(super) fn may_lead(&mut self, master: usize) -> bool {
        let planted = self.scenario.planted;
        if self.masters[master].election.is_none() || planted == Some(Planted::StaleLeaderActs) {
            return true;
        }
        let life = self.masters[master].life;
        self.election_step(master, Event::Tick);
        let process = &self.masters[master];
        let now = process.clock(self.queue.now());
        let leads = process.election.as_ref().is_some_and(|one| one.leads(now));
        process.life == life && (leads || planted == Some(Planted::LeaseOutlived))
    }

    pub(super) fn election_step(&mut self, master: usize, event: Event) {
        let now = self.masters[master].clock(self.queue.now());
        let Some(election) = &mut self.masters[master].election else {
            return;
        };
        let effects = election.step(now, event);
        for effect in effects {
            self.election_effect(master, effect);
            if self.masters[master].election.is_none() {
                return;
            }
        }
        self.master_sets_alarm(master);
    }

    fn election_effect(&mut self, master: usize, effect: Effect) {
        let asked = self.masters[master].clock(self.queue.now());
        match effect {
            Effect::Open { session } => {
                if let Some((_, old)) = self.masters[master].session.take() {
                    let delay = self.delay();
                    self.queue
                        .after(delay, Happening::SessionCloses { master, id: old });
                }
                self.ask(master, session, Asked::Open);
            }
            Effect::Join { session } => self.ask(master, session, Asked::Join),
            Effect::List { session } => self.ask(master, session, Asked::List { asked }),
            Effect::Read { session, name } => self.ask(master, session, Asked::Read { name }),
            Effect::Lead { epoch } => {
                self.note(&format!("master{master} is elected, epoch {epoch}"));
                self.lead(master, epoch);
            }
            Effect::Follow { leader } => {
                let leader =
                    leader.map(|leader| String::from_utf8_lossy(leader.as_bytes()).into_owned());
                self.note(&format!("master{master} follows {leader:?}"));
            }
            Effect::StepDown { why } => self.step_down(master, why),
        }
    }

    fn step_down(&mut self, master: usize, why: &str) {
        let is_silence = why.contains("not heard");
        match self.scenario.planted {
            Some(Planted::StaleLeaderActs) => return,
            Some(Planted::LeaseOutlived) if is_silence => return,
            _ => {}
        }
        self.note(&format!("master{master} steps down: {why}"));
        self.end_master(master);
    }

    /// Reads the registry under a new epoch; a core begins with what it holds.
    pub(super) fn lead(&mut self, master: usize, epoch: u64) {
        self.masters[master].epoch = epoch;
        let session = self.session_of(master);
        self.ask(master, session, Asked::Begin { epoch });
    }

    fn session_of(&self, master: usize) -> SessionNumber {
        let session = self.masters[master].session;
        session.map_or(SessionNumber(0), |(number, _)| number)
    }

    /// Puts a write behind those that wait; one at a time is on its way.
    pub(super) fn store(&mut self, master: usize, store: StoreId, change: RegistryChange) {
        self.masters[master].writes.push_back((store, change));
        if self.masters[master].writes.len() == 1 {
            self.write_next(master);
        }
        if self.scenario.planted == Some(Planted::WriteBelieved) {
            let life = self.masters[master].life;
            let answer = Answered::Believed { store };
            let believed = Happening::FromStore {
                master,
                life,
                session: self.session_of(master),
                answer,
            };
            self.queue.after(Duration::ZERO, believed);
        }
    }

    fn write_next(&mut self, master: usize) {
        if let Some((store, change)) = self.masters[master].writes.front().cloned() {
            let session = self.session_of(master);
            let epoch = self.masters[master].epoch;
            let write = Asked::Write {
                epoch,
                store,
                change,
            };
            self.ask(master, session, write);
        }
    }

    /// Whether something on its way between a master and ZooKeeper is lost.
    fn is_lost(&mut self, master: usize) -> bool {
        if !self.has_zookeeper() {
            return false;
        }
        let is_alone = self.queue.now() < self.masters[master].alone_until;
        is_alone || (self.faults_go_on() && self.chance(400))
    }

    fn ask(&mut self, master: usize, session: SessionNumber, asked: Asked) {
        let life = self.masters[master].life;
        if self.is_lost(master) {
            return self.unheard(master, life, session, asked);
        }
        let delay = self.delay();
        let process = &mut self.masters[master];
        process.asks_last = process.asks_last.max(self.queue.now() + delay);
        let at = process.asks_last;
        let id = process.session.map(|(_, id)| id);
        let arrives = Happening::AtStore {
            master,
            life,
            session,
            id,
            asked,
        };
        self.queue.at(at, arrives);
    }

    fn unheard(&mut self, master: usize, life: u64, session: SessionNumber, asked: Asked) {
        let answer = Answered::Unheard(asked);
        let known = Happening::FromStore {
            master,
            life,
            session,
            answer,
        };
        self.queue.after(UNHEARD, known);
    }

    /// A request arrives. A master that has ended since does not call it back.
    pub(super) fn at_store(
        &mut self,
        master: usize,
        life: u64,
        session: SessionNumber,
        id: Option<SessionId>,
        asked: Asked,
    ) {
        let now = self.queue.now();
        let is_open = matches!(asked, Asked::Open);
        if self.has_zookeeper() && !is_open {
            let heard = id.map(|id| self.zookeeper.hear(now, id));
            if heard != Some(Ok(())) {
                let over = Answered::Election(Event::Expired { session });
                return self.answer(master, life, session, over);
            }
        } else if !self.has_zookeeper() && self.masters[master].life != life && self.chance(2) {
            // The process died between the write and its answer: either may have come first.
            return;
        }
        let again = asked.clone();
        let id = id.unwrap_or(SessionId(0));
        let answer = match asked {
            Asked::Open => Answered::Opened {
                id: self.zookeeper.open(now, SESSION_TIMEOUT),
            },
            Asked::Join => {
                let (name, fired) = self.zookeeper.join(id, master);
                self.membership_changed(&fired);
                Answered::Election(Event::Joined { session, name })
            }
            Asked::List { asked } => Answered::Election(Event::Listed {
                session,
                asked,
                names: self.zookeeper.list(id),
            }),
            Asked::Read { name } => {
                let found = self.zookeeper.read(&name);
                let data = found.map(|found| Blob::new(format!("master{found}").as_bytes()));
                Answered::Election(Event::Read {
                    session,
                    name,
                    data,
                })
            }
            Asked::Begin { epoch } => match self.ledger.begin(epoch) {
                Ok(registry) => Answered::Began { epoch, registry },
                Err(_) => Answered::Refused,
            },
            Asked::Write {
                epoch,
                store,
                change,
            } => match self.ledger.write(epoch, change) {
                Ok(()) => Answered::Written { store },
                Err(_) => Answered::Refused,
            },
        };
        match self.is_lost(master) {
            true => self.unheard(master, life, session, again),
            false => self.answer(master, life, session, answer),
        }
    }

    fn answer(&mut self, master: usize, life: u64, session: SessionNumber, answer: Answered) {
        let delay = self.delay();
        let process = &mut self.masters[master];
        process.answers_last = process.answers_last.max(self.queue.now() + delay);
        let at = process.answers_last;
        let comes = Happening::FromStore {
            master,
            life,
            session,
            answer,
        };
        self.queue.at(at, comes);
    }

    /// An answer arrives.
    pub(super) fn answered(
        &mut self,
        master: usize,
        life: u64,
        session: SessionNumber,
        answer: Answered,
    ) {
        if self.masters[master].life != life || !self.masters[master].is_up {
            // A session that nobody knows of ends by itself.
            return;
        }
        match answer {
            Answered::Opened { id } => {
                self.masters[master].session = Some((session, id));
                let timeout = SESSION_TIMEOUT;
                self.election_step(master, Event::Opened { session, timeout });
            }
            Answered::Election(event) => self.election_step(master, event),
            Answered::Began { epoch, registry } => self.registry_read(master, epoch, registry),
            Answered::Written { store } => self.written(master, store),
            Answered::Believed { store } => {
                self.master_step(master, master_core::Event::RegistryStored { store });
            }
            Answered::Refused => {
                self.note(&format!("master{master} may write no more"));
                self.end_master(master);
            }
            Answered::Unheard(asked) => self.ask_again(master, session, asked),
        }
    }

    fn ask_again(&mut self, master: usize, session: SessionNumber, asked: Asked) {
        let request = match asked {
            Asked::Open => Request::Open,
            Asked::Join => Request::Join,
            Asked::List { .. } => Request::List,
            Asked::Read { .. } => Request::Read,
            // Both say what holds from then on, so that they may be carried out twice.
            Asked::Begin { .. } | Asked::Write { .. } => {
                let life = self.masters[master].life;
                let again = Happening::AsksAgain {
                    master,
                    life,
                    session,
                    asked,
                };
                return self.queue.after(WRITE_AGAIN, again);
            }
        };
        self.election_step(master, Event::Failed { session, request });
    }

    pub(super) fn asks_again(
        &mut self,
        master: usize,
        life: u64,
        session: SessionNumber,
        asked: Asked,
    ) {
        if self.masters[master].life == life && self.masters[master].is_up {
            self.ask(master, session, asked);
        }
    }

    fn written(&mut self, master: usize, store: StoreId) {
        let writes = &mut self.masters[master].writes;
        if writes.front().is_some_and(|(first, _)| *first == store) {
            writes.pop_front();
            self.write_next(master);
        }
        let event = master_core::Event::RegistryStored { store };
        self.master_step(master, event);
    }

    pub(super) fn session_closes(&mut self, master: usize, id: SessionId) {
        if !self.is_lost(master) {
            let fired = self.zookeeper.close(id);
            self.membership_changed(&fired);
        }
    }

    pub(super) fn sessions_expire(&mut self) {
        let now = self.queue.now();
        let fired = self.zookeeper.expire(now);
        self.membership_changed(&fired);
        self.queue.after(EXPIRY_EVERY, Happening::SessionsExpire);
    }

    /// Watches fire, and clients that look for the leader see who it is.
    fn membership_changed(&mut self, fired: &BTreeSet<SessionId>) {
        for master in 0..self.masters.len() {
            let Some((session, id)) = self.masters[master].session else {
                continue;
            };
            if fired.contains(&id) && !self.is_lost(master) {
                let life = self.masters[master].life;
                let changed = Answered::Election(Event::Changed { session });
                self.answer(master, life, session, changed);
            }
        }
        self.clients_look();
    }
}
