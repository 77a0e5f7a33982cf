//! Device files: what the program at a container's cgroup lets through, beside what is in `/dev`.

use agent_kernel::process;
use model::sandbox::{
    Content, DeviceAccess, DeviceKind, DeviceNode, DeviceRule, Isolation, LaunchPlan, Nesting, Run,
    User,
};
use nix::sys::signal::Signal;

use crate::Outcome;
use crate::nested::nested;
use crate::world::{World, same};

/// Tries to read `full` and to write to it, which says "No space left on device" where it works.
const TRY: &str = "head -c 1 /dev/full >/dev/null 2>&1 && echo read
     echo x 2>&1 >/dev/full | grep -q 'No space' && echo wrote
     echo x 2>&1 >/dev/full | grep -o 'not permitted'; echo end";

/// Puts a device file into `/dev`, whatever the rules say of it.
fn show_full(plan: &mut LaunchPlan) {
    for mount in &mut plan.mounts {
        if let Content::Devices(devices) = &mut mount.content {
            devices.nodes.push(DeviceNode {
                name: "full".into(),
                major: 1,
                minor: 7,
            });
        }
    }
}

const fn full(access: DeviceAccess) -> DeviceRule {
    DeviceRule {
        kind: DeviceKind::Character,
        major: Some(1),
        minor: Some(7),
        access,
    }
}

pub(crate) fn a_device_file_is_dead_without_a_rule_and_does_what_its_rule_says(
    world: &World,
) -> Outcome {
    for (rules, expected) in [
        (vec![], "not permitted\nend\n"),
        (vec![full(DeviceAccess::MKNOD)], "not permitted\nend\n"),
        (vec![full(DeviceAccess::READ)], "read\nnot permitted\nend\n"),
        (vec![full(DeviceAccess::ALL)], "read\nwrote\nend\n"),
        (
            vec![DeviceRule {
                kind: DeviceKind::Block,
                ..full(DeviceAccess::ALL)
            }],
            "not permitted\nend\n",
        ),
        (
            vec![DeviceRule {
                minor: None,
                ..full(DeviceAccess::ALL)
            }],
            "read\nwrote\nend\n",
        ),
    ] {
        let mut plan = world.plan(TRY)?;
        show_full(&mut plan);
        plan.cgroup.devices.extend(&rules);
        let launched = world.spawn(&plan)?;
        world.end(&plan, &launched)?;
        let report = &launched.enforcement;
        if let Some((_, why)) = report
            .missing
            .iter()
            .find(|(isolation, _)| *isolation == Isolation::Devices)
        {
            println!("  left out: {why}");
            return Ok(());
        }
        same(
            report.enforced.contains(&Isolation::Devices),
            true,
            "report",
        )?;
        same(
            world.output(&plan)?.as_str(),
            expected,
            &format!("{rules:?}"),
        )?;
    }
    Ok(())
}

pub(crate) fn a_nested_container_has_no_device_that_its_parent_has_not(world: &World) -> Outcome {
    let mut pod = world.plan("")?;
    pod.run = Run::Hold(User::default());
    pod.cgroup.nesting = Nesting::Limited;
    let parent = world.spawn(&pod)?;
    let mut plan = nested(world, &pod, TRY)?;
    show_full(&mut plan);
    plan.cgroup.devices.push(full(DeviceAccess::ALL));
    let launched = world.spawn_in(&plan, Some(&parent.pidfd))?;
    world.end(&plan, &launched)?;
    process::signal(&parent.pidfd, Signal::SIGTERM)?;
    world.end(&pod, &parent)?;
    if launched.enforcement.enforced.contains(&Isolation::Devices) {
        same(
            world.output(&plan)?.as_str(),
            "not permitted\nend\n",
            "tries",
        )?;
    }
    Ok(())
}
