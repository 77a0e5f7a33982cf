//! HTTP: the agent's port.
//!
//! Nothing that reads waits for the main loop, nor the main loop for it: state comes from the
//! published snapshot, files from the disk, figures from the kernel, each on a thread of its own.
//! Connections are bounded; past the bound they wait to be accepted.

mod api;
mod body;
mod connection;
mod containers;
mod executor;
mod explain;
mod files;
mod held;
mod help;
mod metrics;
mod pressure;
mod router;
mod state;
mod upgrade;
mod usage;
mod view;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::api::http::respond::Refusal;
use ::api::http::verbosity::Verbosity;
use agent_core::sandbox::RevocableCpu;
use agent_kernel::kept::{self, Kept};
use agent_kernel::{cgroup, reexec};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use crate::again::{History, tolerated};
use crate::config::{Config, oversubscription};
use crate::description::Description;
use crate::disk::Disks;
use crate::explained::Explained;
use crate::handle::Handle;
use crate::images::Provisioner;
use crate::init::Node;
use crate::snapshot::Snapshot;
use crate::switchboard::Switchboard;
use crate::token::Key;
use crate::upgrade::Upgrades;
use body::Body;
use connection::Place;
use upgrade::Afterwards;

/// Connections that are served at the same time.
const CONNECTIONS_MAX: usize = 256;
/// Answers that are made at the same time.
const RENDERS_MAX: usize = 2;
/// How long a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long bytes may wait for a client that does not read, before the kernel ends the connection.
const UNREAD_MAX: Duration = Duration::from_secs(120);

/// What every handler answers with.
type Answer = Response<Body>;

/// Why the port is not served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port is taken, or not ours to take.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What came of it.
        source: io::Error,
    },
}

/// What handlers know.
#[derive(Debug)]
pub struct Context {
    description: Arc<Description>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    handle: Handle,
    switchboard: Switchboard,
    explained: Explained,
    cgroups: Option<cgroup::Tree>,
    flags: Value,
    /// The name or address of the master that took this agent last.
    master: watch::Receiver<String>,
    work_dir: PathBuf,
    started: Instant,
    started_at: f64,
    renders: Arc<Semaphore>,
    verbosity: Verbosity,
    tokens: Option<Tokens>,
    images: Provisioner,
    disks: Arc<Disks>,
    history: History,
    upgrades: Arc<Upgrades>,
    /// Whether whoever asks may have this agent fail.
    failure_test: bool,
}

/// How executors show who they are.
#[derive(Debug)]
struct Tokens {
    key: Key,
    /// Whether a call without one is refused.
    asked_for: bool,
}

/// The ways from HTTP to the rest of the agent.
#[derive(Debug)]
pub struct Ways {
    /// To what the main loop publishes.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// To the main loop itself.
    pub handle: Handle,
    /// To the input and output of containers.
    pub switchboard: Switchboard,
    /// To what containers run under.
    pub explained: Explained,
    /// To the name or address of the master.
    pub master: watch::Receiver<String>,
    /// What the tokens of executors are signed with.
    pub key: Option<Key>,
    /// To the images.
    pub images: Provisioner,
    /// To what containers keep on the disk.
    pub disks: Arc<Disks>,
    /// To another program in the place of this one.
    pub upgrades: Arc<Upgrades>,
}

