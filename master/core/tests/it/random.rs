//! Random sequences of events: nobody panics, nothing is given out twice, nothing is lost.
//!
//! The world checks the invariant after each step. In the end all frameworks leave, and a new one must
//! be offered everything that the connected agents have.

use master_core::agents::AgentState;
use model::Resources;
use proptest::prelude::*;

use crate::world::World;

/// One act of frameworks, agents or time; numbers choose among what there is.
#[derive(Debug, Clone)]
struct Act {
    kind: u8,
    who: u8,
    what: u8,
    how: u8,
}

fn act() -> impl Strategy<Value = Act> {
    (0..22u8, any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(kind, who, what, how)| Act {
        kind,
        who,
        what,
        how,
    })
}

const STATES: [&str; 6] = [
    "STARTING", "RUNNING", "FINISHED", "FAILED", "KILLED", "LOST",
];

fn nth<T>(items: impl Iterator<Item = T>, number: u8) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    let index = usize::from(number).checked_rem(items.len())?;
    Some(items.swap_remove(index))
}

/// The script line of an act, where there is something to act on.
fn line(world: &World, act: &Act) -> Option<String> {
    let Act {
        kind,
        who,
        what,
        how,
        ..
    } = *act;
    let view = world.master.view();
    let framework = format!("m-{:04}", who % 4);
    let refuse = ["0", "0.5", "5", "-1"][usize::from(how % 4)];
    let task = format!("t{}", what % 6);
    Some(match kind {
        0 => format!("subscribe roles=a failover={}", how % 9),
        1 => format!(
            "subscribe roles=a/b,c checkpoint= failover={} caps=5",
            how % 9
        ),
        2 => format!("subscribe roles=a,c id={framework} failover=5"),
        3 => format!("close s{}", who % 12 + 1),
        4 => format!("close l{}", who % 12 + 1),
        5 => format!("register cpus:{};mem:256;ports:[1-9]", how % 4),
        6 | 7 => {
            let running = format!("m-{:04}/{task}/RUNNING/cpus:1;mem:9", how % 4);
            format!(
                "register cpus:{};mem:256 id=m-S{} incarnation={} tasks={running} frameworks={framework}",
                how % 4,
                who % 4,
                what % 3
            )
        }
        8 => format!("silent l{}", who % 12 + 1),
        9 | 10 => {
            let offer = nth(view.offers(), what)?;
            format!(
                "accept {} offers={} agent={} {task}:cpus:1;mem:{} tx:ports:[{}-9];cpus:0.5 refuse={refuse}",
                offer.framework_id,
                offer.id,
                offer.agent_id,
                what % 99,
                how % 9 + 1
            )
        }
        11 => {
            let offer = nth(view.offers(), what)?;
            format!(
                "decline {} offers={} refuse={refuse}",
                offer.framework_id, offer.id
            )
        }
        12 => format!("revive {framework}"),
        13 => format!("suppress {framework} roles=a"),
        14 => format!("kill {framework} {task}"),
        15 => format!("ack {framework} {task} {} agent=m-S{}", how % 3, who % 4),
        16 => {
            let agent = nth(view.agents(), who)?;
            let AgentState::Connected { link } = agent.state else {
                return None;
            };
            let (framework, task) = nth(agent.tasks.iter(), what)?;
            let state = STATES[usize::from(how % 6)];
            let link = link.0;
            let uuid = how % 3;
            let incarnation = what % 2 + 1;
            format!(
                "update l{link} {framework} {task} {state} uuid={uuid} incarnation={incarnation}"
            )
        }
        17 => match how % 4 {
            0 => format!("teardown {framework}"),
            1 => format!("unregister l{}", who % 12 + 1),
            2 => format!("reconcile {framework}"),
            _ => format!("update-framework {framework} roles=c failover=5"),
        },
        19 => format!(
            "ask update-quota {} guarantee=cpus:{};mem:{} limit=cpus:{} force=",
            ["a", "c"][usize::from(who % 2)],
            how % 3,
            how,
            how % 3 + what % 3
        ),
        20 => format!("ask weights a:{} a/b:{} c:1", how % 3 + 1, what % 3 + 1),
        18 => ["slow registry", "stored", "fast registry"][usize::from(how % 3)].into(),
        _ => format!("wait {}", ["0.1", "1", "20", "100"][usize::from(how % 4)]),
    })
}

proptest! {
    #[test]
    fn nothing_is_given_out_twice_and_nothing_is_lost(acts in prop::collection::vec(act(), 1..120)) {
        let mut world = World::new();
        world.line("registry admitted=m-S3");
        for act in &acts {
            if let Some(line) = line(&world, act) {
                world.line(&line);
            }
        }
        let ids: Vec<_> = world.master.view().frameworks().map(|f| f.id.clone()).collect();
        for id in ids {
            world.line(&format!("subscribe roles=a,c id={id} checkpoint="));
            world.line(&format!("subscribe roles=a,c id={id}"));
            world.line(&format!("teardown {id}"));
        }
        prop_assert_eq!(world.master.view().frameworks().count(), 0);
        world.line("fast registry");
        // Nothing is in use: a limit of nothing stands against nothing.
        world.line("ask update-quota a c limit=cpus:0;mem:0;ports:0");
        prop_assert!(world.transcript.ends_with(" Ok\n"));
        world.line("ask update-quota a c");
        world.line("subscribe");
        let view = world.master.view();
        for agent in view.agents() {
            let offered = view.offered_on(agent).unallocate();
            match agent.state {
                // One that never answered may not know that it is this agent.
                AgentState::Connected { link }
                    if world.silent.contains(&link) && offered.is_empty() => {}
                AgentState::Connected { .. } => {
                    prop_assert_eq!(&offered, &*agent.total, "{}", &agent.id);
                }
                AgentState::Disconnected | AgentState::Leaving { .. } => {
                    prop_assert_eq!(&offered, &Resources::new());
                }
            }
        }
    }
}
