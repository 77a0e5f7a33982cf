//! A term: what a master begins to lead with, once it is elected.
//!
//! The registry is read under the new epoch, on a thread that may block, while the main loop still has
//! an idle core; then the loop gets all of it at once.

use std::sync::Arc;

use detector::{Leader, Place};
use master_core::Master;
use master_core::event::{Event, StoreId};
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;
use zookeeper_client::Client;

use super::{Candidate, Contender, Decision};
use crate::facts::Facts;
use crate::flags::{Config, RegistryKind};
use crate::handle::Handle;
use crate::main_loop::Notice;
use crate::registry::{Elected, Memory, Registry, Writer, ZooKeeper, entries};
use crate::server::{StartError, core_config, writer};

/// What a master begins to lead with.
pub(crate) struct Term {
    /// Greater than that of every leader before.
    pub(crate) epoch: u64,
    /// The core, to which nothing has happened yet.
    pub(crate) core: Master,
    /// What the registry holds.
    pub(crate) recovered: Event,
    /// Writes the registry.
    pub(crate) writer: Writer<StoreId>,
}

/// Stands for election; the main loop is told what comes of it.
pub(crate) fn stand(
    config: &Config,
    place: Place,
    handle: Handle,
    notifier: mpsc::UnboundedSender<Notice>,
) -> Contender {
    let facts = handle.facts();
    let candidate = Candidate {
        place: place.clone(),
        znode: facts.znode(),
        own: Leader {
            hostname: facts.hostname.clone(),
            ip: facts.address.ip(),
            port: facts.address.port(),
        },
        region: facts.region().map(str::to_owned),
        standing: Arc::clone(&facts.standing),
    };
    // A master is elected once and deposed once.
    let (decisions, mut decided) = mpsc::channel(2);
    let config = Arc::new(config.clone());
    tokio::spawn(async move {
        while let Some(decision) = decided.recv().await {
            let notice = match decision {
                Decision::Deposed { why } => Notice::Deposed(why),
                Decision::Misplaced { leads, own } => Notice::Misplaced { leads, own },
                Decision::Elected { epoch, session } => {
                    let (config, handle) = (Arc::clone(&config), handle.clone());
                    let registry = elected_registry(&config, place.clone(), session);
                    let notifier = notifier.clone();
                    let term = tokio::task::spawn_blocking(move || {
                        begin(&config, handle.facts(), epoch, registry, notifier)
                    });
                    match term.await {
                        Ok(Ok(term)) => Notice::Elected(Box::new(term)),
                        Ok(Err(error)) => Notice::Unfit(Box::new(error)),
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    }
                }
            };
            // The loop is gone only at the end of the process.
            drop(notifier.send(notice));
        }
    });
    Contender::start(candidate, decisions)
}

fn elected_registry(config: &Config, place: Place, session: Client) -> Box<dyn Registry> {
    match config.registry() {
        RegistryKind::InMemory => Box::new(Memory::default()),
        RegistryKind::ZooKeeper | RegistryKind::Durable | RegistryKind::Redb => {
            Box::new(ZooKeeper::within(session, place, Runtime::current()))
        }
    }
}

/// Reads the registry under a new epoch; no master of an earlier one writes there afterwards.
fn begin(
    config: &Config,
    facts: &Facts,
    epoch: u64,
    mut registry: Box<dyn Registry>,
    notifier: mpsc::UnboundedSender<Notice>,
) -> Result<Term, StartError> {
    let contents = registry.start(Elected::Epoch(epoch))?;
    let recovered = entries::decode(contents.entries)?;
    tracing::info!(
        epoch,
        agents = recovered.admitted.len(),
        "the registry is read"
    );
    Ok(Term {
        epoch,
        core: Master::new(core_config(config, epoch, facts)),
        recovered: Event::Recovered(recovered),
        writer: writer(registry, notifier)?,
    })
}
