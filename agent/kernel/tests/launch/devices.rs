//! Device files: what the program at a container's cgroup lets through, beside what is in `/dev`.

use agent_kernel::process;
use model::sandbox::{
    Content, DeviceAccess, DeviceKind, DeviceNode, DeviceRule, Isolation, LaunchPlan, Nesting, Run,
    User,
};
use nix::sys::signal::Signal;

use crate::Outcome;
use crate::nested::nested;
use crate::world::{World, process_of, same};

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
                kind: DeviceKind::Character,
                mode: 0o666,
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

pub(crate) fn devices_lie_in_directories_and_have_the_permissions_of_their_rules(
    world: &World,
) -> Outcome {
    let script = "stat -c '%F %a' /dev/deep/er/full /dev/deep/block; TRIED";
    let tried = "head -c 1 /dev/deep/er/full >/dev/null && echo read
                 echo x 2>/dev/null >/dev/deep/er/full || echo refused";
    let mut plan = world.plan(&script.replace("TRIED", tried))?;
    process_of(&mut plan).user.uid = 1000;
    for mount in &mut plan.mounts {
        if let Content::Devices(devices) = &mut mount.content {
            let node = |name: &str, kind, mode| DeviceNode {
                name: name.into(),
                kind,
                mode,
                major: 1,
                minor: 7,
            };
            devices
                .directories
                .extend(["deep".into(), "deep/er".into()]);
            devices.nodes.extend([
                node("deep/er/full", DeviceKind::Character, 0o444),
                node("deep/block", DeviceKind::Block, 0o222),
            ]);
        }
    }
    plan.cgroup.devices.push(full(DeviceAccess::ALL));
    let (output, _) = world.run_plan(&plan)?;
    let expected = "character special file 444\nblock special file 222\nread\nrefused\n";
    same(output.as_str(), expected, "devices")
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
