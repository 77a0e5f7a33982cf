//! The daemon as a value: bind, recover, serve, end in good order.
//!
//! HTTP/1.1 and h2 share the port and are told apart by their first bytes. The tests start it in
//! their own process, on port 0.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::domain::{DomainError, DomainSource};
use api::link::v1::link_server::LinkServer;
use detector::{Place as ZkPlace, ZkSourceError};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use master_core::event::{Event, StoreId};
use master_core::{Config as CoreConfig, Master};
use model::{IdError, MasterId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tower_service::Service as _;

use crate::access::{Access, AccessError};
use crate::connection::opening::{self, Opening};
use crate::connection::socket::Socket;
use crate::connection::table::{Limits, Place, Table};
use crate::connection::{Connection, descriptors};
use crate::election::{Standing, term};
use crate::facts::{Facts, wall_clock};
use crate::flags::{Config, Leader, RegistryKind};
use crate::grpc;
use crate::handle::Handle;
use crate::http::body::{Body, Counted};
use crate::http::{Request, router};
use crate::link;
use crate::main_loop::{MainLoop, Notice, Parts};
use crate::readers::Readers;
use crate::registry::entries::{self, EntryError};
use crate::registry::{Elected, Memory, Redb, Registry, RegistryError, Writer};
use crate::run_error::RunError;

/// How many connections may be open; at the bound those go that began to rest first.
const CONNECTIONS_MAX: usize = 65_536;
/// Descriptors that are not for connections: the registry, the log, the reactor.
const DESCRIPTORS_KEPT: usize = 64;
/// What requests and answers under way may hold together; those that began first go at the bound.
/// Several bodies of the largest size find room.
const HELD_BYTES_MAX: usize = 128 << 20;
/// How long a request may take, from its first byte to the last one of its answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(300);
/// How often slow requests are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long a new connection may stay silent, and how long its first line may take.
const FIRST_BYTE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a connection may rest between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(3600);
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes that nobody acknowledges for so long end a connection, also where the window is zero.
const STALL_TIME_MAX: Duration = Duration::from_secs(120);
/// An h2 connection is asked for a sign of life so often, and has so long to give it.
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIME_MAX: Duration = Duration::from_secs(20);
/// How long open connections have to end at a shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// Why a master did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is not free.
    #[error(
        "port {} of {} is taken; stop what listens there, or choose another with --port",
        address.port(), address.ip()
    )]
    PortTaken {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// It cannot listen there.
    #[error("listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// Credentials or rules cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry holds something that this version cannot read.
    #[error("read the registry")]
    Entry(#[from] EntryError),
    /// A thread cannot be started.
    #[error("start the registry's thread")]
    Thread(#[source] std::io::Error),
    /// The threads for those who read cannot be started.
    #[error("start the threads that serve readers")]
    Readers(#[source] std::io::Error),
    /// It is not known where this master stands.
    #[error("--domain")]
    Domain(#[from] DomainError),
    /// It is not known where ZooKeeper is.
    #[error("--zk")]
    Zk(#[from] ZkSourceError),
    /// It would follow itself, and send its clients in a circle.
    #[error("--leader={leader} is this very master; give self, or the address of another")]
    FollowsItself {
        /// Whom it was to follow.
        leader: Leader,
    },
    /// The id made for this master is none.
    #[error("make an id")]
    Id(#[from] IdError),
}

/// A running master.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Server {
    /// Binds the port, reads the registry, and begins to serve.
    ///
    /// # Errors
    /// The port or the registry cannot be had.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let access = Access::load(&config.access)?;
        let listener = listen(SocketAddr::new(config.ip, config.port)).await?;
        let bound = local_address(&listener, config)?;
        let url = config.zk.as_ref().map(|zk| zk.read()).transpose()?;
        let domain = config.domain.as_ref().map(DomainSource::read).transpose()?;
        let mut registry = registry(config)?;
        let contents = registry.start(Elected::Alone)?;
        let recovered = entries::decode(contents.entries)?;

        let master_id = MasterId::new(&uuid::Uuid::new_v4().to_string())?;
        let start = tokio::time::Instant::now();
        let started = wall_clock();
        let standing = match url {
            Some(_) => Standing::open(),
            None => Standing::fixed(config.leader.clone(), contents.epoch),
        };
        let mut facts = Facts::new(config, bound, master_id.clone(), standing, started, access);
        facts.master_info.domain = domain;
        if facts.follows_itself() {
            let leader = facts.standing.leader();
            return Err(StartError::FollowsItself { leader });
        }
        if let Some(zk) = &url {
            tracing::info!(address = %bound, advertised = %facts.address, %master_id, %zk, "master starts");
        } else if facts.standing.leads() {
            tracing::info!(
                address = %bound,
                advertised = %facts.address,
                %master_id,
                epoch = contents.epoch,
                agents = recovered.admitted.len(),
                "master leads"
            );
        } else {
            let leader = facts.standing.leader();
            tracing::info!(address = %bound, %master_id, %leader, "master follows");
        }
        let (notifier, notices) = mpsc::unbounded_channel();
        let (main_loop, handle) = MainLoop::new(Parts {
            core: Master::new(core_config(config, contents.epoch, &facts)),
            start,
            facts,
            writer: writer(registry, notifier.clone())?,
            readers: Readers::start().map_err(StartError::Readers)?,
            watchers_max: config.max_operator_event_stream_subscribers,
            notifier: notifier.clone(),
            notices,
        });
        let contender = url.map(|url| {
            let session_timeout = config.zk_session_timeout;
            let place = ZkPlace {
                url,
                session_timeout,
            };
            term::stand(config, place, handle.clone(), notifier)
        });

        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, handle, stopped.clone()));
        let task = tokio::spawn(async move {
            let outcome = main_loop
                .run(Event::Recovered(recovered), until_true(stopped))
                .await;
            accepting.abort();
            // Nothing acts any more, and so the next master may lead. A session that was lost cannot
            // be given back.
            let is_lost = matches!(outcome, Err(RunError::Deposed { .. }));
            if let Some(contender) = contender.filter(|_| !is_lost) {
                contender.resign().await;
            }
            outcome
        });
        Ok(Self {
            address: bound,
            stop,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: event streams get their last chunk, the registry its last commit.
    ///
    /// # Errors
    /// It had ended before, by a fault.
    pub async fn shutdown(self) -> Result<(), RunError> {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It ended by a fault.
    pub async fn ended(self) -> Result<(), RunError> {
        match self.task.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Ok(()),
        }
    }

    /// A handle that ends it from elsewhere.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }
}

/// Ends a running master.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Begins the end; [`Server::ended`] tells when it is there.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => StartError::PortTaken { address },
            _ => StartError::Listen { address, source },
        })
}

fn local_address(listener: &TcpListener, config: &Config) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen {
        address: SocketAddr::new(config.ip, config.port),
        source,
    })
}

