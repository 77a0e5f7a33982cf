//! `cargo xtask hostile`: hostile requests against a master that has work to do.
//!
//! A master runs in a process of its own, with one stand-in for an agent and a framework that runs
//! one short task after another. Then come malformed, truncated, oversized and slow requests, streams
//! that nobody reads, and idle connections up to the limit of descriptors. All the time `/health` must
//! answer and tasks must end; afterwards the master may hold no more memory than `--memory-mb`.
//!
//! Left out: floods of valid calls, which are a load and not an attack.

mod requests;
mod workload;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tests::fake_agent::FakeAgent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::daemon::Daemon;
use crate::image::root;
use requests::{Kind, Random};
use workload::Workload;

/// How many hostile requests are on their way at a time.
const AT_A_TIME: usize = 256;
/// How many idle connections are opened at a time.
const CONNECTS_AT_A_TIME: usize = 128;
/// How long the answer to a hostile request is read.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(1500);
/// How long `/health` may take, beside thousands of connections and on a busy machine.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(20);
/// How long the workload may go without a finished task.
const TASK_TIME_MAX: Duration = Duration::from_secs(60);
/// Descriptors that the master needs for other things than idle connections.
const SPARE_DESCRIPTORS: usize = 400;

/// What to throw at a master.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many hostile requests
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// How many idle connections, at most; the limit of descriptors bounds them too
    #[arg(long, default_value_t = 100_000)]
    idle: usize,
    /// Repeats an attack
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much memory the master may have held at any time, in MB
    #[arg(long, default_value_t = 512)]
    memory_mb: u64,
    /// The master's program; built where it is not given
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Attacks; fails where the master stops answering or scheduling, or grows.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(attack(args, &program))
}

fn build() -> Result<PathBuf> {
    let root = root()?;
    let status = Command::new(env!("CARGO"))
        .current_dir(&root)
        .args(["build", "--quiet", "--package", "master"])
        .status()
        .context("start cargo")?;
    ensure!(status.success(), "the master does not build");
    Ok(root.join("target/debug/tepui-master"))
}

async fn attack(args: &Args, program: &std::path::Path) -> Result<()> {
    let port = Daemon::free_port()?;
    let master = Daemon::start(program, port, &["--registry=in_memory"])?;
    let _agent = FakeAgent::start(master.address(), 5051)
        .await
        .context("start an agent")?;
    let mut workload = Workload::start(master.address()).await?;
    workload.must_go_on(TASK_TIME_MAX).await?;
    let before = master.memory()?;
    println!("master: pid {}, {} MB", master.id(), before.rss >> 20);

    let begin = Instant::now();
    let slowest = throw(args, master.address()).await?;
    workload.must_go_on(TASK_TIME_MAX).await?;
    println!(
        "{} requests in {:.1} s; /health at most {slowest:?}; {} tasks finished",
        args.requests,
        begin.elapsed().as_secs_f64(),
        workload.finished(),
    );

    let open = idle(master.address(), args.idle, master.descriptors()?).await;
    let health = health(master.address()).await?;
    workload.must_go_on(TASK_TIME_MAX).await?;
    println!(
        "{} idle connections; /health {health:?}; {} tasks finished",
        open.len(),
        workload.finished(),
    );
    drop(open);

    let memory = master.memory()?;
    let peak = memory.rss_max >> 20;
    println!("memory: {} MB, at most {peak} MB", memory.rss >> 20);
    ensure!(
        peak <= args.memory_mb,
        "the master held {peak} MB, more than {}",
        args.memory_mb
    );
    println!("1 passed, 0 failed");
    Ok(())
}

/// Throws the requests; gives back the longest that `/health` took meanwhile.
async fn throw(args: &Args, address: SocketAddr) -> Result<Duration> {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let left = Arc::new(AtomicUsize::new(args.requests));
    let mut random = Random::new(args.seed);
    let thrower = tokio::spawn({
        let left = Arc::clone(&left);
        async move {
            for number in 0..left.load(Ordering::Relaxed) {
                let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                    return;
                };
                let kind = Kind::ALL[number % Kind::ALL.len()];
                let request = kind.make(&mut random);
                let left = Arc::clone(&left);
                tokio::spawn(async move {
                    // That a connection is cut is one of the right answers.
                    drop(send(address, kind, &request).await);
                    left.fetch_sub(1, Ordering::Relaxed);
                    drop(place);
                });
            }
        }
    });
    let mut slowest = Duration::ZERO;
    while left.load(Ordering::Relaxed) > 0 {
        slowest = slowest.max(health(address).await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    thrower.await.context("throw requests")?;
    Ok(slowest)
}

async fn send(address: SocketAddr, kind: Kind, request: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let sent = async {
        match kind.pause() {
            Some(pause) => {
                for byte in request.chunks(7).take(12) {
                    stream.write_all(byte).await?;
                    tokio::time::sleep(pause).await;
                }
                Ok(())
            }
            None => stream.write_all(request).await,
        }
    };
    timeout(ANSWER_TIME_MAX, sent).await.unwrap_or(Ok(()))?;
    if kind.is_never_read() {
        tokio::time::sleep(ANSWER_TIME_MAX).await;
        return Ok(());
    }
    let mut answer = vec![0; 16 << 10];
    let read = async {
        while stream.read(&mut answer).await? > 0 {}
        Ok(())
    };
    timeout(ANSWER_TIME_MAX, read).await.unwrap_or(Ok(()))
}

/// How long `/health` takes; an error where it does not answer in time.
async fn health(address: SocketAddr) -> Result<Duration> {
    let begin = Instant::now();
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: master\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(HEALTH_TIME_MAX, ask)
        .await
        .with_context(|| format!("/health did not answer in {HEALTH_TIME_MAX:?}"))?
        .context("ask /health")?;
    if !answer.starts_with(b"HTTP/1.1 200 OK\r\n") {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        bail!("/health answers {shown:?}");
    }
    Ok(begin.elapsed())
}

/// Opens connections that say nothing, as many as are wanted and the machine allows.
async fn idle(address: SocketAddr, wanted: usize, in_use: usize) -> Vec<TcpStream> {
    let limit = descriptors_max().saturating_sub(in_use + SPARE_DESCRIPTORS);
    let mut open = Vec::new();
    let mut connecting = JoinSet::new();
    for number in 0..wanted.min(limit) {
        connecting.spawn(connect(address, number));
        if connecting.len() == CONNECTS_AT_A_TIME {
            open.extend(connecting.join_next().await.and_then(Result::ok).flatten());
        }
    }
    // Those that fail have met the machine's limit, or the master's own.
    open.extend(connecting.join_all().await.into_iter().flatten());
    open
}

async fn connect(address: SocketAddr, number: usize) -> Option<TcpStream> {
    // One address has less than 30 000 ports to connect from.
    let host = u8::try_from(2 + number / 20_000).unwrap_or(u8::MAX);
    let socket = TcpSocket::new_v4().ok()?;
    let own = Ipv4Addr::new(127, 0, 0, host);
    socket.bind(SocketAddr::new(IpAddr::V4(own), 0)).ok()?;
    let connected = timeout(Duration::from_secs(2), socket.connect(address)).await;
    connected.ok()?.ok()
}

/// The limit of descriptors, which the master inherits.
fn descriptors_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    soft.and_then(|text| text.parse().ok()).unwrap_or(1024)
}
