//! Memory: what an idle agent costs the master, of which its link is one part and its state the other.

use anyhow::Result;

use super::Bench;
use super::cluster::Cluster;

/// How many agents the cost is divided by.
const AGENTS: usize = 5000;
/// The budgets of an agent's state, and of that with its link, in kB.
const STATE: f64 = 4.0;
const WHOLE: f64 = 32.0;

/// The growth of the master's proportional set size, by links on which nobody registers, and by agents.
pub(super) fn agent(bench: &mut Bench<'_>) -> Result<()> {
    bench.begin(
        "memory of the master for each idle agent",
        "buffers of the link, and what is known of an agent",
    );
    let agents = bench.agents(AGENTS);
    let link = grown(bench, agents, &["--silent"])?;
    let whole = grown(bench, agents, &[])?;
    for (part, value, budget) in [
        ("its link", link, None),
        ("its state", whole - link, Some(STATE)),
        ("link and state", whole, Some(WHOLE)),
    ] {
        let about = [
            ("row", "memory".into()),
            ("part", part.into()),
            ("agents", agents.into()),
        ];
        bench.figure(&about, value, "kB", budget);
    }
    Ok(())
}

/// How much a master grows by a fleet, in kB for each of its links.
fn grown(bench: &Bench<'_>, agents: usize, options: &[&str]) -> Result<f64> {
    let mut cluster = Cluster::start(&bench.program, &bench.folder)?;
    let before = cluster.master()?.memory()?.pss;
    cluster.join(agents, options)?;
    let after = cluster.master()?.memory()?.pss;
    Ok((after as f64 - before as f64) / 1024.0 / agents as f64)
}
