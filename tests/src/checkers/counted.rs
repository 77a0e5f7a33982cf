//! The master never counts more than there is: on each agent what is offered and what tasks hold
//! fits into the total. An agent that came back without what was on its way to it may have less than
//! its tasks hold, until it answers for them; then nothing of it is offered.

use master_core::Master;

/// The violations, in words.
pub fn exceeded(master: &Master) -> Vec<String> {
    let view = master.view();
    let mut out = Vec::new();
    for agent in view.agents() {
        let used = view.used_on(agent).unallocate();
        let offered = view.offered_on(agent).unallocate();
        let total = &agent.total;
        if !offered.is_empty() && !total.contains(&used.plus(&offered)) {
            let id = &agent.id;
            out.push(format!(
                "{id}: {used} used and {offered} offered of {total}"
            ));
        }
    }
    out
}