fn registry(config: &Config) -> Result<Box<dyn Registry>, RegistryError> {
    // The registry is the leader's own: who follows, or is not elected yet, must not raise its epoch.
    if config.leader != Leader::Own || config.zk.is_some() {
        return Ok(Box::new(Memory::default()));
    }
    match (config.registry(), &config.work_dir) {
        (RegistryKind::Redb, Some(work_dir)) => Ok(Box::new(Redb::open(work_dir)?)),
        // The flags see to it that redb comes with a folder, and ZooKeeper with an election.
        _ => Ok(Box::new(Memory::default())),
    }
}

/// The thread that writes a registry.
pub(crate) fn writer(
    registry: Box<dyn Registry>,
    notifier: mpsc::UnboundedSender<Notice>,
) -> Result<Writer<StoreId>, StartError> {
    let done = move |commit| {
        // The loop is gone only at the end of the process.
        drop(notifier.send(Notice::Stored(commit)));
    };
    Writer::spawn(registry, done).map_err(StartError::Thread)
}

/// What the core is told when a term begins.
pub(crate) fn core_config(config: &Config, epoch: u64, facts: &Facts) -> CoreConfig {
    let scheduling = &config.scheduling;
    CoreConfig {
        master_id: facts.master_id.clone(),
        epoch,
        clock_start: facts.started,
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
        agent_ping_timeout: config.agent_ping_timeout,
        max_agent_ping_timeouts: config.max_agent_ping_timeouts,
        agent_reregister_timeout: config.agent_reregister_timeout,
        allocation_interval: config.allocation_interval,
        offer_timeout: config.offer_timeout,
        min_allocatable: scheduling.min_allocatable.clone(),
        sorters: scheduling.sorters,
        filter_gpu_resources: scheduling.filter_gpu_resources,
        region: facts.region().map(Into::into),
        require_agent_domain: scheduling.require_agent_domain,
        fair_sharing_excluded: config.fair_sharing_excluded.clone(),
        allocator_recovery_timeout: config.allocator_recovery_timeout,
        allocator_agent_recovery_factor: config.allocator_agent_recovery_factor,
        roles: scheduling.roles.clone(),
        root_submissions: scheduling.root_submissions,
        pattern_limits: scheduling.pattern_limits,
        agent_removal_rate: scheduling.agent_removal_rate,
        completed_frameworks_max: scheduling.max_completed_frameworks,
        completed_tasks_per_framework_max: scheduling.max_completed_tasks,
        unreachable_tasks_per_framework_max: scheduling.max_unreachable_tasks,
        acls: Arc::clone(facts.access.acls()),
    }
}

