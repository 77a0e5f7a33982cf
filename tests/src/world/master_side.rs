//! The masters' side: processes that start and end, and the master core's effects.

use std::collections::VecDeque;

use master_core::election::{self, Election};
use master_core::event::{LinkId, MasterMessage, Note, Registry};
use master_core::{Effect, Event, Master, StreamId};
use model::Instant;

use super::{Happening, World};
use crate::checkers::{counted, promises};
use crate::master;

impl World {
    pub(super) fn master_start(&mut self, master: usize) {
        if self.masters[master].is_up {
            return;
        }
        let now = self.queue.now();
        let has_zookeeper = self.has_zookeeper();
        let election = has_zookeeper.then(|| Election::new(Instant::ZERO));
        self.masters[master].start(now, election);
        self.note(&format!("master{master} starts"));
        match has_zookeeper {
            true => self.election_step(master, election::Event::Tick),
            false => self.lead(master, self.ledger.epoch() + 1),
        }
    }

    /// The registry gave what it holds: a core begins.
    pub(super) fn registry_read(&mut self, master: usize, epoch: u64, registry: Registry) {
        let process = &self.masters[master];
        if process.epoch != epoch || process.core.is_some() || !self.may_lead(master) {
            return;
        }
        let process = &self.masters[master];
        let id = format!("m{master}-{}", process.life);
        let born = process.born.as_nanos();
        let clock_start = self
            .wall()
            .0
            .saturating_sub(self.queue.now().as_nanos() - born);
        let clock_start = master_core::WallTime(clock_start);
        let Ok(config) = master::config(&id, epoch, clock_start, self.scenario.seed) else {
            return;
        };
        let held = master::size(&registry);
        self.note(&format!("master{master} leads, epoch {epoch}: {held}"));
        self.acting.begins(epoch);
        self.masters[master].core = Some(Master::new(config));
        self.master_step(master, Event::Recovered(registry));
    }

    pub(super) fn master_wake(&mut self, master: usize, life: u64) {
        let process = &self.masters[master];
        let is_due = process.wake_at.is_some_and(|at| at <= self.queue.now());
        if process.life != life || !process.is_up || !is_due {
            return;
        }
        self.masters[master].wake_at = None;
        if self.masters[master].election.is_some() {
            self.election_step(master, election::Event::Tick);
        }
        self.master_step(master, Event::Tick);
        self.master_sets_alarm(master);
    }

    /// Gives an event to a master that leads; to another, nothing happens.
    pub(super) fn master_step(&mut self, master: usize, event: Event) {
        if self.masters[master].core.is_none() || !self.may_lead(master) {
            return;
        }
        let now = self.masters[master].clock(self.queue.now());
        let epoch = self.masters[master].epoch;
        let Some(core) = &mut self.masters[master].core else {
            return;
        };
        let effects = core.step(now, event);
        let exceeded = counted::exceeded(core);
        exceeded.into_iter().for_each(|line| self.violation(line));
        if let Some(line) = self.acting.acts(master, epoch) {
            self.violation(line);
        }
        self.master_effects(master, effects.into());
    }

    /// Carries out effects one by one; the process may be killed or stopped before any of them.
    pub(super) fn master_effects(&mut self, master: usize, mut effects: VecDeque<Effect>) {
        let life = self.masters[master].life;
        while let Some(effect) = effects.pop_front() {
            self.master_effect(master, effect);
            if self.faults_go_on() && self.chance(8000) {
                self.faults += 1;
                self.crash_master(master);
            }
            if self.masters[master].life != life || self.masters[master].core.is_none() {
                return;
            }
            if self.faults_go_on() && !effects.is_empty() && self.chance(8000) {
                self.faults += 1;
                let until = self.stop_master(master);
                let rest = Happening::MasterGoesOn {
                    master,
                    life,
                    effects,
                };
                return self.queue.at(until, rest);
            }
        }
        self.master_sets_alarm(master);
    }

    pub(super) fn master_goes_on(&mut self, master: usize, life: u64, effects: VecDeque<Effect>) {
        if self.masters[master].life == life && self.masters[master].core.is_some() {
            self.master_effects(master, effects);
        }
    }

    pub(super) fn master_sets_alarm(&mut self, master: usize) {
        let process = &self.masters[master];
        let core = process.core.as_ref().and_then(Master::deadline);
        let election = process.election.as_ref().and_then(Election::deadline);
        let Some(deadline) = core.into_iter().chain(election).min() else {
            return;
        };
        let deadline = process.when(deadline);
        if process.wake_at.is_none_or(|at| deadline < at) {
            let life = process.life;
            self.masters[master].wake_at = Some(deadline);
            self.queue
                .at(deadline, Happening::MasterWake { master, life });
        }
    }

    fn master_effect(&mut self, master: usize, effect: Effect) {
        match effect {
            Effect::Send { stream, event } => self.send_event(stream, event),
            Effect::CloseStream { stream } => self.cut_stream(stream),
            Effect::ToAgent {
                link,
                epoch,
                incarnation,
                message,
            } => {
                if let MasterMessage::Registered { agent_id, .. } = &message {
                    let broken = promises::admitted(&self.ledger, master, epoch, agent_id);
                    broken.into_iter().for_each(|line| self.violation(line));
                }
                self.send_down(link, epoch, incarnation, message);
            }
            Effect::CloseLink { link } => self.cut_wire(link.0),
            Effect::Store { store, change } => self.store(master, store, change),
            Effect::Answer { request, answer } => {
                self.note(&format!("master{master} answers {answer:?}"));
                let wish = self.asked.remove(&request);
                let epoch = self.masters[master].epoch;
                let broken =
                    wish.and_then(|wish| promises::set(&self.ledger, epoch, &wish, &answer));
                broken.into_iter().for_each(|line| self.violation(line));
            }
            Effect::Publish(_) => {}
            Effect::Note(note) => self.note_of_master(master, &note),
        }
    }

    fn note_of_master(&mut self, master: usize, note: &Note) {
        let line = match note {
            Note::Framework {
                framework_id,
                change,
            } => format!("{framework_id} {change}"),
            Note::Agent { agent_id, change } => format!("{agent_id} {change}"),
            Note::Task {
                task_id,
                from,
                to,
                reason,
                ..
            } => {
                format!("{task_id} {from} -> {to} {reason:?}")
            }
            Note::Role { role, change } => format!("{role} has {change}"),
            Note::Dropped { what, why } => format!("drops {what}: {why}"),
        };
        self.note(&format!("master{master} {line}"));
    }

    pub(super) fn wire_ends_at_master(&mut self, master: usize, wire: u64, life: u64) {
        if self.masters[master].life == life {
            self.master_step(master, Event::LinkClosed { link: LinkId(wire) });
        }
    }

    pub(super) fn stream_ends_at_master(&mut self, master: usize, stream: StreamId, life: u64) {
        if self.masters[master].life == life {
            self.master_step(master, Event::StreamClosed { stream });
        }
    }
}
