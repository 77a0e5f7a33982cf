//! The tree of containers: what calls make of it, and what it answers.

use alloc::format;
use alloc::string::{String, ToString};

use super::*;
use model::sandbox::Lacks;

use crate::event::{Limit, MemoryLimit};

const OPERATOR: Caller = Caller::Operator;

fn id(text: &str) -> ContainerId {
    ContainerId::new(text).expect("an id")
}

fn exit(status: ExitStatus) -> Exit {
    Exit {
        status,
        limit: None,
        lacks: Lacks::NONE,
    }
}

/// A tree, and how it is spoken to: calls and what they brought about, one line each.
#[derive(Default)]
struct World {
    tree: Containers,
    requests: u64,
}

impl World {
    /// A container of the agent's that runs.
    fn with_task(task: &str) -> Self {
        let mut world = Self::default();
        world.tree.began(&id(task));
        assert!(world.launched(task).is_empty());
        world
    }

    fn call_by(&mut self, caller: &Caller, call: ContainerCall) -> Vec<String> {
        self.requests += 1;
        let mut out = Vec::new();
        self.tree
            .call(&mut out, RequestId(self.requests), caller, call);
        out.iter().map(line).collect()
    }

    fn call(&mut self, call: ContainerCall) -> Vec<String> {
        self.call_by(&OPERATOR, call)
    }

    fn launch(&mut self, container: &str) -> Vec<String> {
        self.call(ContainerCall::Launch(Requested {
            container: id(container),
            class: Class::Default,
            launch: Blob::new(b""),
        }))
    }

    /// Launches and lets it run.
    fn run(&mut self, container: &str) {
        let request = self.requests + 1;
        assert_eq!(self.launch(container), [format!("launch {container}")]);
        assert_eq!(self.launched(container), [format!("{request}: done")]);
    }

    fn wait(&mut self, container: &str) -> Vec<String> {
        let container = id(container);
        self.call(ContainerCall::Wait { container })
    }

    fn kill(&mut self, container: &str, signal: i32) -> Vec<String> {
        let container = id(container);
        self.call(ContainerCall::Kill { container, signal })
    }

    fn remove(&mut self, container: &str) -> Vec<String> {
        let container = id(container);
        self.call(ContainerCall::Remove { container })
    }

    fn destroy(&mut self, container: &str) -> Vec<String> {
        let container = id(container);
        self.call(ContainerCall::Destroy { container })
    }

    fn launched(&mut self, container: &str) -> Vec<String> {
        let mut out = Vec::new();
        self.tree.launched(&mut out, &id(container), 7);
        out.iter().map(line).collect()
    }

    fn failed(&mut self, container: &str) -> Vec<String> {
        let mut out = Vec::new();
        self.tree.launch_failed(&mut out, &id(container), "no root");
        out.iter().map(line).collect()
    }

    fn exited(&mut self, container: &str, exit: Exit) -> Vec<String> {
        let mut out = Vec::new();
        self.tree.exited(&mut out, &id(container), &exit);
        out.iter().map(line).collect()
    }

    fn killed(&mut self, container: &str) -> Vec<String> {
        self.exited(container, exit(ExitStatus::Signal(9)))
    }
}

fn line(deed: &Deed) -> String {
    match deed {
        Deed::Launch(requested) => format!("launch {}", requested.container),
        Deed::Kill { container, signal } => format!("kill -{signal} {container}"),
        Deed::RemoveSandbox { container } => format!("remove sandbox of {container}"),
        Deed::Answer { request, answer } => format!("{}: {}", request.0, words(answer)),
    }
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done".to_string(),
        Answer::AlreadyLaunched => "already there".to_string(),
        Answer::Ended(Termination { status, cause }) => match cause {
            Some(cause) => format!("ended {status:?}, {:?}", cause.reason),
            None => format!("ended {status:?}"),
        },
        Answer::Refused(refusal) => format!("refused: {refusal}"),
    }
}

