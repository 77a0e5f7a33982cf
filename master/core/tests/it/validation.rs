//! What may be launched: each rule of reference, section 1.9, with the words that its breach is told in.

use std::collections::BTreeMap;
use std::sync::Arc;

use master_core::event::{
    Call, ExecutorKind, ExecutorSpec, Launch, LaunchGroup, LaunchTask, Operation, Text,
};
use model::FrameworkId;
use model::resources::{DiskInfo, Persistence, Resource, Role, Scalar, Volume, VolumeMode, parse};

use crate::words::{executor_spec, launch_task};
use crate::world::World;

/// Launches `operation` on the first offer of an agent and gives back what the framework is told.
fn told(operation: impl FnOnce(&FrameworkId) -> Operation, agent: &str) -> String {
    let framework_id = FrameworkId::new("m-0000").expect("id");
    let mut world = World::new();
    for line in [
        "registry",
        "subscribe roles=web",
        &format!("register cpus:4;mem:1024;disk:100;ports:[1-9] {agent}"),
    ] {
        world.line(line);
    }
    world.transcript.clear();
    world.make_call(
        framework_id.clone(),
        Call::Accept {
            offer_ids: vec![Text::from("m-O0")],
            operations: vec![operation(&framework_id)],
            refuse_seconds: Some(60.0),
        },
    );
    let told = world.transcript.lines().next().unwrap_or_default().trim();
    let words = told
        .split_once("_INVALID: ")
        .map_or(told, |(_, words)| words);
    words.to_owned()
}

fn with_task(change: impl FnOnce(&mut LaunchTask, &FrameworkId), agent: &str) -> String {
    let launch = |id: &FrameworkId| {
        let mut task = launch_task("t:cpus:1;mem:32", id, "m-S0");
        change(&mut task, id);
        let tasks = vec![task];
        Operation::Launch(Launch { id: None, tasks })
    };
    told(launch, agent)
}

fn with_executor(change: impl FnOnce(&mut ExecutorSpec)) -> String {
    let change = |task: &mut LaunchTask, id: &FrameworkId| {
        let mut executor = executor_spec("e", id, ExecutorKind::Custom, resources("cpus:0.1"));
        change(&mut executor);
        task.has_command = false;
        task.executor = Some(executor);
    };
    with_task(change, "")
}

fn with_group(change: impl FnOnce(&mut LaunchGroup)) -> String {
    let launch = |id: &FrameworkId| {
        let own = resources("cpus:0.1;mem:32;disk:1");
        let executor = executor_spec("e", id, ExecutorKind::Default, own);
        let task = |name: &str| LaunchTask {
            executor: Some(executor.clone()),
            ..launch_task(&format!("{name}:cpus:1;mem:32"), id, "m-S0")
        };
        let mut group = LaunchGroup {
            id: None,
            tasks: vec![task("a"), task("b")],
            executor,
        };
        change(&mut group);
        Operation::LaunchGroup(group)
    };
    told(launch, "")
}

fn resources(text: &str) -> Vec<Resource> {
    parse(text).expect("resources").iter().cloned().collect()
}

fn limit(name: &str, most: f64) -> BTreeMap<Text, f64> {
    BTreeMap::from([(Text::from(name), most)])
}

fn volume(id: &str) -> Resource {
    let mut volume = resources("disk(web):10").remove(0);
    volume.disk = Some(Box::new(DiskInfo {
        source: None,
        persistence: Some(Persistence {
            id: Arc::from(id),
            principal: None,
        }),
        volume: Some(Volume {
            container_path: Arc::from("data"),
            host_path: None,
            mode: VolumeMode::ReadWrite,
        }),
    }));
    volume
}

