//! Scheduler: one framework's conversation with the leading master (`POST /api/v1/scheduler`).
//!
//! Two connections, as Mesos wants it: `Events` holds the stream that SUBSCRIBE opened, `Calls`
//! sends everything else and names the stream in each call.

use std::time::Duration;

use api::recordio;
use api::v1::scheduler::{Call, Event, call};
use api::v1::{
    AgentId, ExecutorInfo, Filters, FrameworkId, FrameworkInfo, Offer, OfferId, TaskGroupInfo,
    TaskId, TaskInfo, TaskStatus, offer,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use prost::Message;
use tokio::time::timeout;

use super::address::Address;
use super::http::{Answer, Ask, Connection, HttpError};
use super::master::Master;
use super::{ClientError, MASTER, unexpected};

const PATH: &str = "/api/v1/scheduler";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");
/// Masters send a heartbeat each 15 s; five missed ones mean that the stream is dead.
const QUIET_MAX: Duration = Duration::from_secs(75);
/// No event is longer than this: all offers of a large cluster at once.
const EVENT_BYTES_MAX: usize = 256 << 20;
/// Resources that are not wanted: refused for longer than any run waits for its first offer.
const REFUSE_S: f64 = 3600.0;

/// Why there is no subscription.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{address} refused the framework: {message}")]
    Refused { address: Address, message: String },
}

impl From<HttpError> for SubscribeError {
    fn from(error: HttpError) -> Self {
        Self::Client(error.into())
    }
}

/// The stream of events.
pub(crate) struct Events {
    address: Address,
    body: Incoming,
    decoder: recordio::Decoder,
}

/// The way of calls.
pub(crate) struct Calls {
    connection: Connection,
    framework: FrameworkId,
    stream: HeaderValue,
}

/// Subscribes a framework, or takes it over where its id is set.
pub(crate) async fn subscribe(
    master: &Master,
    info: FrameworkInfo,
) -> Result<(Calls, Events), SubscribeError> {
    let call = Call {
        framework_id: info.id.clone(),
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(call::Subscribe {
            framework_info: info,
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut connection = Connection::to(master).await?;
    let ask = ask(&call, None);
    let response = connection.send(&ask).await?;
    let address = connection.address().clone();
    let (head, body) = response.into_parts();
    let header = |name| head.headers.get(name).cloned();
    let stream = header(STREAM_ID);
    let media = header(CONTENT_TYPE);
    if head.status != StatusCode::OK {
        let answer = Answer::of(&head, body, Duration::from_secs(5)).await;
        return Err(unexpected(&address, MASTER, &ask, &answer).into());
    }
    let (Some(stream), true) = (stream, media == Some(PROTOBUF)) else {
        let why = format!("its answer to {} is no stream of events", ask.act());
        return Err(not_master(&address, why).into());
    };
    let mut events = Events {
        address: address.clone(),
        body,
        decoder: recordio::Decoder::new(EVENT_BYTES_MAX),
    };
    let first = events.next().await?.unwrap_or_default();
    if let Some(error) = first.error {
        let message = error.message;
        return Err(SubscribeError::Refused { address, message });
    }
    let Some(subscribed) = first.subscribed else {
        let why = "its stream of events does not begin with SUBSCRIBED".to_owned();
        return Err(not_master(&address, why).into());
    };
    let calls = Calls {
        connection: Connection::new(address),
        framework: subscribed.framework_id,
        stream,
    };
    Ok((calls, events))
}

impl Events {
    /// The next event; `None` when the master has closed the stream.
    ///
    /// May be dropped while it waits: no byte is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let record = self.decoder.record();
            if let Some(record) = record.map_err(|error| self.garbled(&error))? {
                let event = api::decode::<Event>(&record).map_err(|error| self.garbled(&error))?;
                return Ok(Some(event));
            }
            let act = || "the stream of events".to_owned();
            let address = self.address.clone();
            match timeout(QUIET_MAX, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.decoder.push(&data);
                    }
                }
                Ok(Some(Err(source))) => {
                    let act = act();
                    return Err(HttpError::Broken {
                        address,
                        act,
                        source,
                    }
                    .into());
                }
                Err(_) => {
                    let (act, wait) = (act(), QUIET_MAX);
                    return Err(HttpError::Silent { address, act, wait }.into());
                }
            }
        }
    }

    fn garbled(&self, error: &dyn std::error::Error) -> ClientError {
        not_master(
            &self.address,
            format!("its stream of events is garbled ({error})"),
        )
    }
}

impl Calls {
    /// The framework's id, given by the master.
    pub(crate) fn framework(&self) -> &str {
        &self.framework.value
    }

    /// The leader that the calls go to.
    pub(crate) fn address(&self) -> &Address {
        self.connection.address()
    }

