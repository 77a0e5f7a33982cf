//! What a snapshot holds: agents, frameworks and tasks as they were after one step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use api::convert::to_refined;
use api::v1;
use master_core::agents::{self, AgentState};
use master_core::counters::Counters;
use master_core::draining::Drain;
use master_core::event::{AgentFacts, Capabilities, Offer, Text};
use master_core::frameworks::{self, FrameworkState};
use master_core::maintenance::InverseOffer;
use master_core::operations::Operation;
use master_core::quota::Quota;
use master_core::tasks;
use master_core::weights::Weights;
use master_core::{Master, WallTime};
use model::resources::Role;
use model::{AgentId, Blob, FrameworkId, Resources};

use super::maintenance::Maintenance;
use super::shown::{self, Shown};
use super::sight::Sight;
use super::sums::{Addends, Summed};
use crate::convert::{blob, message};

/// The whole state.
#[derive(Clone)]
pub(super) struct View {
    /// Agents that are registered.
    pub(super) agents: Arc<Vec<Agent>>,
    /// Agents that the registry knows and that have not come back yet, with their AgentInfo.
    pub(super) recovered: Vec<(AgentId, Blob)>,
    /// Those of them that an operator deactivated, and how far they have drained.
    pub(super) recovered_deactivated: BTreeMap<AgentId, Option<Drain>>,
    /// How many agents do not answer.
    pub(super) unreachable: usize,
    /// Frameworks that are not over.
    pub(super) frameworks: Vec<Framework>,
    /// Frameworks that are.
    pub(super) completed: Vec<Framework>,
    pub(super) maintenance: Maintenance,
    /// Operations on resources whose end is not acknowledged.
    pub(super) operations: Vec<Operation>,
    /// The quotas that were set, by role.
    pub(super) quotas: Arc<BTreeMap<Role, Quota>>,
    /// The weights that were set, by role.
    pub(super) weights: Weights,
    /// How many filters stand against offers, for each role that has any.
    pub(super) filters: BTreeMap<Role, usize>,
    /// What the core counted.
    pub(super) counters: Counters,
    /// What of this its reader may see.
    pub(super) sight: Sight,
}

/// An agent.
#[derive(Clone)]
pub(super) struct Agent {
    base: Arc<Base>,
    pub(super) used: Resources,
    pub(super) offered: Resources,
    /// Its text in a document, once it was shown.
    text: OnceLock<Arc<str>>,
}

/// An agent without its sums: one snapshot shares with the next what has not changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Base {
    pub(super) id: AgentId,
    pub(super) facts: Arc<AgentFacts>,
    pub(super) registered: WallTime,
    pub(super) reregistered: Option<WallTime>,
    /// Whether it has a link.
    pub(super) connected: bool,
    /// Whether its resources are offered.
    pub(super) active: bool,
    /// Whether an operator deactivated it.
    pub(super) deactivated: bool,
    pub(super) drain: Option<Drain>,
    pub(super) total: Arc<Resources>,
    rendered: Rendered,
}

/// An agent's text in a document, kept with its base for as long as its sums are these.
#[derive(Debug, Default)]
struct Rendered(Mutex<Option<(Resources, Resources, Arc<str>)>>);

impl Clone for Rendered {
    /// A copy is made to be changed, and has no text.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Rendered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Deref for Agent {
    type Target = Base;

    fn deref(&self) -> &Base {
        &self.base
    }
}

/// A framework.
#[derive(Clone)]
pub(super) struct Framework {
    pub(super) id: FrameworkId,
    pub(super) name: Text,
    /// Its FrameworkInfo.
    pub(super) info: Blob,
    pub(super) capabilities: Capabilities,
    /// Its OfferConstraints, where it has any.
    pub(super) offer_constraints: Option<Blob>,
    pub(super) roles: Vec<Role>,
    pub(super) suppressed: BTreeSet<Role>,
    pub(super) connected: bool,
    /// Whether only agents told of it.
    pub(super) recovered: bool,
    pub(super) registered: WallTime,
    pub(super) reregistered: Option<WallTime>,
    pub(super) unregistered: Option<WallTime>,
    pub(super) used: Resources,
    pub(super) offered: Resources,
    /// Shared with the next snapshot where none has changed.
    pub(super) tasks: Arc<Vec<Task>>,
    pub(super) unreachable_tasks: Vec<Task>,
    pub(super) completed_tasks: Vec<Task>,
    pub(super) offers: Arc<Vec<Shown<Offer>>>,
    pub(super) inverse_offers: Vec<Arc<InverseOffer>>,
    /// Its executors other than those of command tasks, with their ExecutorInfo.
    pub(super) executors: Vec<(AgentId, Blob)>,
}

