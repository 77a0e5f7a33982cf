//! Fuzz targets: parsers of outside bytes, each a plain function on bytes.
//!
//! Here they get seeds, seeds with bytes changed, cut and spliced, and bytes at random, on a stable
//! toolchain and for a bounded time: `TEPUI_LONG=1` is a hundred times longer. No target may panic,
//! and what is taken must come out of its own writing again.

mod archives;
mod images;
mod seeds;
mod targets;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use seeds::SEEDS;

/// How often each target runs.
fn cases() -> u32 {
    if std::env::var_os("TEPUI_LONG").is_some() {
        200_000
    } else {
        2_000
    }
}

/// One change of a seed.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Double(prop::sample::Index, prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => index().prop_map(Change::Cut),
        2 => index().prop_map(Change::Remove),
        2 => (index(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (index(), index()).prop_map(|(from, to)| Change::Double(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Cut(at) => {
            let at = at.index(bytes.len());
            bytes.truncate(at);
        }
        Change::Remove(at) => {
            let at = at.index(bytes.len());
            bytes.remove(at);
        }
        Change::Insert(at, more) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Double(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.extend(part);
        }
    }
}

/// Bytes like those of a seed, or like nothing.
fn bytes(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changed =
        (any::<prop::sample::Index>(), vec(change(), 0..6)).prop_map(move |(seed, changes)| {
            let mut bytes = seeds[seed.index(seeds.len())].clone();
            for change in &changes {
                apply(&mut bytes, change);
            }
            bytes
        });
    prop_oneof![6 => changed, 1 => vec(any::<u8>(), 0..300)]
}

#[track_caller]
fn fuzz(target: impl Fn(&[u8])) {
    fuzz_from(seeds::all(), target);
}

#[track_caller]
fn fuzz_from(seeds: Vec<Vec<u8>>, target: impl Fn(&[u8])) {
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases())
    };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&bytes(seeds), |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn a_json_body_is_a_call_or_an_error() {
    fuzz(targets::json_body);
}

#[test]
fn a_protobuf_body_is_a_call_or_an_error() {
    fuzz(targets::protobuf_body);
}

#[test]
fn a_body_of_an_agents_api_is_a_call_or_an_error() {
    fuzz(targets::agent_body);
}

#[test]
fn a_statement_of_an_upgrade_and_a_program_are_what_they_are_or_refused() {
    let statement = format!(
        "tepui-upgrade/1 sha256={} bytes=15144040 at=1764540000123 agent=m-S0",
        "0a".repeat(32)
    );
    let program = std::fs::read("/proc/self/exe").expect("this program");
    let seeds = vec![statement.into_bytes(), program[..128].to_vec()];
    let taken: Vec<_> = seeds
        .iter()
        .map(|seed| agent::fuzz::upgrade(seed))
        .collect();
    assert_eq!(taken, [(true, false), (false, true)], "the seeds");
    fuzz_from(seeds, |bytes| {
        let _ = agent::fuzz::upgrade(bytes);
    });
}

#[test]
fn a_seccomp_profile_is_a_filter_or_an_error() {
    let seed = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[],"syscalls":[
        {"names":["read","clone"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],
         "includes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8"},"excludes":{"arches":["s390"]}},
        {"name":"ioctl","action":"SCMP_ACT_TRACE","errnoRet":7,"args":[
            {"index":1,"value":21522,"op":"SCMP_CMP_LE"},{"index":1,"value":4,"op":"SCMP_CMP_GT"}]}]}"#;
    assert!(agent::fuzz::seccomp_profile(seed.as_bytes()), "the seed");
    fuzz_from(vec![seed.into()], targets::seccomp_profile);
}

#[test]
fn records_are_the_same_however_they_are_cut() {
    fuzz(targets::recordio);
}

#[test]
fn resources_read_again_what_they_print() {
    fuzz(targets::resources_text);
}

#[test]
fn options_of_rotation_are_read_or_refused() {
    let seeds = [
        "10MB",
        "0B",
        "4096B",
        "rotate 9\nmissingok",
        "rotate 100; notifempty",
    ];
    let seeds = seeds.map(|text| text.as_bytes().to_vec());
    fuzz_from(seeds.to_vec(), targets::rotation);
}

#[test]
fn a_stream_of_a_masters_events_is_cut_into_records_or_refused() {
    let seeds = [
        "7\r\n2\nab3\nc\r\n2\r\nde\r\n0\r\n\r\n",
        "3\r\n1\na\r\n0\r\n\r\n",
    ];
    let seeds = seeds.map(|text| text.as_bytes().to_vec());
    fuzz_from(seeds.to_vec(), targets::chunked_records);
}

#[test]
fn offer_constraints_are_taken_or_refused() {
    fuzz(targets::offer_constraints);
}

#[test]
fn a_redirect_leads_somewhere_or_nowhere() {
    fuzz(targets::location);
}

#[test]
fn a_tar_archive_is_unpacked_into_its_folder_or_refused() {
    let ground = archives::Ground::new();
    fuzz_from(archives::seeds(), |bytes| ground.tar(bytes));
}

#[test]
fn a_zip_archive_is_unpacked_into_its_folder_or_refused() {
    let ground = archives::Ground::new();
    fuzz_from(archives::seeds(), |bytes| ground.zip(bytes));
}

#[test]
fn a_uri_names_a_file_of_the_sandbox_or_is_refused() {
    fuzz_from(archives::seeds(), archives::uri);
}

#[test]
fn a_document_of_an_image_is_read_or_refused() {
    fuzz_from(images::seeds(), images::document);
}

#[test]
fn what_an_appc_image_says_of_itself_is_read_or_refused() {
    fuzz_from(images::seeds(), images::appc);
}

#[test]
fn what_a_container_asks_for_is_read_or_refused() {
    let value = |key: &str, value: &str| {
        format!(
            r#"{{"type":"DOCKER","docker":{{"image":"a","parameters":[{{"key":"{key}","value":"{value}"}}]}},
            "volumes":[{{"container_path":"a","host_path":"/b","mode":"RW"}}],
            "linux_info":{{"effective_capabilities":{{"capabilities":["CHOWN"]}},"shm_size":7}},
            "rlimit_info":{{"rlimits":[{{"type":"RLMT_CPU","soft":1,"hard":2}}]}}}}"#
        )
    };
    let seeds = [
        value("env", "A=b"),
        value("shm-size", "64m"),
        value("ulimit", "nofile=1:2"),
        value("cap-add", "ALL"),
        value("volume", "/a:/b:ro"),
        value("net", "none"),
    ];
    for seed in &seeds {
        assert!(agent::fuzz::container(seed.as_bytes()), "{seed}");
    }
    fuzz_from(seeds.map(String::into_bytes).to_vec(), |bytes| {
        let _ = agent::fuzz::container(bytes);
    });
}

#[test]
fn a_name_of_an_image_is_taken_whole_or_refused() {
    fuzz_from(images::seeds(), images::reference);
}

#[test]
fn what_registries_want_to_be_shown_is_read_or_refused() {
    fuzz_from(images::seeds(), images::shown);
}

#[test]
fn the_seeds_are_what_they_say() {
    for (name, text) in SEEDS {
        assert!(
            master::fuzz::scheduler_call(master::fuzz::Form::Json, text.as_bytes())
                || master::fuzz::operator_call(master::fuzz::Form::Json, text.as_bytes())
                || model::resources::parse(text).is_ok()
                || text.starts_with(|c: char| c.is_ascii_digit())
                || text.lines().all(|line| line.contains('/')),
            "{name}"
        );
    }
}
