//! Networks that were made before their container.

use agent_kernel::launch;
use agent_kernel::network::Space;
use model::sandbox::{Content, ExitStatus, LaunchPlan, Namespace, Network};

use crate::Outcome;
use crate::world::{World, chain, process_of, same};

/// Makes a plan one for a ready network.
fn ready(plan: &mut LaunchPlan) {
    plan.namespaces.push(Namespace::Network);
    plan.network = Network::Ready;
    for mount in &mut plan.mounts {
        if mount.target == "/sys" {
            mount.content = Content::Sysfs;
        }
    }
}

pub(crate) fn a_ready_network_works_and_cannot_be_changed_from_inside(world: &World) -> Outcome {
    let mut plan = world.plan(
        "ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
         nc -l -p 80 >got & sleep 0.3; echo hello | nc -w 1 127.0.0.1 80; wait; cat got
         ip link set lo down 2>/dev/null && echo changed a device
         ip addr add 10.9.9.9/32 dev lo 2>/dev/null && echo added an address
         touch /sys/class/net/lo/mtu 2>/dev/null && echo wrote to sysfs; true",
    )?;
    ready(&mut plan);
    let process = process_of(&mut plan);
    process.user.uid = 1000;
    process.user.gid = 1000;
    let space = Space::make()?;
    let launched = launch::spawn_in(&world.host, &plan, None, Some(&space));
    let launched = launched.map_err(|error| chain(&error))?;
    drop(space);
    let status = world.end(&plan, &launched)?;
    let output = world.output(&plan)?;
    same(status, ExitStatus::Exited(0), &output)?;
    same(output.as_str(), "lo\n0\nhello\n", "output")
}

pub(crate) fn a_ready_network_is_no_other_containers(world: &World) -> Outcome {
    let spaces = [Space::make()?, Space::make()?];
    let mut seen = vec![
        std::fs::read_link("/proc/self/ns/net")?
            .display()
            .to_string(),
    ];
    for space in &spaces {
        let mut plan = world.plan("readlink /proc/self/ns/net")?;
        ready(&mut plan);
        let launched = launch::spawn_in(&world.host, &plan, None, Some(space))?;
        world.end(&plan, &launched)?;
        seen.push(world.output(&plan)?.trim().to_string());
    }
    seen.sort();
    seen.dedup();
    same(seen.len(), 3, &seen.join(" "))
}

pub(crate) fn a_plan_for_a_ready_network_wants_one(world: &World) -> Outcome {
    let mut plan = world.plan("true")?;
    ready(&mut plan);
    let error = launch::spawn(&world.host, &plan, None).err();
    let text = error.map(|error| chain(&error)).unwrap_or_default();
    same(text.contains("there is none"), true, &text)
}
