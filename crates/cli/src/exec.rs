//! Exec: a command in the container of a task, with this terminal as its own.
//!
//! The command runs as long as this program does: when its connection is gone, the agent kills it.

use api::v1::tty_info::WindowSize;
use api::v1::{CommandInfo, ContainerId, Environment, environment};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, interval_at};

use crate::anew;
use crate::args::ExecArgs;
use crate::client::ClientError;
use crate::client::address::Address;
use crate::client::http::Connection;
use crate::client::master::Master;
use crate::client::session::{self, HEARTBEAT, Input, Output, Session, SessionError};
use crate::client::state;
use crate::note;
use crate::stops::{Stop, Stops};
use crate::tasks::{FindError, find};
use crate::terminal::{self, Raw};

/// The most that is read from the terminal at a time.
const PIECE_BYTES_MAX: usize = 16 << 10;
/// What a terminal's program takes for the end of its input (Ctrl-D).
const END_OF_TRANSMISSION: &[u8] = &[4];
/// The code where the task's end took the command with it, as SIGKILL does.
const KILLED: u8 = 128 + 9;
/// The code where the agent's program was executed again, and the command ended with it: it may be tried
/// once more (EX_TEMPFAIL of sysexits.h).
const INTERRUPTED: u8 = 75;

/// Why a command did not run, or is not heard of any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Find(#[from] FindError),
    #[error("{task} is over: {state}")]
    Over { task: String, state: String },
    #[error("{task} has no container yet: it is in {state}")]
    Early { task: String, state: String },
    #[error("{task} runs on {agent}, which is not registered any more")]
    Node { task: String, agent: String },
    #[error("standard input is no terminal: leave --tty out")]
    NoTerminal,
    #[error("take the terminal over")]
    Terminal(#[source] rustix::io::Errno),
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("write the output")]
    Write(#[source] std::io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Runs a command in a task's container; its exit code.
pub(crate) async fn exec(args: &ExecArgs, master: &Master) -> Result<u8, ExecError> {
    if args.tty && args.interactive && !terminal::is_interactive() {
        return Err(ExecError::NoTerminal);
    }
    let (agent, parent) = locate(args, master).await?;
    let container = ContainerId {
        value: uuid::Uuid::new_v4().to_string(),
        parent: Some(Box::new(parent)),
    };
    let window = args.tty.then(window);
    let mut stops = Stops::listen().map_err(ExecError::Signals)?;
    let launch = session::launch(&agent, container, command(args), window);
    let mut session = tokio::select! {
        session = launch => session?,
        stop = stops.next() => return Ok(stop.code()),
    };
    let begun = std::time::Instant::now();
    let raw = (args.tty && args.interactive).then(Raw::take);
    let raw = raw.transpose().map_err(ExecError::Terminal)?;
    let carried = carry(args, &mut session, &mut stops).await;
    // What follows may say something.
    drop(raw);
    match carried {
        Ok(None) => {}
        Ok(Some(stop)) => return Ok(stop.code()),
        Err(ExecError::Session(SessionError::Lost { address, source })) => {
            let told = tokio::select! {
                told = anew::since(&agent, begun) => told,
                stop = stops.next() => return Ok(stop.code()),
            };
            let Some(why) = told else {
                return Err(SessionError::Lost { address, source }.into());
            };
            note(&format!(
                "the agent of this node {why}, and the command ended with it; the task goes on"
            ));
            return Ok(INTERRUPTED);
        }
        Err(error) => return Err(error),
    }
    match session.end().await? {
        Some(status) => Ok(code(status)),
        None => {
            note("the task ended, and the command with it");
            Ok(KILLED)
        }
    }
}

/// Where the task runs: its agent and its container.
async fn locate(args: &ExecArgs, master: &Master) -> Result<(Address, ContainerId), ExecError> {
    let state = state::fetch(&mut Connection::to(master).await?).await?;
    let (_, task) = find(&state, &args.task)?;
    let (id, now) = (task.id.clone(), task.state.clone());
    if task.is_terminal() {
        return Err(ExecError::Over {
            task: id,
            state: now,
        });
    }
    let Some(container) = task.container() else {
        return Err(ExecError::Early {
            task: id,
            state: now,
        });
    };
    let Some(node) = state.node(&task.slave_id) else {
        return Err(ExecError::Node {
            task: id,
            agent: task.slave_id.clone(),
        });
    };
    Ok((node.address(), container))
}

fn command(args: &ExecArgs) -> CommandInfo {
    let term = args.tty.then(|| std::env::var("TERM").ok()).flatten();
    let term = term.map(|value| ("TERM".to_owned(), value));
    let variables = term.into_iter().chain(args.env.iter().cloned());
    let variables: Vec<_> = variables
        .map(|(name, value)| environment::Variable {
            name,
            value: Some(value),
            ..Default::default()
        })
        .collect();
    CommandInfo {
        shell: Some(false),
        value: args.command.first().cloned(),
        arguments: args.command.clone(),
        user: args.user.clone(),
        environment: (!variables.is_empty()).then_some(Environment { variables }),
        ..Default::default()
    }
}

/// Carries input and output until the process has ended, or until this program is to end.
async fn carry(
    args: &ExecArgs,
    session: &mut Session,
    stops: &mut Stops,
) -> Result<Option<Stop>, ExecError> {
    let mut keys = Keys::new(args, session)?;
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    loop {
        tokio::select! {
            output = session.next() => {
                let written = match output? {
                    None => return Ok(None),
                    Some(Output::Stdout(bytes)) => write(&mut stdout, &bytes).await,
                    Some(Output::Stderr(bytes)) => write(&mut stderr, &bytes).await,
                };
                match written {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                        return Ok(Some(Stop::BrokenPipe));
                    }
                    Err(error) => return Err(ExecError::Write(error)),
                }
            }
            stop = stops.next() => return Ok(Some(stop)),
            () = keys.forward() => {}
        }
    }
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// What goes to the process: keys, the window's size, and signs of life.
struct Keys {
    /// Unset once the process takes no more.
    input: Option<Input>,
    /// Unset once it ended, and where this program is to read none.
    stdin: Option<Stdin>,
    buffer: BytesMut,
    /// What is to be sent next.
    next: Option<Piece>,
    resized: Signal,
    beat: Interval,
    /// Whether the process has a terminal.
    tty: bool,
}

/// Something to send.
enum Piece {
    Bytes(Bytes),
    Window,
    Heartbeat,
}

impl Keys {
    fn new(args: &ExecArgs, session: &Session) -> Result<Self, ExecError> {
        let resized = signal(SignalKind::window_change()).map_err(ExecError::Signals)?;
        let next = match (args.tty, args.interactive) {
            // It may have changed since the launch, before anyone listened.
            (true, _) => Some(Piece::Window),
            (false, true) => None,
            // A process that reads must not wait for what never comes.
            (false, false) => Some(Piece::Bytes(Bytes::new())),
        };
        Ok(Self {
            input: Some(session.attach()),
            stdin: args.interactive.then(tokio::io::stdin),
            buffer: BytesMut::new(),
            next,
            resized,
            beat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
            tty: args.tty,
        })
    }

    /// Takes one step; may be cancelled at any point, and is to be called again.
    async fn forward(&mut self) {
        let Some(input) = &mut self.input else {
            return std::future::pending().await;
        };
        // A send that is cancelled has sent nothing, so that the piece stays until it is through.
        let taken = match &self.next {
            None => {
                self.next = Some(tokio::select! {
                    bytes = read(&mut self.stdin, &mut self.buffer) => Piece::Bytes(bytes),
                    Some(()) = self.resized.recv(), if self.tty => Piece::Window,
                    _ = self.beat.tick() => Piece::Heartbeat,
                });
                return;
            }
            Some(Piece::Bytes(end)) if end.is_empty() => {
                self.stdin = None;
                match self.tty {
                    true => input.send(Bytes::from_static(END_OF_TRANSMISSION)).await,
                    false => input.finish().await,
                }
            }
            Some(Piece::Bytes(bytes)) => input.send(bytes.clone()).await,
            Some(Piece::Window) => input.resize(window()).await,
            Some(Piece::Heartbeat) => input.heartbeat().await,
        };
        self.next = None;
        if !taken {
            self.input = None;
        }
    }
}

/// The window's size; none is known where no stream is a terminal.
fn window() -> WindowSize {
    terminal::window().unwrap_or_default()
}

/// The next bytes of standard input; none at its end, or where it cannot be read.
async fn read(stdin: &mut Option<Stdin>, buffer: &mut BytesMut) -> Bytes {
    let Some(stdin) = stdin else {
        return std::future::pending().await;
    };
    buffer.reserve(PIECE_BYTES_MAX);
    match stdin.read_buf(buffer).await {
        Ok(_) => buffer.split().freeze(),
        Err(_) => Bytes::new(),
    }
}

/// The exit code that stands for a status of wait(2), as shells have it.
fn code(status: i32) -> u8 {
    match model::sandbox::ExitStatus::from_wait_status(status) {
        Some(model::sandbox::ExitStatus::Exited(code)) => code,
        Some(model::sandbox::ExitStatus::Signaled(signal)) => {
            u8::try_from(signal).unwrap_or(0).saturating_add(128)
        }
        None => KILLED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_becomes_the_exit_code_of_a_shell() {
        for (status, expected) in [(0, 0), (7 << 8, 7), (9, 137), (15, 143), (255 << 8, 255)] {
            assert_eq!(code(status), expected, "{status}");
        }
    }
}
