//! A world of one master: a script in, a transcript out.
//!
//! Frameworks and agents are played by the script; streams are `s1`, `s2` … and links `l1`, `l2` … in
//! the order in which they open. The registry stores at once, unless the script says `slow registry`
//! and later `stored`. Connected agents answer pings, unless `silent lN`. After each line the
//! allocator gets its tick. The invariant on offered and allocated resources is checked after each
//! step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;
use master_core::allocator::Sorters;
use master_core::authorization::Acls;
use master_core::constraints::PatternLimits;
use master_core::event::{
    AgentAttributes, AgentMessage, AgentUpdate, Call, Effect, Event, FrameworkInfo, Launch, LinkId,
    MasterMessage, Operation, OperationQuery, OperationStatus, OperationUpdate, OperatorCall,
    Registration, Registry, RequestId, StoreId, StreamId, Subscription, Text, WallTime,
};
use master_core::{Config, Master, RemovalRate};
use model::resources::{Scalar, parse};
use model::{
    AgentId, Blob, ExecutorId, FrameworkId, Instant, MasterId, OperationUuid, Resources, Source,
    StatusUuid, TaskId,
};

use crate::transcript::print;
use crate::words::{
    Words, constraints, framework_info, launch_group, launch_task, resources, running_task,
    task_state,
};
use crate::{notation, requests, roles_script};

/// Runs a script and compares the transcript.
pub(crate) fn check(script: &str, expected: &Expect) {
    World::new().play(script, expected);
}

/// The same, where an operator made rules.
pub(crate) fn check_with(acls: Acls, script: &str, expected: &Expect) {
    let config = Config {
        acls: Arc::new(acls),
        ..config()
    };
    check_of(config, script, expected);
}

/// The same with a master of other settings.
pub(crate) fn check_of(config: Config, script: &str, expected: &Expect) {
    let mut world = World::of(config);
    world.play(script, expected);
}

/// A master and what is around it.
pub(crate) struct World {
    pub(crate) master: Master,
    pub(crate) now: Instant,
    pub(crate) transcript: String,
    streams: u64,
    links: u64,
    requests: u64,
    /// Incarnations by link, while it is open.
    open_links: BTreeMap<LinkId, u64>,
    pub(crate) silent: BTreeSet<LinkId>,
    /// Whether what watching operators are told is shown.
    is_watched: bool,
    slow_registry: bool,
    stores: VecDeque<StoreId>,
    /// The operations that were sent to agents, in order.
    applied: Vec<OperationUuid>,
}

/// The settings of a script's master.
pub(crate) fn config() -> Config {
    Config {
        master_id: MasterId::new("m").expect("id"),
        epoch: 1,
        clock_start: WallTime(0),
        seed: 1,
        agent_ping_timeout: Duration::from_secs(15),
        max_agent_ping_timeouts: 5,
        agent_reregister_timeout: Duration::from_secs(600),
        allocation_interval: Duration::from_secs(1),
        offer_timeout: None,
        min_allocatable: ["cpus:0.01", "mem:32"]
            .map(|text| parse(text).expect("resources").quantities())
            .to_vec(),
        filter_gpu_resources: true,
        region: Some(Text::from("eu")),
        require_agent_domain: false,
        sorters: Sorters::default(),
        fair_sharing_excluded: BTreeSet::new(),
        allocator_recovery_timeout: Duration::from_secs(600),
        allocator_agent_recovery_factor: Scalar(800),
        agent_removal_rate: None,
        roles: None,
        root_submissions: true,
        pattern_limits: PatternLimits::default(),
        completed_frameworks_max: 50,
        completed_tasks_per_framework_max: 1000,
        unreachable_tasks_per_framework_max: 1000,
        acls: Arc::default(),
    }
}

