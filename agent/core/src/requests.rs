//! Requests: calls about containers, and what becomes of every container of the agent by them.
//!
//! All containers are in the tree (`containers`), whoever launched them: what calls launched is its
//! business alone, of the others `supervise` and `executors` hear as well.

use alloc::string::String;
use alloc::vec::Vec;

use model::ContainerId;

use crate::agent::{Agent, Step};
use crate::containers::{Caller, ContainerCall, Deed, RequestId};
use crate::effect::{Answer, Effect, Signal};
use crate::event::Exit;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl Agent {
    pub(crate) fn container_call(
        &mut self,
        step: &mut Step,
        request: RequestId,
        caller: &Caller,
        call: ContainerCall,
    ) {
        let mut deeds = Vec::new();
        self.tree.call(&mut deeds, request, caller, call);
        step.out.extend(deeds.into_iter().map(effect));
    }

    pub(crate) fn container_launched(
        &mut self,
        step: &mut Step,
        container: &ContainerId,
        pid: u32,
        degraded: Option<String>,
    ) {
        let mut deeds = Vec::new();
        self.tree.launched(&mut deeds, container, pid);
        step.out.extend(deeds.into_iter().map(effect));
        if !self.tree.is_requested(container) {
            self.launched(step, container, pid, degraded);
        }
    }

    pub(crate) fn container_failed(
        &mut self,
        step: &mut Step,
        container: &ContainerId,
        message: String,
    ) {
        let is_requested = self.tree.is_requested(container);
        let mut deeds = Vec::new();
        self.tree.launch_failed(&mut deeds, container, &message);
        step.out.extend(deeds.into_iter().map(effect));
        if !is_requested {
            self.launch_failed(step, container, message);
        }
    }

    pub(crate) fn container_exited(
        &mut self,
        step: &mut Step,
        container: &ContainerId,
        exit: &Exit,
    ) {
        let is_requested = self.tree.is_requested(container);
        let mut deeds = Vec::new();
        self.tree.exited(&mut deeds, container, exit);
        step.out.extend(deeds.into_iter().map(effect));
        if !is_requested {
            self.exited(step, container, exit);
        }
    }

    /// Ends what calls launched, when the agent ends.
    pub(crate) fn end_requested(&mut self, step: &mut Step) {
        let mut deeds = Vec::new();
        self.tree.close(&mut deeds);
        step.out.extend(deeds.into_iter().map(effect));
    }

    /// Takes what this step launches into the tree.
    pub(crate) fn plant(&mut self, step: &Step) {
        for effect in &step.out {
            if let Effect::Launch { container, .. } = effect {
                self.tree.began(container);
            }
        }
    }
}

fn effect(deed: Deed) -> Effect {
    match deed {
        Deed::Launch(requested) => Effect::LaunchRequested(requested),
        Deed::Kill { container, signal } => Effect::Kill {
            container,
            signal: match signal {
                SIGTERM => Signal::Terminate,
                SIGKILL => Signal::Kill,
                other => Signal::Other(other),
            },
        },
        Deed::RemoveSandbox { container } => Effect::RemoveSandbox { container },
        Deed::Answer { request, answer } => Effect::Answer {
            request,
            answer: Answer::Container(answer),
        },
    }
}