#[test]
fn a_tasks_fields_and_resources_are_checked() {
    type Change = fn(&mut LaunchTask, &FrameworkId);
    let rows: &[(Change, &str)] = &[
        (|_, _| {}, "l1 run t for web"),
        (|task, _| task.task_id = "..".into(), "'..' is disallowed"),
        (
            |task, _| task.agent_id = "m-S9".into(),
            "Task uses invalid agent m-S9 while agent m-S0 is expected",
        ),
        (
            |task, _| task.kill_grace_ns = Some(-1),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            |task, _| task.max_completion_ns = Some(-1),
            "Task's `max_completion_time` must be non-negative",
        ),
        (|task, _| task.check_fault = Some("check".into()), "check"),
        (
            |task, _| task.resources = Ok(vec![]),
            "Task uses no resources",
        ),
        (
            |task, _| task.resources = Ok(vec![Resource::scalar("gpus", Scalar(500))]),
            "Task uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an \
             unsigned integer",
        ),
        (
            |task, _| {
                let mut disk = resources("disk:1");
                disk[0].disk = Some(Box::new(DiskInfo::default()));
                task.resources = Ok(disk);
            },
            "Task uses invalid resources: Invalid DiskInfo: DiskInfo is set but empty",
        ),
        (
            |task, _| task.resources = Ok(vec![volume("v"), volume("v")]),
            "Task uses duplicate persistence ID: Persistence ID 'v' is not unique",
        ),
        (
            |task, _| {
                let mut two = resources("cpus:1;mem:32");
                two[0].allocation_role = Role::new("a").ok();
                two[1].allocation_role = Role::new("b").ok();
                task.resources = Ok(two);
            },
            "Invalid task resources: The resources have multiple allocation roles ('b' and 'a') \
             but only one allocation role is allowed",
        ),
        (
            |task, _| {
                let mut two = resources("cpus:1");
                two.extend(resources("cpus:1"));
                two[1].revocable = true;
                task.resources = Ok(two);
            },
            "Task mixes revocable and non-revocable resources: Cannot use both revocable and \
             non-revocable 'cpus' at the same time",
        ),
        (
            |task, _| task.content_fault = Some("command".into()),
            "command",
        ),
        (
            |task, _| task.limits = limit("disk", 1.0),
            "Only cpus and mem may be included in a task's resource limits",
        ),
        (
            |task, _| task.limits = limit("cpus", 0.5),
            "The cpu limit must be greater than or equal to the cpu request",
        ),
        (
            |task, _| task.limits = limit("mem", 31.0),
            "The memory limit must be greater than or equal to the memory request",
        ),
        (
            |task, _| {
                task.resources = Ok(resources("mem:32"));
                task.limits.insert("cpus".into(), f64::INFINITY);
            },
            "When a CPU limit is specified, a CPU request must also be specified",
        ),
        (
            |task, _| task.limits = limit("mem", f64::INFINITY),
            "l1 run t for web",
        ),
        (
            |task, _| task.has_command = false,
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            |task, _| task.share_cgroups = Some(false),
            "Only tasks in a task group may have 'share_cgroups' set to 'false'",
        ),
    ];
    for (change, words) in rows {
        assert_eq!(with_task(change, ""), *words);
    }
    let limited = |task: &mut LaunchTask, _: &FrameworkId| {
        task.limits.insert("cpus".into(), 2.0);
    };
    let words = "Agent is not capable of handling task resource limits";
    assert_eq!(with_task(limited, "old="), words);
}

#[test]
fn an_executor_is_checked() {
    type Change = fn(&mut ExecutorSpec);
    let rows: &[(Change, &str)] = &[
        (|_| {}, "l1 run t for web"),
        (
            |executor| executor.kind = ExecutorKind::Unset,
            "l1 run t for web",
        ),
        (
            |executor| executor.kind = ExecutorKind::Default,
            "'ExecutorInfo.type' must be 'CUSTOM'",
        ),
        (
            |executor| {
                executor.kind = ExecutorKind::Unset;
                executor.has_command = false;
            },
            "'ExecutorInfo.command' must be set",
        ),
        (|executor| executor.type_fault = Some("type".into()), "type"),
        (
            |executor| executor.executor_id = "a/b".into(),
            "'a/b' contains invalid characters",
        ),
        (
            |executor| executor.shutdown_grace_ns = Some(-1),
            "ExecutorInfo's 'shutdown_grace_period' must be non-negative",
        ),
        (
            |executor| executor.content_fault = Some("command".into()),
            "command",
        ),
        (
            |executor| executor.framework_id = None,
            "'ExecutorInfo.framework_id' must be set",
        ),
        (
            |executor| executor.framework_id = Some("x".into()),
            "ExecutorInfo has an invalid FrameworkID (Actual: x vs Expected: m-0000)",
        ),
        (
            |executor| executor.share_cgroups = Some(true),
            "The 'share_cgroups' field cannot be set to 'true' on executor containers",
        ),
        (
            |executor| {
                let mut volume = volume("v");
                volume.shared = true;
                executor.resources = Ok(vec![volume]);
            },
            "Executor resources disk(allocated: web)(reservations: [(STATIC,web)])[v:data]\
             <SHARED>:10<1> should not contain any shared resources",
        ),
        (
            |executor| {
                let mut cpus = resources("cpus:0.1");
                cpus[0].revocable = true;
                executor.resources = Ok(cpus);
            },
            "Task and its executor mix revocable and non-revocable resources: Cannot use both \
             revocable and non-revocable 'cpus' at the same time",
        ),
        (
            |executor| executor.resources = Ok(resources("cpus:4")),
            "Total resources cpus(allocated: web):5; mem(allocated: web):32 required by task and \
             its executor is more than available ports(allocated: web):[1-9]; cpus(allocated: \
             web):4; mem(allocated: web):1024; disk(allocated: web):100",
        ),
    ];
    for (change, words) in rows {
        assert_eq!(with_executor(change), *words);
    }
}

