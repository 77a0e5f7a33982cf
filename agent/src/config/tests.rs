//! One setting in three spellings, and every fault at once.

use super::*;

fn flags(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Request, Faults> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    parse(Input::Arguments {
        arguments: &arguments,
        environment: &environment,
    })
}

fn kernel(text: &str) -> Result<Request, Faults> {
    parse(Input::KernelCommandLine(text))
}

fn config(request: Result<Request, Faults>) -> Config {
    match request {
        Ok(Request::Run(config)) => *config,
        other => panic!("{other:?}"),
    }
}

fn faults(request: Result<Request, Faults>) -> String {
    request.expect_err("faults").to_string()
}

#[test]
fn a_setting_is_the_same_as_flag_variable_and_kernel_word() {
    let line = "console=ttyS0 quiet tepui.master=10.0.2.2:5050 tepui.switch_user=false \
                tepui.advertise_ip=127.0.1.1 tepui.advertise_port=5051 tepui.hostname=node1 \
                tepui.attributes=\"rack:a 1\" tepui.executor_shutdown_grace_period=2secs";
    let by_kernel = config(kernel(line));
    let by_flags = config(flags(
        &[
            "--master=10.0.2.2:5050",
            "--no-switch_user",
            "--advertise_ip",
            "127.0.1.1",
            "--advertise_port=5051",
            "--hostname=node1",
            "--attributes=rack:a 1",
            "--executor_shutdown_grace_period=2secs",
        ],
        &[],
    ));
    let by_environment = config(flags(
        &["--hostname=node1"],
        &[
            ("MESOS_MASTER", "10.0.2.2:5050"),
            ("MESOS_SWITCH_USER", "0"),
            ("MESOS_ADVERTISE_IP", "127.0.1.1"),
            ("MESOS_ADVERTISE_PORT", "5051"),
            ("MESOS_HOSTNAME", "a-flag-wins"),
            ("MESOS_ATTRIBUTES", "rack:a 1"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "2secs"),
            ("MESOS_SANDBOX", "/not/ours"),
        ],
    ));
    assert_eq!(by_kernel, by_flags);
    assert_eq!(by_kernel, by_environment);
    assert!(!by_kernel.switch_user);
    assert_eq!(by_kernel.work_dir, PathBuf::from("/var/lib/mesos"));
    assert_eq!(by_kernel.attributes.as_deref(), Some("rack:a 1"));
    assert_eq!(by_kernel.master.to_string(), "10.0.2.2:5050");
}