impl Framework {
    /// Tasks that are not over.
    pub(super) fn live_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().chain(&self.unreachable_tasks)
    }

    /// Tasks that are not over, and those that are.
    pub(super) fn every_task(&self) -> impl Iterator<Item = &Task> {
        self.live_tasks().chain(&self.completed_tasks)
    }
}

/// A task, shared with the core.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) framework_id: FrameworkId,
    task: Arc<tasks::Task>,
}

impl Task {
    fn new(framework_id: &FrameworkId, task: &Arc<tasks::Task>) -> Self {
        Self {
            framework_id: framework_id.clone(),
            task: Arc::clone(task),
        }
    }
}

impl Deref for Task {
    type Target = tasks::Task;

    fn deref(&self) -> &tasks::Task {
        &self.task
    }
}

/// A copy of what the core holds, whose sums are still to be made: the loop makes the copy, and the
/// first reader the sums.
pub(crate) struct Begun {
    view: View,
    summed: Arc<Summed>,
    inverse_offers: Vec<Arc<InverseOffer>>,
    /// What executors hold: the framework's place, the executor's in it, and what.
    executors: Vec<(usize, usize, Resources)>,
}

impl Begun {
    /// Copies what the core holds, but for what has not changed since `kept` was.
    pub(super) fn of(core: &Master, kept: &mut Kept) -> Self {
        let view = core.view();
        let executors = view
            .frameworks()
            .enumerate()
            .flat_map(|(place, framework)| {
                let executors = framework.executors.values().enumerate();
                executors.map(move |(index, executor)| (place, index, executor.resources.clone()))
            });
        let executors = executors.collect();
        kept.refresh(view);
        Self {
            executors,
            summed: Arc::clone(&kept.summed),
            inverse_offers: view.inverse_offers().map(Arc::clone).collect(),
            view: View::begin(core, kept),
        }
    }

    /// About how many things a document of all this shows.
    pub(super) fn items(&self) -> usize {
        let tasks = self.view.every_framework();
        let tasks: usize = tasks.map(|framework| framework.every_task().count()).sum();
        self.summed.agents() + tasks
    }

    /// Makes the sums, and gives offers to their frameworks.
    pub(super) fn finish(self) -> View {
        let Self {
            mut view,
            summed,
            inverse_offers,
            executors,
        } = self;
        let sums = summed.sums();
        view.agents = Arc::clone(&sums.agents);
        for framework in &mut view.frameworks {
            if let Some(of) = sums.frameworks.get(&framework.id) {
                framework.used = of.used.clone();
                framework.offered = of.offered.clone();
                framework.offers = Arc::clone(&of.offers);
            }
        }
        for (place, index, held) in executors {
            if let Some(framework) = view.frameworks.get_mut(place)
                && let Some((_, info)) = framework.executors.get_mut(index)
            {
                *info = whole_executor(info, &framework.id, &held);
            }
        }
        for offer in inverse_offers {
            if let Some(framework) = view.framework_mut(&offer.framework_id) {
                framework.inverse_offers.push(offer);
            }
        }
        view
    }
}

/// An ExecutorInfo with what its framework may leave to the master: whose it is, and for which role
/// it holds what it does.
fn whole_executor(info: &Blob, framework_id: &FrameworkId, held: &Resources) -> Blob {
    let mut info: v1::ExecutorInfo = message(info);
    info.framework_id
        .get_or_insert_with(|| v1::FrameworkId::from(framework_id));
    info.resources = to_refined(held);
    blob(&info)
}

