//! A machine made of namespaces, with a root in memory that holds what an initramfs does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Waits for a line with the arguments, so that a test can first put cables into the machine.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs none "$1/root"
cp -a "$1/files/." "$1/root"
cd "$1/root"
echo prepared >&2
read -r arguments
set -- $arguments
exec chroot . /init "$@"
"#;

pub(crate) struct Machine {
    folder: tempfile::TempDir,
    unshare: Option<Child>,
    lines: Option<Receiver<String>>,
    /// How long a line may take.
    pub(crate) patience: Duration,
    seen: String,
}

impl Machine {
    /// Makes the root; none, with a word, where this process may not.
    pub(crate) fn prepare() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").expect("status");
        let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
        if !is_root {
            eprintln!("skipped: needs root");
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let at = |path: &str| folder.path().join("files").join(path);
        for path in ["usr/share/tepui/rootfs/bin", "etc"] {
            fs::create_dir_all(at(path)).expect(path);
        }
        fs::create_dir(folder.path().join("root")).expect("root");
        fs::write(at("usr/share/tepui/rootfs/bin/sh"), "a shell").expect("sh");
        let program = Path::new(env!("CARGO_BIN_EXE_tepui-agent"));
        fs::copy(program, at("init")).expect("init");
        for library in libraries(program) {
            let inside = at(library.to_str().expect("a path").trim_start_matches('/'));
            fs::create_dir_all(inside.parent().expect("a folder")).expect("a folder");
            fs::copy(&library, inside).expect("a library");
        }
        let mut machine = Self {
            folder,
            unshare: None,
            lines: None,
            patience: Duration::from_secs(20),
            seen: String::new(),
        };
        machine.make();
        Some(machine)
    }

    fn make(&mut self) {
        let mut unshare = Command::new("unshare")
            .args([
                "--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--fork",
            ])
            .args(["--kill-child", "sh", "-c", SCRIPT, "sh"])
            .arg(self.folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let stderr = unshare.stderr.take().expect("stderr");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        self.unshare = Some(unshare);
        self.lines = Some(receiver);
        self.line("prepared");
    }

    /// Starts PID 1; no argument may hold a blank.
    pub(crate) fn start(&mut self, arguments: &[&str]) {
        let unshare = self.unshare.as_mut().expect("a machine");
        let mut stdin = unshare.stdin.take().expect("stdin");
        writeln!(stdin, "{}", arguments.join(" ")).expect("start");
    }

    /// Waits for a line of the console that holds a text.
    pub(crate) fn line(&mut self, text: &str) -> String {
        let lines = self.lines.as_ref().expect("a console");
        let end = Instant::now() + self.patience;
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no {text:?} on the console ({error}):\n{}", self.seen),
            }
        }
    }

    /// Whether a line that was waited for, or one before it, holds a text.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.seen.contains(text)
    }

    /// The number of PID 1 outside of the machine.
    pub(crate) fn pid(&self) -> u32 {
        let unshare = self.unshare.as_ref().expect("a machine").id();
        children(unshare)[0]
    }

    /// The children of PID 1, zombies as well.
    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// A file as PID 1 sees it.
    pub(crate) fn file(&self, path: &str) -> String {
        let proc = format!("/proc/{}", self.pid());
        let path = match path.strip_prefix("/proc/self") {
            Some(rest) => format!("{proc}{rest}"),
            None => format!("{proc}/root{path}"),
        };
        fs::read_to_string(&path).expect(&path)
    }

    /// Runs a program of the host inside of the machine's pid and uts namespaces.
    pub(crate) fn inside(&self, command: &[&str]) -> String {
        let output = Command::new("nsenter")
            .args(["--target", &self.pid().to_string(), "--pid", "--uts"])
            .args(command)
            .output()
            .expect("nsenter of util-linux");
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// The signal by which the machine ended: SIGINT where it was switched off, SIGHUP where it was
    /// started again (reboot(2), in a pid namespace).
    pub(crate) fn ended_by(&mut self) -> Option<i32> {
        let mut unshare = self.unshare.take().expect("a machine");
        // unshare ends as its child did.
        unshare.wait().expect("wait").signal()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its child goes with it (--kill-child), and every process of the machine with that.
        if let Some(mut unshare) = self.unshare.take() {
            let _ = unshare.kill();
            let _ = unshare.wait();
        }
    }
}

/// Whether something becomes true within a few seconds.
pub(crate) fn soon(what: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        if what() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    let pids = text.split_whitespace();
    pids.map(|pid| pid.parse().expect("a pid")).collect()
}

/// The libraries and the loader of a program that is not static.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace();
    words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}
