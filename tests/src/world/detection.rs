//! Detection: agents and schedulers look in ZooKeeper for the leader, now and then too late.

use std::time::Duration;

use agent_core::event::Event;

use super::{Happening, World, below};

/// How often whoever looks for the leader looks again.
const LOOK_EVERY: Duration = Duration::from_secs(7);

/// Who looks for the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Node(usize),
    Scheduler(usize),
}

impl World {
    fn clients(&self) -> impl Iterator<Item = Client> + use<> {
        let nodes = (0..self.nodes.len()).map(Client::Node);
        nodes.chain((0..self.schedulers.len()).map(Client::Scheduler))
    }

    /// Everyone looks, each in its own time.
    pub(super) fn clients_look(&mut self) {
        for client in self.clients() {
            let delay = self.delay();
            self.queue.after(delay, Happening::Looks { client });
        }
    }

    pub(super) fn clients_look_again(&mut self) {
        self.clients_look();
        self.queue.after(LOOK_EVERY, Happening::AllLook);
    }

    /// A client sees who leads; it gives up what it has with another.
    pub(super) fn looks(&mut self, client: Client) {
        let leader = match self.has_zookeeper() {
            true => self.zookeeper.leader(),
            false => Some(0),
        };
        match client {
            Client::Node(node) => {
                let before = std::mem::replace(&mut self.nodes[node].leader, leader);
                // Who is without ZooKeeper, or sees nobody, keeps the link that it has.
                if leader.is_some() && before != leader {
                    self.node_step(node, Event::LeaderChanged);
                }
            }
            Client::Scheduler(scheduler) => {
                self.schedulers[scheduler].leader = leader;
                let stream = self.schedulers[scheduler].stream;
                let open = stream.and_then(|stream| Some((stream, self.streams.get(&stream)?)));
                if let Some((stream, open)) = open
                    && leader.is_some_and(|leader| leader != open.master)
                {
                    self.cut_stream(stream);
                }
            }
        }
    }

    /// The master that a client turns to: the leader that it knows, or now and then any.
    pub(super) fn turns_to(&mut self, client: Client) -> Option<usize> {
        if self.faults_go_on() && self.chance(10) {
            let masters = u64::try_from(self.masters.len()).unwrap_or(1);
            return usize::try_from(below(&mut self.random, masters)).ok();
        }
        match client {
            Client::Node(node) => self.nodes[node].leader,
            Client::Scheduler(scheduler) => self.schedulers[scheduler].leader,
        }
    }
}
