//! The report of whole plans, as a reader sees it.

use super::*;
use alloc::format;
use alloc::vec;
use expect_test::{Expect, expect};
use model::ContainerId;
use model::sandbox::{
    Access, Capabilities, Capability, CgroupPlan, Content, CpuList, CpuQuota, CpuSet, DeviceAccess,
    DeviceKind, DeviceRule, Devices, DiskQuota, FileRights, FileRule, HugePages, IdRange, Io,
    IoMax, Landlock, Mount, MountsBeneath, Nesting, Network, Process, Rlimit, Root, Run, Scope,
    Seccomp, Shares, User, View, ViewFile,
};

use crate::sandbox::{Demand, Profile, Rules};

fn plan() -> LaunchPlan {
    LaunchPlan {
        container: ContainerId::new("7f3a").expect("an id"),
        hostname: Some("node1".into()),
        joined: Vec::new(),
        namespaces: vec![
            Namespace::User,
            Namespace::Pid,
            Namespace::Mount,
            Namespace::Ipc,
            Namespace::Uts,
            Namespace::Cgroup,
            Namespace::Time,
        ],
        ids: IdRange {
            first: 524_288,
            length: 65_536,
        },
        network: Network::Shared,
        root: Root::Directory {
            source: "/run/tepui/rootfs".into(),
            access: Access::ReadOnly,
        },
        mounts: vec![
            mount("/proc", Content::Proc),
            mount(
                "/dev",
                Content::Devices(Devices {
                    nodes: Vec::new(),
                    links: Vec::new(),
                    directories: Vec::new(),
                }),
            ),
            mount("/proc/meminfo", Content::View(ViewFile::Meminfo)),
            mount("/proc/sys", Content::ReadOnly),
            mount("/proc/kcore", Content::Mask),
        ],
        sandbox: None,
        io: Io::Files,
        run: Run::Process(Process {
            program: "/bin/sh".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: "/".into(),
            user: User {
                uid: 65_534,
                ..User::default()
            },
            rlimits: vec![Rlimit {
                resource: 7,
                soft: 1024,
                hard: u64::MAX,
            }],
        }),
        capabilities: Capabilities::default(),
        landlock: Some(Landlock {
            files: vec![
                rule("/", FileRights::Read),
                rule("/dev", FileRights::Devices),
                rule("/tmp", FileRights::Change),
            ],
            sockets: Scope::Container,
            signals: Scope::Namespace,
            ports: None,
        }),
        required: Vec::new(),
        seccomp: Seccomp::Filter(Profile::built_in().filter(&[])),
        oom_score_adj: 0,
        cgroup: CgroupPlan {
            limits: Some(CgroupLimits {
                cpu_weight: 60,
                cpu_quota: None,
                memory_bytes_min: 0,
                memory_bytes_low: 96 << 20,
                memory_bytes_high: None,
                huge_pages: HugePages::default(),
                memory_bytes_max: Some(96 << 20),
                swap_bytes_max: Some(0),
                pids_max: 4096,
                io_weight: 60,
                io_max: None,
            }),
            nesting: Nesting::Shared,
            cpus: None,
            ports: None,
            devices: vec![DeviceRule {
                kind: DeviceKind::Character,
                major: Some(1),
                minor: Some(3),
                access: DeviceAccess::ALL,
            }],
        },
        view: Some(View {
            shares: Shares::Node,
            cpus_milli_apart: 100,
        }),
        disk: Some(DiskQuota {
            bytes_max: Some(1 << 30),
            inodes_max: Some(32_768),
        }),
    }
}

fn rule(place: &str, rights: FileRights) -> FileRule {
    FileRule {
        place: place.into(),
        rights,
    }
}

fn mount(target: &str, content: Content) -> Mount {
    Mount {
        target: target.into(),
        content,
    }
}

