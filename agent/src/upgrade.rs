//! Upgrade: another build of this program in the place of the one that runs, with everything that it runs.
//!
//! ```text
//! a signed statement -> permitted -> the program's bytes, into memory -> whole -> an ELF file of this machine
//!   -> run as a child, which can go on from here -> answered -> no launch under way -> executed, on trial
//!   -> registered again -> settled          or: it ends, or takes too long -> the one before, with the reason
//! ```
//!
//! Whatever is wrong before the execution leaves this process as it was. After a start of the machine it is
//! the image's program that runs.

pub mod check;
mod elf;
pub mod permit;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_core::effect::WallTime;
use agent_kernel::program::{Draft, Program};
use agent_kernel::reexec;
use agent_kernel::{Errno, facts};
use bytes::Bytes;
use http_body_util::BodyExt;
use model::AgentId;
use model::upgrade::{Digest, PROGRAM_BYTES_MAX, Statement};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex as AsyncMutex, TryLockError};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::Config;
use crate::config::recovery::Strictness;
use crate::containers::Ground;
use crate::handover::{Build, Counts, Handover};
use crate::init::chain;
use crate::paths;
use check::{CheckError, Given, Shown};
use elf::{ElfError, HEAD_BYTES};
use permit::{PermitError, Permits};

/// How long the bytes of a program may take.
const BODY_MAX: Duration = Duration::from_secs(300);
/// What is left of the machine's memory beside a program.
const SPARE_BYTES: u64 = 16 << 20;
/// How long a program may take in check mode.
const CHECK_MAX: Duration = Duration::from_secs(30);

/// What somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The statement.
    pub statement: &'a str,
    /// Its signature.
    pub signature: &'a str,
    /// The length of the body, where it is told.
    pub length: Option<u64>,
    /// This agent.
    pub agent: Option<&'a AgentId>,
    /// Now.
    pub now: WallTime,
    /// How many containers would lose their terminal though nobody has said that they may.
    pub terminals: usize,
}

/// A program that is to be executed.
#[derive(Debug)]
pub struct Arrived {
    program: Program,
    /// The one that runs.
    pub from: Build,
    /// The one that is to run.
    pub to: Build,
}

