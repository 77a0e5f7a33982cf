//! Init duties, by booting the agent as PID 1 of fresh pid, mount, network, uts, ipc and cgroup
//! namespaces: what a node does at its start, in milliseconds.
//!
//! Needs root; elsewhere each test says that it is skipped. What wants hardware is for `tests/vm`.

mod dhcp;
mod machine;

use std::time::Duration;

use machine::Machine;

/// The last phase before the main loop.
const READY: &str = "phase=\"cgroups\"";

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;

#[test]
fn pid_1_mounts_what_a_machine_needs_and_ends_it_on_sigterm() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    machine.start(&["--master=127.0.0.1:5050", "--hostname=node7"]);
    assert!(machine.line("tepui: pid 1 at ").ends_with(" s"));
    machine.line(READY);

    let mounts = machine.file("/proc/self/mountinfo");
    for (target, kind, flag) in [
        ("/", "tmpfs", "rw"),
        ("/proc", "proc", "nosuid,nodev,noexec"),
        ("/sys", "sysfs", "nosuid,nodev,noexec"),
        ("/sys/fs/cgroup", "cgroup2", "nosuid,nodev,noexec"),
        ("/dev", "devtmpfs", "nosuid,noexec"),
        ("/dev/pts", "devpts", "nosuid,noexec"),
        ("/dev/shm", "tmpfs", "nosuid,nodev,noexec"),
        ("/run", "tmpfs", "nosuid,nodev"),
        ("/var/lib/mesos", "tmpfs", "nosuid,nodev"),
        ("/var/lib/mesos/meta", "tmpfs", "nosuid,nodev"),
        ("/run/tepui/rootfs", "tmpfs", "ro,nosuid,nodev"),
    ] {
        let found = mounts.lines().any(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            fields[4] == target && fields[5].contains(flag) && line.contains(&format!(" - {kind} "))
        });
        assert!(found, "{kind} on {target} with {flag}:\n{mounts}");
    }
    assert_eq!(machine.file("/run/tepui/rootfs/bin/sh"), "a shell");
    assert_eq!(machine.inside(&["hostname"]).trim(), "node7");
    for name in ["/etc/hosts", "/run/tepui/etc/hosts"] {
        assert!(machine.file(name).contains("127.0.0.1 node7\n"), "{name}");
    }
    assert_eq!(machine.file("/run/tepui/etc/resolv.conf"), "");

    machine.signal("TERM");
    machine.line("tepui: powering off after ");
    assert!(
        !machine.has_said("unmount"),
        "the work directory was left mounted"
    );
    assert_eq!(machine.ended_by(), Some(SIGINT));
}

#[test]
fn pid_1_reaps_orphans() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    machine.start(&["--master=127.0.0.1:5050", "--hostname=node7"]);
    machine.line(READY);
    // The shell ends at once and leaves its child to PID 1.
    machine.inside(&["sh", "-c", "sleep 0.3 >/dev/null 2>&1 &"]);
    let children = || machine.children();
    assert!(machine::soon(|| !children().is_empty()), "no orphan came");
    assert!(
        machine::soon(|| children().is_empty()),
        "an orphan was left"
    );
}

#[test]
fn a_fatal_signal_has_pid_1_executed_again_with_its_children_its_mounts_and_its_address() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    let server = dhcp::Server::beside(machine.pid());
    machine.start(&["--master=127.0.0.1:5050", "--hostname=node7"]);
    machine.line("address=10.77.0.9/24 gateway=Some(10.77.0.1)");
    machine.line(READY);
    machine.inside(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"]);
    assert!(machine::soon(|| !machine.children().is_empty()), "no child");
    let (pid, children) = (machine.pid(), machine.children());
    let (mounts, asked) = (machine.file("/proc/self/mountinfo"), server.asked());
    for signal in ["SEGV", "ABRT"] {
        machine.signal(signal);
        machine.line(&format!("executed again: SIG{signal} in thread "));
        machine.line("this program was executed again");
        machine.line(READY);
        assert_eq!(machine.pid(), pid);
        assert_eq!(machine.children(), children);
        assert_eq!(machine.file("/proc/self/mountinfo"), mounts);
        assert_eq!(server.asked(), asked, "the address is still leased");
        assert_eq!(machine.inside(&["hostname"]).trim(), "node7");
    }
    for child in children {
        let child = nix::unistd::Pid::from_raw(child.cast_signed());
        nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    }
    assert!(
        machine::soon(|| machine.children().is_empty()),
        "a child was not reaped"
    );
    machine.signal("TERM");
    machine.line("tepui: powering off after ");
    assert!(
        !machine.has_said("unmount"),
        "the work directory was left mounted"
    );
    assert_eq!(machine.ended_by(), Some(SIGINT));
}