impl Context {
    /// What is known at the start.
    #[must_use]
    pub fn new(config: &Config, node: &Node, description: Arc<Description>, ways: Ways) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            description,
            snapshots: ways.snapshots,
            handle: ways.handle,
            switchboard: ways.switchboard,
            explained: ways.explained,
            cgroups: node.cgroups.clone(),
            history: node.history.clone(),
            failure_test: config.recovery.failure_test,
            flags: flags(config, node),
            master: ways.master,
            work_dir: node.work_dir.clone(),
            started: Instant::now(),
            started_at: since.map_or(0.0, |since| since.as_secs_f64()),
            renders: Arc::new(Semaphore::new(RENDERS_MAX)),
            verbosity: crate::logging::verbosity(),
            tokens: ways.key.map(|key| Tokens {
                key,
                asked_for: config.authenticate_http_executors,
            }),
            images: ways.images,
            disks: ways.disks,
            upgrades: ways.upgrades,
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Makes something on a thread of its own: connections share one with the main loop, which must
    /// not wait until the state of ten thousand tasks is written out.
    async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = Arc::clone(&self.renders).acquire_owned().await;
        let context = Arc::clone(self);
        // The place is held until the work is done, though the client may be gone before.
        let made = tokio::task::spawn_blocking(move || {
            let made = reexec::tolerating(|| make(&context));
            drop(place);
            made
        });
        made.await
            .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

/// Settings under Mesos' names, as texts.
fn flags(config: &Config, node: &Node) -> Value {
    let text = model::duration::format;
    let low = config.isolation.rules.revocable_cpu == RevocableCpu::Low;
    let mut flags = json!({
        "advertise_ip": config.advertise_ip.map(|ip| ip.to_string()),
        "advertise_port": config.advertise_port.map(|port| port.to_string()),
        "attributes": config.attributes,
        "domain": config.domain.as_ref().map(ToString::to_string),
        "executor_registration_timeout": text(config.executor_registration_timeout),
        "executor_reregistration_timeout": text(config.executor_reregistration_timeout),
        "executor_shutdown_grace_period": text(config.executor_shutdown_grace_period),
        "hostname": node.hostname,
        "ip": config.ip.map(|ip| ip.to_string()),
        "master": config.master.to_string(),
        "port": config.port.to_string(),
        "recovery_timeout": text(config.recovery_timeout),
        "revocable_cpu_low_priority": low.to_string(),
        "resources": config.resources,
        "sandbox_directory": agent_core::sandbox::SANDBOX,
        "switch_user": config.switch_user.to_string(),
        "work_dir": node.work_dir.to_string_lossy(),
    });
    if let Some(map) = flags.as_object_mut() {
        let more = config.housekeeping.flags().into_iter();
        let more = more.chain(config.disk.flags());
        let more = more.chain(config.recovery.flags());
        let more = more.chain(oversubscription::flags(&config.oversubscription));
        map.extend(more.map(|(name, value)| (name.to_owned(), json!(value))));
        map.retain(|_, value| !value.is_null());
    }
    flags
}

/// Whether a call of the agent's API has what its type needs.
pub(crate) fn is_good(call: &::api::v1::agent::Call) -> bool {
    api::validate::call(call).is_ok()
}

/// Listens, and serves from then on.
///
/// # Errors
/// The port cannot be had.
pub async fn serve(config: &Config, context: Context) -> Result<(), HttpError> {
    let ip = config.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = SocketAddr::new(ip, config.port);
    let listener = match inherited(address) {
        Some(listener) => listener,
        None => TcpListener::bind(address)
            .await
            .map_err(|source| HttpError::Listen { address, source })?,
    };
    if let Err(error) = kept::keep(Kept::Port, &listener) {
        warn!(%error, "callers are refused for a moment where this program is executed again");
    }
    info!(%address, "serving HTTP");
    tokio::spawn(accept(listener, Arc::new(context)));
    Ok(())
}

/// The socket of the program before this one, where it listens at the same address.
fn inherited(address: SocketAddr) -> Option<TcpListener> {
    let listener = std::net::TcpListener::from(kept::inherited(Kept::Port)?);
    let same = listener.local_addr().is_ok_and(|found| found == address);
    if !same || listener.set_nonblocking(true).is_err() {
        return None;
    }
    TcpListener::from_std(listener).ok()
}

async fn accept(listener: TcpListener, context: Arc<Context>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let context = Arc::clone(&context);
                tokio::spawn(tolerated(connection(stream, context, Place::new(place))));
            }
            Err(error) => {
                // No descriptors left, as a rule: the next one may have to wait for a close.
                debug!(%error, "accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, context: Arc<Context>, place: Place) {
    // A client that stops reading in the middle of a file would keep its place for ever.
    if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_MAX)) {
        debug!(%error, "bound the time that a client may not read");
    }
    let afterwards = Afterwards::default();
    let handle = context.handle.clone();
    let put = afterwards.clone();
    let service = service_fn(move |mut request| {
        let context = Arc::clone(&context);
        Request::extensions_mut(&mut request).insert(place.clone());
        Request::extensions_mut(&mut request).insert(put.clone());
        async move { Ok::<_, Infallible>(router::route(&context, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "HTTP connection");
    }
    afterwards.go(&handle).await;
}