/// Everything that the plan asks for, as on a kernel that gives it.
fn all(plan: &LaunchPlan) -> Enforcement {
    let mut enforcement = Enforcement {
        landlock_abi: 6,
        ..Enforcement::default()
    };
    let own = plan.namespaces.iter().copied().map(Isolation::Namespace);
    let others = [
        Isolation::Capabilities,
        Isolation::NoNewPrivileges,
        Isolation::Seccomp,
        Isolation::Landlock,
        Isolation::Scopes,
        Isolation::Root,
        Isolation::Placement,
        Isolation::Cpu,
        Isolation::Memory,
        Isolation::HugePages,
        Isolation::Disk,
        Isolation::Io,
        Isolation::Pids,
        Isolation::Devices,
        Isolation::ProcView,
    ];
    for isolation in own.chain(others) {
        enforcement.note(isolation, Ok(()));
    }
    enforcement
}

fn check(report: &Report, expected: &Expect) {
    let tenths = report.exposure_tenths();
    let mut text = format!("{}.{} {}\n", tenths / 10, tenths % 10, report.verdict());
    for row in &report.rows {
        text += &format!(
            "{:12} {:8} {:>3}/{:<3} {}",
            row.area.name(),
            row.state.name(),
            row.exposure,
            row.weight * WHOLE,
            row.what,
        );
        if !row.reason.is_empty() {
            text += &format!(" ({})", row.reason);
        }
        text.push('\n');
    }
    expected.assert_eq(&text);
}

