//! Happenings: everything that is going to happen, to whom, and what then.
//!
//! What happens to a process that is stopped happens when it goes on, in the same order.

use std::collections::VecDeque;

use agent_core::checks::{Outcome, ProbeId};
use agent_core::containers::RequestId;
use agent_core::effect::LinkId as NodeLink;
use agent_core::event::ExitStatus;
use agent_core::holdings::VolumeName;
use agent_core::{FromMaster, ToMaster};
use master_core::StreamId;
use master_core::election::SessionNumber;
use master_core::event::{Call, Effect, FrameworkEvent};
use model::{ContainerId, Instant, OfferId};

use super::World;
use super::detection::Client;
use super::election_side::{Answered, Asked};
use super::executor_side::ExecutorHappening;
use crate::zookeeper::SessionId;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Fault,
    OperatorActs,
    MasterStart {
        master: usize,
    },
    MasterWake {
        master: usize,
        life: u64,
    },
    MasterGoesOn {
        master: usize,
        life: u64,
        effects: VecDeque<Effect>,
    },
    AtStore {
        master: usize,
        life: u64,
        session: SessionNumber,
        id: Option<SessionId>,
        asked: Asked,
    },
    FromStore {
        master: usize,
        life: u64,
        session: SessionNumber,
        answer: Answered,
    },
    AsksAgain {
        master: usize,
        life: u64,
        session: SessionNumber,
        asked: Asked,
    },
    SessionCloses {
        master: usize,
        id: SessionId,
    },
    SessionsExpire,
    Looks {
        client: Client,
    },
    AllLook,
    NodeStart {
        node: usize,
    },
    NodeWake {
        node: usize,
        life: u64,
    },
    Connect {
        wire: u64,
    },
    Up {
        wire: u64,
        epoch: u64,
        incarnation: u64,
        frame: ToMaster,
    },
    Down {
        wire: u64,
        epoch: u64,
        incarnation: u64,
        frame: FromMaster,
    },
    WireEndsAtMaster {
        master: usize,
        wire: u64,
        life: u64,
    },
    WireDrained {
        wire: u64,
    },
    WireEndsAtNode {
        node: usize,
        life: u64,
        link: NodeLink,
    },
    WireOpensAtNode {
        wire: u64,
    },
    ContainerRuns {
        node: usize,
        run: u64,
        container: ContainerId,
    },
    ContainerEnds {
        node: usize,
        run: u64,
        container: ContainerId,
        status: ExitStatus,
    },
    Probed {
        node: usize,
        life: u64,
        probe: ProbeId,
        outcome: Outcome,
    },
    Looked {
        node: usize,
        life: u64,
    },
    Executor {
        node: usize,
        run: u64,
        container: ContainerId,
        what: ExecutorHappening,
    },
    StreamClosedAtNode {
        node: usize,
        life: u64,
        stream: RequestId,
    },
    VolumeDestroyed {
        node: usize,
        life: u64,
        volume: VolumeName,
    },
    Subscribe {
        scheduler: usize,
        attempt: u64,
    },
    Call {
        scheduler: usize,
        stream: StreamId,
        call: Call,
    },
    StreamEvent {
        stream: StreamId,
        event: FrameworkEvent,
    },
    StreamEndsAtMaster {
        master: usize,
        stream: StreamId,
        life: u64,
    },
    Answers {
        scheduler: usize,
        stream: StreamId,
        offer_id: OfferId,
    },
    OfferVoid {
        scheduler: usize,
        stream: StreamId,
        offer_id: OfferId,
    },
    StreamEndsAtScheduler {
        stream: StreamId,
    },
    Reconcile {
        scheduler: usize,
        stream: StreamId,
    },
}

/// A process that something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Master(usize),
    Node(usize),
    /// The world, or somebody who never sleeps.
    Nobody,
}

impl World {
    /// When the process that this happens to goes on, if it is stopped.
    pub(super) fn goes_on_at(&self, happening: &Happening) -> Option<Instant> {
        let now = self.queue.now();
        let until = match self.whom(happening) {
            Whom::Master(master) => self.masters[master].asleep_until,
            Whom::Node(node) => self.nodes[node].asleep_until,
            Whom::Nobody => None,
        };
        until.filter(|until| *until > now)
    }

