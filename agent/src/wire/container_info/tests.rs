//! Tests of what is read of containers.

use agent_core::sandbox::{NamedNetwork, Network};
use model::sandbox::{PortMapping, Transport};

use super::*;

fn read_json(json: &str, place: Place) -> Result<Container, String> {
    let info: v1::ContainerInfo = api::json::from_json(json.as_bytes()).expect("a ContainerInfo");
    read(&info, place)
}

fn mesos(json: &str) -> Result<Container, String> {
    read_json(&format!(r#"{{"type":"MESOS",{json}}}"#), Place::Outermost)
}

fn docker(json: &str) -> Result<Container, String> {
    let json = format!(r#"{{"type":"DOCKER","docker":{{"image":"i",{json}}}}}"#);
    read_json(&json, Place::Outermost)
}

fn parameter(key: &str, value: &str) -> Result<Container, String> {
    let parameters = serde_json::json!([{"key": key, "value": value}]);
    docker(&format!(r#""parameters":{parameters}"#))
}

#[test]
fn volumes_of_every_kind_are_read() {
    for (source, expected) in [
        (
            r#""host_path":"/data""#,
            Wanted::Host("/data".into(), MountsBeneath::Hidden),
        ),
        (r#""host_path":"data""#, Wanted::OwnSandbox("data".into())),
        (
            r#""source":{"type":"HOST_PATH","host_path":{"path":"/data"}}"#,
            Wanted::Host("/data".into(), MountsBeneath::Hidden),
        ),
        (
            r#""source":{"type":"HOST_PATH","host_path":{"path":"/data",
                "mount_propagation":{"mode":"HOST_TO_CONTAINER"}}}"#,
            Wanted::Host("/data".into(), MountsBeneath::Followed),
        ),
        (
            r#""source":{"type":"SANDBOX_PATH","sandbox_path":{"type":"SELF","path":"a/b"}}"#,
            Wanted::OwnSandbox("a/b".into()),
        ),
        (
            r#""source":{"type":"SECRET","secret":{"type":"VALUE","value":{"data":"aHVzaA=="}}}"#,
            Wanted::Secret(Secret(b"hush".to_vec())),
        ),
    ] {
        let json = format!(r#""volumes":[{{"mode":"RO","container_path":"p",{source}}}]"#);
        let volumes = mesos(&json).map(|container| container.volumes);
        let expected = VolumeWish {
            source: expected,
            container_path: "p".into(),
            access: Access::ReadOnly,
        };
        assert_eq!(volumes, Ok(vec![expected]), "{source}");
    }
}

#[test]
fn mounts_of_a_container_are_never_the_nodes() {
    for (mode, words) in [
        ("BIDIRECTIONAL", "BIDIRECTIONAL of a HOST_PATH volume"),
        ("UNKNOWN", "Unknown mount propagation mode"),
    ] {
        let json = format!(
            r#""volumes":[{{"mode":"RW","container_path":"p","source":{{"type":"HOST_PATH",
                "host_path":{{"path":"/data","mount_propagation":{{"mode":"{mode}"}}}}}}}}]"#
        );
        let refused = mesos(&json).expect_err("no container");
        assert!(refused.contains(words), "{refused}");
    }
    assert!(parameter("volume", "/srv:/data:rshared").is_err());
}

#[test]
fn the_sandbox_of_a_parent_is_there_for_nested_containers_only() {
    let json = r#"{"type":"MESOS","volumes":[{"mode":"RW","container_path":"p",
        "source":{"type":"SANDBOX_PATH","sandbox_path":{"type":"PARENT","path":"shared"}}}]}"#;
    let nested = read_json(json, Place::Nested).expect("a container");
    assert_eq!(
        nested.volumes[0].source,
        Wanted::ParentSandbox("shared".into())
    );
    let alone = read_json(json, Place::Outermost).expect_err("a parent of nothing");
    assert_eq!(
        alone,
        "PARENT type SANDBOX_PATH volume only works for a nested container"
    );
}

#[test]
fn limits_and_capabilities_have_the_kernels_numbers() {
    let container = mesos(
        r#""rlimit_info":{"rlimits":[{"type":"RLMT_NOFILE","soft":10,"hard":20},{"type":"RLMT_CORE"}]},
           "linux_info":{"effective_capabilities":{"capabilities":["CHOWN","AUDIT_READ"]},
             "bounding_capabilities":{"capabilities":[]},"shm_size":3,"share_cgroups":false},
           "tty_info":{"window_size":{"rows":24,"columns":80}},"hostname":"h""#,
    );
    let container = container.expect("a container");
    let limits = container.wishes.rlimits.iter();
    let limits: Vec<_> = limits.map(|l| (l.resource, l.soft, l.hard)).collect();
    assert_eq!(limits, [(7, 10, 20), (4, u64::MAX, u64::MAX)]);
    let set = |numbers: &[u8]| Some(numbers.iter().copied().map(Capability).collect());
    assert_eq!(container.wishes.effective, set(&[0, 37]));
    assert_eq!(container.wishes.bounding, set(&[]));
    assert_eq!(container.wishes.shm_bytes, Some(3 << 20));
    assert_eq!(container.wishes.ipc, Ipc::Private);
    assert!(container.wishes.own_limits);
    assert_eq!(container.wishes.hostname.as_deref(), Some("h"));
    let size = WindowSize {
        rows: 24,
        columns: 80,
    };
    assert_eq!(container.terminal, Some(size));
}

