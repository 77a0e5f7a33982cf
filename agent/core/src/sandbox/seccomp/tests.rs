//! Tests of the built-in profile: what becomes of calls, by whom.

use super::*;

const PERM: SeccompAction = SeccompAction::Errno(1);
const MISSING: SeccompAction = SeccompAction::Errno(38);
const NO_PROTOCOL: SeccompAction = SeccompAction::Errno(93);
const NO_FAMILY: SeccompAction = SeccompAction::Errno(97);
const ALLOW: SeccompAction = SeccompAction::Allow;

const SYS_ADMIN: &[u8] = &[21];

fn check(capabilities: &[u8], call: &str, arguments: [u64; 3], expected: SeccompAction) {
    let capabilities: Vec<_> = capabilities.iter().copied().map(Capability).collect();
    let filter = Profile::built_in().filter(&capabilities);
    let [first, second, third] = arguments;
    let got = filter.decide(call, &[first, second, third, 0, 0, 0]);
    assert_eq!(got, expected, "{call} {arguments:x?} with {capabilities:?}");
}

#[test]
fn what_ordinary_programs_call_is_allowed() {
    for call in [
        "read",
        "openat",
        "execve",
        "mmap",
        "futex",
        "clone",
        "wait4",
        "kill",
        "socket",
        "connect",
        "accept4",
        "epoll_wait",
        "inotify_add_watch",
        "memfd_create",
        "io_submit",
        "ptrace",
        "statx",
        "getrandom",
        "rseq",
        "prctl",
        "seccomp",
        "setuid",
        "chown",
        "shmget",
        "mq_open",
        "ioctl",
        "sched_setaffinity",
        "timer_create",
        "prlimit64",
        "landlock_restrict_self",
        "unshare",
    ] {
        check(&[], call, [2, 0, 0], ALLOW);
    }
}

#[test]
fn what_reaches_the_node_or_serves_attacks_is_refused_whatever_the_capabilities() {
    let all: Vec<u8> = (0..=40).collect();
    for capabilities in [&[][..], &all] {
        for call in [
            "bpf",
            "perf_event_open",
            "keyctl",
            "add_key",
            "request_key",
            "userfaultfd",
            "open_by_handle_at",
            "init_module",
            "finit_module",
            "delete_module",
            "kexec_load",
            "kexec_file_load",
            "swapon",
            "acct",
            "syslog",
            "settimeofday",
            "clock_settime",
            "quotactl",
            "no_such_call",
        ] {
            check(capabilities, call, [0; 3], PERM);
        }
        for call in [
            "io_uring_setup",
            "io_uring_enter",
            "iopl",
            "modify_ldt",
            "uselib",
        ] {
            check(capabilities, call, [0; 3], MISSING);
        }
    }
}

#[test]
fn a_capability_brings_the_calls_that_it_is_for() {
    for (capabilities, calls) in [
        (
            SYS_ADMIN,
            &[
                "mount",
                "umount2",
                "pivot_root",
                "fsopen",
                "move_mount",
                "setns",
                "sethostname",
            ][..],
        ),
        (&[18], &["chroot"]),
        (&[19], &["kcmp", "pidfd_getfd"]),
        (&[22], &["reboot"]),
        (&[23], &["mbind", "move_pages"]),
    ] {
        for call in calls {
            check(&[], call, [0; 3], PERM);
            check(capabilities, call, [0; 3], ALLOW);
        }
    }
}

#[test]
fn namespaces_are_made_with_cap_sys_admin_alone() {
    const NEWUSER: u64 = 0x1000_0000;
    const NEWTIME: u64 = 0x80;
    const THREAD: u64 = 0x003d_0f00;
    check(&[], "clone", [THREAD, 0, 0], ALLOW);
    check(&[], "clone", [17, 0, 0], ALLOW);
    for flag in [
        0x2_0000,
        0x200_0000,
        0x400_0000,
        0x800_0000,
        NEWUSER,
        0x2000_0000,
        0x4000_0000,
    ] {
        check(&[], "clone", [flag | 17, 0, 0], PERM);
        check(&[], "unshare", [flag, 0, 0], PERM);
        // Bits that the kernel does not read make no difference.
        check(&[], "unshare", [flag | 1 << 40, 0, 0], PERM);
        check(SYS_ADMIN, "clone", [flag, 0, 0], ALLOW);
        check(SYS_ADMIN, "unshare", [flag, 0, 0], ALLOW);
    }
    check(&[], "unshare", [NEWTIME, 0, 0], PERM);
    check(&[], "unshare", [0x600, 0, 0], ALLOW);
    check(&[], "clone3", [0; 3], MISSING);
    check(SYS_ADMIN, "clone3", [0; 3], ALLOW);
}