#[test]
fn a_group_is_checked() {
    type Change = fn(&mut LaunchGroup);
    let rows: &[(Change, &str)] = &[
        (|_| {}, "l1 run in e for web: a b"),
        (
            |group| group.id = Some("x".into()),
            "The `id` field cannot be set on LAUNCH_GROUP operations",
        ),
        (
            |group| group.tasks[1].kill_grace_ns = Some(-1),
            "Task 'b' is invalid: Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            |group| group.tasks[1].group_fault = Some("docker".into()),
            "Task 'b' is invalid: docker",
        ),
        (
            |group| group.tasks[1].limits = limit("cpus", 2.0),
            "Task 'b' is invalid: Resource limits may only be set for tasks within a task group \
             when the 'share_cgroups' field is set to 'false'.",
        ),
        (
            |group| group.executor.framework_id = None,
            "'ExecutorInfo.framework_id' must be set",
        ),
        (
            |group| group.executor.kind = ExecutorKind::Unset,
            "'ExecutorInfo.type' must be set",
        ),
        (
            |group| group.executor.kind = ExecutorKind::Unknown,
            "Unknown executor type",
        ),
        (
            |group| group.executor.is_docker = true,
            "Docker ContainerInfo is not supported on the executor",
        ),
        (
            |group| {
                if let Some(executor) = &mut group.tasks[1].executor {
                    executor.identity = model::Blob::new(b"other");
                }
            },
            "The `ExecutorInfo` of task 'b' is different from executor 'e'",
        ),
        (
            |group| group.executor.share_cgroups = Some(true),
            "The 'share_cgroups' field cannot be set to 'true' on executor containers",
        ),
        (
            |group| group.tasks[1].share_cgroups = Some(false),
            "If set, the value of 'share_cgroups' must be the same for all tasks in each task \
             group and under a single executor",
        ),
        (
            |group| {
                for task in &mut group.tasks {
                    task.share_cgroups = Some(false);
                    task.limits.insert("cpus".into(), 2.0);
                }
            },
            "l1 run in e for web: a b",
        ),
    ];
    for (change, words) in rows {
        assert_eq!(with_group(change), *words);
    }
}

#[test]
fn what_is_not_well_formed_is_told_before_anything_is_launched() {
    let framework_id = FrameworkId::new("m-0000").expect("id");
    let mut world = World::new();
    for line in [
        "registry",
        "subscribe roles=web",
        "register cpus:4;mem:1024",
    ] {
        world.line(line);
    }
    world.transcript.clear();
    let launch = |id: Option<Text>, task: &str, agent: &str| {
        let tasks = vec![launch_task(task, &framework_id, agent)];
        Operation::Launch(Launch { id, tasks })
    };
    world.make_call(
        framework_id.clone(),
        Call::Accept {
            offer_ids: vec![Text::from("m-O0")],
            operations: vec![
                launch(None, "a:cpus:1;mem:32", "m-S9"),
                launch(Some("x".into()), "b:cpus:1;mem:32", "m-S0"),
            ],
            refuse_seconds: Some(60.0),
        },
    );
    let told: Vec<&str> = world.transcript.lines().map(str::trim).take(2).collect();
    assert!(told[0].ends_with("The `id` field cannot be set on LAUNCH operations"));
    assert!(told[1].ends_with("Task uses invalid agent m-S9 while agent m-S0 is expected"));
}

#[test]
fn a_task_and_its_executor_do_not_share_a_port() {
    let change = |task: &mut LaunchTask, id: &FrameworkId| {
        let own = resources("ports:[3-4]");
        task.has_command = false;
        task.resources = Ok(resources("cpus:1;ports:[1-3]"));
        task.executor = Some(executor_spec("e", id, ExecutorKind::Custom, own));
    };
    let allocated = r#"{"allocation_info":{"role":"web"},"name":"#;
    let ports = |begin: u32, end: u32| {
        format!(
            r#"{allocated}"ports","ranges":{{"range":[{{"begin":{begin},"end":{end}}}]}},"type":"RANGES"}}"#
        )
    };
    let (tasks, executors) = (ports(1, 3), ports(3, 4));
    let words = with_task(change, "");
    let cpus = format!(r#"{allocated}"cpus","scalar":{{"value":1.0}},"type":"SCALAR"}}"#);
    let either = [[&*cpus, &*tasks], [&*tasks, &*cpus]].map(|given| {
        format!(
            "There are overlapping resources in the task resources [{}] and executor resources \
             [{executors}]",
            given.join(",")
        )
    });
    assert!(either.contains(&words), "{words}");
}
