//! The agent's program, and a root for its tasks.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::master::Master;

/// The agent's program, as an ordinary process.
pub(crate) struct Agent {
    address: SocketAddr,
    process: Child,
    pub(crate) work_dir: Arc<tempfile::TempDir>,
}

impl Agent {
    pub(crate) fn start(master: &Master, root: Option<&Path>) -> Self {
        let work_dir = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::start_in(work_dir, master, root)
    }

    /// Starts it with other flags than the usual ones for what containers are allowed.
    pub(crate) fn start_with(master: &Master, root: Option<&Path>, flags: &[&str]) -> Self {
        let work_dir = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::launch(work_dir, master, root, flags)
    }

    /// Starts it on a work directory that it may have used before.
    pub(crate) fn start_in(
        work_dir: Arc<tempfile::TempDir>,
        master: &Master,
        root: Option<&Path>,
    ) -> Self {
        // Of no use where there is nothing to show.
        let shared = work_dir.path().join("shared");
        let flag = format!("--allowed_host_paths={}", shared.display());
        Self::launch(work_dir, master, root, &[&flag])
    }

    /// The same with flags.
    pub(crate) fn launch(
        work_dir: Arc<tempfile::TempDir>,
        master: &Master,
        root: Option<&Path>,
        flags: &[&str],
    ) -> Self {
        let master = format!("127.0.0.1:{}", master.port);
        Self::launch_for(work_dir, &master, root, flags)
    }

    /// The same with its master as `--master` has it.
    pub(crate) fn launch_for(
        work_dir: Arc<tempfile::TempDir>,
        master: &str,
        root: Option<&Path>,
        flags: &[&str],
    ) -> Self {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        drop(taken);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tepui-agent"));
        command
            .arg(format!("--master={master}"))
            .arg(format!("--work_dir={}", work_dir.path().display()))
            .arg(format!("--port={}", address.port()))
            .args(["--ip=127.0.0.1", "--hostname=node-of-the-test"])
            .args([
                "--resources=cpus:2;mem:256;disk:1024",
                "--attributes=rack:a1",
                "--domain=region:eu;zone:z1",
            ])
            .arg("--switch_user=false")
            .args(flags);
        if let Some(root) = root {
            command.arg(format!("--default_rootfs={}", root.display()));
        }
        Self {
            address,
            process: command.spawn().expect("the agent"),
            work_dir,
        }
    }

    /// Waits until it has ended by itself; its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.process.wait().expect("the agent's end").code()
    }

    /// Kills it, and gives its work directory for the next one.
    pub(crate) fn crash(mut self) -> Arc<tempfile::TempDir> {
        self.process.kill().expect("SIGKILL");
        self.process.wait().expect("the agent's end");
        Arc::clone(&self.work_dir)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path)
    }

    /// Sends a request without a body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> String {
        self.send(method, path, "", &[])
    }

    /// Sends a request with more headers, each with its line's end, and a body.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the agent's port");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{headers}\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request");
        // It may be refused before it was sent.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).expect("a text")
    }

    /// Asks until the answer holds a text.
    pub(crate) fn get_until(&self, path: &str, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            if answer.contains(wanted) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} is not in {answer}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it by SIGTERM; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(self.process.id().try_into().expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
        self.process.wait().expect("the agent's end").code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Only where the test failed is there still something to end, and with it its containers, which
        // would outlive a SIGKILL.
        if matches!(self.process.try_wait(), Ok(None)) {
            let pid = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let begun = Instant::now();
            while matches!(self.process.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// A root of a static busybox; `None` where this host has none, or the test may not use it.
pub(crate) fn busybox_root() -> Option<tempfile::TempDir> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let found = ["/usr/bin/busybox", "/bin/busybox"].map(fs::read);
    let Some(program) = found.into_iter().flatten().next() else {
        println!("skipped: needs busybox");
        return None;
    };
    // A program that needs libraries names its loader near its beginning (PT_INTERP).
    let head = &program[..program.len().min(1024)];
    if head.windows(9).any(|window| window == b"ld-linux-") {
        println!("skipped: needs a static busybox");
        return None;
    }
    let root = tempfile::tempdir().expect("a folder");
    for folder in [
        "bin",
        "etc",
        "proc",
        "dev",
        "sys",
        "tmp",
        "mnt/mesos/sandbox",
    ] {
        fs::create_dir_all(root.path().join(folder)).expect("a folder");
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        fs::write(root.path().join("etc").join(file), "").expect("a file");
    }
    let busybox = root.path().join("bin/busybox");
    fs::write(&busybox, program).expect("busybox");
    use std::os::unix::fs::PermissionsExt;
    for path in [busybox.as_path(), root.path()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    for applet in ["sh", "sleep", "echo", "cat"] {
        symlink("busybox", root.path().join("bin").join(applet)).expect("a link");
    }
    Some(root)
}
