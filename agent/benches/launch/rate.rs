//! Launches a second, several at a time as the agent starts them.

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::figures::Figure;
use crate::world::{Network, World};
use crate::{Outcome, chain};

/// `LAUNCHES_MAX` of the agent.
const AT_ONCE: usize = 4;
/// DESIGN.md, "Numbers to reach": on a host kernel.
const BUDGET: f64 = 300.0;

/// Starts so many tasks, each to its end.
pub(crate) fn measure(world: &World, launches: usize) -> Outcome<()> {
    let left = Mutex::new(launches);
    let take = || {
        let mut left = left
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = left.checked_sub(1)?;
        *left = next;
        Some(())
    };
    let work = || -> Result<(), String> {
        let one = || -> Outcome<()> {
            let prepared = world.prepare(Network::Node, false)?;
            let launched = world.spawn(&prepared)?;
            world.end(&prepared, &launched)
        };
        while take().is_some() {
            one().map_err(|error| chain(error.as_ref()))?;
        }
        Ok(())
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err("a thread panicked".into()),
        });
        ends.collect::<Result<Vec<()>, String>>()
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a figure of a benchmark")]
    let rate = launches as f64 / begun.elapsed().as_secs_f64();
    Figure {
        about: vec![("figure", json!("rate")), ("at_once", json!(AT_ONCE))],
        value: rate,
        unit: "launches/s",
        budget: Some(BUDGET),
    }
    .print();
    Ok(())
}