impl World {
    fn play(&mut self, script: &str, expected: &Expect) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            writeln!(self.transcript, "> {line}").expect("write");
            self.line(line);
        }
        expected.assert_eq(&self.transcript);
    }

    /// A master whose registry is empty and read.
    pub(crate) fn new() -> Self {
        Self::of(config())
    }

    /// The same of these settings.
    pub(crate) fn of(config: Config) -> Self {
        let mut world = Self {
            master: Master::new(config),
            now: Instant::ZERO,
            transcript: String::new(),
            streams: 0,
            links: 0,
            requests: 0,
            open_links: BTreeMap::new(),
            silent: BTreeSet::new(),
            is_watched: false,
            slow_registry: false,
            stores: VecDeque::new(),
            applied: Vec::new(),
        };
        world.now = Instant::from_nanos(100_000_000);
        world
    }

    /// Plays one line of a script.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(call) = requests::call(line) {
            self.requests += 1;
            self.step(Event::Operate {
                request: RequestId(self.requests),
                principal: Words::new(line).text("by"),
                call,
            });
            return self.settle();
        }
        let mut words = Words::new(line);
        match words.next() {
            "registry" => {
                let agent = |id: &Text| (AgentId::new(id).expect("id"), Blob::new(b"agent"));
                let admitted = words.list("admitted").iter().map(agent).collect();
                let no_date = |id: &Text| (AgentId::new(id).expect("id"), WallTime(0));
                let unreachable = words.list("unreachable").iter().map(no_date).collect();
                let gone = words.list("gone").iter().map(no_date).collect();
                self.step(Event::Recovered(Registry {
                    admitted,
                    unreachable,
                    gone,
                    cluster: {
                        let quotas = roles_script::quotas(&words);
                        requests::settings(&words)
                            .into_iter()
                            .chain(quotas)
                            .collect()
                    },
                }));
            }
            "offer-timeout" => {
                let config = Config {
                    offer_timeout: Some(Duration::from_secs(words.next().parse().expect("number"))),
                    ..config()
                };
                self.master = Master::new(config);
            }
            "removal-rate" => {
                let rate = RemovalRate {
                    agents: 1,
                    per: Duration::from_secs(words.next().parse().expect("number")),
                };
                let config = Config {
                    agent_removal_rate: Some(rate),
                    ..config()
                };
                self.master = Master::new(config);
            }
            "watch" => self.is_watched = true,
            "slow" => self.slow_registry = true,
            "fast" => self.slow_registry = false,
            "stored" => {
                if let Some(store) = self.stores.pop_front() {
                    self.step(Event::RegistryStored { store });
                }
            }
            "subscribe" => {
                self.streams += 1;
                let stream = StreamId(self.streams);
                let subscription = Subscription {
                    framework: framework_info(&words),
                    suppressed_roles: words.list("suppressed"),
                    offer_constraints: constraints(&words),
                };
                self.step(Event::Subscribe {
                    stream,
                    subscription,
                });
            }
            "close" => match words.next().split_at(1) {
                ("s", number) => {
                    let stream = StreamId(number.parse().expect("number"));
                    self.step(Event::StreamClosed { stream });
                }
                (_, number) => {
                    let link = LinkId(number.parse().expect("number"));
                    self.open_links.remove(&link);
                    self.step(Event::LinkClosed { link });
                }
            },
            "register" => self.register(&mut words),
            "silent" => drop(self.silent.insert(LinkId(words.number()))),
            "loud" => drop(self.silent.remove(&LinkId(words.number()))),
            "update" | "operation" | "exited" | "says" | "oversubscribed" | "unregister" => {
                self.agent_frame(line);
            }
            "operator" => {
                let operation = words.next();
                let agent_id = words.text("agent").unwrap_or_else(|| Text::from("m-S0"));
                let principal = words.text("principal");
                self.step(Event::Operate {
                    request: RequestId(1),
                    principal,
                    call: OperatorCall::ChangeResources {
                        agent_id,
                        change: Ok(notation::change(operation).1),
                    },
                });
            }
            "wait" => {
                let seconds: f64 = words.next().parse().expect("seconds");
                self.wait(Duration::from_secs_f64(seconds));
            }
            "ask" => {
                self.requests += 1;
                let event = Event::Operate {
                    request: RequestId(self.requests),
                    principal: None,
                    call: roles_script::call(&mut words),
                };
                self.step(event);
            }
            call => {
                let call = Self::call(call, &mut words);
                self.step(Event::Call {
                    framework_id: call.0,
                    call: call.1,
                });
            }
        }
        self.settle();
    }

    /// `register RESOURCES [oversubscribed=RESOURCES] [id=] [link=] [incarnation=] [tasks=f/id/STATE/resources+…] [frameworks=f,f]`
    fn register(&mut self, words: &mut Words<'_>) {
        self.links += 1;
        let link = words.text("link");
        let link = LinkId(link.map_or(self.links, |text| text.parse().expect("number")));
        let incarnation = words.text("incarnation");
        let incarnation = incarnation.map_or(1, |text| text.parse().expect("number"));
        self.open_links.insert(link, incarnation);
        let tasks = words.named.get("tasks").copied().unwrap_or_default();
        let registration = Registration {
            agent_id: words.text("id").map(|id| AgentId::new(&id).expect("id")),
            hostname: words.text("host").unwrap_or_else(|| Text::from("host")),
            address: words.text("address").unwrap_or_default(),
            version: Text::from("1.11.0"),
            attributes: Arc::new(AgentAttributes {
                hostname: words.text("host").unwrap_or_else(|| Text::from("host")),
                region: words.text("region"),
                zone: words.text("region").map(|_| Text::from("zone")),
                ..AgentAttributes::default()
            }),
            // MULTI_ROLE to TASK_RESOURCE_LIMITS; `old=` is one that cannot drain.
            capabilities: match words.named.contains_key("old") {
                true => (1..=6).collect(),
                false => (1..=8).collect(),
            },
            resources: parse(words.next()).expect("resources"),
            oversubscribed: resources(&words.text("oversubscribed").unwrap_or_default()),
            resource_version: Blob::default(),
            info: Blob::new(b"agent"),
            in_offers: Blob::default(),
            frameworks: words
                .list("frameworks")
                .iter()
                .map(|id| FrameworkInfo {
                    id: Some(FrameworkId::new(id).expect("id")),
                    ..framework_info(&Words::new("checkpoint="))
                })
                .collect(),
            executors: Vec::new(),
            tasks: tasks
                .split('+')
                .filter(|t| !t.is_empty())
                .map(running_task)
                .collect(),
            operations: words
                .list("operations")
                .iter()
                .map(|word| notation::reported_operation(word))
                .collect(),
        };
        self.step(Event::Register {
            link,
            incarnation,
            registration,
        });
    }

    fn agent_frame(&mut self, line: &str) {
        let mut words = Words::new(line);
        let verb = words.next();
        let link = LinkId(words.number());
        let incarnation = self.open_links.get(&link).copied().unwrap_or(1);
        let incarnation = words
            .text("incarnation")
            .map_or(incarnation, |text| text.parse().expect("number"));
        let message = match verb {
            "update" => {
                let framework_id = words.id();
                let task = words.next();
                let state = task_state(words.next());
                let latest = words.text("latest").map(|name| task_state(&name));
                let uuid = words.text("uuid").map(|n| n.parse().expect("number"));
                AgentMessage::Update(AgentUpdate {
                    framework_id,
                    task_id: TaskId::new(task).expect("id"),
                    state,
                    latest_state: latest.unwrap_or(state),
                    uuid: uuid.map(|number: u8| StatusUuid([number; 16])),
                    source: Source::Executor,
                    reason: None,
                    status: Blob::new(format!("{task} {state}").as_bytes()),
                    kept: Blob::new(format!("{task} {state}").as_bytes()),
                })
            }
            "says" => AgentMessage::ExecutorMessage {
                framework_id: words.id(),
                executor_id: ExecutorId::new(words.next()).expect("id"),
                data: Blob::new(words.next().as_bytes()),
            },
            "operation" => {
                let index: usize = words.next().parse().expect("number");
                let uuid = words.text("uuid").map(|n| n.parse().expect("number"));
                AgentMessage::OperationUpdate(OperationUpdate {
                    uuid: self.applied[index],
                    status: OperationStatus {
                        uuid: uuid.map(|number: u8| StatusUuid([number; 16])),
                        ..OperationStatus::new(None, notation::operation_state(words.next()))
                    },
                    total: words.text("total").map(|text| notation::resources(&text)),
                })
            }
            "exited" => AgentMessage::ExecutorExited {
                framework_id: words.id(),
                executor_id: ExecutorId::new(words.next()).expect("id"),
                wait_status: 9,
            },
            "oversubscribed" => AgentMessage::Oversubscribed(resources(words.next())),
            _ => AgentMessage::Unregister,
        };
        self.step(Event::AgentFrame {
            link,
            epoch: words
                .text("epoch")
                .map_or(1, |text| text.parse().expect("number")),
            incarnation,
            message,
        });
    }

    fn call(verb: &str, words: &mut Words<'_>) -> (FrameworkId, Call) {
        let id = words.id();
        let call = match verb {
            "teardown" => Call::Teardown,
            "accept" | "group" => Call::Accept {
                offer_ids: words.list("offers"),
                operations: vec![{
                    let agent = words.text("agent").unwrap_or_else(|| Text::from("m-S0"));
                    let tasks = words.plain.iter();
                    match verb {
                        "group" => Operation::LaunchGroup(launch_group(words, &id, &agent)),
                        _ => Operation::Launch(Launch {
                            id: None,
                            tasks: tasks.map(|t| launch_task(t, &id, &agent)).collect(),
                        }),
                    }
                }],
                refuse_seconds: words.seconds("refuse"),
            },
            "message" => Call::Message {
                executor_id: Text::from(words.next()),
                agent_id: words.text("agent").unwrap_or_else(|| Text::from("m-S0")),
                data: Blob::new(words.next().as_bytes()),
            },
            "operate" => Call::Accept {
                offer_ids: words.list("offers"),
                operations: words
                    .plain
                    .iter()
                    .map(|word| match word.strip_prefix("launch:") {
                        Some(task) => Operation::Launch(Launch {
                            id: None,
                            tasks: vec![launch_task(task, &id, "m-S0")],
                        }),
                        None => notation::operation(word),
                    })
                    .collect(),
                refuse_seconds: words.seconds("refuse"),
            },
            "ack-operation" => Call::AcknowledgeOperation {
                operation_id: Text::from(words.next()),
                agent_id: words.text("agent").unwrap_or_else(|| Text::from("m-S0")),
                uuid: StatusUuid([words.next().parse().expect("number"); 16]),
            },
            "reconcile-operations" => Call::ReconcileOperations {
                operations: words
                    .plain
                    .iter()
                    .map(|id| OperationQuery {
                        operation_id: Text::from(*id),
                        agent_id: words.text("agent"),
                        provider_id: None,
                    })
                    .collect(),
            },
            "decline" => Call::Decline {
                offer_ids: words.list("offers"),
                refuse_seconds: words.seconds("refuse"),
            },
            "accept-inverse" => Call::AcceptInverseOffers {
                inverse_offer_ids: words.list("offers"),
                refuse_seconds: words.seconds("refuse"),
            },
            "decline-inverse" => Call::DeclineInverseOffers {
                inverse_offer_ids: words.list("offers"),
                refuse_seconds: words.seconds("refuse"),
            },
            "revive" => Call::Revive {
                roles: words.list("roles"),
            },
            "suppress" => Call::Suppress {
                roles: words.list("roles"),
            },
            "kill" => Call::Kill {
                task_id: Text::from(words.next()),
                agent_id: words.text("agent"),
                kill_policy: None,
            },
            "shutdown" => Call::Shutdown {
                executor_id: Text::from(words.next()),
                agent_id: words.text("agent").unwrap_or_default(),
            },
            "ack" => Call::Acknowledge {
                task_id: Text::from(words.next()),
                agent_id: words.text("agent").unwrap_or_else(|| Text::from("m-S0")),
                uuid: StatusUuid([words.next().parse().expect("number"); 16]),
            },
            "reconcile" => Call::Reconcile {
                tasks: words
                    .plain
                    .iter()
                    .map(|task| (Text::from(*task), words.text("agent")))
                    .collect(),
            },
            "update-framework" => Call::UpdateFramework(Subscription {
                framework: framework_info(words),
                suppressed_roles: words.list("suppressed"),
                offer_constraints: constraints(words),
            }),
            other => panic!("no such verb: {other}"),
        };
        (id, call)
    }

    /// Makes a call and lets what follows from it happen.
    pub(crate) fn make_call(&mut self, framework_id: FrameworkId, call: Call) {
        self.step(Event::Call { framework_id, call });
        self.settle();
    }

    /// Lets time pass, with a tick at each deadline.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.master.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.step(Event::Tick);
        }
        self.now = end;
    }

    fn settle(&mut self) {
        while self.master.deadline().is_some_and(|at| at <= self.now) {
            self.step(Event::Tick);
        }
    }

    /// One event, and what follows from it.
    pub(crate) fn step(&mut self, event: Event) -> usize {
        let effects = self.master.step(self.now, event);
        let count = effects.len();
        check_invariant(&self.master);
        for effect in &effects {
            if let Effect::ToAgent {
                message: MasterMessage::ApplyOperation { uuid, .. },
                ..
            } = effect
            {
                self.applied.push(*uuid);
            }
        }
        let mut follow = Vec::new();
        for effect in &effects {
            let is_shown = self.is_watched || !matches!(effect, Effect::Publish(_));
            if let Some(line) = print(effect).filter(|_| is_shown) {
                writeln!(self.transcript, "  {line}").expect("write");
            }
            self.answer(effect, &mut follow);
        }
        for event in follow {
            self.step(event);
        }
        count
    }

    fn answer(&mut self, effect: &Effect, follow: &mut Vec<Event>) {
        match effect {
            Effect::Store { store, .. } if self.slow_registry => self.stores.push_back(*store),
            Effect::Store { store, .. } => follow.push(Event::RegistryStored { store: *store }),
            Effect::ToAgent {
                link,
                epoch,
                incarnation,
                message: MasterMessage::Ping { sequence, .. },
            } if !self.silent.contains(link) => follow.push(Event::AgentFrame {
                link: *link,
                epoch: *epoch,
                incarnation: *incarnation,
                message: AgentMessage::Pong {
                    sequence: *sequence,
                },
            }),
            Effect::CloseLink { link } => {
                self.open_links.remove(link);
                follow.push(Event::LinkClosed { link: *link });
            }
            Effect::CloseStream { stream } => {
                follow.push(Event::StreamClosed { stream: *stream });
            }
            Effect::Send { .. }
            | Effect::ToAgent { .. }
            | Effect::Answer { .. }
            | Effect::Publish(_)
            | Effect::Note(_) => {}
        }
    }
}

/// On each agent, offered + allocated <= total, unless more is in use than it has; of what is
/// revocable apart from the rest.
pub(crate) fn check_invariant(master: &Master) {
    let view = master.view();
    for agent in view.agents() {
        let used = view.used_on(agent).unallocate();
        let offered = view.offered_on(agent).unallocate();
        let taken = used.plus(&offered).non_shared();
        for revocable in [false, true] {
            let of = |all: &Resources| all.filter(|one| one.revocable == revocable);
            assert!(
                of(&agent.total).contains(&of(&taken)) || of(&offered).is_empty(),
                "{}: {used} in use and {offered} offered of {}",
                agent.id,
                agent.total
            );
        }
    }
}
