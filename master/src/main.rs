//! `tepui-master`: reads the settings, runs a master, ends on SIGTERM or SIGINT; or looks at a registry.
//!
//! Exit codes: 0 after an orderly end, 1 after a fault, 2 where the settings are wrong.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

use detector::Place;
use master::flags::{self, Command, Config, RegistryAct};
use master::registry::{Memory, Redb, Registry, ZooKeeper, document};
use master::{RunError, Server, StartError};
use tokio::signal::unix::{SignalKind, signal};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One for the loop, the others for connections.
const THREADS_MAX: usize = 4;

/// Why the program ends with a fault.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Run(#[from] RunError),
}

fn main() -> ExitCode {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    match flags::parse(arguments, variables) {
        Ok(Command::Help) => {
            print!("{}", flags::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            println!("tepui-master {}", master::VERSION);
            ExitCode::SUCCESS
        }
        Ok(Command::Run(config)) => match run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                eprintln!("tepui-master: {}", chain(&fault));
                ExitCode::FAILURE
            }
        },
        Ok(Command::Registry(act, config)) => match registry(act, &config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                eprintln!("tepui-master: {}", chain(fault.as_ref()));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("tepui-master: wrong settings\n{error}");
            ExitCode::from(2)
        }
    }
}

fn run(config: &Config) -> Result<(), Fault> {
    master::logging::start();
    keep_small();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.clamp(2, THREADS_MAX))
        .enable_all()
        .build()
        .map_err(Fault::Runtime)?
        .block_on(serve(config))
}

/// Looks at a registry, or fills it.
fn registry(act: RegistryAct, config: &Config) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut registry: Box<dyn Registry> = match (&config.zk, &config.work_dir) {
        (Some(zk), _) => {
            let place = Place {
                url: zk.read()?,
                session_timeout: config.zk_session_timeout,
            };
            Box::new(ZooKeeper::new(place, runtime.handle().clone()))
        }
        (None, Some(work_dir)) => {
            // To look is not to make one.
            if act != RegistryAct::Import && !work_dir.join("registry.redb").exists() {
                return Err(format!("there is no registry in {}", work_dir.display()).into());
            }
            Box::new(Redb::open(work_dir)?)
        }
        // The flags see to it that there is one.
        (None, None) => Box::new(Memory::default()),
    };
    match act {
        RegistryAct::Show => println!("{:#}", document::show(&registry.read()?)?),
        RegistryAct::Export => println!("{:#}", document::export(&registry.read()?)),
        RegistryAct::Import => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text)?;
            let count = document::import(&text, &mut *registry)?;
            eprintln!("tepui-master: imported {count} entries");
        }
    }
    Ok(())
}

/// Memory comes in small pages alone. The allocator asks for huge ones, and of thousands of links that
/// rest most have a few kilobytes in use of each: an agent cost 55 kB with them, 37 kB without.
fn keep_small() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!(%error, "do without huge pages");
    }
}

async fn serve(config: &Config) -> Result<(), Fault> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Signals)?;
    let server = Server::start(config).await?;
    let stopper = server.stopper();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
        stopper.stop();
    });
    Ok(server.ended().await?)
}

/// The error and its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
