//! A hundred thousand roles: what one event costs does not grow with them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::world::World;

/// What an event may take, some hundred times what it does: a stall is what is looked for.
const EVENT_MAX: Duration = Duration::from_secs(2);

#[test]
fn a_hundred_thousand_roles_stall_nobody() {
    let mut world = World::new();
    world.line("registry");
    for framework in 0..100 {
        let mut line = String::from("subscribe roles=");
        for role in 0..1000 {
            write!(line, "r{framework}-{role},").expect("write");
        }
        world.line(line.trim_end_matches(','));
    }
    for line in [
        "register cpus:4;mem:1024",
        "register cpus:4;mem:1024",
        "decline m-0000 offers=m-O0 refuse=600",
        "ask update-quota r1-1 guarantee=cpus:1 limit=cpus:2",
        "ask weights r1-2:2",
        "suppress m-0003",
        "revive m-0003",
        "register cpus:0.001;mem:1",
        "register cpus(zz):4",
        "subscribe roles=zz",
        "update-framework m-0004 roles=zz",
        "close s7",
        "wait 1",
    ] {
        let begin = Instant::now();
        world.line(line);
        let took = begin.elapsed();
        assert!(took < EVENT_MAX, "{line}: {took:?}");
    }
    let transcript = &world.transcript;
    assert!(transcript.contains("OFFERS m-O0 m-S0 r0-0 cpus:4;mem:1024"));
    assert!(
        transcript.contains(" m-S3 zz cpus(reservations"),
        "{transcript}"
    );
}
