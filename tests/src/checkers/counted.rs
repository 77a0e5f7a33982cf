//! The master never counts more than there is: on each agent what is offered and what tasks hold
//! fits into the total. An agent that came back without what was on its way to it may have less than
//! its tasks hold, until it answers for them; then nothing of it is offered. What is revocable is told
//! apart: there may be less of it than tasks hold at any time, and then nothing of that is offered.

use master_core::Master;
use model::Resources;

/// The violations, in words.
pub fn exceeded(master: &Master) -> Vec<String> {
    let view = master.view();
    let mut out = Vec::new();
    for agent in view.agents() {
        let used = view.used_on(agent).unallocate();
        let offered = view.offered_on(agent).unallocate();
        let (id, total) = (&agent.id, &agent.total);
        for revocable in [false, true] {
            let of = |all: &Resources| all.filter(|one| one.revocable == revocable);
            let (used, offered) = (of(&used), of(&offered));
            if !offered.is_empty() && !of(total).contains(&used.plus(&offered)) {
                out.push(format!(
                    "{id}: {used} used and {offered} offered of {total}"
                ));
            }
        }
    }
    out
}
