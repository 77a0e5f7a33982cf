//! Launches that go wrong: the step is named, and nothing is left over.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use agent_kernel::{launch, process};
use model::sandbox::{Access, Content, LaunchPlan, Missing, Root};

use crate::Outcome;
use crate::world::{World, chain, process_of, same, sandbox};

pub(crate) fn a_program_that_is_not_there_is_named(world: &World) -> Outcome {
    for (program, errno) in [
        ("/no/such", "ENOENT"),
        ("such", "ENOENT"),
        ("/etc", "EACCES"),
    ] {
        let mut plan = world.plan("")?;
        process_of(&mut plan).program = program.into();
        let error = launch::spawn(&world.host, &plan, None)
            .err()
            .ok_or("it started")?;
        let text = chain(&error);
        let expected = format!("execute {program:?}: {errno}");
        same(text.starts_with(&expected), true, &text)?;
        same(leftovers(world, &plan), false, "something is left over")?;
    }
    let mut plan = world.plan("")?;
    process_of(&mut plan).program = "echo".into();
    process_of(&mut plan).arguments = vec!["echo".into(), "by name".into()];
    same(world.run_plan(&plan)?.0.as_str(), "by name\n", "output")?;
    // A script without an interpreter's name is the shell's.
    let mut plan = world.plan("")?;
    let script = sandbox(&plan).join("script");
    fs::write(&script, "echo script $1\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    process_of(&mut plan).program = "./script".into();
    process_of(&mut plan).arguments = vec!["script".into(), "one".into()];
    same(world.run_plan(&plan)?.0.as_str(), "script one\n", "output")
}

pub(crate) fn the_step_that_went_wrong_is_named(world: &World) -> Outcome {
    type Change = fn(&mut LaunchPlan);
    let changes: [(&str, Change); 7] = [
        ("launch: enter directory /none: ENOENT", |plan| {
            process_of(plan).directory = "/none".into()
        }),
        ("launch: open sandbox /none: ENOENT", |plan| {
            change_sandbox(plan, "/none")
        }),
        ("launch: open root /none: ENOENT", |plan| {
            plan.root = directory("/none")
        }),
        ("launch: make mount /tmp: ENOENT", |plan| {
            let tmp = plan.mounts.iter_mut().find(|mount| mount.target == "/tmp");
            tmp.expect("it has one").content = Content::Bind {
                source: "/none".into(),
                access: Access::ReadOnly,
                missing: Missing::Fails,
            };
        }),
        ("launch: make /proc in the root: ", |plan| {
            plan.root = directory("/sys");
        }),
        ("launch: sethostname: EINVAL", |plan| {
            plan.hostname = Some("x".repeat(65))
        }),
        ("launch: user 70000:0 is outside", |plan| {
            process_of(plan).user.uid = 70_000
        }),
    ];
    // What is not mounted needs no place either.
    same(
        world.root().join("etc/nothing").exists(),
        false,
        "a place for nothing",
    )?;
    for (expected, change) in changes {
        let mut plan = world.plan("true")?;
        change(&mut plan);
        let error = launch::spawn(&world.host, &plan, None)
            .err()
            .ok_or("it started")?;
        same(chain(&error).starts_with(expected), true, &chain(&error))?;
        same(leftovers(world, &plan), false, "something is left over")?;
    }
    Ok(())
}

fn change_sandbox(plan: &mut LaunchPlan, source: &str) {
    if let Some(sandbox) = &mut plan.sandbox {
        sandbox.source = source.into();
    }
}

fn directory(source: &str) -> Root {
    Root::Directory {
        source: source.into(),
        access: Access::ReadOnly,
    }
}

/// Whether a launch that failed left its cgroup or a child behind.
fn leftovers(world: &World, plan: &LaunchPlan) -> bool {
    let tree = world.host.cgroups();
    let cgroup = tree.is_some_and(|tree| tree.container(&plan.container).path().exists());
    cgroup || world.host.recorded_exit(&plan.container).is_some() || !process::reap().is_empty()
}

pub(crate) fn output_is_appended_and_links_are_refused(world: &World) -> Outcome {
    let plan = world.plan("echo two")?;
    let stdout = sandbox(&plan).join("stdout");
    fs::write(&stdout, "one\n")?;
    same(world.run_plan(&plan)?.0.as_str(), "one\ntwo\n", "output")?;
    fs::remove_file(&stdout)?;
    symlink("/etc/passwd", &stdout)?;
    let error = launch::spawn(&world.host, &plan, None)
        .err()
        .ok_or("it followed the link")?;
    let expected = "launch: open stdout in the sandbox: ELOOP";
    same(chain(&error).starts_with(expected), true, &chain(&error))
}

pub(crate) fn the_launcher_by_hand_explains_itself(_: &World) -> Outcome {
    let program = std::env::current_exe()?;
    for (arguments, expected) in [
        (vec!["launch"], "started by the agent only"),
        (vec!["launch", "77"], "descriptor 77: EBADF"),
        (vec!["launch", "0"], "not a launch plan"),
    ] {
        // The harness's own reaping stays out of the way: one thread, one child, waited for here.
        let output = std::process::Command::new(&program)
            .args(&arguments)
            .stdin(fs::File::open("/dev/null")?)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        same(text.contains(expected), true, &text)?;
        same(output.status.code(), Some(127), "exit code")?;
    }
    Ok(())
}
