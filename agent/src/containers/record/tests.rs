//! Tests: what is kept of a container.

use super::*;
use model::sandbox::CpuList;

#[test]
fn what_is_kept_of_a_container_is_read_as_it_was_written() {
    let container = ContainerId::new("c").expect("an id");
    let address = |last| Ipv4Addr::new(10, 0, 0, last);
    let connected = Connected {
        container: container.clone(),
        network: "net".into(),
        endpoint: Endpoint {
            bridge: Bridge {
                device: "tb1-0".into(),
                gateway: Ipv4Net {
                    address: address(1),
                    prefix: 24,
                },
            },
            device: "tv1-7".into(),
            address: address(9),
            neighbours: Neighbours::Open,
            mappings: vec![PortMapping {
                protocol: Transport::Udp,
                host_port: 31000,
                container_port: 53,
            }],
            rates: Rates {
                egress: Some(5),
                ingress: None,
            },
        },
        hostname: "web".into(),
        device: 12,
    };
    let process = Process {
        program: String::new(),
        arguments: Vec::new(),
        environment: vec![("A".into(), "b".into())],
        directory: "/mnt".into(),
        user: User {
            uid: 1,
            gid: 2,
            groups: vec![3, 4],
        },
        rlimits: Vec::new(),
    };
    let rules = Rules {
        stdout: Rule { size: 5, keep: 6 },
        stderr: Rule { size: 7, keep: 8 },
    };
    let limits = CgroupLimits {
        cpu_weight: 10,
        cpu_quota: Some(CpuQuota {
            quota_us: 1,
            period_us: 2,
        }),
        memory_bytes_min: 0,
        memory_bytes_low: 3,
        memory_bytes_high: None,
        huge_pages: HugePages::default(),
        memory_bytes_max: Some(4),
        swap_bytes_max: None,
        pids_max: 5,
        io_weight: 6,
        io_max: None,
    };
    let view = View {
        shares: Shares::Share,
        cpus_milli_apart: 100,
    };
    let seen = Seen {
        files: vec![ViewFile::Meminfo, ViewFile::OnlineCpus],
        own: Some((view, Some(limits))),
    };
    let rows = Area::ALL.into_iter().zip(State::ALL.into_iter().cycle());
    let rows = rows.map(|(area, state)| Row {
        area,
        what: "what".into(),
        state,
        reason: String::new(),
        weight: 3,
        exposure: 4,
    });
    let report = Report {
        rows: rows.collect(),
    };
    let mut record = Record::default();
    record.set_class(Class::Pod);
    record.set_process(&process);
    record.set_connected(connected.clone());
    record.set_rotation(rules);
    record.set_seen(&seen);
    record.set_network(ParentsNetwork::Own);
    record.set_report(&report);
    record.set_cpus(&CpuSet::Own(CpuList(vec![2, 6])));
    let bytes = record.encode_to_vec();
    let record = Record::decode(&*bytes).expect("a record");
    assert!(!record.is_guest());
    assert_eq!(record.process(), Some(process));
    assert_eq!(record.connected(&container), Some(connected));
    assert_eq!(record.rotation(), Some(rules));
    assert_eq!(record.seen(), Some(seen));
    assert_eq!(record.network(), ParentsNetwork::Own);
    assert_eq!(record.report(), report);
    assert_eq!(record.cpus.expect("processors").own, [2, 6]);
}

#[test]
fn a_container_of_a_kind_that_is_not_known_is_nobodys() {
    let record = Record {
        class: 99,
        ..Record::default()
    };
    assert!(record.is_guest());
}
