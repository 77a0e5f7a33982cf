//! Containers: the tree of all that runs here, and what callers of the agent's API do with it.
//!
//! ```text
//! Launching -> Running -> Destroying -> Exited -> Ended       (each but the last may be skipped)
//!     `-> Doomed -^
//! ```
//!
//! Invariants: whoever waits for a container hears of its end after the ends of all that are nested in
//! it, which it takes with it; of a nested container the end is kept until it is removed or its outermost container is gone (Mesos'
//! `WAIT_NESTED_CONTAINER` after the fact); what calls launched, what is kept and who waits is
//! bounded. What the containers of executors are for is not this module's question.

mod call;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use model::{Blob, ContainerId, Reason, TaskState};

use crate::event::{Exit, ExitStatus};
use crate::executor::{self, Ending};

pub use call::{
    Answer, Caller, Class, ContainerCall, Deed, Refusal, RequestId, Requested, Termination,
};

/// Containers that calls launched and that have not ended; a launch past it is refused.
pub const REQUESTED_MAX: usize = 1024;
/// Ends that are kept for whoever asks; the oldest go first.
pub const ENDS_MAX: usize = 4096;
/// Requests that wait for ends; one past it is refused.
pub const WAITERS_MAX: usize = 4096;

/// The signal that nothing survives.
const SIGKILL: i32 = 9;
/// The greatest number of a signal (signal(7)).
const SIGNAL_MAX: i32 = 64;

/// The tree.
#[derive(Debug, Default)]
pub struct Containers {
    nodes: BTreeMap<ContainerId, Node>,
    /// Those that have ended and are kept, the oldest first.
    ended: VecDeque<ContainerId>,
    /// How many requests wait in all nodes together.
    waiting: usize,
    /// How many that calls launched have not ended.
    requested: usize,
    closed: Closed,
}

/// Whether launches are refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Closed {
    #[default]
    No,
    Yes,
}

#[derive(Debug)]
struct Node {
    owner: Owner,
    life: Life,
    /// Its first process, once that runs.
    pid: Option<u32>,
    /// The call that launched it.
    launch: Option<Blob>,
    /// What is nested in it, alive or kept.
    children: BTreeSet<ContainerId>,
    waiters: BTreeSet<RequestId>,
}

/// Who launched a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The agent, for a task or an executor: somebody else hears of its end.
    Agent,
    /// A call.
    Call,
}

#[derive(Debug)]
enum Life {
    /// It is being made.
    Launching { request: Option<RequestId> },
    /// It is being made, and is to end as soon as it is there.
    Doomed { request: Option<RequestId> },
    /// Its process runs.
    Running,
    /// Its process got SIGKILL.
    Destroying,
    /// Its process is gone; what is nested in it ends.
    Exited(Exit),
    /// All of it is over.
    Ended(Termination),
}

impl Node {
    fn is_alive(&self) -> bool {
        !matches!(self.life, Life::Ended(_))
    }
}

impl Containers {
    /// The agent launches a container for a task or an executor; one that is there stays.
    pub fn began(&mut self, container: &ContainerId) {
        if !self.nodes.get(container).is_some_and(Node::is_alive) {
            self.insert(container, Owner::Agent, None);
        }
    }

    /// Follows a call, or says why not.
    pub fn call(
        &mut self,
        out: &mut Vec<Deed>,
        request: RequestId,
        caller: &Caller,
        call: ContainerCall,
    ) {
        let answer = match self.follow(out, request, caller, call) {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(refusal) => Answer::Refused(refusal),
        };
        out.push(Deed::Answer { request, answer });
    }

    /// What a call is answered with; `None` where that comes later, or never.
    fn follow(
        &mut self,
        out: &mut Vec<Deed>,
        request: RequestId,
        caller: &Caller,
        call: ContainerCall,
    ) -> Result<Option<Answer>, Refusal> {
        let target = match &call {
            ContainerCall::Launch(Requested { container, .. })
            | ContainerCall::Wait { container }
            | ContainerCall::Kill { container, .. }
            | ContainerCall::Remove { container }
            | ContainerCall::Destroy { container } => Some(container),
            ContainerCall::Leave => None,
        };
        if target.is_some_and(|container| !caller.may(container)) {
            return Err(Refusal::Forbidden);
        }
        match call {
            ContainerCall::Launch(requested) => self.launch(out, request, requested),
            ContainerCall::Wait { container } => self.wait(request, &container),
            ContainerCall::Kill { container, signal } => self.kill(out, &container, signal),
            ContainerCall::Remove { container } => self.remove(out, container),
            ContainerCall::Destroy { container } => {
                self.destroy(out, &container);
                Ok(Some(Answer::Done))
            }
            ContainerCall::Leave => {
                self.leave(request);
                Ok(None)
            }
        }
    }