/// Takes connections until `stop` turns true.
async fn accept(listener: TcpListener, handle: Handle, stop: watch::Receiver<bool>) {
    let table = Table::new(limits());
    let server = Arc::new(ConnectionServer::new(handle));
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = sweep.tick() => {
                table.sweep();
                continue;
            }
            () = until_true(stop.clone()) => return,
        };
        match accepted {
            Ok((stream, peer)) => match table.admit(peer).await {
                Some(place) => {
                    let serving = Arc::clone(&server).serve(stream, place, stop.clone());
                    tokio::spawn(serving);
                }
                None => tracing::warn!(%peer, "no room for a connection among the streams"),
            },
            Err(error) => {
                // Out of descriptors, or a peer that is gone again: neither is cured by haste.
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn limits() -> Limits {
    let descriptors = descriptors::raise();
    let connections = connections(descriptors);
    if connections < CONNECTIONS_MAX {
        tracing::warn!(
            descriptors,
            connections,
            "agents and clients together are bounded by the limit of descriptors, which is low; it is \
             raised by LimitNOFILE= of systemd, or ulimit -n"
        );
    }
    Limits {
        connections,
        held: HELD_BYTES_MAX,
        request_time: REQUEST_TIME_MAX,
    }
}

/// How many connections there may be where the process may have so many descriptors.
fn connections(descriptors: usize) -> usize {
    descriptors
        .saturating_sub(DESCRIPTORS_KEPT)
        .clamp(1, CONNECTIONS_MAX)
}

/// Serves connections, each on a task of its own.
struct ConnectionServer {
    handle: Handle,
    links: LinkServer<link::Service>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl ConnectionServer {
    fn new(handle: Handle) -> Self {
        let mut http1 = http1::Builder::new();
        // `pipeline_flush` stays off: with it hyper takes from a body without bound.
        http1
            .title_case_headers(true)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIME_MAX)
            .max_concurrent_streams(16)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
        Self {
            links: link::Service::server(handle.clone()),
            handle,
            http1,
            http2,
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        place: Place,
        stop: watch::Receiver<bool>,
    ) {
        let connection = place.connection();
        let peer = connection.peer();
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%peer, %error, "set a connection's options");
        }
        let opening = tokio::select! {
            opening = open(&mut stream) => opening,
            () = connection.was_cut() => return,
        };
        let Some(opening) = opening else { return };
        let reads =
            matches!(&opening, Opening::Http1(before) if router::begins_with_document(before));
        if !reads {
            return self.converse(stream, opening, place, stop).await;
        }
        // Its socket has to wake the threads that serve it, and leaves those of this runtime.
        let readers = self.handle.readers().clone();
        let Ok(stream) = stream.into_std() else {
            return;
        };
        readers.spawn(async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                self.converse(stream, opening, place, stop).await;
            }
        });
    }

    async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        opening: Opening,
        place: Place,
        stop: watch::Receiver<bool>,
    ) {
        let connection = place.connection();
        let service = {
            let (this, connection) = (Arc::clone(&self), connection.clone());
            service_fn(move |request| Arc::clone(&this).answer(connection.clone(), request))
        };
        let io = |before| TokioIo::new(Socket::new(stream, before, connection.clone()));
        match opening {
            Opening::Http1(before) => {
                // Most connections are links: no room is kept in them for what these need.
                let mut serving = Box::pin(self.http1.serve_connection(io(before), service));
                let shut_down = http1::Connection::graceful_shutdown;
                drive(serving.as_mut(), shut_down, connection, stop).await;
            }
            Opening::H2(before) => {
                let mut serving = std::pin::pin!(self.http2.serve_connection(io(before), service));
                let shut_down = http2::Connection::graceful_shutdown;
                drive(serving.as_mut(), shut_down, connection, stop).await;
            }
            Opening::Neither => {
                tracing::debug!(peer = %connection.peer(), "what came is no request");
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        connection: Connection,
        mut request: Request,
    ) -> Result<http::Response<Counted>, Infallible> {
        let path = request.uri().path();
        let is_grpc = request.version() == http::Version::HTTP_2;
        let response = if is_grpc && path.starts_with("/tepui.link.v1.Link/") {
            request.extensions_mut().insert(connection.clone());
            self.links.clone().call(request).await?.map(Body::Grpc)
        } else if is_grpc && path == grpc::PATH {
            // A stream keeps the room of this future as long as it is open, and most are links.
            Box::pin(grpc::connect(&self.handle, connection.clone(), request)).await
        } else {
            Box::pin(router::route(&self.handle, connection.clone(), request)).await
        };
        Ok(response.map(|body| Counted::new(body, connection)))
    }
}

/// How a new connection opens; `None` where it does not in its time. Until its first byte comes it
/// costs no buffer.
async fn open(stream: &mut TcpStream) -> Option<Opening> {
    let opening = async {
        stream.peek(&mut [0]).await?;
        opening::read(stream).await
    };
    let opening = tokio::time::timeout(FIRST_BYTE_TIME_MAX, opening).await;
    opening.ok()?.ok()
}

/// Serves a connection until it ends, is cut, or `stop` turns true. It stays where it is: what a future
/// is given by value it has room for twice.
async fn drive<C, E>(
    mut serving: Pin<&mut C>,
    shut_down: impl FnOnce(Pin<&mut C>),
    connection: &Connection,
    stop: watch::Receiver<bool>,
) where
    C: Future<Output = Result<(), E>>,
    E: Display,
{
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = connection.was_cut() => return,
        () = until_true(stop) => {
            shut_down(serving.as_mut());
            match tokio::time::timeout(GRACE, serving).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %connection.peer(), %error, "connection broke");
    }
}

/// A peer that is gone, or reads nothing, must not hold a connection for ever.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let probes = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(STALL_TIME_MAX))
}

async fn until_true(mut flag: watch::Receiver<bool>) {
    // The sender's end is an end too.
    drop(flag.wait_for(|&stop| stop).await);
}