    /// Launches one task on an offer and refuses what it leaves.
    pub(crate) async fn launch(
        &mut self,
        offer: &Offer,
        task: TaskInfo,
    ) -> Result<(), ClientError> {
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch.into()),
            launch: Some(offer::operation::Launch {
                task_infos: vec![task],
            }),
            ..Default::default()
        };
        self.accept(offer, launch).await
    }

    /// Launches tasks of one executor, all or none, on an offer and refuses what it leaves.
    pub(crate) async fn launch_group(
        &mut self,
        offer: &Offer,
        executor: ExecutorInfo,
        tasks: Vec<TaskInfo>,
    ) -> Result<(), ClientError> {
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::LaunchGroup.into()),
            launch_group: Some(offer::operation::LaunchGroup {
                executor,
                task_group: TaskGroupInfo { tasks },
            }),
            ..Default::default()
        };
        self.accept(offer, launch).await
    }

    async fn accept(&mut self, offer: &Offer, launch: offer::Operation) -> Result<(), ClientError> {
        self.call(Call {
            r#type: Some(call::Type::Accept.into()),
            accept: Some(call::Accept {
                offer_ids: vec![offer.id.clone()],
                operations: vec![launch],
                filters: Some(Filters {
                    refuse_seconds: Some(REFUSE_S),
                }),
            }),
            ..Default::default()
        })
        .await
    }

    /// Gives offers back for so many seconds.
    pub(crate) async fn decline(
        &mut self,
        offers: Vec<OfferId>,
        refuse_seconds: f64,
    ) -> Result<(), ClientError> {
        self.call(Call {
            r#type: Some(call::Type::Decline.into()),
            decline: Some(call::Decline {
                offer_ids: offers,
                filters: Some(Filters {
                    refuse_seconds: Some(refuse_seconds),
                }),
            }),
            ..Default::default()
        })
        .await
    }

    /// Asks for no further offers.
    pub(crate) async fn suppress(&mut self) -> Result<(), ClientError> {
        self.call(Call {
            r#type: Some(call::Type::Suppress.into()),
            suppress: Some(call::Suppress::default()),
            ..Default::default()
        })
        .await
    }

    /// Confirms a status that asks for it.
    pub(crate) async fn acknowledge(&mut self, status: &TaskStatus) -> Result<(), ClientError> {
        let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) else {
            return Ok(());
        };
        self.call(Call {
            r#type: Some(call::Type::Acknowledge.into()),
            acknowledge: Some(call::Acknowledge {
                agent_id: agent_id.clone(),
                task_id: status.task_id.clone(),
                uuid: uuid.clone(),
            }),
            ..Default::default()
        })
        .await
    }

    /// Asks for the present state of a task.
    pub(crate) async fn reconcile(
        &mut self,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) -> Result<(), ClientError> {
        self.call(Call {
            r#type: Some(call::Type::Reconcile.into()),
            reconcile: Some(call::Reconcile {
                tasks: vec![call::reconcile::Task {
                    task_id: task_id.clone(),
                    agent_id: agent_id.cloned(),
                }],
            }),
            ..Default::default()
        })
        .await
    }

    /// Kills a task, with the grace that it was launched with.
    pub(crate) async fn kill(
        &mut self,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) -> Result<(), ClientError> {
        self.call(Call {
            r#type: Some(call::Type::Kill.into()),
            kill: Some(call::Kill {
                task_id: task_id.clone(),
                agent_id: agent_id.cloned(),
                kill_policy: None,
            }),
            ..Default::default()
        })
        .await
    }

    /// Ends the framework and whatever still runs of it.
    pub(crate) async fn teardown(&mut self) -> Result<(), ClientError> {
        self.call(Call {
            r#type: Some(call::Type::Teardown.into()),
            ..Default::default()
        })
        .await
    }

    async fn call(&mut self, mut call: Call) -> Result<(), ClientError> {
        call.framework_id = Some(self.framework.clone());
        let ask = ask(&call, Some(&self.stream));
        let answer = self.connection.fetch(&ask).await?;
        if answer.status == StatusCode::ACCEPTED {
            return Ok(());
        }
        let address = self.connection.address();
        Err(unexpected(address, MASTER, &ask, &answer))
    }
}

fn ask(call: &Call, stream: Option<&HeaderValue>) -> Ask {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers.insert(ACCEPT, PROTOBUF);
    if let Some(stream) = stream {
        headers.insert(STREAM_ID, stream.clone());
    }
    Ask {
        method: Method::POST,
        path: PATH.to_owned(),
        headers,
        body: Bytes::from(call.encode_to_vec()),
    }
}

fn not_master(address: &Address, why: String) -> ClientError {
    ClientError::Other {
        address: address.clone(),
        what: MASTER,
        why,
    }
}
