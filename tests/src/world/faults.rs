//! What goes wrong, and when: a fault every few seconds until the calm.

use std::time::Duration;

use model::Instant;

use super::{Happening, World, below};

/// The longest sleep of a process; longer than a session lasts without it.
const SLEEP_MAX: Duration = Duration::from_secs(30);

impl World {
    pub(super) fn fault(&mut self) {
        if !self.faults_go_on() {
            return;
        }
        let pause = Duration::from_millis(500) + self.random.below(Duration::from_secs(20));
        self.queue.after(pause, Happening::Fault);
        self.faults += 1;
        match below(&mut self.random, 12) {
            0 => {
                if let Some(master) = self.acting() {
                    self.crash_master(master);
                }
            }
            1 => {
                let node = self.any_node();
                self.crash_node(node);
            }
            2 | 3 => self.cut_any_wire(),
            4 | 5 => self.cut_any_stream(),
            6 => {
                let master = self.any_master();
                self.stop_master(master);
            }
            7 => self.stop_any_node(),
            8 => self.cut_any_master_off(),
            9 => self.cut_any_node_off(),
            10 => self.jump_clock(),
            _ => {
                for _ in 0..4 {
                    self.any_frame_comes_again();
                }
            }
        }
    }

    fn any_node(&mut self) -> usize {
        let nodes = self.nodes.len() as u64;
        usize::try_from(below(&mut self.random, nodes)).unwrap_or(0)
    }

    /// The one that leads, in most cases.
    fn any_master(&mut self) -> usize {
        let masters = self.masters.len() as u64;
        let any = usize::try_from(below(&mut self.random, masters)).unwrap_or(0);
        match self.chance(3) {
            true => any,
            false => self.acting().unwrap_or(any),
        }
    }

    pub(super) fn crash_master(&mut self, master: usize) {
        if self.masters[master].is_up {
            self.note(&format!("FAULT master{master} is killed"));
            self.end_master(master);
        }
    }

    /// A master process ends, and is started again.
    pub(super) fn end_master(&mut self, master: usize) {
        self.masters[master].end();
        let wires = self.wires.iter().filter(|(_, wire)| wire.master == master);
        for wire in wires.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.cut_wire(wire);
        }
        let streams = self.streams.iter();
        let streams = streams.filter(|(_, stream)| stream.master == master);
        for stream in streams.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.cut_stream(stream);
        }
        let down_for = Duration::from_millis(100) + self.random.below(Duration::from_secs(10));
        self.queue
            .after(down_for, Happening::MasterStart { master });
    }

    /// A master process gets SIGSTOP; gives when it gets SIGCONT.
    pub(super) fn stop_master(&mut self, master: usize) -> Instant {
        let until = self.queue.now() + self.random.below(SLEEP_MAX);
        let process = &mut self.masters[master];
        let until = *process.asleep_until.get_or_insert(until);
        self.note(&format!("FAULT master{master} is stopped until {until:?}"));
        until
    }

    fn stop_any_node(&mut self) {
        let node = self.any_node();
        let until = self.queue.now() + self.random.below(SLEEP_MAX);
        if self.nodes[node].core.is_some() {
            self.nodes[node].asleep_until.get_or_insert(until);
            self.note(&format!(
                "FAULT the agent of node{node} is stopped until {until:?}"
            ));
        }
    }

    fn cut_any_master_off(&mut self) {
        if !self.has_zookeeper() {
            return;
        }
        let master = self.any_master();
        let until = self.queue.now() + self.random.below(Duration::from_secs(40));
        self.masters[master].alone_until = until;
        self.note(&format!(
            "FAULT master{master} has no ZooKeeper until {until:?}"
        ));
    }

    fn cut_any_node_off(&mut self) {
        let node = self.any_node();
        let longest = if self.chance(4) { 180 } else { 15 };
        let until = self.queue.now() + self.random.below(Duration::from_secs(longest));
        self.nodes[node].cut_until = until;
        self.note(&format!("FAULT node{node} is cut off until {until:?}"));
    }

    /// The date is set, back or forth.
    fn jump_clock(&mut self) {
        let jump = self.random.below(Duration::from_secs(7200)).as_nanos();
        let jump = i64::try_from(jump).unwrap_or(0);
        self.wall_offset = jump - 3_600_000_000_000;
        self.note(&format!(
            "FAULT the date is set, by {} ns",
            self.wall_offset
        ));
    }

    pub(super) fn crash_node(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        let is_power = self.chance(2);
        match is_power {
            true => {
                self.note(&format!("FAULT node{node} loses power"));
                self.nodes[node].crash();
            }
            false => {
                self.note(&format!("FAULT the agent of node{node} is killed"));
                self.nodes[node].end_agent();
                self.orphan_containers(node);
            }
        }
        let wires = self.wires.iter().filter(|(_, wire)| wire.node == node);
        for wire in wires.map(|(id, _)| *id).collect::<Vec<_>>() {
            // What the node had sent may still arrive.
            match self.chance(2) {
                true => self.cut_wire(wire),
                false => {
                    let last = self.wires.get(&wire).map(|wire| wire.up_last);
                    let at = last.unwrap_or(Instant::ZERO) + Duration::from_millis(1);
                    self.queue.at(at, Happening::WireDrained { wire });
                }
            }
        }
        // Most come back soon; some stay away until the master gives them up.
        let away = if self.chance(4) { 200 } else { 15 };
        let down_for = match is_power || self.chance(4) {
            true => Duration::from_secs(1) + self.random.below(Duration::from_secs(away)),
            // Whoever is executed again is back at once.
            false => self.random.below(Duration::from_millis(500)),
        };
        self.queue.after(down_for, Happening::NodeStart { node });
    }

    fn cut_any_wire(&mut self) {
        let wires: Vec<u64> = self.wires.keys().copied().collect();
        if wires.is_empty() {
            return;
        }
        let index = usize::try_from(below(&mut self.random, wires.len() as u64)).unwrap_or(0);
        self.note(&format!("FAULT wire {} is cut", wires[index]));
        self.cut_wire(wires[index]);
    }

    fn cut_any_stream(&mut self) {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        if streams.is_empty() {
            return;
        }
        let index = usize::try_from(below(&mut self.random, streams.len() as u64)).unwrap_or(0);
        self.note(&format!("FAULT stream {} is cut", streams[index].0));
        self.cut_stream(streams[index]);
    }
}