    fn launch(
        &mut self,
        out: &mut Vec<Deed>,
        request: RequestId,
        requested: Requested,
    ) -> Result<Option<Answer>, Refusal> {
        let container = &requested.container;
        if self.closed == Closed::Yes {
            return Err(Refusal::AgentEnds);
        }
        if self.nodes.get(container).is_some_and(Node::is_alive) {
            return Ok(Some(Answer::AlreadyLaunched));
        }
        if let Some(parent) = container.parent() {
            match self.nodes.get(&parent).map(|node| &node.life) {
                Some(Life::Running) => {}
                Some(Life::Launching { .. }) => return Err(Refusal::ParentStarts(parent)),
                Some(Life::Doomed { .. } | Life::Destroying | Life::Exited(_)) => {
                    return Err(Refusal::ParentEnds(parent));
                }
                Some(Life::Ended(_)) | None => return Err(Refusal::NoParent(parent)),
            }
        }
        if self.requested >= REQUESTED_MAX {
            return Err(Refusal::TooMany);
        }
        self.requested += 1;
        self.insert(container, Owner::Call, Some(request));
        if let Some(node) = self.nodes.get_mut(container) {
            node.launch = Some(requested.launch.clone());
        }
        out.push(Deed::Launch(requested));
        Ok(None)
    }

    /// A launch, of whomever; the kept end of an earlier container of this id is forgotten.
    fn insert(&mut self, container: &ContainerId, owner: Owner, request: Option<RequestId>) {
        self.forget(container);
        if let Some(parent) = container.parent()
            && let Some(parent) = self.nodes.get_mut(&parent)
        {
            parent.children.insert(container.clone());
        }
        let node = Node {
            owner,
            life: Life::Launching { request },
            children: BTreeSet::new(),
            pid: None,
            launch: None,
            waiters: BTreeSet::new(),
        };
        self.nodes.insert(container.clone(), node);
    }

    fn wait(
        &mut self,
        request: RequestId,
        container: &ContainerId,
    ) -> Result<Option<Answer>, Refusal> {
        let Some(node) = self.nodes.get_mut(container) else {
            return Err(Refusal::Unknown(container.clone()));
        };
        if let Life::Ended(termination) = &node.life {
            return Ok(Some(Answer::Ended(termination.clone())));
        }
        if self.waiting >= WAITERS_MAX {
            return Err(Refusal::TooManyWait);
        }
        self.waiting += usize::from(node.waiters.insert(request));
        Ok(None)
    }

    fn leave(&mut self, request: RequestId) {
        for node in self.nodes.values_mut() {
            self.waiting -= usize::from(node.waiters.remove(&request));
            if let Life::Launching { request: waits } | Life::Doomed { request: waits } =
                &mut node.life
            {
                waits.take_if(|waits| *waits == request);
            }
        }
    }

    fn kill(
        &mut self,
        out: &mut Vec<Deed>,
        container: &ContainerId,
        signal: i32,
    ) -> Result<Option<Answer>, Refusal> {
        let unknown = || Refusal::UnknownToKill(container.clone());
        let node = self.nodes.get(container).ok_or_else(unknown)?;
        if !(0..=SIGNAL_MAX).contains(&signal) {
            return Err(Refusal::Signal);
        }
        match node.life {
            Life::Ended(_) => return Err(unknown()),
            // There is no process yet that could be asked to end by itself.
            Life::Launching { .. } => self.destroy(out, container),
            Life::Running => out.push(Deed::Kill {
                container: container.clone(),
                signal,
            }),
            Life::Doomed { .. } | Life::Destroying | Life::Exited(_) => {}
        }
        Ok(Some(Answer::Done))
    }

