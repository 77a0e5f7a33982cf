//! Effects: each carried out, or handed to whoever does.

use std::sync::Arc;

use agent_core::checks;
use agent_core::containers::RequestId;
use agent_core::effect::{Answer, Effect, ToMaster};
use agent_core::event::Event;
use agent_core::executor_api::{Taken, ToExecutor};
use agent_core::holdings::VolumeName;
use model::Reason;
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::handle::Reply;
use crate::init::chain;
use crate::link::Link;
use crate::looking;
use crate::probe::Network;
use crate::wire;

use super::{FAREWELL_MAX, Main};

/// Events that may wait for an executor; at the bound its stream ends, and it subscribes again.
const EVENTS_MAX: usize = 1024;

impl Main {
    /// Carries one effect out.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Store(_) | Effect::End { .. } => {}
            Effect::OpenLink { link } => {
                let inputs = self.inputs_in.clone();
                let finder = Arc::clone(&self.finder);
                self.link = Some(Link::open(link, &self.config, finder, inputs));
            }
            Effect::CloseLink { link } => {
                if let Some(current) = self.link.take_if(|current| current.id == link) {
                    // What is queued may still leave; on no account is it waited for here.
                    tokio::spawn(current.finish(FAREWELL_MAX));
                }
            }
            Effect::Send {
                link,
                epoch,
                incarnation,
                frame,
            } => {
                if let ToMaster::ExecutorExited { .. } = frame {
                    self.counters.executors_terminated += 1;
                }
                let agent = self.agent.registration().agent_id.as_ref();
                let frame = wire::to_master(&self.description, agent, epoch, incarnation, frame);
                let current = self.link.as_ref().filter(|current| current.id == link);
                if current.is_some_and(|current| current.send(frame).is_err()) {
                    self.link = None;
                    self.pending.push(Event::LinkClosed { link });
                    self.complain("the master does not read".to_string());
                }
            }
            Effect::Launch {
                container,
                framework,
                start,
            } => self.launch(container, &framework, &start),
            Effect::LaunchRequested(requested) => self.launch_requested(&requested),
            Effect::RemoveSandbox { container } => self.containers.remove_sandbox(&container),
            Effect::Resize {
                container,
                executor,
                tasks,
            } => self.resize(&container, &executor, &tasks),
            Effect::Answer { request, answer } => self.answer(request, answer),
            Effect::ToExecutor { stream, event } => self.tell_executor(stream, event),
            Effect::CloseExecutor { stream } => {
                self.streams.remove(&stream);
            }
            Effect::ExecutorChanged {
                framework_id,
                executor_id,
                container,
                change,
            } => info!(%framework_id, %executor_id, %container, change, "executor"),
            Effect::Kill { container, signal } => {
                let ended = self.containers.kill(&container, signal);
                self.pending.extend(ended);
            }
            Effect::Probe { probe, how } => match self.containers.process_of(&probe.container) {
                Some(process) => self.probes.begin(probe, how, Network::Of(process)),
                None => self.pending.push(Event::Probed {
                    probe,
                    outcome: checks::Outcome::Unavailable("the container is gone".to_string()),
                }),
            },
            Effect::EndProbe { probe } => self.probes.end(&probe),
            Effect::ProbeFailed {
                framework_id,
                task_id,
                kind,
                why,
            } => info!(%framework_id, %task_id, %kind, why, "check of a task failed"),
            Effect::CreateVolume { volume } => {
                // A launch that wants it tries once more, and says why it cannot.
                if let Err(error) = self.volumes.create(&volume) {
                    error!(error = chain(&error), "volume was not made");
                }
            }
            Effect::DestroyVolume { volume } => match self.volumes.destroy(&volume) {
                Ok(()) => {
                    self.pending.push(Event::VolumeDestroyed { volume });
                    self.purge_volumes();
                }
                // Tried again at the next start.
                Err(error) => error!(error = chain(&error), "volume was not destroyed"),
            },
            Effect::OperationEnded { operation, status } => {
                self.resize_volumes();
                info!(
                    operation = %operation.uuid,
                    framework_id = operation.framework_id.as_ref().map(ToString::to_string),
                    state = %status.state,
                    why = status.message,
                    "operation ended"
                );
            }
            Effect::TaskChanged {
                framework_id,
                status,
            } => {
                self.counters.count(&status);
                if status.reason == Some(Reason::ContainerLaunchFailed) {
                    self.counters.launch_errors += 1;
                }
                info!(
                    %framework_id,
                    task_id = %status.task_id,
                    state = %status.state,
                    reason = status.reason.map(Reason::name),
                    why = status.message.as_deref().and_then(|text| text.lines().next()),
                    "task changed state"
                );
            }
            Effect::Look(look) => {
                let tree = self.agent.tree().alive();
                let outermost = tree.filter(|(id, _, _)| id.depth() == 1);
                let containers = outermost.map(|(id, _, _)| id.clone()).collect();
                let cgroups = self.containers.cgroups().cloned();
                looking::begin(look, cgroups, containers, self.inputs_in.clone());
            }
            Effect::Preempted {
                container,
                suffering,
            } => {
                self.counters.executors_preempted += 1;
                info!(
                    %container,
                    waits = %suffering.container,
                    scarce = suffering.pressure.scarce.name(),
                    waited_hundredths_of_percent = suffering.pressure.waited,
                    limit_hundredths_of_percent = suffering.pressure.limit,
                    "revocable container is ended"
                );
            }
            Effect::Ignored { why } => info!(why, "left aside"),
            Effect::Registered { agent_id } => {
                self.complaint.clear();
                info!(%agent_id, master = *self.finder.last().borrow(), "registered");
                // Sandboxes are found by the id: whoever hears of a task finds its files.
                self.publish_now();
            }
        }
    }

    /// Volumes may have been grown, or shrunk.
    fn resize_volumes(&self) {
        for resource in self.agent.holdings().total() {
            if let Some(name) = VolumeName::of(resource) {
                let bytes = wire::demand::volume_bytes(resource);
                self.containers
                    .resize_volume(&self.volumes.path(&name), bytes);
            }
        }
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        let events = match &answer {
            Answer::Executor(Ok(Taken::Subscribed)) => {
                let (sender, events) = mpsc::channel(EVENTS_MAX);
                self.streams.insert(request, sender);
                Some(events)
            }
            Answer::Executor(_) | Answer::Container(_) => None,
        };
        let Some(reply) = self.requests.remove(&request) else {
            return;
        };
        let is_stream = events.is_some();
        if reply.send(Reply { answer, events }).is_err() && is_stream {
            self.streams.remove(&request);
            self.pending.push(Event::ExecutorClosed { stream: request });
        }
    }

    fn tell_executor(&mut self, stream: RequestId, event: ToExecutor) {
        if let ToExecutor::Message { .. } = event {
            self.counters.framework_messages += 1;
        }
        let agent = self.agent.registration().agent_id.as_ref();
        let event = wire::executor::event(&self.description, agent, event);
        let sender = self.streams.get(&stream);
        if sender.is_some_and(|sender| sender.try_send(event).is_err()) {
            self.streams.remove(&stream);
            self.pending.push(Event::ExecutorClosed { stream });
        }
    }
}
