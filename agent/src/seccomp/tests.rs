//! Tests of profiles as documents.

use super::*;

/// What a container of these capabilities gets for a call.
fn decide(document: &str, capabilities: &[u8], call: &str, arguments: [u64; 6]) -> SeccompAction {
    let profile = parse("p", document.as_bytes(), (6, 12)).expect("a profile");
    let capabilities: Vec<_> = capabilities.iter().copied().map(Capability).collect();
    profile.filter(&capabilities).decide(call, &arguments)
}

fn with(syscalls: &str) -> String {
    format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{syscalls}]}}"#)
}

#[test]
fn a_profile_as_mesos_wants_it_is_read() {
    let document = r#"{
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "c",
             "includes": {}, "excludes": {}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
             "includes": {}, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [],
             "includes": {"caps": ["CAP_SYS_ADMIN"]}, "excludes": {}}
        ]}"#;
    use SeccompAction::{Allow, KillProcess};
    let none = [0; 6];
    let user = [0x1000_0000, 0, 0, 0, 0, 0];
    assert_eq!(decide(document, &[], "read", none), Allow);
    assert_eq!(decide(document, &[], "mkdir", none), KillProcess);
    assert_eq!(decide(document, &[], "clone", none), Allow);
    assert_eq!(decide(document, &[], "clone", user), KillProcess);
    assert_eq!(decide(document, &[21], "clone", user), Allow);
}