    fn remove(
        &mut self,
        out: &mut Vec<Deed>,
        container: ContainerId,
    ) -> Result<Option<Answer>, Refusal> {
        if self.nodes.get(&container).is_some_and(Node::is_alive) {
            return Err(Refusal::Alive);
        }
        let root = container.root();
        if root != container && !self.nodes.contains_key(&root) {
            return Err(Refusal::NoRoot);
        }
        self.forget(&container);
        out.push(Deed::RemoveSandbox { container });
        Ok(Some(Answer::Done))
    }

    /// Kills a container, and before it all that is nested in it.
    fn destroy(&mut self, out: &mut Vec<Deed>, container: &ContainerId) {
        let Some(node) = self.nodes.get_mut(container) else {
            return;
        };
        node.life = match core::mem::replace(&mut node.life, Life::Destroying) {
            Life::Launching { request } => Life::Doomed { request },
            Life::Running => Life::Destroying,
            already @ (Life::Doomed { .. }
            | Life::Destroying
            | Life::Exited(_)
            | Life::Ended(_)) => {
                node.life = already;
                return;
            }
        };
        self.destroy_children(out, container);
        out.push(Deed::Kill {
            container: container.clone(),
            signal: SIGKILL,
        });
    }

    /// Those that the agent launched are for whom it did.
    fn destroy_children(&mut self, out: &mut Vec<Deed>, container: &ContainerId) {
        let children = self.nodes.get(container).map(|node| node.children.clone());
        for child in children.into_iter().flatten() {
            if self.is_requested(&child) {
                self.destroy(out, &child);
            }
        }
    }

    /// Ends everything that calls launched, and takes no more of it.
    pub fn close(&mut self, out: &mut Vec<Deed>) {
        self.closed = Closed::Yes;
        let all = self.nodes.iter();
        let requested = all.filter(|(_, node)| node.owner == Owner::Call);
        let requested: Vec<ContainerId> = requested.map(|(id, _)| id.clone()).collect();
        for container in requested {
            self.destroy(out, &container);
        }
    }

    /// Whether anything that a call launched has not ended.
    #[must_use]
    pub fn has_requested(&self) -> bool {
        self.requested > 0
    }

    /// The containers that have not ended, each with its first process as soon as that runs, and
    /// the call that launched it where one did.
    pub fn alive(&self) -> impl Iterator<Item = (&ContainerId, Option<u32>, Option<&Blob>)> {
        let alive = self.nodes.iter().filter(|(_, node)| node.is_alive());
        alive.map(|(container, node)| (container, node.pid, node.launch.as_ref()))
    }

    /// Whether a call launched this container.
    #[must_use]
    pub fn is_requested(&self, container: &ContainerId) -> bool {
        let node = self.nodes.get(container);
        node.is_some_and(|node| node.owner == Owner::Call)
    }

    /// A container that ran before the agent did. What calls launched in it may be here already.
    pub fn recover(&mut self, container: &ContainerId, pid: u32) {
        self.began(container);
        self.launched(&mut Vec::new(), container, pid);
        let beneath = self.nodes.range(container..);
        let beneath = beneath.take_while(|(id, _)| id.as_str().starts_with(container.as_str()));
        let children = beneath.filter(|(id, _)| id.parent().as_ref() == Some(container));
        let children: Vec<ContainerId> = children.map(|(id, _)| id.clone()).collect();
        if let Some(node) = self.nodes.get_mut(container) {
            node.children.extend(children);
        }
    }

    /// The same of one that a call launched.
    pub fn recover_requested(&mut self, container: &ContainerId, pid: u32, launch: Blob) {
        if self.nodes.get(container).is_some_and(Node::is_alive) {
            return;
        }
        self.requested += 1;
        self.insert(container, Owner::Call, None);
        if let Some(node) = self.nodes.get_mut(container) {
            node.launch = Some(launch);
        }
        self.launched(&mut Vec::new(), container, pid);
    }

    /// A container's process runs.
    pub fn launched(&mut self, out: &mut Vec<Deed>, container: &ContainerId, pid: u32) {
        if let Some(node) = self.nodes.get_mut(container) {
            node.pid = Some(pid);
            self.runs(out, container);
        }
    }

