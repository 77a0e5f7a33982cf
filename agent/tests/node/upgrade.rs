//! Upgrades: another build of the agent takes the place of the one that runs, or is refused, or fails.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::AgentId;
use model::upgrade::{Digest, PROGRAM_BYTES_MAX, SIGNATURE, STATEMENT, Statement};
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest as _, Sha256};

use crate::master::Master;
use crate::program::{Agent, busybox_root};
use crate::restart::{count, is_running, pid, states, stdout_of, wait_until};
use crate::zookeeper::ZooKeeper;

/// The public half as `--upgrade_keys` takes it.
fn flag() -> String {
    let prefix = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    let key = [prefix.as_slice(), pair(1).public_key().as_ref()].concat();
    format!("--upgrade_keys={}", STANDARD.encode(key))
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key")
}

/// What the agent is told of a program.
fn statement(program: &[u8]) -> Statement {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Statement {
        digest: Digest(Sha256::digest(program).into()),
        bytes: program.len() as u64,
        at_ms: u64::try_from(since.expect("a clock").as_millis()).expect("a time"),
        agent: AgentId::new("m-S0").expect("an id"),
    }
}

fn signed(statement: &str, seed: u8) -> String {
    let signature = STANDARD.encode(pair(seed).sign(statement.as_bytes()));
    format!("{STATEMENT}: {statement}\r\n{SIGNATURE}: {signature}\r\n")
}

/// Has a program take the agent's place; the answer.
fn upgrade(agent: &Agent, program: &[u8]) -> String {
    upgrade_at(agent, "/upgrade", program)
}

fn upgrade_at(agent: &Agent, path: &str, program: &[u8]) -> String {
    // Each moment counts once.
    std::thread::sleep(Duration::from_millis(2));
    let headers = signed(&statement(program).to_string(), 1);
    agent.send("POST", path, &headers, program)
}

/// The agent as another build: the same, and some bytes after its end, which nobody reads.
fn another(number: u8) -> Vec<u8> {
    let mut program = fs::read(env!("CARGO_BIN_EXE_tepui-agent")).expect("the program");
    program.push(number);
    program
}

/// An ELF program of a few instructions.
fn tiny(code: &[u8]) -> Vec<u8> {
    let at = 0x40_0000_u64;
    let length = 120 + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(2_u16.to_le_bytes());
    let own = fs::read("/proc/self/exe").expect("this program");
    file.extend(&own[18..20]);
    file.extend(1_u32.to_le_bytes());
    for number in [at + 120, 64, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for number in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    // One segment, to be read and executed.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for number in [0, at, at, length, length, 4096] {
        file.extend(number.to_le_bytes());
    }
    file.extend(code);
    file
}

/// A task that counts, and its process.
fn counter(master: &mut Master) -> u32 {
    master.run(
        r#""task_id":{"value":"t1"},
           "command":{"value":"i=0; while true; do echo $i; i=$((i+1)); sleep 0.01; done"}"#,
    );
    pid(&states(master, 2)[1])
}

fn launch(master: &Master, root: &Path, flags: &[&str]) -> Agent {
    let work_dir = Arc::new(tempfile::tempdir().expect("a folder"));
    Agent::launch(work_dir, master, Some(root), flags)
}

/// The longest time between two answers to somebody who asks all the time while something is done. Nobody is
/// ever refused; a request that was under way may be cut off.
fn longest_pause(agent: &Agent, work: impl FnOnce()) -> Duration {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !is_done.load(Ordering::Relaxed) {
                if agent.get("/health").starts_with("HTTP/1.1 200") {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
            longest
        });
        work();
        is_done.store(true, Ordering::Relaxed);
        asking.join().expect("nobody is refused")
    })
}