    fn whom(&self, happening: &Happening) -> Whom {
        let of_wire = |id: &u64| self.wires.get(id);
        let of_stream = |id: &StreamId| self.streams.get(id);
        match happening {
            Happening::MasterWake { master, .. }
            | Happening::FromStore { master, .. }
            | Happening::AsksAgain { master, .. }
            | Happening::WireEndsAtMaster { master, .. }
            | Happening::StreamEndsAtMaster { master, .. } => Whom::Master(*master),
            Happening::Connect { wire } | Happening::Up { wire, .. } => {
                of_wire(wire).map_or(Whom::Nobody, |wire| Whom::Master(wire.master))
            }
            Happening::Call { stream, .. } => {
                of_stream(stream).map_or(Whom::Nobody, |stream| Whom::Master(stream.master))
            }
            Happening::Down { wire, .. } | Happening::WireOpensAtNode { wire } => {
                of_wire(wire).map_or(Whom::Nobody, |wire| Whom::Node(wire.node))
            }
            Happening::NodeWake { node, .. }
            | Happening::WireEndsAtNode { node, .. }
            | Happening::ContainerRuns { node, .. }
            | Happening::ContainerEnds { node, .. }
            | Happening::Probed { node, .. }
            | Happening::Looked { node, .. }
            | Happening::Executor { node, .. }
            | Happening::StreamClosedAtNode { node, .. }
            | Happening::VolumeDestroyed { node, .. } => Whom::Node(*node),
            Happening::Fault
            | Happening::OperatorActs
            | Happening::MasterStart { .. }
            | Happening::MasterGoesOn { .. }
            | Happening::AtStore { .. }
            | Happening::SessionCloses { .. }
            | Happening::SessionsExpire
            | Happening::Looks { .. }
            | Happening::AllLook
            | Happening::NodeStart { .. }
            | Happening::WireDrained { .. }
            | Happening::Subscribe { .. }
            | Happening::StreamEvent { .. }
            | Happening::StreamEndsAtScheduler { .. }
            | Happening::Reconcile { .. }
            | Happening::Answers { .. }
            | Happening::OfferVoid { .. } => Whom::Nobody,
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Fault => self.fault(),
            Happening::OperatorActs => self.operator_acts(),
            Happening::MasterStart { master } => self.master_start(master),
            Happening::MasterWake { master, life } => self.master_wake(master, life),
            Happening::MasterGoesOn {
                master,
                life,
                effects,
            } => self.master_goes_on(master, life, effects),
            Happening::AtStore {
                master,
                life,
                session,
                id,
                asked,
            } => self.at_store(master, life, session, id, asked),
            Happening::FromStore {
                master,
                life,
                session,
                answer,
            } => self.answered(master, life, session, answer),
            Happening::AsksAgain {
                master,
                life,
                session,
                asked,
            } => self.asks_again(master, life, session, asked),
            Happening::SessionCloses { master, id } => self.session_closes(master, id),
            Happening::SessionsExpire => self.sessions_expire(),
            Happening::Looks { client } => self.looks(client),
            Happening::AllLook => self.clients_look_again(),
            Happening::NodeStart { node } => self.node_start(node),
            Happening::NodeWake { node, life } => self.node_wake(node, life),
            Happening::Connect { wire } => self.connect(wire),
            Happening::Up {
                wire,
                epoch,
                incarnation,
                frame,
            } => {
                self.frame_up(wire, epoch, incarnation, &frame);
            }
            Happening::Down {
                wire,
                epoch,
                incarnation,
                frame,
            } => {
                self.frame_down(wire, epoch, incarnation, frame);
            }
            Happening::WireEndsAtMaster { master, wire, life } => {
                self.wire_ends_at_master(master, wire, life);
            }
            Happening::WireDrained { wire } => self.cut_wire(wire),
            Happening::WireEndsAtNode { node, life, link } => {
                self.wire_ends_at_node(node, life, link);
            }
            Happening::WireOpensAtNode { wire } => self.wire_opens_at_node(wire),
            Happening::ContainerRuns {
                node,
                run,
                container,
            } => {
                self.container_runs(node, run, &container);
            }
            Happening::ContainerEnds {
                node,
                run,
                container,
                status,
            } => {
                self.container_ends(node, run, &container, status);
            }
            Happening::Looked { node, life } => self.looked(node, life),
            Happening::Probed {
                node,
                life,
                probe,
                outcome,
            } => self.probed(node, life, probe, outcome),
            Happening::Executor {
                node,
                run,
                container,
                what,
            } => self.executor_happens(node, run, &container, what),
            Happening::StreamClosedAtNode { node, life, stream } => {
                self.stream_closed_at_node(node, life, stream);
            }
            Happening::VolumeDestroyed { node, life, volume } => {
                self.volume_destroyed(node, life, volume);
            }
            Happening::Subscribe { scheduler, attempt } => self.subscribe(scheduler, attempt),
            Happening::Call {
                scheduler,
                stream,
                call,
            } => self.call(scheduler, stream, call),
            Happening::StreamEvent { stream, event } => self.stream_event(stream, event),
            Happening::StreamEndsAtMaster {
                master,
                stream,
                life,
            } => self.stream_ends_at_master(master, stream, life),
            Happening::Answers {
                scheduler,
                stream,
                offer_id,
            } => self.answers(scheduler, stream, offer_id),
            Happening::OfferVoid {
                scheduler,
                stream,
                offer_id,
            } => self.offer_void(scheduler, stream, &offer_id),
            Happening::StreamEndsAtScheduler { stream } => self.stream_ends_at_scheduler(stream),
            Happening::Reconcile { scheduler, stream } => self.reconcile(scheduler, stream),
        }
    }
}