#[test]
fn rules_for_other_nodes_do_not_count() {
    let rule = |whom: &str| {
        with(&format!(
            r#"{{"name":"read","action":"SCMP_ACT_ALLOW",{whom}}}"#
        ))
    };
    let own = match cfg!(target_arch = "x86_64") {
        true => "amd64",
        false => "arm64",
    };
    for (whom, is_allowed) in [
        (format!(r#""includes":{{"arches":["{own}","s390"]}}"#), true),
        (r#""includes":{"arches":["s390"]}"#.into(), false),
        (format!(r#""excludes":{{"arches":["{own}"]}}"#), false),
        (r#""excludes":{"arches":["s390"]}"#.into(), true),
        (r#""includes":{"minKernel":"4.8"}"#.into(), true),
        (r#""includes":{"minKernel":"6.13"}"#.into(), false),
        (r#""includes":{"minKernel":"7.0"}"#.into(), false),
    ] {
        let got = decide(&rule(&whom), &[], "read", [0; 6]);
        assert_eq!(got == SeccompAction::Allow, is_allowed, "{whom}");
    }
}

#[test]
fn several_tests_of_one_argument_are_a_choice() {
    let document = with(
        r#"{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}"#,
    );
    let decide = |value| decide(&document, &[], "personality", [value, 0, 0, 0, 0, 0]);
    assert_eq!(decide(0), SeccompAction::Allow);
    assert_eq!(decide(8), SeccompAction::Allow);
    assert_eq!(decide(4), SeccompAction::Errno(1));
}

#[test]
fn bits_that_the_kernel_does_not_read_evade_no_rule() {
    let document = with(
        r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}"#,
    );
    let decide = |family| decide(&document, &[], "socket", [family, 0, 0, 0, 0, 0]);
    assert_eq!(decide(2), SeccompAction::Allow);
    assert_eq!(decide(40), SeccompAction::Errno(1));
    assert_eq!(decide(1 << 32 | 40), SeccompAction::Errno(1));
}

#[test]
fn what_is_no_profile_is_told_in_mesos_words() {
    let of = |rest: &str| with(&format!(r#"{{"names":["read"],{rest}}}"#));
    for (document, words) in [
        (
            "{}".into(),
            "Cannot determine 'defaultAction' for the Seccomp configuration: Not found",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.into(),
            "Cannot determine 'syscalls' for the Seccomp configuration: Not found",
        ),
        (
            r#"{"defaultAction":"ALLOW","syscalls":[]}"#.into(),
            "Unexpected syscall action: 'ALLOW'",
        ),
        (
            of(r#""action":"SCMP_ACT_NOTIFY""#),
            "Unknown syscall action: 'SCMP_ACT_NOTIFY' (at syscalls[0], \"read\")",
        ),
        (
            of(r#""args":[]"#),
            "Cannot determine 'action' for 'syscalls' item: Not found (at syscalls[0], \"read\")",
        ),
        (
            with(r#"{"names":[],"action":"SCMP_ACT_ALLOW"}"#),
            "Syscall 'names' list is empty (at syscalls[0])",
        ),
        (
            of(r#""action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]"#),
            "args[0]: A system call has no argument 6 (at syscalls[0], \"read\")",
        ),
        (
            of(r#""action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"SCMP_CMP_X"}]"#),
            "args[0]: Unknown operator: 'SCMP_CMP_X' (at syscalls[0], \"read\")",
        ),
        (
            of(r#""action":"SCMP_ACT_ERRNO","errnoRet":4096"#),
            "4096 is no error number of the kernel (at syscalls[0], \"read\")",
        ),
        (
            of(r#""action":"SCMP_ACT_ALLOW","includes":{"caps":["SYS_ADMIN"]}"#),
            "Unexpected capability: 'SYS_ADMIN' (at syscalls[0], \"read\")",
        ),
        (
            of(r#""action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_FLY"]}"#),
            "Unknown capability: 'CAP_FLY' (at syscalls[0], \"read\")",
        ),
        (
            of(r#""action":"SCMP_ACT_ALLOW","excludes":{"arches":["vax"]}"#),
            "Unknown architecture: 'vax' (at syscalls[0], \"read\")",
        ),
        (
            with(
                r#"{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                {"name":"clone","action":"SCMP_ACT_ALLOW","args":[
                    {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":-1,"op":"SCMP_CMP_EQ"}]}"#,
            ),
            "args[1]: invalid value: integer `-1`, expected u64 (at syscalls[1], \"clone\")",
        ),
        (
            with(r#"{"names":"read","action":"SCMP_ACT_ALLOW"}"#),
            "invalid type: string \"read\", expected a sequence (at syscalls[0])",
        ),
    ] {
        let refused = parse("p", document.as_bytes(), (6, 12)).expect_err(&document);
        assert_eq!(refused, words);
    }
    assert!(parse("p", b"nonsense", (6, 12)).is_err());
}

#[test]
fn a_document_that_multiplies_is_refused() {
    let many = |count: usize, one: &str| vec![one; count].join(",");
    let test = r#"{"index":0,"value":0,"op":"SCMP_CMP_EQ"}"#;
    let document = |names, tests| {
        let (names, tests) = (many(names, r#""read""#), many(tests, test));
        with(&format!(
            r#"{{"names":[{names}],"action":"SCMP_ACT_ALLOW","args":[{tests}]}}"#
        ))
    };
    let read = |document: String| parse("p", document.as_bytes(), (6, 12));
    let profile = read(document(100, 80)).expect("a profile");
    assert_eq!(profile.entries.len(), 8000);
    assert_eq!(
        read(document(100, 82)).expect_err("too many"),
        "A profile makes 8192 rules at most (at syscalls[0], \"read\")"
    );
}

#[test]
fn a_containers_own_document_is_read_as_those_of_the_operator_are() {
    let profiles = Profiles::open(&Settings::default()).expect("profiles");
    let of = |text: &str| {
        let wish = ProfileWish::Document(text.into());
        profiles.of(&wish).map(Cow::into_owned)
    };
    let own = of(&with(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW"}"#)).expect("a profile");
    let filter = own.filter(&[]);
    assert_eq!(filter.decide("read", &[0; 6]), SeccompAction::Allow);
    assert_eq!(filter.decide("write", &[0; 6]), SeccompAction::Errno(1));
    for (text, words) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"mount","action":"allow"}]}"#,
            "Unexpected syscall action: 'allow' (at syscalls[0], \"mount\")",
        ),
    ] {
        let refused = of(text).expect_err(text).to_string();
        let expected =
            format!("Failed to parse the Seccomp profile of the container's own: {words}");
        assert_eq!(refused, expected);
    }
}

#[test]
fn profiles_come_by_name_from_the_operators_directory_and_nowhere_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    std::fs::write(path.join("strict"), with("")).expect("a file");
    std::fs::write(path.join("broken"), "{").expect("a file");
    let settings = |usual: Option<&str>| Settings {
        directory: Some(path.to_owned()),
        usual: usual.map(str::to_owned),
    };
    let profiles = Profiles::open(&settings(None)).expect("profiles");
    let named = |name: &str| profiles.of(&ProfileWish::Named(name.into()));
    let usual = profiles.of(&ProfileWish::Usual).expect("the built-in one");
    assert_eq!(*usual, Profile::built_in());
    assert_eq!(named("strict").expect("a profile").name, "strict");
    for (name, words) in [
        ("nothing", "Failed to read Seccomp profile file '"),
        ("broken", "Failed to parse Seccomp profile '"),
        ("../strict", "'../strict' is no name of a Seccomp profile"),
        ("..", "'..' is no name of a Seccomp profile"),
        ("", "'' is no name of a Seccomp profile"),
    ] {
        let refused = named(name).expect_err(name).to_string();
        assert!(refused.starts_with(words), "{refused}");
    }
    let strict = Profiles::open(&settings(Some("strict"))).expect("profiles");
    assert_eq!(
        strict.of(&ProfileWish::Usual).expect("a profile").name,
        "strict"
    );
    assert!(Profiles::open(&settings(Some("broken"))).is_err());
    let nowhere = Profiles::open(&Settings::default()).expect("profiles");
    let refused = nowhere
        .of(&ProfileWish::Named("strict".into()))
        .expect_err("no directory");
    assert_eq!(
        refused.to_string(),
        "Missing required `--seccomp_config_dir` flag"
    );
}
