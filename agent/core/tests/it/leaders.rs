//! An agent whose leader changes.

use std::time::Duration;

use agent_core::event::Event;

use crate::world::World;

#[test]
fn another_leader_is_turned_to_soon_however_long_the_wait_had_become() {
    let mut world = World::registered();
    world.log.clear();
    world.step(Event::LeaderChanged);
    assert_eq!(world.log, ["close link 1"]);
    let begun = world.now;
    world.open_and_register();
    assert!(world.now - begun < Duration::from_secs(1));

    for _ in 0..10 {
        let link = world.link;
        world.step(Event::LinkClosed { link });
        world.next_deadline();
    }
    let link = world.link;
    world.step(Event::LinkClosed { link });
    let begun = world.now;
    world.step(Event::LeaderChanged);
    world.open_and_register();
    assert!(world.now - begun < Duration::from_secs(1));
}
