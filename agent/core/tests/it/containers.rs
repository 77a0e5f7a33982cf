//! Containers that calls launch, beside the life of a task.

use crate::world::World;
use agent_core::Event;
use agent_core::containers::{Caller, Class, ContainerCall, RequestId, Requested};
use agent_core::event::{Exit, ExitStatus, Stop};
use expect_test::{Expect, expect};
use model::sandbox::Lacks;
use model::{Blob, ContainerId};

fn check(world: &World, expect: &Expect) {
    expect.assert_eq(&world.log.join("\n"));
}

fn session(world: &mut World, task: &str) -> ContainerId {
    let container = world.container(task).child("shell").expect("an id");
    world.step(Event::Container {
        request: RequestId(1),
        caller: Caller::Operator,
        call: ContainerCall::Launch(Requested {
            container: container.clone(),
            class: Class::Debug,
            launch: Blob::new(b""),
        }),
    });
    world.step(Event::Launched {
        container: container.clone(),
        pid: 8,
        degraded: None,
    });
    world.name("shell", &container);
    world.log.clear();
    container
}

fn killed(container: ContainerId) -> Event {
    Event::Exited {
        container,
        exit: Exit {
            status: ExitStatus::Signal(9),
            limit: None,
            lacks: Lacks::NONE,
        },
    }
}

#[test]
fn a_task_takes_the_sessions_in_its_container_with_it() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    let shell = session(&mut world, "t1");
    world.exited("t1", ExitStatus::Code(0));
    world.step(killed(shell));
    check(
        &world,
        &expect![[r#"
            kill shell Kill
            t1 TASK_FINISHED "Command exited with status 0""#]],
    );
}

#[test]
fn an_agent_that_stops_ends_sessions_too() {
    let mut world = World::registered();
    world.run_task("t1");
    world.launched("t1");
    let shell = session(&mut world, "t1");
    world.step(Event::Stop(Stop::Keep));
    world.exited("t1", ExitStatus::Signal(15));
    world.step(killed(shell));
    assert_eq!(
        world.log.last().map(String::as_str),
        Some("end Stopped"),
        "{:?}",
        world.log
    );
    assert!(world.log.contains(&"kill shell Kill".to_string()));
}
