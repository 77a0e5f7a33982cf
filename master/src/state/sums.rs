//! Sums: what tasks, executors and offers come to, on each agent and for each framework.
//!
//! They are made by the first reader, and shared with the next snapshot for as long as all that they are
//! sums of is what it was.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use master_core::event::Offer;
use model::{AgentId, FrameworkId, Resources};

use super::shown::Shown;
use super::view::{Agent, Base, Task};

/// What there is to add up.
#[derive(Default)]
pub(super) struct Addends {
    pub(super) agents: Arc<Vec<Arc<Base>>>,
    /// The tasks of each framework that is not over.
    pub(super) tasks: BTreeMap<FrameworkId, Arc<Vec<Task>>>,
    pub(super) offers: Arc<Vec<Shown<Offer>>>,
    /// Whose, where, and what it holds.
    pub(super) executors: Vec<(FrameworkId, AgentId, Resources)>,
}

/// The sums, once they are made.
#[derive(Default)]
pub(super) struct Summed {
    addends: Addends,
    sums: OnceLock<Sums>,
}

/// The sums.
#[derive(Default)]
pub(super) struct Sums {
    /// All agents, in their order.
    pub(super) agents: Arc<Vec<Agent>>,
    pub(super) frameworks: BTreeMap<FrameworkId, OfFramework>,
}

/// What a framework has.
#[derive(Default)]
pub(super) struct OfFramework {
    pub(super) used: Resources,
    pub(super) offered: Resources,
    pub(super) offers: Arc<Vec<Shown<Offer>>>,
}

/// What is taken of an agent.
#[derive(Default)]
struct OnAgent {
    used: Resources,
    offered: Resources,
}

impl Addends {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.agents, &other.agents)
            && Arc::ptr_eq(&self.offers, &other.offers)
            && self.tasks.len() == other.tasks.len()
            && self
                .tasks
                .iter()
                .zip(&other.tasks)
                .all(|((id, own), (other_id, other))| id == other_id && Arc::ptr_eq(own, other))
            && self.executors == other.executors
    }

    fn sum(&self) -> Sums {
        let mut on_agents: HashMap<&AgentId, OnAgent> = HashMap::new();
        let mut frameworks: BTreeMap<FrameworkId, OfFramework> = BTreeMap::new();
        for (id, tasks) in &self.tasks {
            let framework = frameworks.entry(id.clone()).or_default();
            for task in tasks.iter().filter(|task| !task.state.is_terminal()) {
                framework.used.add_all(&task.resources);
                let on_agent = on_agents.entry(&task.agent_id).or_default();
                on_agent.used.add_all(&task.resources);
            }
        }
        for (id, agent_id, held) in &self.executors {
            if let Some(framework) = frameworks.get_mut(id) {
                framework.used.add_all(held);
                on_agents.entry(agent_id).or_default().used.add_all(held);
            }
        }
        for offer in self.offers.iter() {
            let on_agent = on_agents.entry(&offer.agent_id).or_default();
            on_agent.offered.add_all(&offer.resources);
            if let Some(framework) = frameworks.get_mut(&offer.framework_id) {
                framework.offered.add_all(&offer.resources);
                Arc::make_mut(&mut framework.offers).push(offer.clone());
            }
        }
        let agents = self.agents.iter().map(|base| {
            let OnAgent { used, offered } = on_agents.remove(&base.id).unwrap_or_default();
            Agent::new(base, used, offered)
        });
        Sums {
            agents: Arc::new(agents.collect()),
            frameworks,
        }
    }
}

impl Summed {
    /// These sums from now on, which are those of before where all is as it was.
    pub(super) fn refresh(kept: &mut Arc<Self>, addends: Addends) {
        if !kept.addends.is_same(&addends) {
            *kept = Arc::new(Self {
                addends,
                sums: OnceLock::new(),
            });
        }
    }

    /// How many agents there are.
    pub(super) fn agents(&self) -> usize {
        self.addends.agents.len()
    }

    /// The sums; this takes its time for a large cluster.
    pub(super) fn sums(&self) -> &Sums {
        self.sums.get_or_init(|| self.addends.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addends(cpus: &str) -> Addends {
        let framework = FrameworkId::new("f").unwrap();
        let held = model::resources::parse(cpus).unwrap();
        Addends {
            tasks: BTreeMap::from([(framework.clone(), Arc::default())]),
            executors: vec![(framework, AgentId::new("a").unwrap(), held)],
            ..Addends::default()
        }
    }

    #[test]
    fn sums_are_shared_until_something_that_they_are_of_changes() {
        let mut kept = Arc::default();
        let mut refreshed = |cpus: &str, of: &Addends| {
            let same = Addends {
                agents: Arc::clone(&of.agents),
                tasks: of.tasks.clone(),
                offers: Arc::clone(&of.offers),
                ..addends(cpus)
            };
            Summed::refresh(&mut kept, same);
            let used = kept
                .sums()
                .frameworks
                .values()
                .next()
                .unwrap()
                .used
                .to_string();
            (Arc::as_ptr(&kept), used)
        };
        let of = addends("cpus:1");
        let (first, used) = refreshed("cpus:1", &of);
        assert_eq!(used, "cpus:1");
        assert_eq!(refreshed("cpus:1", &of), (first, used));
        let (other, used) = refreshed("cpus:2", &of);
        assert_eq!(used, "cpus:2");
        // A framework whose list of tasks is another one may have other tasks.
        assert_ne!(refreshed("cpus:2", &addends("cpus:2")).0, other);
    }
}