#[test]
fn an_address_with_a_prefix_is_the_node_s_own() {
    let config = config(kernel(
        "tepui.master=m:5050 tepui.ip=10.0.0.5/24,gw=10.0.0.1,dns=1.1.1.1,dns=8.8.8.8 tepui.lan=192.168.77.3/24 tepui.ntp=time.example",
    ));
    assert_eq!(config.ip, None);
    let address = config.boot.address.expect("an address");
    assert_eq!(address.net.to_string(), "10.0.0.5/24");
    assert_eq!(address.gateway, Some(Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!(address.dns.len(), 2);
    assert_eq!(
        config.boot.lan.map(|net| net.to_string()).as_deref(),
        Some("192.168.77.3/24")
    );
    assert_eq!(
        config.boot.ntp.map(|ntp| ntp.to_string()).as_deref(),
        Some("time.example:123")
    );
}

#[test]
fn all_faults_are_told_at_once_each_with_its_setting_and_what_is_allowed() {
    let text = faults(kernel(
        "tepui.master=10.0.2.2 tepui.prot=5051 tepui.port=99999 tepui.hostname=a_b tepui.switch_user=maybe \
         tepui.ip=10.0.0.5/24,gw=x tepui.disk=vda tepui.hostname tepui.zzz=1",
    ));
    let expected = [
        r#"bad setting tepui.prot: unknown; did you mean tepui.port?"#,
        r#"bad setting tepui.hostname: no value; it wants a host name: letters, digits, dots and hyphens, 64 at most"#,
        r#"bad setting tepui.zzz: unknown; known are master, work_dir, "#,
        r#"bad setting tepui.master: "10.0.2.2" is not HOST:PORT, HOST:PORT,HOST:PORT or zk://HOST:PORT,HOST:PORT/PATH; the port is missing"#,
        r#"bad setting tepui.port: "99999" is not a port from 1 to 65535"#,
        r#"bad setting tepui.hostname: "a_b" is not a host name: letters, digits, dots and hyphens, 64 at most"#,
        r#"bad setting tepui.switch_user: "maybe" is not true or false"#,
        r#"bad setting tepui.ip: "10.0.0.5/24,gw=x" is not an address to listen on, or for a node ADDRESS/PREFIX[,gw=ADDRESS][,dns=ADDRESS]…; "gw=x" is bad"#,
        r#"bad setting tepui.disk: "vda" is not a block device's path, as in /dev/vda"#,
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn unknown_flags_and_a_missing_master_are_faults() {
    assert_eq!(
        faults(flags(&["--mastre=a:1", "extra"], &[])),
        "bad setting --mastre: unknown; did you mean --master?\n\
         bad setting extra: flags begin with --, as in --master=HOST:PORT\n\
         bad setting --master: not given; it wants HOST:PORT, HOST:PORT,HOST:PORT or zk://HOST:PORT,HOST:PORT/PATH"
    );
    assert_eq!(
        faults(flags(&["--master", "--port=1"], &[])),
        "bad setting --master: no value; it wants HOST:PORT, HOST:PORT,HOST:PORT or zk://HOST:PORT,HOST:PORT/PATH"
    );
    assert_eq!(
        faults(flags(&["--master=a:1", "--no-switch_user=true"], &[])),
        "bad setting --no-switch_user: takes no value"
    );
    assert_eq!(
        faults(flags(&["--master=zk://a"], &[])),
        "bad setting --master: \"zk://a\" is not HOST:PORT, HOST:PORT,HOST:PORT or zk://HOST:PORT,HOST:PORT/PATH; \
         names no folder: expected zk://host:port,.../path, and not the root"
    );
}

#[test]
fn the_master_is_an_address_a_list_of_them_or_a_place_in_zookeeper() {
    for (text, towards) in [
        ("m:5050", "m:5050"),
        ("a:1,[::1]:2", "a:1"),
        ("zk://a,b:2182/mesos", "a:2181"),
    ] {
        let master = config(flags(&["--master", text], &[])).master;
        assert_eq!(master.towards().unwrap().to_string(), towards);
    }
    let master = config(flags(&["--master=zk://me:secret@a/b"], &[])).master;
    assert_eq!(master.to_string(), "zk://me:***@a:2181/b");
    assert!(faults(flags(&["--master=a:1,"], &[])).contains("\"a:1,\" is not HOST:PORT"));
}

#[test]
fn a_domain_is_given_in_words_that_outlive_the_kernels_command_line() {
    let line = parse(Input::KernelCommandLine(
        "tepui.master=a:1 tepui.domain=region:eu;zone:rack1",
    ));
    let json = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"rack1"}}}"#;
    let flag = format!("--domain={json}");
    for domain in [
        config(line).domain,
        config(flags(&["--master=a:1", &flag], &[])).domain,
    ] {
        assert_eq!(
            domain.map(|domain| domain.to_string()).as_deref(),
            Some(json)
        );
    }
    let text = faults(flags(&["--master=a:1", "--domain={}"], &[]));
    assert!(
        text.ends_with("; `domain` must define `fault_domain`"),
        "{text}"
    );
}

#[test]
fn resources_and_attributes_are_read_before_the_node_starts() {
    let text = faults(flags(
        &[
            "--master=a:1",
            "--resources=cpus:x",
            "--attributes=rack",
            "--work_dir=/",
        ],
        &[],
    ));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("bad setting --resources: \"cpus:x\" is not resources, as in"));
    assert!(
        lines[1].ends_with("; \"rack\" is not name:value"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].ends_with("; the root cannot be it"),
        "{}",
        lines[2]
    );
}

#[test]
fn help_and_version_need_nothing_else() {
    assert_eq!(flags(&["--help"], &[]), Ok(Request::Help));
    assert_eq!(flags(&["--port=1", "--version"], &[]), Ok(Request::Version));
    let help = help();
    for setting in settings::all() {
        assert!(help.contains(setting.name), "{}", setting.name);
    }
}

proptest::proptest! {
    #[test]
    fn no_command_line_makes_the_parser_panic(text in ".{0,200}", value in ".{0,40}") {
        let _ = kernel(&text);
        for setting in settings::all() {
            let _ = kernel(&format!("tepui.{}={value}", setting.name));
            let _ = flags(&[&format!("--{}", setting.name), &value], &[]);
        }
    }
}