#[test]
fn a_nested_container_runs_is_waited_for_and_removed() {
    let mut world = World::with_task("a");
    assert_eq!(world.launch("a.n"), ["launch a.n"]);
    assert_eq!(world.launch("a.n"), ["2: already there"]);
    assert_eq!(world.launched("a.n"), ["1: done"]);
    assert!(world.wait("a.n").is_empty());
    assert_eq!(
        world.remove("a.n"),
        ["4: refused: Nested container has not terminated yet"]
    );
    assert_eq!(world.kill("a.n", 15), ["kill -15 a.n", "5: done"]);
    assert_eq!(
        world.exited("a.n", exit(ExitStatus::Signal(15))),
        ["3: ended Signal(15)"]
    );
    assert_eq!(world.wait("a.n"), ["6: ended Signal(15)"], "is kept");
    assert_eq!(
        world.kill("a.n", 9),
        ["7: refused: Container 'a.n' cannot be found (or is already killed)"]
    );
    assert_eq!(
        world.remove("a.n"),
        ["remove sandbox of a.n", "8: done"],
        "and forgotten with it"
    );
    assert_eq!(
        world.wait("a.n"),
        ["9: refused: Container a.n cannot be found"]
    );
    assert_eq!(
        world.remove("a.n"),
        ["remove sandbox of a.n", "10: done"],
        "twice does no harm"
    );
}

#[test]
fn a_container_that_stands_alone_is_forgotten_when_it_has_ended() {
    let mut world = World::default();
    world.run("s");
    assert!(world.wait("s").is_empty());
    assert!(world.tree.has_requested() && world.tree.is_requested(&id("s")));
    assert_eq!(
        world.exited("s", exit(ExitStatus::Code(3))),
        ["2: ended Code(3)"]
    );
    assert!(!world.tree.has_requested());
    assert_eq!(world.wait("s"), ["3: refused: Container s cannot be found"]);
    assert_eq!(world.remove("s"), ["remove sandbox of s", "4: done"]);
    world.run("s");
}

#[test]
fn what_is_not_there_is_named_in_the_words_of_mesos() {
    let mut world = World::default();
    for (answer, refusal) in [
        (world.wait("zz"), "Container zz cannot be found"),
        (
            world.kill("zz", 9),
            "Container 'zz' cannot be found (or is already killed)",
        ),
        (world.launch("zz.n"), "Parent container zz does not exist"),
        (world.remove("zz.n"), "Unknown root container"),
    ] {
        let [answer] = answer.as_slice() else {
            panic!("{answer:?}")
        };
        let (_, answer) = answer.split_once(": ").expect("a number");
        assert_eq!(answer, format!("refused: {refusal}"));
    }
}

#[test]
fn nothing_is_nested_in_what_does_not_run() {
    let mut world = World::default();
    world.tree.began(&id("a"));
    assert_eq!(
        world.launch("a.n"),
        ["1: refused: Parent container a is not running yet"]
    );
    world.launched("a");
    world.run("a.n");
    assert_eq!(world.killed("a"), ["kill -9 a.n"]);
    assert_eq!(
        world.launch("a.m"),
        ["3: refused: Parent container a is in 'DESTROYING' state"]
    );
    assert!(world.killed("a.n").is_empty());
    assert_eq!(
        world.launch("a.m"),
        ["4: refused: Parent container a does not exist"]
    );
}

