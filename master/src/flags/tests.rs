//! The flags as they are given, and what is told of those that are none.

use super::*;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, String> {
    parse(
        arguments.iter().map(ToString::to_string),
        environment
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string())),
    )
    .map_err(|error| error.to_string())
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let command = run(
        &["--work_dir=/w", "--port=6000", "--offer_timeout=2mins"],
        &[
            ("MESOS_PORT", "7000"),
            ("MESOS_CLUSTER", "c"),
            ("MESOS_ISOLATION", "whatever"),
            ("PATH", "/bin"),
        ],
    );
    let expected = Config {
        port: 6000,
        work_dir: Some("/w".into()),
        cluster: Some("c".into()),
        offer_timeout: Some(Duration::from_secs(120)),
        ..Config::default()
    };
    assert_eq!(command, Ok(Command::Run(Box::new(expected))));
}

#[test]
fn all_faults_are_reported_together() {
    let error = run(
        &[
            "--port=70000",
            "--nope=1",
            "extra",
            "--cluster",
            "--agent_ping_timeout=15",
            "--ip=::g",
            "--ip=127.0.0.1",
            "--max_agent_ping_timeouts=0",
            "--allocator_agent_recovery_factor=1.5",
        ],
        &[("MESOS_REGISTRY", "etcd")],
    );
    expect_test::expect![[r#"
        --nope: unknown flag
        extra: unexpected; flags are --flag=value
        --cluster: needs a value, as in --cluster=NAME
        --ip: given more than once
        --ip=::g: invalid IP address syntax
        --port=70000: number too large to fit in target type
        MESOS_REGISTRY=etcd: expected zookeeper, redb or in_memory
        --agent_ping_timeout=15: "15" is not a duration: a number and one of ns, us, ms, secs, mins, hrs, days, weeks, as in 15secs
        --max_agent_ping_timeouts=0: must be 1 or more
        --allocator_agent_recovery_factor=1.5: expected a number between 0 and 1
        --work_dir: missing; the registry is kept there
        see tepui-master --help"#]]
    .assert_eq(&error.unwrap_err());
}

#[test]
fn a_switch_may_stand_alone_or_be_negated() {
    let access = |arguments: &[&str]| match run(arguments, &[]) {
        Ok(Command::Run(config)) => config.access,
        other => panic!("{other:?}"),
    };
    let given = access(&[
        "--registry=in_memory",
        "--credentials=/c",
        "--authenticate_http_readonly",
        "--authenticate_http_readwrite=true",
        "--no-authenticate_agents",
    ]);
    assert!(given.authenticate_http_readonly && given.authenticate_http_readwrite);
    assert!(!given.authenticate_agents);
}

#[test]
fn credentials_that_nobody_can_show_are_a_fault() {
    let error = run(
        &[
            "--leader=nobody",
            "--authenticate_http_frameworks",
            "--authenticate_http_readonly=yes",
            "--authenticate_agents",
            "--http_authenticators=jwt",
            "--no-port",
        ],
        &[],
    );
    expect_test::expect![[r#"
        --no-port: unknown flag
        --authenticate_http_readonly=yes: expected true or false
        --http_authenticators=jwt: only basic is known here
        --leader=nobody: expected self, none or HOST:PORT
        --authenticate_agents: needs --credentials
        --authenticate_http_frameworks: needs --credentials
        --authenticate_http_frameworks: needs --http_framework_authenticators=basic
        --work_dir: missing; the registry is kept there
        see tepui-master --help"#]]
    .assert_eq(&error.unwrap_err());
}

#[test]
fn flags_of_an_election_are_taken_as_mesos_files_have_them() {
    let environment = [
        ("MESOS_ZK", "zk://me:secret@a,b:2182/mesos"),
        ("MESOS_QUORUM", "2"),
        ("MESOS_REGISTRY", "replicated_log"),
        ("MESOS_WORK_DIR", "/var/lib/mesos"),
    ];
    let Ok(Command::Run(config)) = run(&["--zk_session_timeout=5secs"], &environment) else {
        panic!("settings are good");
    };
    let listing = config.listing();
    assert_eq!(listing["zk"], "zk://me:***@a:2181,b:2182/mesos");
    assert_eq!(listing["registry"], "zookeeper");
    assert_eq!(listing["quorum"], "2");
    assert_eq!(config.zk_session_timeout, Duration::from_secs(5));
}

#[test]
fn what_does_not_go_with_an_election_is_a_fault() {
    let error = run(
        &[
            "--zk=zk://a/m",
            "--leader=none",
            "--registry=redb",
            "--quorum=0",
        ],
        &[],
    );
    expect_test::expect![[r#"
        --quorum=0: must be 1 or more
        --leader: with --zk the election decides; leave one of them out
        --registry=redb: is one master's own, and the next leader would not find it; with --zk give zookeeper or in_memory
        see tepui-master --help"#]]
    .assert_eq(&error.unwrap_err());
    let error = run(&["--zk=zk://a", "--registry=zookeeper"], &[]);
    expect_test::expect![[r#"
        --zk=zk://a: names no folder: expected zk://host:port,.../path, and not the root
        --registry=zookeeper: needs --zk
        see tepui-master --help"#]]
    .assert_eq(&error.unwrap_err());
}

#[test]
fn a_registry_is_shown_exported_and_imported_by_the_flags_of_its_master() {
    let Ok(Command::Registry(RegistryAct::Export, config)) =
        run(&["registry", "export", "--zk=zk://a/m"], &[])
    else {
        panic!("settings are good");
    };
    assert_eq!(config.registry(), RegistryKind::ZooKeeper);
    for (arguments, says) in [
        (
            &["registry"][..],
            "registry: wants one of show, export and import next",
        ),
        (&["registry", "show"], "--work_dir: missing"),
        (
            &["registry", "show", "--registry=in_memory"],
            "nothing to look at",
        ),
    ] {
        let error = run(arguments, &[]).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn help_and_version_come_before_any_fault() {
    assert_eq!(run(&["--help", "--port=x"], &[]), Ok(Command::Help));
    assert_eq!(run(&["--version"], &[]), Ok(Command::Version));
    assert!(help().contains("--agent_ping_timeout=DURATION"));
}

#[test]
fn secrets_given_on_the_spot_are_in_no_listing() {
    let inline = r#"--credentials={"credentials":[{"principal":"a","secret":"s3cret"}]}"#;
    for (given, shown) in [(inline, "{}"), ("--credentials=/c.json", "/c.json")] {
        let Ok(Command::Run(config)) = run(&["--registry=in_memory", given], &[]) else {
            panic!("settings are good");
        };
        assert_eq!(config.listing()["credentials"], shown);
    }
}

#[test]
fn the_listing_shows_values_as_they_are_written() {
    let Ok(Command::Run(config)) = run(&["--registry=in_memory"], &[]) else {
        panic!("settings are good");
    };
    let listing = config.listing();
    assert_eq!(listing["agent_ping_timeout"], "15secs");
    assert_eq!(listing["registry"], "in_memory");
    assert_eq!(listing["allocator_agent_recovery_factor"], "0.8");
    assert!(!listing.contains_key("offer_timeout"));
}
