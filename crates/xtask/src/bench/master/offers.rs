//! Offers: how soon they are in hand, and how many a second.

use std::time::Instant;

use anyhow::Result;

use super::framework::Framework;
use super::{Bench, milliseconds, percentile};

/// Agents, and the budget in ms.
const SUBSCRIBE: [(usize, f64); 2] = [(1000, 8.0), (4000, 35.0)];
/// How often; the median counts.
const ROUNDS: usize = 15;
/// Agents, and the budget in offers a second.
const RATE: (usize, f64) = (1000, 100_000.0);

/// From SUBSCRIBE to the offers of all agents in hand; each round is a new framework.
pub(super) fn subscribe(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "SUBSCRIBE to the offers of all agents in hand",
        "the work for each offer: to allocate, encode, send and read it",
    );
    for (meant, budget) in SUBSCRIBE {
        let agents = bench.agents(meant);
        let cluster = bench.cluster(agents, &[])?;
        let mut samples = Vec::new();
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let mut framework = Framework::subscribe(cluster.address()?, None)?;
            framework.offers(agents)?;
            samples.push(milliseconds(begin.elapsed()));
            let caller = framework.caller();
            caller.connect()?.exchange(&caller.teardown())?;
        }
        let about = [("row", "subscribe".into()), ("agents", agents.into())];
        let budget = (agents == meant).then_some(budget);
        bench.figure(&about, percentile(&mut samples, 0.5), "ms", budget);
        if bench.args.agents.is_some() {
            break;
        }
    }
    Ok(())
}

/// One framework that declines every offer and revives when it has had them all.
pub(super) fn rate(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "offers to one framework that declines and revives",
        "the work for each offer: to allocate, encode, send, read and take it back",
    );
    let (meant, budget) = RATE;
    let agents = bench.agents(meant);
    let cluster = bench.cluster(agents, &[])?;
    let mut framework = Framework::subscribe(cluster.address()?, None)?;
    let caller = framework.caller().clone();
    let mut calls = caller.connect()?;
    let revive = caller.revive();
    let mut offers = 0_u32;
    let begin = Instant::now();
    while begin.elapsed() < bench.time() {
        let mut in_hand = 0;
        while in_hand < agents {
            let came = framework.offers(1)?;
            in_hand += came.len();
            calls.exchange(&caller.decline(came))?;
        }
        offers += u32::try_from(in_hand)?;
        calls.exchange(&revive)?;
    }
    let rate = f64::from(offers) / begin.elapsed().as_secs_f64();
    let about = [("row", "offers".into()), ("agents", agents.into())];
    let budget = (agents == meant).then_some(budget);
    bench.figure(&about, rate, "offers/s", budget);
    Ok(())
}
