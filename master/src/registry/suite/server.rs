//! A ZooKeeper server on loopback for the time of a test.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian's package has the server; it names the other archives itself.
const ARCHIVE: &str = "/usr/share/java/zookeeper.jar";
/// How long a server may take to listen, on a busy machine.
const START_MAX: Duration = Duration::from_secs(90);

/// A server; it ends with this value.
pub(super) struct Server {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one; none where the package is not installed, which is said.
    pub(super) fn start() -> Option<Self> {
        if !Path::new(ARCHIVE).exists() {
            eprintln!("left out: no {ARCHIVE}; install Debian's package zookeeper");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let data = folder.path().join("data");
        let config = folder.path().join("zoo.cfg");
        let text = format!(
            "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("java")
            .args(["-Xmx128m", "-cp", ARCHIVE])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            port,
            _folder: folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < START_MAX, "ZooKeeper does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