#[test]
fn whoever_waits_for_a_container_hears_of_its_end_after_the_ends_of_all_in_it() {
    let mut world = World::with_task("a");
    world.run("a.n");
    world.run("a.n.deep");
    assert_eq!(world.launch("a.late"), ["launch a.late"]);
    assert!(world.wait("a").is_empty());
    assert!(world.wait("a.n").is_empty());
    assert_eq!(
        world.exited("a", exit(ExitStatus::Code(0))),
        ["kill -9 a.late", "kill -9 a.n.deep", "kill -9 a.n"]
    );
    assert!(world.killed("a.n").is_empty(), "a.n.deep is still there");
    assert_eq!(
        world.killed("a.n.deep"),
        ["5: ended Signal(9)"],
        "and a.late keeps a back"
    );
    assert_eq!(
        world.launched("a.late"),
        [
            "kill -9 a.late",
            "3: refused: Container destroyed during its launch"
        ]
    );
    assert_eq!(world.killed("a.late"), ["4: ended Code(0)"]);
    assert_eq!(
        world.wait("a.n"),
        ["6: refused: Container a.n cannot be found"],
        "kept ends go with the outermost container"
    );
}

#[test]
fn what_the_agent_launched_in_a_container_is_left_to_whom_it_did_it_for() {
    let mut world = World::with_task("pod");
    world.tree.began(&id("pod.task"));
    world.launched("pod.task");
    world.run("pod.task.shell");
    assert!(world.killed("pod").is_empty());
    assert_eq!(world.killed("pod.task"), ["kill -9 pod.task.shell"]);
    assert!(world.killed("pod.task.shell").is_empty());
    assert!(world.tree.nodes.is_empty());
}

#[test]
fn a_kill_before_the_process_is_there_ends_the_launch() {
    let mut world = World::with_task("a");
    assert_eq!(world.launch("a.n"), ["launch a.n"]);
    assert_eq!(world.kill("a.n", 15), ["kill -9 a.n", "2: done"]);
    assert_eq!(world.kill("a.n", 15), ["3: done"]);
    assert_eq!(world.failed("a.n"), ["1: refused: no root"]);
    assert_eq!(
        world.wait("a.n"),
        ["4: ended Unknown, Some(ContainerLaunchFailed)"]
    );
    world.run("a.n");
    assert_eq!(world.launch("a.m"), ["launch a.m"]);
    world.killed("a.n");
    assert_eq!(world.killed("a"), ["kill -9 a.m"]);
    assert!(world.wait("a").is_empty());
    assert_eq!(
        world.failed("a.m"),
        ["6: refused: no root", "7: ended Signal(9)"],
        "a launch that fails is an end, too"
    );
}

#[test]
fn a_session_ends_with_its_connection_and_everything_in_it_first() {
    let mut world = World::with_task("a");
    world.run("a.s");
    world.run("a.s.n");
    assert_eq!(
        world.destroy("a.s"),
        ["kill -9 a.s.n", "kill -9 a.s", "3: done"]
    );
    assert_eq!(world.destroy("a.s"), ["4: done"], "once is enough");
    assert!(world.killed("a.s").is_empty());
    assert!(world.killed("a.s.n").is_empty());
    assert_eq!(world.wait("a.s"), ["5: ended Signal(9)"]);
    assert_eq!(world.destroy("zz"), ["6: done"]);
}

#[test]
fn a_reached_memory_limit_is_the_cause_of_an_end() {
    let mut world = World::with_task("a");
    world.run("a.n");
    let memory = MemoryLimit {
        limit_bytes: 32 << 20,
        used_bytes_max: 32 << 20,
        statistics: String::new(),
    };
    let exit = Exit {
        status: ExitStatus::Signal(9),
        limit: Some(Limit::Memory(memory)),
        lacks: Lacks::NONE,
    };
    assert!(world.exited("a.n", exit).is_empty());
    assert_eq!(
        world.wait("a.n"),
        ["2: ended Signal(9), Some(ContainerLimitationMemory)"]
    );
}