#[test]
fn pid_1_that_is_executed_again_too_often_ends_the_machine_with_the_reason() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    machine.start(&["--master=127.0.0.1:5050", "--hostname=node7"]);
    for _ in 0..5 {
        machine.line("serving HTTP");
        machine.signal("BUS");
    }
    machine.line("serving HTTP");
    machine.signal("ILL");
    machine.line("executed again: SIGILL in thread ");
    machine.line("tepui: this program was executed again too often");
    machine.line("tepui: starting again after ");
    assert_eq!(machine.ended_by(), Some(SIGHUP));
}

#[test]
fn sigint_starts_a_machine_again() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    machine.start(&["--master=127.0.0.1:5050"]);
    machine.line(READY);
    machine.signal("INT");
    machine.line("tepui: starting again after ");
    assert_eq!(machine.ended_by(), Some(SIGHUP));
}

#[test]
fn bad_settings_are_all_shown_and_end_the_machine_in_good_order() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    machine.start(&["--master=nowhere", "--prot=5051", "--work_dir=relative"]);
    machine.line("tepui: bad setting --prot: unknown; did you mean --port?");
    machine.line("tepui: bad setting --master: \"nowhere\" is not HOST:PORT");
    machine.line("tepui: bad setting --work_dir: \"relative\" is not an absolute path");
    machine.line("tepui: this node is off in 5 s");
    machine.line("tepui: powering off after ");
    assert_eq!(machine.ended_by(), Some(SIGINT));
}

#[test]
fn a_disk_that_is_not_there_ends_the_machine_with_its_name() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    machine.patience = Duration::from_secs(30);
    machine.start(&["--master=127.0.0.1:5050", "--disk=/dev/tepui-none"]);
    machine.line("tepui: there is no /dev/tepui-none");
    machine.line("tepui: powering off after ");
}

#[test]
fn an_address_is_leased_with_route_names_and_a_file_for_tasks() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    let server = dhcp::Server::beside(machine.pid());
    machine.start(&["--master=127.0.0.1:5050"]);
    machine.line("address=10.77.0.9/24 gateway=Some(10.77.0.1)");
    machine.line(READY);
    assert_eq!(
        server.asked(),
        [dhcp::DISCOVER, dhcp::DISCOVER, dhcp::REQUEST],
        "the first question is lost, the second answered"
    );
    for name in ["/etc/resolv.conf", "/run/tepui/etc/resolv.conf"] {
        assert_eq!(
            machine.file(name),
            "search example.net\nnameserver 10.77.0.53\n",
            "{name}"
        );
    }
    assert_eq!(machine.inside(&["hostname"]).trim(), "leased");
    let routes = machine.file("/proc/self/net/route");
    // Addresses are little-endian there: 10.77.0.1.
    assert!(routes.contains("\t00000000\t01004D0A\t"), "{routes}");
}

#[test]
fn a_lease_that_is_of_no_use_is_asked_for_again() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    let server = dhcp::Server::beside(machine.pid());
    server.confuse();
    machine.start(&["--master=127.0.0.1:5050"]);
    machine.line("lease is of no use; asking for another");
    machine.line("address=10.77.0.9/24 gateway=Some(10.77.0.1)");
    machine.line(READY);
}

#[test]
fn a_given_address_needs_no_server_and_the_lan_has_the_second_device() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    let _first = dhcp::Server::beside(machine.pid());
    let _second = dhcp::Server::beside(machine.pid());
    machine.start(&[
        "--master=127.0.0.1:5050",
        "--ip=10.77.0.50/24,gw=10.77.0.1,dns=10.77.0.53",
        "--lan=192.168.77.5/24",
    ]);
    machine.line("LAN has its address link=\"eth1\" address=192.168.77.5/24");
    machine.line("link=\"eth0\" address=10.77.0.50/24");
    machine.line(READY);
    assert_eq!(machine.file("/etc/resolv.conf"), "nameserver 10.77.0.53\n");
}

/// Takes half a minute, the shortest time after which a lease is renewed.
#[test]
#[ignore = "takes half a minute"]
fn a_lease_is_renewed_and_new_names_reach_tasks() {
    let Some(mut machine) = Machine::prepare() else {
        return;
    };
    let server = dhcp::Server::beside(machine.pid());
    machine.start(&["--master=127.0.0.1:5050", "--hostname=node7"]);
    machine.line(READY);
    let resolver = "/run/tepui/etc/resolv.conf";
    server.move_name_server();
    std::thread::sleep(Duration::from_secs(31));
    assert!(machine::soon(|| machine
        .file(resolver)
        .contains("nameserver 10.77.0.54\n")));
    assert_eq!(server.asked().len(), 4);
}
