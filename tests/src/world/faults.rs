//! What goes wrong, and when: a fault every few seconds until the calm.

use std::time::Duration;

use super::{Happening, World, below};

impl World {
    pub(super) fn fault(&mut self) {
        if !self.faults_go_on() {
            return;
        }
        let pause = Duration::from_millis(500) + self.random.below(Duration::from_secs(20));
        self.queue.after(pause, Happening::Fault);
        self.faults += 1;
        match below(&mut self.random, 6) {
            0 => self.crash_leader(),
            1 => {
                let node = self.any_node();
                self.crash_node(node);
            }
            2 | 3 => self.cut_any_wire(),
            _ => self.cut_any_stream(),
        }
    }

    fn any_node(&mut self) -> usize {
        let nodes = self.nodes.len() as u64;
        usize::try_from(below(&mut self.random, nodes)).unwrap_or(0)
    }

    pub(super) fn crash_leader(&mut self) {
        if self.leader.core.is_none() {
            return;
        }
        self.note("FAULT the master is killed");
        self.leader.crash();
        for wire in self.wires.keys().copied().collect::<Vec<_>>() {
            self.cut_wire(wire);
        }
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.cut_stream(stream);
        }
        let down_for = Duration::from_millis(100) + self.random.below(Duration::from_secs(10));
        self.queue.after(down_for, Happening::LeaderStart);
    }

    pub(super) fn crash_node(&mut self, node: usize) {
        if self.nodes[node].core.is_none() {
            return;
        }
        self.note(&format!("FAULT node{node} loses power"));
        self.nodes[node].crash();
        let wires = self.wires.iter().filter(|(_, wire)| wire.node == node);
        for wire in wires.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.cut_wire(wire);
        }
        // Most come back soon; some stay away until the master gives them up.
        let away = if self.chance(4) { 200 } else { 15 };
        let down_for = Duration::from_secs(1) + self.random.below(Duration::from_secs(away));
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