    fn runs(&mut self, out: &mut Vec<Deed>, container: &ContainerId) {
        let Some(node) = self.nodes.get_mut(container) else {
            return;
        };
        let (request, answer) = match &mut node.life {
            Life::Launching { request } => {
                let request = request.take();
                node.life = Life::Running;
                (request, Answer::Done)
            }
            Life::Doomed { request } => {
                let request = request.take();
                node.life = Life::Destroying;
                out.push(Deed::Kill {
                    container: container.clone(),
                    signal: SIGKILL,
                });
                let message = "Container destroyed during its launch".into();
                (request, Answer::Refused(Refusal::Launch(message)))
            }
            Life::Running | Life::Destroying | Life::Exited(_) | Life::Ended(_) => return,
        };
        out.extend(request.map(|request| Deed::Answer { request, answer }));
    }

    /// A container could not be started.
    pub fn launch_failed(&mut self, out: &mut Vec<Deed>, container: &ContainerId, message: &str) {
        let Some(node) = self.nodes.get_mut(container) else {
            return;
        };
        if let Life::Launching { request } | Life::Doomed { request } = &mut node.life {
            let refusal = Refusal::Launch(message.into());
            out.extend(request.take().map(|request| Deed::Answer {
                request,
                answer: Answer::Refused(refusal),
            }));
        }
        let cause = Ending::by_agent(TaskState::Failed, Reason::ContainerLaunchFailed, message);
        let termination = Termination {
            status: ExitStatus::Unknown,
            cause: Some(cause),
        };
        self.end(out, container, termination);
        self.settle(out, container.parent());
    }

    /// A container's process is gone: what calls launched in it ends with it.
    pub fn exited(&mut self, out: &mut Vec<Deed>, container: &ContainerId, exit: &Exit) {
        // What has ended has run, even where nobody said so.
        self.runs(out, container);
        if let Some(node) = self.nodes.get_mut(container) {
            node.life = Life::Exited(exit.clone());
            self.destroy_children(out, container);
            self.settle(out, Some(container.clone()));
        }
    }

    /// Ends a container whose process is gone as soon as nothing nested in it is left, and then
    /// those that waited for it in the same way.
    fn settle(&mut self, out: &mut Vec<Deed>, container: Option<ContainerId>) {
        let mut next = container;
        while let Some(container) = next {
            let Some(node) = self.nodes.get(&container) else {
                return;
            };
            let Life::Exited(exit) = &node.life else {
                return;
            };
            let alive = |child| self.nodes.get(child).is_some_and(Node::is_alive);
            if node.children.iter().any(alive) {
                return;
            }
            let termination = Termination {
                status: exit.status,
                cause: exit.limit.is_some().then(|| executor::ending(None, exit)),
            };
            next = container.parent();
            self.end(out, &container, termination);
        }
    }

    /// Tells whoever waits, and keeps the end where it may be asked for again.
    fn end(&mut self, out: &mut Vec<Deed>, container: &ContainerId, termination: Termination) {
        let Some(node) = self.nodes.get_mut(container) else {
            return;
        };
        let waiters = core::mem::take(&mut node.waiters);
        self.waiting -= waiters.len();
        self.requested -= usize::from(node.owner == Owner::Call && node.is_alive());
        node.life = Life::Ended(termination.clone());
        out.extend(waiters.into_iter().map(|request| Deed::Answer {
            request,
            answer: Answer::Ended(termination.clone()),
        }));
        if container.depth() == 1 {
            return self.forget(container);
        }
        self.ended.push_back(container.clone());
        while self.ended.len() > ENDS_MAX {
            if let Some(oldest) = self.ended.pop_front() {
                self.forget(&oldest);
            }
        }
    }

    /// Forgets a container that has ended, and the ends of all that was nested in it.
    fn forget(&mut self, container: &ContainerId) {
        let Some(node) = self.nodes.remove(container) else {
            return;
        };
        if let Some(parent) = container.parent()
            && let Some(parent) = self.nodes.get_mut(&parent)
        {
            parent.children.remove(container);
        }
        for child in node.children {
            self.forget(&child);
        }
        self.ended.retain(|ended| ended != container);
    }
}

#[cfg(test)]
#[path = "containers/tests.rs"]
mod tests;