#[test]
fn a_task_that_asks_for_nothing_is_told_all_that_it_runs_under() {
    let plan = plan();
    check(
        &explain(&plan, &all(&plan)),
        &expect![[r#"
            0.7 CLOSED
            users        ENFORCED   0/120 ids of its own: 0 to 65535 are 524288 to 589823 of the node
            processes    ENFORCED   0/60  processes of its own, with an init
            mounts       ENFORCED   0/50  mounts of its own
            ipc          ENFORCED   0/30  System V objects and message queues of its own
            hostname     ENFORCED   0/10  host name node1
            cgroup view  ENFORCED   0/10  the cgroup tree begins at its own group
            network      OPEN      80/80  net namespace (the node's: every port and abstract socket of the node is in reach, and any free port can be taken)
            clocks       ENFORCED   0/10  clocks that began with it
            root         ENFORCED   0/100 /run/tepui/rootfs, read-only
            volumes      ENFORCED   0/60  no directory of the node or of others
            masks        ENFORCED   0/30  hidden: /proc/kcore
            masks        ENFORCED   0/0   read-only: /proc/sys
            view         ENFORCED   0/10  its own limits in /proc/meminfo
            devices      ENFORCED   0/60  none but c 1:3 rwm
            devices      ENFORCED   0/0   /dev holds none
            capabilities ENFORCED   0/100 none, in no set
            privileges   ENFORCED   0/40  no_new_privs
            user         ENFORCED   0/20  user 65534:0 of the container
            rlimits      ENFORCED   0/0   RLIMIT_NOFILE 1024, at most infinite
            system calls ENFORCED   0/100 seccomp profile default: 41 rules, all other calls: errno 1
            landlock     ENFORCED   0/50  ABI 6: / read, /dev devices, /tmp change
            scopes       ENFORCED   0/30  abstract sockets within the container
            scopes       ENFORCED   0/0   signals within the namespace
            placement    ENFORCED   0/40  a cgroup of its own
            cpu          ENFORCED   3/30  weight 60 (a share and no limit: neighbours can be kept from the processor)
            memory       ENFORCED   0/50  at most 96 MB, no swap
            memory       ENFORCED   0/0   96 MB are taken from it last
            memory       ENFORCED   0/0   no huge pages
            pids         ENFORCED   0/40  at most 4096 processes and threads
            io           ENFORCED   2/20  weight 60 (a share and no limit: neighbours can be kept from the disk)
            disk         ENFORCED   0/40  at most 1 GB in 32768 files
        "#]],
    );
}

#[test]
fn what_the_kernel_does_not_give_is_degraded_with_its_reason_and_counts() {
    let plan = plan();
    let mut enforcement = all(&plan);
    enforcement.enforced.retain(|one| *one != Isolation::Memory);
    enforcement.note(
        Isolation::Memory,
        Err("cgroup v2 has no memory controller here".into()),
    );
    let report = explain(&plan, &enforcement);
    let whole = explain(&plan, &all(&plan));
    assert!(report.exposure_tenths() > whole.exposure_tenths());
    let row = report
        .rows
        .iter()
        .find(|row| row.area == Area::Memory)
        .expect("a row");
    assert_eq!(row.state, State::Degraded);
    assert_eq!(
        row.reason,
        "cgroup v2 has no memory controller here: the node's memory can be used up"
    );
    // What nobody reported is not taken for enforced.
    let silent = explain(&plan, &Enforcement::default());
    let mut judged = silent.rows.iter().filter(|row| row.weight > 0);
    assert!(judged.any(|row| row.reason.contains("did not tell")));
    assert_eq!(silent.verdict(), "EXPOSED");
}

#[test]
fn a_privileged_task_with_the_nodes_files_is_exposed() {
    let all_capabilities: Vec<_> = (0..=40).map(Capability).collect();
    let mut plan = plan();
    plan.namespaces.clear();
    plan.capabilities = Capabilities {
        effective: all_capabilities.clone(),
        bounding: all_capabilities,
    };
    plan.mounts = vec![mount(
        "/host",
        Content::Host {
            source: "/".into(),
            access: Access::ReadWrite,
            beneath: MountsBeneath::Followed,
        },
    )];
    let report = explain(&plan, &all(&plan));
    assert_eq!(report.verdict(), "MEDIUM", "it has limits still");
    let state = |area: Area| {
        let row = report.rows.iter().find(|row| row.area == area);
        row.map(|row| row.state)
    };
    assert_eq!(state(Area::Users), Some(State::Open));
    assert_eq!(state(Area::Volumes), Some(State::Open));
    assert_eq!(state(Area::Masks), Some(State::Open));
}

#[test]
fn a_nested_container_shares_what_is_its_parents() {
    let mut plan = plan();
    plan.namespaces = vec![Namespace::Pid, Namespace::Mount, Namespace::Cgroup];
    plan.joined = vec![
        Namespace::User,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Network,
        Namespace::Time,
    ];
    plan.cgroup.limits = None;
    let report = explain(&plan, &all(&plan));
    let shared: Vec<_> = report
        .rows
        .iter()
        .filter(|row| row.state == State::Shared)
        .map(|row| row.area.name())
        .collect();
    assert_eq!(
        shared,
        [
            "users", "ipc", "hostname", "network", "clocks", "cpu", "memory", "pids", "io"
        ]
    );
    assert_eq!(report.verdict(), "CLOSED");
}

#[test]
fn new_limits_stand_where_the_old_ones_stood() {
    let plan = plan();
    let mut report = explain(&plan, &all(&plan));
    let areas = |report: &Report| -> Vec<_> { report.rows.iter().map(|row| row.area).collect() };
    let mut before = areas(&report);
    before.dedup();
    let limits = CgroupLimits {
        cpu_weight: 100,
        cpu_quota: Some(CpuQuota {
            quota_us: 50_000,
            period_us: 100_000,
        }),
        memory_bytes_min: 1 << 20,
        memory_bytes_low: 1 << 20,
        memory_bytes_high: Some(1 << 29),
        huge_pages: HugePages::of(|size| u64::from(size == "2MB") << 22),
        memory_bytes_max: Some(1 << 30),
        swap_bytes_max: None,
        pids_max: 10,
        io_weight: 100,
        io_max: Some(IoMax {
            major: 254,
            minor: 0,
            read_bytes_s: None,
            write_bytes_s: Some(10 << 20),
        }),
    };
    let mut enforcement = Enforcement::default();
    for isolation in [
        Isolation::Cpu,
        Isolation::Memory,
        Isolation::HugePages,
        Isolation::Pids,
        Isolation::Io,
    ] {
        enforcement.note(isolation, Ok(()));
    }
    report.resize(&limits, &[(1, 2)], &enforcement);
    let mut after = areas(&report);
    after.dedup();
    assert_eq!(after, before);
    let rows = report
        .rows
        .iter()
        .filter(|row| row.area == Area::Memory || row.what.contains("at most"));
    let rows: Vec<_> = rows.map(|row| row.what.as_str()).collect();
    assert_eq!(
        rows,
        [
            "RLIMIT_NOFILE 1024, at most infinite",
            "weight 100, at most 50000 of 100000 us",
            "at most 1 GB, and swap",
            "1 MB are never taken from it",
            "1 MB are taken from it last",
            "512 MB are what it is slowed down at",
            "at most 4 MB in pages of 2MB",
            "at most 10 processes and threads",
            "at most 1 GB in 32768 files"
        ]
    );
}

#[test]
fn new_ports_stand_where_the_old_ones_stood_and_nowhere_else() {
    let limits = crate::sandbox::limits(Demand::default(), Rules::default());
    let ports = |report: &Report| -> Vec<_> {
        let rows = report
            .rows
            .iter()
            .filter(|row| namespaces::is_of_ports(row));
        rows.map(|row| row.what.clone()).collect()
    };
    let mut enforcement = Enforcement::default();
    enforcement.note(Isolation::Ports, Ok(()));
    let mut plan = plan();
    let mut report = explain(&plan, &all(&plan));
    report.resize(&limits, &[(1, 2)], &enforcement);
    assert_eq!(ports(&report), Vec::<String>::new());
    plan.cgroup.ports = Some(Vec::new());
    let mut report = explain(&plan, &all(&plan));
    assert_eq!(ports(&report), ["no port can be bound by number"]);
    report.resize(&limits, &[(1, 2), (7, 7)], &enforcement);
    assert_eq!(
        ports(&report),
        ["of the ports only 1-2, 7-7 can be bound by number"]
    );
}

#[test]
fn processors_are_told_where_they_are_shared_out() {
    let mut plan = plan();
    let mut told = |cpus, outcome| {
        plan.cgroup.cpus = Some(cpus);
        let mut enforcement = all(&plan);
        enforcement.note(Isolation::Cpuset, outcome);
        let report = explain(&plan, &enforcement);
        let rows = report.rows.into_iter();
        let found = rows.filter(|row| row.what.starts_with("processors"));
        let found: Vec<_> = found.map(|row| (row.what, row.state, row.reason)).collect();
        found.into_iter().next()
    };
    let list = || CpuList(Vec::from([2, 3]));
    assert_eq!(
        told(CpuSet::Own(list()), Ok(())),
        Some((
            "processors 2-3 of its own".into(),
            State::Enforced,
            String::new()
        ))
    );
    let lacking = CpuSet::Lacking {
        shared: list(),
        wanted: 4,
    };
    assert_eq!(
        told(lacking, Err("why".into())),
        Some((
            "processors 2-3, with others, and none that are others' own".into(),
            State::Degraded,
            "why".into()
        ))
    );
}

#[test]
fn a_status_tells_what_a_node_does_not_give_and_nothing_that_nobody_asked_for() {
    let mut plan = plan();
    let mut enforcement = all(&plan);
    assert_eq!(degraded(&plan, &enforcement), None);
    for (isolation, why) in [
        (Isolation::Io, "no weights"),
        (Isolation::Memory, "no controller"),
        (Isolation::Scopes, "ABI 2"),
    ] {
        enforcement.note(isolation, Err(why.into()));
    }
    let told = "cgroups/mem: no controller; linux/scopes: ABI 2";
    assert_eq!(degraded(&plan, &enforcement).as_deref(), Some(told));
    let mut asked = Enforcement::default();
    asked.note(Isolation::Seccomp, Err("as it asked".into()));
    assert!(degraded(&plan, &asked).is_some());
    plan.seccomp = Seccomp::Unconfined;
    assert_eq!(degraded(&plan, &asked), None);
}
