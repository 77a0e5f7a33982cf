//! What a container lacks of its isolation, told with its task.

use agent_core::event::Event;
use model::TaskState;

use crate::world::World;

#[test]
fn what_a_node_does_not_give_is_told_with_the_task_that_runs() {
    let mut world = World::registered();
    world.run_task("t1");
    let container = world.container("t1");
    world.step(Event::Launched {
        container,
        pid: 42,
        degraded: Some("linux/scopes: ABI 2".into()),
    });
    let told: Vec<_> = world
        .agent
        .tasks()
        .flat_map(|(_, task)| &task.statuses)
        .map(|status| (status.state, status.degraded.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (TaskState::Starting, None),
            (TaskState::Running, Some("linux/scopes: ABI 2"))
        ]
    );
}
