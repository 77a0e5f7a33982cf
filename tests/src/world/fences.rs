//! Old frames that come again: each end is to drop what another epoch or another life of the agent
//! sent, whatever link it comes over.

use agent_core::event::Event as AgentEvent;
use agent_core::{Effect as AgentEffect, FromMaster, ToMaster};
use master_core::event::{Effect, Event, LinkId, Note};

use super::{Wire, World, below};
use crate::past::Sent;
use crate::planted::Planted;

impl World {
    /// An old frame arrives once more, over the link that its node has now.
    pub(super) fn any_frame_comes_again(&mut self) {
        let (down, up) = (self.past.down.len(), self.past.up.len());
        let all = u64::try_from(down + up).unwrap_or(0);
        if all == 0 {
            return;
        }
        let index = usize::try_from(below(&mut self.random, all)).unwrap_or(0);
        match index.checked_sub(down) {
            None => {
                if let Some(old) = self.past.down.get(index).cloned() {
                    self.comes_down_again(old);
                }
            }
            Some(index) => {
                if let Some(old) = self.past.up.get(index).cloned() {
                    self.comes_up_again(old);
                }
            }
        }
    }

    fn comes_down_again(&mut self, old: Sent<FromMaster>) {
        let node = old.node;
        if self.nodes[node].asleep_until.is_some() {
            return;
        }
        // What is due is done before, so that what follows is the frame's doing.
        self.node_step(node, AgentEvent::Tick);
        let (now, wall) = (self.nodes[node].clock(self.queue.now()), self.wall());
        let Some(core) = &mut self.nodes[node].core else {
            return;
        };
        let registration = core.registration();
        let current = registration.incarnation;
        let Some((link, epoch)) = registration.registered() else {
            return;
        };
        if (old.epoch, old.incarnation) == (epoch, current) {
            return;
        }
        let mut sent = old;
        match self.scenario.planted {
            Some(Planted::EpochNotChecked) => sent.epoch = epoch,
            Some(Planted::IncarnationNotChecked) => sent.incarnation = current,
            _ => {}
        }
        let event = AgentEvent::Frame {
            link,
            epoch: sent.epoch,
            incarnation: sent.incarnation,
            frame: sent.frame.clone(),
        };
        let effects = core.step(now, wall, event);
        self.faults += 1;
        self.note(&format!("FAULT an old frame comes again to node{node}"));
        let is_ignored = |effect: &AgentEffect| matches!(effect, AgentEffect::Ignored { .. });
        if !effects.iter().all(is_ignored) {
            let frame = sent.frame;
            self.violation(format!("node{node} follows an old frame: {frame:?}"));
        }
    }

    fn comes_up_again(&mut self, old: Sent<ToMaster>) {
        let found = self.wires.iter();
        let life = self.nodes[old.node].life;
        let is_own = |wire: &Wire| wire.node == old.node && wire.node_life == life;
        let found = found.filter(|(_, wire)| is_own(wire) && wire.is_registered);
        let Some((id, master)) = found.map(|(id, wire)| (*id, wire.master)).next_back() else {
            return;
        };
        if self.masters[master].asleep_until.is_some() {
            return;
        }
        self.master_step(master, Event::Tick);
        let Some(message) = self.for_master(old.node, &old.frame) else {
            return;
        };
        let now = self.masters[master].clock(self.queue.now());
        let epoch = self.masters[master].epoch;
        let agent = self.nodes[old.node].core.as_ref();
        let Some(current) = agent.map(|core| core.registration().incarnation) else {
            return;
        };
        let Some(core) = &mut self.masters[master].core else {
            return;
        };
        if (old.epoch, old.incarnation) == (epoch, current) {
            return;
        }
        let mut sent = old;
        match self.scenario.planted {
            Some(Planted::EpochNotChecked) => sent.epoch = epoch,
            Some(Planted::IncarnationNotChecked) => sent.incarnation = current,
            _ => {}
        }
        let event = Event::AgentFrame {
            link: LinkId(id),
            epoch: sent.epoch,
            incarnation: sent.incarnation,
            message,
        };
        let effects = core.step(now, event);
        self.faults += 1;
        self.note(&format!(
            "FAULT an old frame of node{} comes again",
            sent.node
        ));
        let is_dropped = |effect: &Effect| matches!(effect, Effect::Note(Note::Dropped { .. }));
        if !effects.iter().all(is_dropped) {
            let frame = sent.frame;
            self.violation(format!("master{master} follows an old frame: {frame:?}"));
        }
    }
}