/// Why a program does not take the place of this one.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Whoever asks may not.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// One at a time.
    #[error("another upgrade of this agent is under way")]
    Busy,
    /// This program has taken another's place, and is not sure to stay.
    #[error(
        "the program that runs has just taken another's place: try again when it is registered"
    )]
    OnTrial,
    /// A word that is none.
    #[error("force is true or false, not '{0}'")]
    Force(String),
    /// Tasks would notice.
    #[error(
        "{0} containers have a terminal, which ends with the program that has it, and would get SIGHUP: \
         `tepui upgrade --force` (?force=true) does it all the same"
    )]
    Terminals(usize),
    /// The statement and the request are about two programs.
    #[error("the statement is of a program of {stated} bytes, and the request has {sent}")]
    Length {
        /// By the statement.
        stated: u64,
        /// By the request.
        sent: u64,
    },
    /// Longer than any.
    #[error("a program of {0} bytes is too long: {PROGRAM_BYTES_MAX} at most")]
    Long(u64),
    /// The bytes did not come.
    #[error("the program did not arrive: {0}")]
    Body(String),
    /// They are others.
    #[error("the program that arrived has another SHA-256 than was signed: {0}")]
    Digest(Digest),
    /// There is no room for it.
    #[error("keep the program in memory")]
    Memory(#[source] io::Error),
    /// Tasks would have to make room for it.
    #[error("{wanted} bytes of memory are wanted for the program, and {available} are available")]
    Room {
        /// For its bytes, its check and its start.
        wanted: u64,
        /// As the kernel says.
        available: u64,
    },
    /// It is taken once alone, and that was not kept.
    #[error("keep the moment of the statement")]
    Take(#[source] io::Error),
    /// It runs.
    #[error("this very program runs already")]
    Same,
    /// This machine does not execute it.
    #[error("the program is refused")]
    Elf(#[source] ElfError),
    /// It cannot go on from here.
    #[error("the program is refused")]
    Check(#[source] CheckError),
    /// What runs cannot be read.
    #[error("read the program that runs")]
    Own(#[source] io::Error),
    /// It was not the time.
    #[error("launches were under way for {} s", .0.as_secs())]
    Launches(Duration),
    /// The kernel did not.
    #[error("execute the program")]
    Execute(#[source] Errno),
}

/// What was not executed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Refusal {
    /// Where it was known by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    why: String,
}

/// Takes programs, one at a time, and tells what became of them.
#[derive(Debug)]
pub struct Upgrades {
    permits: AsyncMutex<Permits>,
    handover: Handover,
    given: Given,
    checkpoint: PathBuf,
    strictness: Strictness,
    time: Duration,
    ground: Arc<Ground>,
    last_refusal: Mutex<Option<Refusal>>,
}

impl Upgrades {
    /// As the operator set it.
    #[must_use]
    pub fn new(
        config: &Config,
        work_dir: &Path,
        given: Given,
        handover: Handover,
        ground: Arc<Ground>,
    ) -> Self {
        Self {
            permits: AsyncMutex::new(Permits::open(&config.recovery.upgrade_keys, work_dir)),
            handover,
            given,
            checkpoint: paths::checkpoint(work_dir),
            strictness: config.recovery.strictness,
            time: config.recovery.upgrade_max.min(CHECK_MAX),
            ground,
            last_refusal: Mutex::default(),
        }
    }

    /// Takes a program whose bytes are a body, and checks it.
    ///
    /// # Errors
    /// It is not to be executed; nothing has changed.
    pub async fn take<B>(&self, ask: Ask<'_>, body: B) -> Result<Arrived, UpgradeError>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let taken = self.taken(ask, body).await;
        match &taken {
            Ok(arrived) => {
                let (from, to) = (&arrived.from, &arrived.to);
                info!(
                    version = to.version,
                    sha256 = to.sha256,
                    before = from.sha256,
                    "a program is to take the place of this one"
                );
            }
            Err(error) => {
                // Nothing is kept of what was not signed.
                let statement: Option<Statement> = ask.statement.parse().ok();
                let sha256 = statement.map(|statement| statement.digest.to_string());
                self.refused(error, sha256);
            }
        }
        taken
    }

    async fn taken<B>(&self, ask: Ask<'_>, body: B) -> Result<Arrived, UpgradeError>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        // Held until the program is checked.
        let mut permits = match self.permits.try_lock() {
            Ok(permits) => permits,
            Err(TryLockError { .. }) => return Err(UpgradeError::Busy),
        };
        let statement = permits.check(ask.statement, ask.signature, ask.agent, ask.now)?;
        if reexec::is_on_trial() {
            return Err(UpgradeError::OnTrial);
        }
        if ask.terminals > 0 {
            return Err(UpgradeError::Terminals(ask.terminals));
        }
        let stated = statement.bytes;
        if stated > PROGRAM_BYTES_MAX {
            return Err(UpgradeError::Long(stated));
        }
        if let Some(sent) = ask.length.filter(|sent| *sent != stated) {
            return Err(UpgradeError::Length { stated, sent });
        }
        // The program stays in memory; its check and its start want some, too. A task is not to end for it.
        let wanted = stated.saturating_add(SPARE_BYTES);
        if let Some(available) = available().filter(|available| *available < wanted) {
            return Err(UpgradeError::Room { wanted, available });
        }
        let received = timeout(BODY_MAX, receive(&statement, body)).await;
        let silent = |_| UpgradeError::Body(format!("not within {} s", BODY_MAX.as_secs()));
        let (program, head) = received.map_err(silent)??;
        permits.take(&statement).map_err(UpgradeError::Take)?;
        let sha256 = statement.digest.to_string();
        let from = self.own().await?;
        if from.sha256 == sha256 {
            return Err(UpgradeError::Same);
        }
        elf::look(&head).map_err(UpgradeError::Elf)?;
        let records = self.ground.host.notes();
        let records = records.map_err(|error| UpgradeError::Check(CheckError::Show(error)))?;
        let shown = Shown {
            settings: self.given.clone(),
            state: self.handover.text(),
            checkpoint: &self.checkpoint,
            strictness: self.strictness,
            time: self.time,
            records: records.into_iter().map(|(_, record)| record).collect(),
        };
        let version = check::check(&program, shown).await;
        let version = version.map_err(UpgradeError::Check)?;
        Ok(Arrived {
            program,
            from,
            to: Build { version, sha256 },
        })
    }

    /// The program that runs.
    async fn own(&self) -> Result<Build, UpgradeError> {
        // Where one took another's place, it is known.
        if let Some(upgrade) = self.upgrade() {
            return Ok(upgrade.running().clone());
        }
        let digest = tokio::task::spawn_blocking(|| digest_of(Path::new("/proc/self/exe")));
        let digest = digest.await.map_err(io::Error::other);
        let digest = digest.flatten().map_err(UpgradeError::Own)?;
        Ok(Build {
            version: env!("CARGO_PKG_VERSION").to_string(),
            sha256: digest.to_string(),
        })
    }

    /// Executes a program in the place of this one; comes back only where that was not done.
    pub fn execute(&self, arrived: &Arrived, was_registered: bool) -> UpgradeError {
        let before = self.handover.state();
        self.handover.change(|state| {
            state.counts.upgrades += 1;
            state.upgrade = Some(crate::handover::Upgrade {
                from: arrived.from.clone(),
                to: arrived.to.clone(),
                was_registered,
                undone: None,
            });
        });
        let cause = format!(
            "upgrade to version {} with SHA-256 {}",
            arrived.to.version, arrived.to.sha256
        );
        let error = UpgradeError::Execute(reexec::exchange(&arrived.program, &cause));
        self.handover.change(|state| *state = before);
        error
    }

    /// Counts what was not done, and keeps why: of those who may ask alone.
    pub fn refused(&self, error: &UpgradeError, sha256: Option<String>) {
        let why = chain(error);
        warn!(why, "no program takes the place of this one");
        self.handover.change(|state| state.counts.refused += 1);
        if !matches!(error, UpgradeError::Permit(_) | UpgradeError::Busy) {
            let last = self.last_refusal.lock();
            *last.unwrap_or_else(PoisonError::into_inner) = Some(Refusal { sha256, why });
        }
    }

    /// The program that took another's place last.
    #[must_use]
    pub fn upgrade(&self) -> Option<crate::handover::Upgrade> {
        self.handover.state().upgrade
    }

    /// Has the next program fail in one of the ways there are for tests.
    pub fn next_fails(&self, kind: &str) {
        self.handover
            .change(|state| state.fails = Some(kind.to_string()));
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.handover.state().counts
    }

    /// What there is to tell; nothing where nobody ever asked.
    #[must_use]
    pub fn told(&self) -> Option<Value> {
        let state = self.handover.state();
        let refusal = self.last_refusal.lock();
        let refusal = refusal.unwrap_or_else(PoisonError::into_inner).clone();
        if state.upgrade.is_none() && state.counts == Counts::default() {
            return None;
        }
        let mut told = Map::new();
        if let Some(upgrade) = &state.upgrade {
            let runs = upgrade.running();
            let other = match upgrade.undone {
                None => ("instead_of", &upgrade.from),
                Some(_) => ("refused", &upgrade.to),
            };
            told.insert("version".to_string(), json!(runs.version));
            told.insert("sha256".to_string(), json!(runs.sha256));
            told.insert(other.0.to_string(), json!(other.1));
            told.insert("on_trial".to_string(), json!(reexec::is_on_trial()));
            // What was undone is what was started.
            let until = upgrade.undone.is_none().then(|| self.given.lasts_until());
            told.insert("lasts_until".to_string(), json!(until));
            told.insert("undone".to_string(), json!(upgrade.undone));
        }
        told.insert("last_refusal".to_string(), json!(refusal));
        told.insert("counts".to_string(), json!(state.counts));
        told.retain(|_, value| !value.is_null());
        Some(Value::Object(told))
    }
}

/// Whether a file begins as a program of this machine.
pub(crate) fn is_program(head: &[u8]) -> bool {
    elf::look(head).is_ok()
}

/// How much of the machine's memory can be had, in bytes; none where the kernel does not say.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    facts::kilobytes(&text, "MemAvailable:")
}

/// Receives a program; gives its beginning, too.
async fn receive<B>(statement: &Statement, mut body: B) -> Result<(Program, Vec<u8>), UpgradeError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let memory = |errno: Errno| UpgradeError::Memory(errno.into());
    let mut draft = Draft::begin().map_err(memory)?;
    let (mut sum, mut head, mut sent) = (Sha256::new(), Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpgradeError::Body(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        sent = sent.saturating_add(data.len() as u64);
        if sent > statement.bytes {
            let stated = statement.bytes;
            return Err(UpgradeError::Length { stated, sent });
        }
        sum.update(&data);
        head.extend(data.iter().take(HEAD_BYTES - head.len()));
        draft.add(&data).map_err(UpgradeError::Memory)?;
    }
    let digest = Digest(sum.finalize().into());
    if digest != statement.digest {
        return Err(UpgradeError::Digest(digest));
    }
    Ok((draft.seal().map_err(memory)?, head))
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let file = File::open(path)?;
    let (mut sum, mut at) = (Sha256::new(), 0_u64);
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read_at(&mut chunk, at)? {
            0 => return Ok(Digest(sum.finalize().into())),
            length => {
                sum.update(&chunk[..length]);
                at += length as u64;
            }
        }
    }
}
