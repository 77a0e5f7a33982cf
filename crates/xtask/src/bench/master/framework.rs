//! Framework: a subscription, its events, and the calls that go beside it.
//!
//! Of an event only what a load generator needs is decoded; prost passes over the rest.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use api::recordio::Decoder;
use api::v1;
use api::v1::scheduler::Call;
use api::v1::scheduler::call::{self, Type};
use prost::Message;

use super::connection::Connection;

/// The largest record: an OFFERS of some tens of thousands of agents.
const RECORD_BYTES_MAX: usize = 256 << 20;
/// How long a framework that is gone is remembered, in seconds: as long as no bench runs.
const FAILOVER_SECONDS: f64 = 604_800.0;

/// An event.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(message, optional, tag = "2")]
    subscribed: Option<Subscribed>,
    #[prost(message, optional, tag = "3")]
    pub(super) offers: Option<Offers>,
    #[prost(message, optional, tag = "5")]
    pub(super) update: Option<Update>,
    #[prost(message, optional, tag = "8")]
    error: Option<Fault>,
}

#[derive(Clone, PartialEq, Message)]
struct Subscribed {
    #[prost(message, optional, tag = "1")]
    framework_id: Option<Id>,
}

/// OFFERS.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Offers {
    #[prost(message, repeated, tag = "1")]
    pub(super) offers: Vec<Offer>,
}

/// An offer, of which the id is enough to answer it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Offer {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<Id>,
}

/// UPDATE.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Update {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
}

/// A status, with what acknowledges it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(message, optional, tag = "1")]
    task_id: Option<Id>,
    #[prost(message, optional, tag = "5")]
    agent_id: Option<Id>,
    #[prost(bytes = "vec", tag = "11")]
    uuid: Vec<u8>,
}

/// ERROR.
#[derive(Clone, PartialEq, Message)]
struct Fault {
    #[prost(string, tag = "1")]
    message: String,
}

/// An id of any kind.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Id {
    #[prost(string, tag = "1")]
    pub(super) value: String,
}

/// A subscribed framework.
pub(super) struct Framework {
    connection: Connection,
    records: Decoder,
    piece: Vec<u8>,
    caller: Caller,
}

/// What makes a framework's calls into requests; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    address: SocketAddr,
    framework_id: String,
    stream_id: String,
}

impl Framework {
    /// Subscribes, under an id that agents know where one is given; SUBSCRIBED has come when this
    /// returns.
    pub(super) fn subscribe(address: SocketAddr, id: Option<&str>) -> Result<Self> {
        let id = id.map(|id| v1::FrameworkId { value: id.into() });
        let framework_info = v1::FrameworkInfo {
            user: "root".into(),
            // As the fleet names the framework of its tasks.
            name: "fleet".into(),
            id: id.clone(),
            failover_timeout: Some(FAILOVER_SECONDS),
            ..Default::default()
        };
        let call = Call {
            r#type: Some(Type::Subscribe.into()),
            framework_id: id,
            subscribe: Some(call::Subscribe {
                framework_info,
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut connection = Connection::open(address)?;
        connection.send(&request(address, "", &call))?;
        let head = connection.head()?;
        let stream_id = head.header("Mesos-Stream-Id");
        let stream_id = stream_id.with_context(|| format!("subscribe: status {}", head.status))?;
        let mut this = Self {
            connection,
            records: Decoder::new(RECORD_BYTES_MAX),
            piece: Vec::new(),
            caller: Caller {
                address,
                framework_id: String::new(),
                stream_id: stream_id.to_owned(),
            },
        };
        let subscribed = this.next()?.subscribed.context("SUBSCRIBED comes first")?;
        this.caller.framework_id = subscribed.framework_id.unwrap_or_default().value;
        Ok(this)
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(record) = self.records.record().context("read the stream")? {
                let event = Event::decode(record.as_slice()).context("read an event")?;
                if let Some(fault) = event.error {
                    bail!("the master says: {}", fault.message);
                }
                return Ok(event);
            }
            self.piece.clear();
            let is_more = self.connection.chunk_to(&mut self.piece)?;
            ensure!(is_more, "the master ended the stream");
            self.records.push(&self.piece);
        }
    }

    /// Reads events until so many offers are in hand.
    pub(super) fn offers(&mut self, wanted: usize) -> Result<Vec<Id>> {
        let mut offers = Vec::with_capacity(wanted);
        while offers.len() < wanted {
            let event = self.next()?;
            let came = event.offers.unwrap_or_default().offers;
            offers.extend(came.into_iter().filter_map(|offer| offer.id));
        }
        Ok(offers)
    }

    /// What makes its calls.
    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Reads and forgets what comes, on a thread of its own, until the stream ends.
    pub(super) fn drain(mut self) {
        std::thread::spawn(move || while self.next().is_ok() {});
    }
}

impl Caller {
    /// A connection for calls.
    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }

    /// Every agent's offers are declined, for the default time.
    pub(super) fn decline(&self, offers: Vec<Id>) -> Vec<u8> {
        let offer_id = |id: Id| v1::OfferId { value: id.value };
        self.request(
            Type::Decline,
            Call {
                decline: Some(call::Decline {
                    offer_ids: offers.into_iter().map(offer_id).collect(),
                    filters: None,
                }),
                ..Default::default()
            },
        )
    }

    /// REVIVE.
    pub(super) fn revive(&self) -> Vec<u8> {
        self.request(Type::Revive, Call::default())
    }

    /// TEARDOWN.
    pub(super) fn teardown(&self) -> Vec<u8> {
        self.request(Type::Teardown, Call::default())
    }

    /// RECONCILE of these tasks; of all where there are none.
    pub(super) fn reconcile(&self, tasks: &[&str]) -> Vec<u8> {
        let task = |id: &&str| call::reconcile::Task {
            task_id: v1::TaskId {
                value: (*id).into(),
            },
            agent_id: None,
        };
        self.request(
            Type::Reconcile,
            Call {
                reconcile: Some(call::Reconcile {
                    tasks: tasks.iter().map(task).collect(),
                }),
                ..Default::default()
            },
        )
    }

    /// ACKNOWLEDGE of a status; none where it wants none.
    pub(super) fn acknowledge(&self, status: Status) -> Option<Vec<u8>> {
        if status.uuid.is_empty() {
            return None;
        }
        let value = |id: Option<Id>| id.unwrap_or_default().value;
        Some(self.request(
            Type::Acknowledge,
            Call {
                acknowledge: Some(call::Acknowledge {
                    agent_id: v1::AgentId {
                        value: value(status.agent_id),
                    },
                    task_id: v1::TaskId {
                        value: value(status.task_id),
                    },
                    uuid: status.uuid,
                }),
                ..Default::default()
            },
        ))
    }

    fn request(&self, kind: Type, call: Call) -> Vec<u8> {
        let call = Call {
            r#type: Some(kind.into()),
            framework_id: Some(v1::FrameworkId {
                value: self.framework_id.clone(),
            }),
            ..call
        };
        let header = format!("Mesos-Stream-Id: {}\r\n", self.stream_id);
        request(self.address, &header, &call)
    }
}

fn request(address: SocketAddr, header: &str, call: &Call) -> Vec<u8> {
    let body = call.encode_to_vec();
    let mut bytes = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/x-protobuf\r\nAccept: application/x-protobuf\r\n{header}\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}
