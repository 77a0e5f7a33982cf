//! A registry on this host's loopback, with images for the nodes to pull.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// The images that the cases run; `tests/images/build.py` says what is in each.
const IMAGES: [&str; 4] = ["busybox", "odd", "python", "redis"];

/// Debian's docker-registry, until dropped.
pub(crate) struct Registry {
    server: Child,
    port: u16,
}

impl Registry {
    /// Serves all images on a free port of 127.0.0.1. They are built where they are not yet.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let mut server = Command::new("python3")
            .arg(root.join("tests/images/registry.py"))
            .args(IMAGES)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start tests/images/registry.py")?;
        let said = server.stdout.take().context("no output")?;
        let mut ready = String::new();
        for line in BufReader::new(said).lines() {
            ready = line?;
            if ready.starts_with("ready ") {
                break;
            }
        }
        let port = ready.strip_prefix("ready 127.0.0.1:");
        let port: Option<u16> = port.and_then(|port| port.parse().ok());
        let registry = Self {
            server,
            port: port.unwrap_or_default(),
        };
        // Dropped, it is waited for.
        port.with_context(|| format!("tests/images/registry.py said {ready:?}"))?;
        Ok(registry)
    }

    /// What nodes call it: QEMU's network shows them the host's loopback as 10.0.2.2.
    pub(crate) fn name(&self) -> String {
        format!("10.0.2.2:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The end of its input tells the script to end the registry, too.
        drop(self.server.stdin.take());
        if let Err(error) = self.server.wait() {
            println!("  stop the registry: {error}");
        }
    }
}