impl View {
    /// A live framework; they stand in the order of their ids.
    fn framework_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        let place = self.frameworks.binary_search_by(|f| f.id.cmp(id)).ok()?;
        self.frameworks.get_mut(place)
    }

    /// A copy without agents, sums and offers.
    fn begin(core: &Master, kept: &Kept) -> Self {
        let view = core.view();
        Self {
            agents: Arc::default(),
            recovered: view
                .recovered_agents()
                .map(|(id, recovered)| (id.clone(), recovered.info.clone()))
                .collect(),
            recovered_deactivated: view
                .recovered_agents()
                .filter(|(id, _)| view.is_deactivated(id))
                .map(|(id, _)| (id.clone(), view.drain(id)))
                .collect(),
            unreachable: view.unreachable_agents().count(),
            frameworks: view
                .frameworks()
                .map(|framework| Framework {
                    tasks: kept.tasks(&framework.id),
                    ..Framework::begin(view, framework)
                })
                .collect(),
            completed: view
                .completed_frameworks()
                .map(|framework| Framework {
                    tasks: Arc::new(listed(framework)),
                    ..Framework::begin(view, framework)
                })
                .collect(),
            maintenance: Maintenance {
                plan: view.maintenance().clone(),
                responses: view.inverse_offer_responses(),
            },
            operations: view.operations().cloned().collect(),
            quotas: Arc::clone(view.quotas()),
            weights: Arc::clone(view.weights()),
            filters: view.filter_counts().clone(),
            counters: view.counters().clone(),
            sight: Sight::default(),
        }
    }

    /// Frameworks that are not over, and those that are.
    pub(super) fn every_framework(&self) -> impl Iterator<Item = &Framework> {
        self.frameworks.iter().chain(&self.completed)
    }
}

impl Agent {
    /// An agent with its sums.
    pub(super) fn new(base: &Arc<Base>, used: Resources, offered: Resources) -> Self {
        Self {
            base: Arc::clone(base),
            used,
            offered,
            text: OnceLock::new(),
        }
    }

    /// The same, made of what the core knows now.
    pub(super) fn of(view: master_core::View<'_>, agent: &agents::Agent) -> Self {
        let base = Arc::new(Base::of(view, agent));
        Self::new(&base, view.used_on(agent), view.offered_on(agent))
    }

    /// Its text in the state, which is made once for as long as nothing about it changes.
    pub(super) fn rendered(&self, make: impl FnOnce(&Self) -> String) -> Arc<str> {
        Arc::clone(self.text.get_or_init(|| self.render(make)))
    }

    fn render(&self, make: impl FnOnce(&Self) -> String) -> Arc<str> {
        let Rendered(kept) = &self.base.rendered;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((used, offered, text)) = &*kept
            && *used == self.used
            && *offered == self.offered
        {
            return Arc::clone(text);
        }
        let text: Arc<str> = make(self).into();
        *kept = Some((self.used.clone(), self.offered.clone(), Arc::clone(&text)));
        text
    }

    /// What may be changed of it for one reader.
    pub(super) fn base_mut(&mut self) -> &mut Base {
        self.text = OnceLock::new();
        Arc::make_mut(&mut self.base)
    }
}

impl Base {
    fn of(view: master_core::View<'_>, agent: &agents::Agent) -> Self {
        Self {
            id: agent.id.clone(),
            facts: Arc::clone(&agent.facts),
            registered: agent.registered_time,
            reregistered: agent.reregistered_time,
            connected: matches!(agent.state, AgentState::Connected { .. }),
            active: view.is_active(&agent.id),
            deactivated: view.is_deactivated(&agent.id),
            drain: view.drain(&agent.id),
            total: Arc::clone(&agent.total),
            rendered: Rendered::default(),
        }
    }

    /// Whether this is what [`Self::of`] would make, found without making it.
    fn is_of(&self, view: master_core::View<'_>, agent: &agents::Agent) -> bool {
        let connected = matches!(agent.state, AgentState::Connected { .. });
        let deactivated = view.is_deactivated(&agent.id);
        let is = self.id == agent.id
            && Arc::ptr_eq(&self.facts, &agent.facts)
            && self.registered == agent.registered_time
            && self.reregistered == agent.reregistered_time
            && self.connected == connected
            && self.active == (connected && !deactivated)
            && self.deactivated == deactivated
            && self.drain == view.drain(&agent.id)
            && (Arc::ptr_eq(&self.total, &agent.total) || self.total == agent.total);
        debug_assert!(!is || *self == Self::of(view, agent));
        is
    }
}