#[test]
fn a_seccomp_profile_has_a_name_or_is_none() {
    let asked = |json: &str| {
        let json = format!(r#""linux_info":{{"seccomp":{json}}}"#);
        mesos(&json).expect("a container").wishes.seccomp
    };
    let named = ProfileWish::Named("x".into());
    assert_eq!(asked(r#"{"profile_name":"x"}"#), named);
    assert_eq!(asked(r#"{"profile_name":"x","unconfined":false}"#), named);
    assert_eq!(asked(r#"{"unconfined":true}"#), ProfileWish::Unconfined);
    let document = |text: &str| ProfileWish::Document(text.into());
    let escaped = r#"{"profile_name":" {\"defaultAction\":\"SCMP_ACT_ALLOW\"}"}"#;
    let text = r#" {"defaultAction":"SCMP_ACT_ALLOW"}"#;
    assert_eq!(asked(escaped), document(text));
    let option = |value: &str| parameter("security-opt", value).expect("a container");
    let own = option(r#"seccomp={"syscalls":[]}"#).wishes.seccomp;
    assert_eq!(own, document(r#"{"syscalls":[]}"#));
    let long = |length: usize| format!("seccomp={{{}", " ".repeat(length - 1));
    let longest = option(&long(65_536)).wishes.seccomp;
    assert!(matches!(longest, ProfileWish::Document(_)));
    assert_eq!(
        parameter("security-opt", &long(65_537)).expect_err("too long"),
        "A Seccomp profile of 65537 bytes is too long: a document of a container's own has 65536 at most"
    );
    let unconfined = option("seccomp=unconfined").wishes.seccomp;
    assert_eq!(unconfined, ProfileWish::Unconfined);
    assert_eq!(option("seccomp=x").wishes.seccomp, named);
    assert_eq!(option("seccomp=builtin").wishes.seccomp, ProfileWish::Usual);
    assert_eq!(
        option("no-new-privileges"),
        docker(r#""network":"HOST""#).expect("a container")
    );
}

#[test]
fn what_cannot_be_given_is_told_in_words() {
    for (json, words) in [
        (
            r#""network_infos":[{"name":"blue"},{"name":"green"}]"#,
            "A container is connected with one network, not with 'blue' and 'green'",
        ),
        (
            r#""network_infos":[{"port_mappings":[{"host_port":1,"container_port":2}]}]"#,
            "Port mappings are of no use in the network of the agent",
        ),
        (
            r#""network_infos":[{"name":"blue","port_mappings":[{"host_port":0,"container_port":2}]}]"#,
            "0 is no port",
        ),
        (
            r#""network_infos":[{"name":"blue","port_mappings":[{"host_port":1,"container_port":2,"protocol":"sctp"}]}]"#,
            "Ports of protocol 'sctp' are not mapped: tcp and udp are",
        ),
        (
            r#""network_infos":[{"name":"blue","ip_addresses":[{"ip_address":"fd00::1"}]}]"#,
            "'fd00::1' is no IPv4 address, and networks here are of IPv4",
        ),
        (
            r#""rlimit_info":{"rlimits":[{"type":"RLMT_AS","soft":1}]}"#,
            "Either both or none of the limits of RLMT_AS must be set",
        ),
        (
            r#""rlimit_info":{"rlimits":[{"type":"RLMT_AS","soft":2,"hard":1}]}"#,
            "The soft limit of RLMT_AS is above the hard one",
        ),
        (
            r#""linux_info":{"share_pid_namespace":true}"#,
            "Sharing agent pid namespace with container is disallowed",
        ),
        (
            r#""linux_info":{"ipc_mode":"SHARE_PARENT"}"#,
            "Sharing agent IPC namespace with container is disallowed",
        ),
        (
            r#""linux_info":{"effective_capabilities":{"capabilities":["UNKNOWN"]}}"#,
            "Unknown capability",
        ),
        (
            r#""linux_info":{"seccomp":{}}"#,
            "Missing Seccomp profile name",
        ),
        (
            r#""linux_info":{"seccomp":{"profile_name":"x","unconfined":true}}"#,
            "Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' Seccomp setting is enabled",
        ),
        (
            r#""volumes":[{"mode":"RW","container_path":"p","source":{"type":"HOST_PATH","host_path":{"path":"a"}}}]"#,
            "Path 'a' in HOST_PATH volume is not absolute",
        ),
        (
            r#""volumes":[{"mode":"RW","container_path":"p","source":{"type":"SECRET","secret":{"type":"REFERENCE","reference":{"name":"n"}}}}]"#,
            "A secret that is only referred to needs a secret resolver, of which this agent has none",
        ),
    ] {
        assert_eq!(mesos(json), Err(words.into()), "{json}");
    }
    assert_eq!(mesos(r#""network_infos":[{}]"#), Ok(Container::default()));
}

#[test]
fn what_docker_run_is_told_is_followed_where_it_speaks_of_the_container() {
    let wishes = |key, value| parameter(key, value).expect("a container").wishes;
    assert_eq!(wishes("hostname", "web").hostname.as_deref(), Some("web"));
    assert_eq!(wishes("shm-size", "64m").shm_bytes, Some(64 << 20));
    assert_eq!(wishes("net", "none").network, Network::Loopback);
    let limit = Rlimit {
        resource: 7,
        soft: 1024,
        hard: u64::MAX,
    };
    assert_eq!(wishes("ulimit", "nofile=1024:-1").rlimits, [limit]);
    let added = wishes("cap-add", "CAP_NET_ADMIN").effective.expect("a set");
    assert!(added.contains(&Capability(12)) && added.len() == 15);
    let dropped = wishes("cap-drop", "all").effective.expect("a set");
    assert_eq!(dropped, []);
    assert!(wishes("privileged", "true").privileged);
    let container = parameter("env", "A=b=c").expect("a container");
    assert_eq!(container.environment, [("A".into(), "b=c".into())]);
    let container = parameter("volume", "/srv:/data:ro").expect("a container");
    assert_eq!(container.volumes[0].access, Access::ReadOnly);
    let container = parameter("volume", "/srv:/data:ro,rslave").expect("a container");
    let followed = Wanted::Host("/srv".into(), MountsBeneath::Followed);
    assert_eq!(container.volumes[0].source, followed);
    assert_eq!(parameter("label", "a=b"), docker(r#""network":"HOST""#));
    let none = docker(r#""network":"NONE","privileged":true"#).expect("a container");
    assert_eq!(none.wishes.network, Network::Loopback);
    assert!(none.wishes.privileged);
}

#[test]
fn what_needs_a_docker_daemon_is_refused_by_name() {
    for (key, value, words) in [
        (
            "link",
            "db",
            "Parameter 'link' of a DOCKER container makes no sense without a Docker daemon",
        ),
        (
            "ulimit",
            "nofile",
            "Parameter 'ulimit' of a DOCKER container has no value like 'nofile'",
        ),
        (
            "shm-size",
            "99999999999g",
            "Parameter 'shm-size' of a DOCKER container has no value like '99999999999g'",
        ),
        (
            "volume",
            "data:/data",
            "Parameter 'volume' of a DOCKER container has no value like 'data:/data'",
        ),
        (
            "net",
            "blue",
            "Network 'blue' by a parameter: the container's network must be USER for that",
        ),
    ] {
        assert_eq!(parameter(key, value), Err(words.into()), "{key}={value}");
    }
    for (json, words) in [
        (
            r#""network":"USER""#,
            "A USER network of a DOCKER container has a name in its NetworkInfo",
        ),
        (
            r#""port_mappings":[{"host_port":1,"container_port":2}]"#,
            "Port mappings are only supported for bridge and user-defined networks",
        ),
        (
            r#""volume_driver":"x""#,
            "A volume driver needs a Docker daemon, of which this agent has none",
        ),
    ] {
        assert_eq!(docker(json), Err(words.into()), "{json}");
    }
}

#[test]
fn networks_are_read_by_name_with_their_ports() {
    let mapping = |protocol, host_port| PortMapping {
        protocol,
        host_port,
        container_port: 80,
    };
    let named = |name: &str, address: Option<&str>, mappings: &[PortMapping]| {
        Ok(Network::Named(NamedNetwork {
            name: name.into(),
            address: address.map(|text| text.parse().expect("an address")),
            mappings: mappings.to_vec(),
        }))
    };
    let network = |read: Result<Container, String>| read.map(|container| container.wishes.network);
    let two = [
        mapping(Transport::Tcp, 31000),
        mapping(Transport::Udp, 31001),
    ];
    let infos = r#""network_infos":[{"name":"blue","ip_addresses":[{"ip_address":"10.0.0.9"}],
        "port_mappings":[{"host_port":31000,"container_port":80},
        {"host_port":31001,"container_port":80,"protocol":"UDP"}]}]"#;
    assert_eq!(network(mesos(infos)), named("blue", Some("10.0.0.9"), &two));
    let bridge = r#""network":"BRIDGE","port_mappings":[{"host_port":31000,"container_port":80,
        "protocol":"tcp"},{"host_port":31001,"container_port":80,"protocol":"udp"}]"#;
    assert_eq!(network(docker(bridge)), named("bridge", None, &two));
    let user = r#""network":"USER","parameters":[{"key":"net","value":"blue"}]"#;
    assert_eq!(network(docker(user)), named("blue", None, &[]));
}