#[test]
fn an_executor_acts_on_what_is_nested_in_its_own_container_only() {
    let mut world = World::with_task("a");
    world.tree.began(&id("b"));
    world.launched("b");
    world.run("b.n");
    let executor = Caller::Executor { container: id("a") };
    for (container, may) in [
        ("a.n", true),
        ("a.n.m", true),
        ("a", false),
        ("b.n", false),
        ("ab", false),
    ] {
        assert_eq!(executor.may(&id(container)), may, "{container}");
    }
    for call in [
        ContainerCall::Kill {
            container: id("b.n"),
            signal: 9,
        },
        ContainerCall::Wait {
            container: id("b.n"),
        },
        ContainerCall::Destroy {
            container: id("b.n"),
        },
        ContainerCall::Remove {
            container: id("b.n"),
        },
    ] {
        let answer = world.call_by(&executor, call);
        assert!(answer[0].contains("nested in its own only"), "{answer:?}");
        assert_eq!(answer.len(), 1);
    }
}

#[test]
fn a_signal_that_is_none_is_refused() {
    let mut world = World::with_task("a");
    for (signal, good) in [(0, true), (64, true), (65, false), (-1, false)] {
        let answer = world.kill("a", signal);
        assert_eq!(answer.len() == 2, good, "{answer:?}");
    }
}

#[test]
fn who_has_left_is_not_answered() {
    let mut world = World::with_task("a");
    assert_eq!(world.launch("a.n"), ["launch a.n"]);
    let mut out = Vec::new();
    world
        .tree
        .call(&mut out, RequestId(1), &OPERATOR, ContainerCall::Leave);
    assert!(out.is_empty());
    assert!(world.launched("a.n").is_empty());
    assert!(world.wait("a.n").is_empty());
    let waiting = RequestId(world.requests);
    world
        .tree
        .call(&mut out, waiting, &OPERATOR, ContainerCall::Leave);
    assert!(out.is_empty());
    assert_eq!(world.tree.waiting, 0);
    assert!(world.killed("a.n").is_empty());
}

#[test]
fn launches_waits_and_kept_ends_have_bounds() {
    let mut world = World::with_task("a");
    for n in 0..=ENDS_MAX {
        world.run(&format!("a.n{n}"));
        world.killed(&format!("a.n{n}"));
    }
    assert_eq!(world.tree.ended.len(), ENDS_MAX);
    assert_eq!(world.tree.nodes.len(), ENDS_MAX + 1);
    assert!(world.wait("a.n0")[0].contains("cannot be found"));
    assert!(world.wait("a.n1")[0].contains("ended Signal(9)"));
    for n in 0..REQUESTED_MAX {
        world.run(&format!("a.m{n}"));
    }
    assert!(world.launch("a.more")[0].contains("1024 containers"));
    for _ in 0..WAITERS_MAX {
        assert!(world.wait("a").is_empty());
    }
    assert!(world.wait("a")[0].contains("4096 calls wait"));
}

#[test]
fn an_agent_that_ends_takes_what_calls_launched_with_it() {
    let mut world = World::with_task("a");
    world.run("a.n");
    world.run("s");
    let mut out = Vec::new();
    world.tree.close(&mut out);
    let lines: Vec<String> = out.iter().map(line).collect();
    assert_eq!(lines, ["kill -9 a.n", "kill -9 s"]);
    assert_eq!(
        world.launch("t"),
        ["3: refused: the agent is ending its work"]
    );
    world.killed("a.n");
    assert!(world.tree.has_requested());
    world.killed("s");
    assert!(!world.tree.has_requested());
    assert!(world.killed("a").is_empty());
}

#[test]
fn after_a_restart_what_calls_launched_ends_before_what_it_is_nested_in() {
    let mut world = World::default();
    for (container, number) in [("e.a", 2), ("e-f", 3)] {
        let launch = Blob::new(b"a call");
        world.tree.recover_requested(&id(container), number, launch);
    }
    world.tree.recover(&id("e"), 1);
    let launches = world.tree.alive().map(|(_, _, launch)| launch.is_some());
    assert_eq!(launches.collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(world.wait("e"), [""; 0]);
    assert_eq!(
        world.exited("e", exit(ExitStatus::Code(0))),
        ["kill -9 e.a"]
    );
    let ended = world.exited("e.a", exit(ExitStatus::Signal(9)));
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(world.tree.has_requested(), "another one goes on");
}