#[test]
fn another_build_takes_the_place_of_the_one_that_runs_and_its_tasks_do_not_notice() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = launch(&master, root.path(), &[&flag()]);
    master.admit();
    let task = counter(&mut master);
    let stdout = stdout_of(&agent, "t1");
    let executed = format!("/proc/{}/exe", agent.pid());
    for number in 1..=2_u8 {
        let next = another(number);
        master.expect_next();
        let sum = Digest(Sha256::digest(&next).into()).to_string();
        let pause = longest_pause(&agent, || {
            let answer = upgrade(&agent, &next);
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
            assert!(answer.contains(&sum), "{answer}");
            agent.get_until("/state", &format!(r#""sha256":"{sum}","instead_of""#));
        });
        println!("longest time without an answer: {pause:?}");
        let register = master.admit();
        assert_eq!(register.tasks.len(), 1);
        let state = agent.get_until("/state", r#""on_trial":false"#);
        let counted = format!(r#""counts":{{"upgrades":{number},"undone":0,"refused":0}}"#);
        assert!(state.contains(&counted), "{state}");
        // It was no failure.
        assert!(state.contains(r#""executed_again_lately":0"#), "{state}");
        assert!(fs::read(&executed).expect("the program that runs") == next);
        assert!(is_running(task));
        let written = count(&stdout);
        wait_until("it goes on", || count(&stdout) > written + 5);
    }
    let figures = agent.get("/metrics");
    assert!(figures.contains("tepui_upgrades 2"), "{figures}");
    // The very same once more is nothing to be done.
    let answer = upgrade(&agent, &another(2));
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.contains("runs already"), "{answer}");
    master.kill("t1");
    crate::restart::end(&mut master);
    assert!(!is_running(task));
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn an_agent_goes_on_with_the_leader_that_it_saw_while_zookeeper_is_away() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let zookeeper = ZooKeeper::start(master.port);
    let work_dir = Arc::new(tempfile::tempdir().expect("a folder"));
    let flags = [&flag(), "--zk_session_timeout=20secs"];
    let agent = Agent::launch_for(work_dir, &zookeeper.url(), Some(root.path()), &flags);
    master.admit();
    let task = counter(&mut master);
    let stdout = stdout_of(&agent, "t1");
    assert_eq!(zookeeper.sessions(), (1, 0));
    // An upgrade leaves no session behind that would have to expire.
    master.expect_next();
    let answer = upgrade(&agent, &another(1));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    master.admit();
    wait_until("a new session is begun", || zookeeper.sessions() == (2, 1));
    agent.get_until("/state", r#""on_trial":false"#);
    zookeeper.go_away();
    master.expect_next();
    let answer = upgrade(&agent, &another(2));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(master.admit().tasks.len(), 1);
    agent.get_until("/state", r#""on_trial":false"#);
    // So it does where it was no wish of anybody's.
    master.expect_next();
    let program = nix::unistd::Pid::from_raw(agent.pid().cast_signed());
    nix::sys::signal::kill(program, nix::sys::signal::Signal::SIGSEGV).expect("sent");
    assert_eq!(master.admit().tasks.len(), 1);
    assert!(is_running(task));
    let written = count(&stdout);
    wait_until("it goes on", || count(&stdout) > written + 5);
    assert_eq!(zookeeper.sessions(), (2, 1));
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn sessions_end_with_the_program_and_who_asked_is_told_how_many_and_terminals_end_only_where_they_may()
 {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = launch(&master, root.path(), &[&flag()]);
    master.admit();
    let task = counter(&mut master);
    let containers = agent.get("/containers");
    let parent = containers.split_once(r#""container_id":""#);
    let parent = parent.and_then(|(_, rest)| rest.split_once('"'));
    let (parent, _) = parent.expect("a container");
    let call = format!(
        r#"{{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{{
            "container_id":{{"value":"session","parent":{{"value":"{parent}"}}}},
            "command":{{"shell":false,"value":"sleep","arguments":["sleep","1234"]}}}}}}"#
    );
    let headers = "Content-Type: application/json\r\nAccept: application/recordio\r\n\
        Message-Accept: application/json\r\n";
    std::thread::scope(|scope| {
        let session = scope.spawn(|| agent.send("POST", "/api/v1", headers, call.as_bytes()));
        wait_until("the session runs", || !sleepers(task).is_empty());
        let sleeper = sleepers(task)[0];
        master.expect_next();
        let answer = upgrade(&agent, &another(1));
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        assert!(answer.contains(r#""sessions":1,"terminals":0"#), "{answer}");
        master.admit();
        let stream = session.join().expect("a stream");
        assert!(stream.starts_with("HTTP/1.1 200"), "{stream}");
        // It breaks off: nobody takes that for the end of the process' output.
        assert!(!stream.ends_with("0\r\n\r\n"), "{stream}");
        wait_until("its process is gone", || !is_running(sleeper));
    });
    assert!(is_running(task));
    agent.get_until("/state", r#""on_trial":false"#);

    // A task with a terminal would notice.
    let terminal = r#""task_id":{"value":"t2"},"command":{"value":"sleep 1234"},
        "container":{"type":"MESOS","tty_info":{}}"#;
    master.run(terminal);
    let with_terminal = pid(&states(&mut master, 2)[1]);
    let answer = upgrade(&agent, &another(2));
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.contains("1 containers have a terminal"), "{answer}");
    assert!(is_running(with_terminal));
    let answer = upgrade_at(&agent, "/upgrade?force=perhaps", &another(2));
    assert!(answer.contains("force is true or false"), "{answer}");
    master.expect_next();
    let answer = upgrade_at(&agent, "/upgrade?force=true", &another(2));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains(r#""sessions":0,"terminals":1"#), "{answer}");
    master.admit();
    wait_until("it got SIGHUP", || !is_running(with_terminal));
    assert!(is_running(task));
    let state = agent.get_until("/state", r#""on_trial":false"#);
    assert!(
        state.contains(r#""lasts_until":"this process is started anew""#),
        "{state}"
    );
    assert_eq!(agent.stop(), Some(0));
}

/// The processes that sleep in a session of a container.
fn sleepers(container: u32) -> Vec<u32> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let wanted = namespace(&container.to_string());
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let all = all.filter_map(|entry| entry.file_name().into_string().ok());
    all.filter(|process| {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        command == b"sleep\x001234\0" && namespace(process) == wanted
    })
    .filter_map(|process| process.parse().ok())
    .collect()
}

#[test]
fn what_tasks_have_open_of_their_view_of_proc_stays_open_and_is_answered() {
    let Some(root) = busybox_root() else {
        return;
    };
    let fuse = fs::File::options().read(true).write(true).open("/dev/fuse");
    if fuse.is_err() {
        println!("skipped: needs /dev/fuse");
        return;
    }
    let mut master = Master::start(1);
    let agent = launch(&master, root.path(), &[&flag()]);
    master.admit();
    // One file is held open and read to its end after each time; another is opened all the time.
    let script = "i=0; exec 3</proc/meminfo 4</proc/stat; busybox head -c 5 <&3 >/dev/null; \
        while true; do cat /proc/meminfo >/dev/null || echo broken; \
        if [ -e $MESOS_SANDBOX/go ]; then busybox rm $MESOS_SANDBOX/go; cat <&3 | busybox wc -c; \
        busybox head -n 1 <&4 | busybox wc -l; fi; done";
    master.run(&format!(
        r#""task_id":{{"value":"t1"}},"command":{{"value":"{script}"}}"#
    ));
    let task = pid(&states(&mut master, 2)[1]);
    let stdout = stdout_of(&agent, "t1");
    let go = stdout.with_file_name("go");
    let mounts = || {
        let all = fs::read_to_string(format!("/proc/{task}/mountinfo")).expect("mounts");
        let views = all.lines().filter(|line| line.contains(" fuse "));
        views.map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("it has views", || !mounts().is_empty());
    let before = mounts();
    let program = nix::unistd::Pid::from_raw(agent.pid().cast_signed());
    for number in 1..=3_usize {
        master.expect_next();
        match number {
            1 => {
                let answer = upgrade(&agent, &another(1));
                assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
                agent.get_until("/state", "instead_of");
            }
            _ => {
                nix::sys::signal::kill(program, nix::sys::signal::Signal::SIGSEGV).expect("sent");
                let lately = format!(r#""executed_again_lately":{}"#, number - 1);
                agent.get_until("/state", &lately);
            }
        }
        master.admit();
        assert_eq!(mounts(), before, "the same mounts");
        fs::write(&go, "").expect("a file");
        let lines = || fs::read_to_string(&stdout).unwrap_or_default();
        wait_until("it reads on", || lines().lines().count() == 2 * number);
        let text = lines();
        assert!(!text.contains("broken"), "{text}");
        let numbers: Vec<u32> = text
            .lines()
            .map(|line| line.trim().parse().expect("a number"))
            .collect();
        // What was left of the one was read at once; of the other, a line each time.
        assert!(number > 1 || numbers[0] > 100, "{text}");
        let errors = fs::read_to_string(stdout.with_file_name("stderr")).unwrap_or_default();
        assert_eq!(errors, "");
    }
    // A container that is launched now has a view, too.
    master.run(
        r#""task_id":{"value":"t2"},"command":{"value":"cat /proc/meminfo | busybox grep -c MemTotal"}"#,
    );
    let status = crate::restart::end(&mut master);
    assert_eq!(status.message(), "Command exited with status 0");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_program_that_is_none_of_the_operators_or_is_broken_is_refused_before_anything_changes() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let agent = launch(&master, root.path(), &[&flag(), "--upgrade_timeout=5secs"]);
    master.admit();
    let task = counter(&mut master);
    let good = another(1);
    let own = statement(&good).to_string();
    let mut elsewhere = statement(&good);
    elsewhere.agent = AgentId::new("m-S1").expect("an id");
    let mut long = statement(&good);
    long.bytes = PROGRAM_BYTES_MAX + 1;
    let unsigned = format!("{STATEMENT}: {own}\r\n");
    for (headers, status, words) in [
        (String::new(), 401, "no tepui-statement header"),
        (unsigned, 401, "no tepui-signature header"),
        (signed(&own, 2), 403, "none of the keys"),
        (
            signed(&elsewhere.to_string(), 1),
            403,
            "for agent m-S1, not for this one",
        ),
        (signed(&long.to_string(), 1), 413, "is too long"),
    ] {
        let answer = agent.send("POST", "/upgrade", &headers, &good);
        let begins = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&begins), "{answer}");
        assert!(answer.contains(words), "{answer}");
    }
    // Others' bytes under a good statement, and some that end too soon.
    let headers = signed(&own, 1);
    let mut changed = good.clone();
    changed[5000] ^= 1;
    let answer = agent.send("POST", "/upgrade", &headers, &changed);
    assert!(
        answer.contains("another SHA-256 than was signed"),
        "{answer}"
    );
    let answer = agent.send("POST", "/upgrade", &headers, &good[..good.len() / 2]);
    assert!(answer.contains("and the request has"), "{answer}");

    let mut foreign = good.clone();
    foreign[18..20].copy_from_slice(&243_u16.to_le_bytes());
    // jmp to itself; ud2.
    let (hangs, crashes) = (tiny(b"\xeb\xfe"), tiny(b"\x0f\x0b"));
    let torn = good[..good.len() / 3].to_vec();
    for (what, program, words) in [
        (
            "a text",
            b"#!/bin/sh\nexec sleep 1000\n".to_vec(),
            "it is no program",
        ),
        ("of another machine", foreign, "a program for riscv"),
        ("torn", torn, "it does not answer in check mode"),
        ("hangs", hangs, "not done after 5 s"),
        ("crashes", crashes, "ended without an answer"),
        (
            "no agent",
            fs::read("/bin/true").expect("a program"),
            "ended without an answer",
        ),
        (
            "a stranger",
            fs::read("/bin/echo").expect("a program"),
            "it is no agent",
        ),
    ] {
        let answer = upgrade(&agent, &program);
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        assert!(answer.contains(words), "{what}: {answer}");
        let state = agent.get("/state");
        assert!(state.contains(words), "{what} is not in {state}");
        assert!(!state.contains("tepui_history"), "{state}");
        assert!(is_running(task));
    }
    // A statement counts once, whatever became of it.
    let spent = statement(b"x");
    let headers = signed(&spent.to_string(), 1);
    agent.send("POST", "/upgrade", &headers, b"x");
    let answer = agent.send("POST", "/upgrade", &headers, b"x");
    assert!(answer.contains("sign anew"), "{answer}");
    assert_eq!(agent.stop(), Some(0));

    // Where nobody is named, nobody may.
    let mut master = Master::start(1);
    let agent = launch(&master, root.path(), &[]);
    master.admit();
    let answer = upgrade(&agent, &good);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("without --upgrade_keys"), "{answer}");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_build_that_fails_on_trial_is_followed_by_the_one_before_it_with_the_reason() {
    let Some(root) = busybox_root() else {
        return;
    };
    let mut master = Master::start(1);
    let flags = [&flag(), "--failure_test", "--upgrade_timeout=5secs"];
    let agent = launch(&master, root.path(), &flags);
    master.admit();
    let task = counter(&mut master);
    let stdout = stdout_of(&agent, "t1");
    let executed = format!("/proc/{}/exe", agent.pid());
    let first = fs::read(&executed).expect("the program that runs");
    for (number, (kind, cause)) in [
        ("panic", "panic in thread main at agent/src/again.rs"),
        ("signal", "SIGSEGV in thread "),
        ("abort", "SIGABRT in thread "),
        ("stall", "not registered within 5 s"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = agent.ask("POST", &format!("/failure?kind={kind}&next=true"));
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        master.expect_next();
        let answer = upgrade(&agent, &another(7));
        assert!(answer.starts_with("HTTP/1.1 202"), "{kind}: {answer}");
        let state = agent.get_until("/state", &format!(r#""undone":"{cause}"#));
        let counted = format!(r#""undone":{},"refused":0}}"#, number + 1);
        assert!(state.contains(&counted), "{state}");
        assert!(fs::read(&executed).expect("the program that runs") == first);
        // The one that failed may have come as far as its link.
        let register = master.admit();
        assert_eq!(register.tasks.len(), 1);
        assert!(is_running(task));
        let written = count(&stdout);
        wait_until("it goes on", || count(&stdout) > written + 5);
    }
    // And another one is taken as ever.
    master.expect_next();
    let answer = upgrade(&agent, &another(8));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    agent.get_until("/state", r#""instead_of""#);
    master.admit();
    agent.get_until("/state", r#""on_trial":false"#);
    assert_eq!(agent.stop(), Some(0));
}