/// What the last snapshot held of what seldom changes: what is still so, the next one shares.
#[derive(Default)]
pub(crate) struct Kept {
    agents: Arc<Vec<Arc<Base>>>,
    tasks: BTreeMap<FrameworkId, Arc<Vec<Task>>>,
    offers: Arc<Vec<Shown<Offer>>>,
    summed: Arc<Summed>,
}

impl Kept {
    /// Makes it what the core holds now.
    fn refresh(&mut self, view: master_core::View<'_>) {
        shown::refresh(&mut self.offers, view.offers(), |offer| &offer.id);
        if !self.is_of_same_agents(view) {
            let mut before = self.agents.iter().peekable();
            let agents = view.agents().map(|agent| {
                // Both stand in the order of their ids.
                while before.next_if(|base| base.id < agent.id).is_some() {}
                let base = before.next_if(|base| base.is_of(view, agent));
                base.map_or_else(|| Arc::new(Base::of(view, agent)), Arc::clone)
            });
            self.agents = Arc::new(agents.collect());
        }
        let mut before = std::mem::take(&mut self.tasks);
        for framework in view.frameworks() {
            let is_same = |tasks: &Arc<Vec<Task>>| {
                let own = framework.tasks.values();
                tasks.len() == framework.tasks.len()
                    && tasks.iter().zip(own).all(|(a, b)| Arc::ptr_eq(&a.task, b))
            };
            let tasks = before.remove(&framework.id).filter(is_same);
            let tasks = tasks.unwrap_or_else(|| Arc::new(listed(framework)));
            self.tasks.insert(framework.id.clone(), tasks);
        }
        let executors = view.frameworks().flat_map(|framework| {
            let executors = framework.executors.iter();
            executors.map(|((agent_id, _), executor)| {
                let (id, held) = (framework.id.clone(), executor.resources.clone());
                (id, agent_id.clone(), held)
            })
        });
        let addends = Addends {
            agents: Arc::clone(&self.agents),
            tasks: self.tasks.clone(),
            offers: Arc::clone(&self.offers),
            executors: executors.collect(),
        };
        Summed::refresh(&mut self.summed, addends);
    }

    /// Whether all agents are what they were.
    fn is_of_same_agents(&self, view: master_core::View<'_>) -> bool {
        let mut before = self.agents.iter();
        let is_same = |agent| before.next().is_some_and(|base| base.is_of(view, agent));
        view.agents().all(is_same) && before.next().is_none()
    }

    /// The tasks of a framework that is not over.
    fn tasks(&self, id: &FrameworkId) -> Arc<Vec<Task>> {
        self.tasks.get(id).map(Arc::clone).unwrap_or_default()
    }
}

/// The tasks of a framework that are not over.
fn listed(framework: &frameworks::Framework) -> Vec<Task> {
    let tasks = framework.tasks.values();
    tasks.map(|task| Task::new(&framework.id, task)).collect()
}

impl Framework {
    /// A framework without its sums, and without its tasks.
    fn begin(view: master_core::View<'_>, framework: &frameworks::Framework) -> Self {
        let task = |task: &Arc<tasks::Task>| Task::new(&framework.id, task);
        let newest_first = |tasks: &VecDeque<_>| tasks.iter().rev().map(task).collect();
        Self {
            id: framework.id.clone(),
            name: Arc::clone(&framework.info.name),
            info: framework.info.info.clone(),
            capabilities: framework.info.capabilities,
            offer_constraints: framework.offer_constraints.clone(),
            roles: framework.roles().into_iter().collect(),
            suppressed: view.suppressed_roles(&framework.id),
            connected: matches!(framework.state, FrameworkState::Connected { .. }),
            recovered: matches!(framework.state, FrameworkState::Recovered { .. }),
            registered: framework.registered_time,
            reregistered: framework.reregistered_time,
            unregistered: framework.unregistered_time,
            used: Resources::new(),
            offered: Resources::new(),
            tasks: Arc::default(),
            unreachable_tasks: newest_first(&framework.unreachable_tasks),
            completed_tasks: newest_first(&framework.completed_tasks),
            offers: Arc::default(),
            inverse_offers: Vec::new(),
            executors: framework
                .executors
                .iter()
                .map(|((agent_id, _), executor)| (agent_id.clone(), executor.info.clone()))
                .collect(),
        }
    }
}
