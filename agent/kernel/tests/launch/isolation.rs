//! What a task sees, and what it tries in vain.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::sandbox::{Access, Content, ExitStatus, Handover, IdRange, Mount, User};

use crate::Outcome;
use crate::world::{IDS, SANDBOX, World, process_of, same, sandbox};

pub(crate) fn every_namespace_is_the_containers_own(world: &World) -> Outcome {
    let (output, _) = world
        .run("for n in user pid mnt ipc uts cgroup time net; do readlink /proc/self/ns/$n; done")?;
    let names = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "time", "net"];
    same(output.lines().count(), names.len(), &output)?;
    for (name, inside) in names.into_iter().zip(output.lines()) {
        let outside = fs::read_link(format!("/proc/self/ns/{name}"))?;
        let shared = outside.to_string_lossy() == inside;
        same(shared, name == "net", &format!("{name} is shared"))?;
    }
    let (output, _) =
        world.run("hostname; cat /proc/self/cgroup /proc/self/uid_map | tr -s ' '")?;
    let expected = ["tepui-test", "0::/", " 0 1000000 65536"];
    for line in expected {
        same(
            output.lines().any(|other| other == line),
            true,
            &format!("{line} in {output}"),
        )?;
    }
    Ok(())
}

pub(crate) fn there_are_no_capabilities_in_any_set(world: &World) -> Outcome {
    // Of the task and of its init, as 0 and as another user.
    for uid in [0, 1000] {
        let mut plan = world.plan("cat /proc/self/status; echo; cat /proc/1/status")?;
        process_of(&mut plan).user.uid = uid;
        let (output, _) = world.run_plan(&plan)?;
        let lines = |start: &str| {
            output
                .lines()
                .filter(|line| line.starts_with(start))
                .count()
        };
        same(lines("Cap"), 10, &output)?;
        for line in output.lines().filter(|line| line.starts_with("Cap")) {
            same(line.ends_with("\t0000000000000000"), true, line)?;
        }
        same(lines("NoNewPrivs:\t1"), 2, &output)?;
        same(
            lines(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")),
            2,
            &output,
        )?;
    }
    Ok(())
}

pub(crate) fn the_root_is_read_only_and_the_sandbox_is_not(world: &World) -> Outcome {
    let (output, status) = world.run(
        "pwd; for d in / /bin /etc /sys /proc/sys/kernel; do touch $d/x 2>/dev/null && echo wrote $d; done
         echo mine > file && cat file && touch /tmp/a /dev/shm/b && echo done",
    )?;
    same(status, ExitStatus::Exited(0), &output)?;
    same(
        output.as_str(),
        "/mnt/mesos/sandbox\nmine\ndone\n",
        "output",
    )
}

pub(crate) fn a_user_of_the_container_owns_its_sandbox(world: &World) -> Outcome {
    let mut plan = world.plan("id -u; id -g; id -G; touch file; stat -c %u:%g file . /bin")?;
    process_of(&mut plan).user = User {
        uid: 33,
        gid: 34,
        groups: vec![4],
    };
    let (output, _) = world.run_plan(&plan)?;
    same(
        output.as_str(),
        "33\n34\n34 4\n33:34\n33:34\n65534:65534\n",
        "output",
    )?;
    let file = fs::metadata(sandbox(&plan).join("file"))?;
    let owner = file.uid();
    same(owner, IDS.first + 33, "owner on the node")
}

pub(crate) fn only_its_own_processes_are_visible(world: &World) -> Outcome {
    let (output, _) = world.run("ls /proc | grep '^[0-9]' | sort -n; echo $$")?;
    let pids: Vec<u32> = output
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    same(pids.first(), Some(&1), &output)?;
    same(pids.last(), Some(&2), "the task's own number")?;
    same(pids.iter().all(|pid| *pid < 10), true, &output)
}

pub(crate) fn no_descriptor_of_the_agent_leaks(world: &World) -> Outcome {
    // A descriptor without close-on-exec, as a library may make one.
    let careless = nix::unistd::dup(&fs::File::open("/")?)?;
    // The shell's own: one that it has just forked closes its input before it opens /dev/null.
    let (output, _) = world.run(
        "for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do readlink /proc/$$/fd/$f; done",
    )?;
    drop(careless);
    let expected = "/dev/null\n/mnt/mesos/sandbox/stdout\n/mnt/mesos/sandbox/stderr\n";
    same(output.as_str(), expected, "descriptors")
}

pub(crate) fn the_keys_of_the_agents_session_are_out_of_reach(world: &World) -> Outcome {
    if !Path::new("/proc/keys").exists() {
        println!("  left out: this kernel has no keys");
        return Ok(());
    }
    // Owner, group, type and name, of those that the task may see.
    let (output, _) =
        world.run("tr -s ' ' < /proc/keys | grep ' keyring _ses' | grep -o '[0-9]* [0-9]* keyring _ses: .*' | sort -u")?;
    same(
        output.as_str(),
        "0 0 keyring _ses: empty\n",
        "session keyrings",
    )
}

pub(crate) fn the_nodes_files_are_out_of_reach(world: &World) -> Outcome {
    let here = world.directory.display();
    let (output, _) = world.run(&format!(
        "ls -d {here} /root /home 2>/dev/null; ls /../../..; cat /proc/interrupts | wc -c
         ls /proc/fs | wc -l; cat /proc/1/environ 2>/dev/null; for l in /proc/1/fd/* /proc/1/root /proc/1/exe; do readlink $l; done; ls /proc/1/root/ 2>/dev/null
         grep -o ' - .* ' /proc/self/mountinfo | grep -c '{here}'"
    ))?;
    let expected = "bin\ndev\netc\nmnt\nproc\nsys\ntmp\n0\n0\n0\n";
    same(output.as_str(), expected, "output")
}

pub(crate) fn devices_work_and_none_can_be_made(world: &World) -> Outcome {
    let (output, _) = world.run(
        "echo gone > /dev/null && head -c 3 /dev/zero | wc -c; ls /dev/pts /dev/ptmx
         mknod disk b 254 0 2>/dev/null && echo made; mount -t tmpfs none /tmp 2>/dev/null && echo mounted
         kill -0 -1; echo",
    )?;
    same(
        output.contains("made") || output.contains("mounted"),
        false,
        &output,
    )?;
    same(output.lines().next(), Some("3"), &output)?;
    same(
        output.lines().any(|line| line == "/dev/ptmx"),
        true,
        &output,
    )
}

pub(crate) fn a_nested_user_namespace_gains_nothing(world: &World) -> Outcome {
    // Inside one of its own a task has capabilities again, but neither masks nor the root give way.
    // Not as 0, whom the kernel lets map itself with CAP_SETFCAP only.
    let mut plan = world.plan(
        "unshare -Urm sh -c 'echo in; grep -q ^CapEff:.*0000$ /proc/self/status || echo capable
         umount /proc/interrupts && echo unmasked; umount /proc/sys && echo uncovered
         mount -o remount,rw / && echo remounted; touch /x && echo wrote
         mkdir /tmp/p && mount -t proc proc /tmp/p && echo proc' 2>/dev/null; echo end",
    )?;
    process_of(&mut plan).user.uid = 1000;
    // With rules for files no mount could be changed at all.
    plan.landlock = None;
    let (output, _) = world.run_plan(&plan)?;
    same(output.as_str(), "in\ncapable\nend\n", "output")
}

pub(crate) fn a_volume_keeps_files_and_their_owners_for_containers_of_any_ids(
    world: &World,
) -> Outcome {
    let source = world.directory.join("volume");
    fs::create_dir(&source)?;
    let volume = Mount {
        target: format!("{SANDBOX}/data"),
        content: Content::Volume {
            source: source.to_string_lossy().into_owned(),
            access: Access::ReadWrite,
            handover: Handover::Always,
        },
    };
    let mut plan = world.plan("echo kept >data/file; stat -c %u data data/file")?;
    fs::create_dir(sandbox(&plan).join("data"))?;
    plan.mounts.push(volume.clone());
    process_of(&mut plan).user.uid = 1000;
    let (output, _) = world.run_plan(&plan)?;
    same(output.as_str(), "1000\n1000\n", "the owner inside")?;
    let owner = fs::metadata(source.join("file"))?.uid();
    same(owner, 1000, "the owner on the disk")?;

    let mut plan = world.plan("stat -c %u data/file; cat data/file; echo more >>data/file")?;
    fs::create_dir(sandbox(&plan).join("data"))?;
    plan.mounts.push(volume);
    process_of(&mut plan).user.uid = 1000;
    plan.ids = IdRange {
        first: IDS.first + IDS.length,
        ..IDS
    };
    let (output, _) = world.run_plan(&plan)?;
    same(output.as_str(), "1000\nkept\n", "another range")?;
    same(
        fs::read_to_string(source.join("file"))?.as_str(),
        "kept\nmore\n",
        "the file",
    )
}

pub(crate) fn message_queues_are_the_containers_own(world: &World) -> Outcome {
    if fs::metadata("/proc/sys/fs/mqueue").is_err() {
        println!("left out: this kernel has no message queues");
        return Ok(());
    }
    let script =
        "ls /dev/mqueue; : > /dev/mqueue/q; ls /dev/mqueue; mount | grep -c ' /dev/mqueue '";
    let (output, _) = world.run(script)?;
    same(output.as_str(), "q\n1\n", "a queue")?;
    // Another container begins with none.
    let (output, _) = world.run(script)?;
    same(output.as_str(), "q\n1\n", "a queue of another container")
}

pub(crate) fn inotify_is_bounded_for_each_user_of_the_container(world: &World) -> Outcome {
    let file = "/proc/sys/user/max_inotify_instances";
    let Ok(before) = fs::read_to_string(file) else {
        println!("left out: this kernel has no inotify");
        return Ok(());
    };
    let (output, _) = world.run(&format!(
        "cat {file}; (echo 9999 > {file}) 2> /dev/null; cat {file}"
    ))?;
    same(output.as_str(), "1024\n1024\n", "within")?;
    same(fs::read_to_string(file)?, before, "the node's own")
}