#[test]
fn sockets_are_of_few_families() {
    for family in [1, 2, 10, 16] {
        check(&[], "socket", [family, 1, 0], ALLOW);
    }
    // AF_ALG, AF_VSOCK, AF_CAN, AF_BLUETOOTH, AF_XDP, AF_TIPC, AF_RDS.
    for family in [38, 40, 29, 31, 44, 30, 21, 1 << 32 | 40] {
        check(&[], "socket", [family, 1, 0], NO_FAMILY);
        check(&[13, 12], "socket", [family, 1, 0], NO_FAMILY);
    }
    check(&[], "socket", [17, 3, 0], NO_FAMILY);
    check(&[13], "socket", [17, 3, 0], ALLOW);
    for (protocol, expected) in [(0, ALLOW), (16, ALLOW), (12, NO_PROTOCOL), (6, NO_PROTOCOL)] {
        check(&[], "socket", [16, 3, protocol], expected);
        check(&[12], "socket", [16, 3, protocol], ALLOW);
    }
    // A protocol of TCP has the number of one of netlink's.
    check(&[], "socket", [2, 1, 6], ALLOW);
    check(&[], "socketpair", [1, 1, 0], ALLOW);
    check(&[], "socketpair", [38, 1, 0], PERM);
}

#[test]
fn terminals_cannot_be_typed_into_and_addresses_stay_unknown() {
    for request in [0x5412, 0x541c, 0x5423] {
        check(&[], "ioctl", [0, request, 0], PERM);
        check(&[], "ioctl", [0, request | 1 << 32, 0], PERM);
    }
    check(&[], "ioctl", [0, 0x5413, 0], ALLOW);
    for personality in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff, u64::MAX] {
        check(&[], "personality", [personality, 0, 0], ALLOW);
    }
    // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC.
    for personality in [0x4_0000, 0x40_0000] {
        check(&[], "personality", [personality, 0, 0], PERM);
    }
}

#[test]
fn no_call_is_in_two_groups_for_the_same_container() {
    let all: Vec<_> = (0..=40).map(Capability).collect();
    for capabilities in [Vec::new(), all] {
        let filter = Profile::built_in().filter(&capabilities);
        let plain = filter
            .rules
            .iter()
            .filter(|rule| rule.conditions.is_empty());
        let mut names: Vec<_> = plain.flat_map(|rule| &rule.calls).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

#[test]
fn a_profile_of_the_containers_own_goes_beyond_the_nodes_only_where_it_may_be_unconfined() {
    let rule = |call: &'static str, action| Entry {
        rule: Arc::new(SeccompRule {
            calls: [call.into()].into(),
            conditions: Vec::new(),
            action,
            why: "".into(),
        }),
        with: Vec::new(),
        without: Vec::new(),
    };
    // Everything but one call, of which the log is to tell.
    let own = Profile {
        name: "own".into(),
        default: SeccompAction::Log,
        entries: [rule("read", PERM), rule("write", SeccompAction::Log)].into(),
    };
    let built_in = Profile::built_in();
    let profiles = Profiles {
        asked: &own,
        usual: &built_in,
    };
    let document = ProfileWish::Document("{".into());
    let named = ProfileWish::Named("own".into());
    let of = |wish: &ProfileWish, seccomp_unconfined, required: &[Isolation]| {
        let policy = Policy {
            seccomp_unconfined,
            required: required.to_vec(),
            ..Policy::default()
        };
        match choose(wish, profiles, &policy, &[]).expect("a filter") {
            Seccomp::Filter(filter) => {
                ["read", "write", "bpf"].map(|call| filter.decide(call, &[0; 6]))
            }
            Seccomp::Unconfined => panic!("unconfined"),
        }
    };
    let log = SeccompAction::Log;
    let (bounded, alone) = ([PERM, ALLOW, PERM], [PERM, log, log]);
    assert_eq!(of(&document, false, &[]), bounded);
    assert_eq!(of(&document, true, &[]), alone);
    assert_eq!(of(&document, true, &[Isolation::Seccomp]), bounded);
    assert_eq!(of(&document, true, &[Isolation::Memory]), alone);
    // The operator's own profiles are what the operator says.
    assert_eq!(of(&named, false, &[]), alone);
}
