//! The keeper as a process of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use qemu::process::Process;

#[test]
fn what_ends_is_started_again_and_ends_with_its_keeper() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let line = "echo began; exec sleep 60";
    let mut command = Command::new(env!("CARGO_BIN_EXE_tepui-qemu"));
    command.args(["keep", "--", "sh", "-c", line]);
    let keeper = Process::start(&mut command, line, &log).unwrap();
    let began = |times| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        while text().matches("began").count() < times {
            assert!(Instant::now() < deadline, "{}", text());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    began(1);
    let first = keeper.children();
    kill(first[0], Signal::SIGKILL).unwrap();
    began(2);
    let second = keeper.children();
    assert_ne!(first, second);
    keeper.signal(Signal::SIGTERM).unwrap();
    assert!(keeper.ends_within(Duration::from_secs(10)));
    assert!(kill(second[0], None).is_err(), "it has outlived its keeper");
}
