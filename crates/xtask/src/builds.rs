//! Builds: other programs for agents, and the key that they are signed with.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::lab;

/// The file of the private key.
const KEY: &str = "key.pem";

/// Makes builds, and has agents upgraded to them by `tepui`.
pub(crate) struct Builds {
    tepui: PathBuf,
    /// The program that nodes boot with.
    own: Vec<u8>,
    folder: TempDir,
    /// As agents take it.
    public_key: String,
    /// How many were made.
    made: u32,
}

impl Builds {
    /// Of the programs of the last release build, with a key of their own.
    ///
    /// # Errors
    /// They are not there, or no key can be made.
    pub(crate) fn new() -> Result<Self> {
        let own = lab::program("tepui-agent")?;
        let own = fs::read(&own).with_context(|| format!("read {}", own.display()))?;
        let tepui = lab::program("tepui")?;
        let folder = tempfile::tempdir().context("make a folder for builds")?;
        let mut command = Command::new(&tepui);
        let made = finish(command.arg("key").arg(folder.path().join(KEY)))?;
        ensure!(made.status.success(), "tepui key: {}", said(&made));
        Ok(Self {
            tepui,
            own,
            public_key: String::from_utf8_lossy(&made.stdout).trim().to_owned(),
            folder,
            made: 0,
        })
    }

    /// What agents have to know: a flag, or with `tepui.` before it a word of a node's command line.
    pub(crate) fn setting(&self) -> String {
        format!("upgrade_keys={}", self.public_key)
    }

    /// Has a node's agent upgraded to a build that it never had: the same, and some bytes after its end,
    /// which nobody reads.
    ///
    /// # Errors
    /// It goes on with what it had, or does not say.
    pub(crate) fn upgrade(&mut self, master: &str, node: &str) -> Result<()> {
        self.made += 1;
        let another = [&self.own, self.made.to_string().as_bytes()].concat();
        let done = self.offer(master, node, &another)?;
        match done.status.success() {
            true => Ok(()),
            false => bail!("{node} is not upgraded: {}", said(&done)),
        }
    }

    /// Has a node's agent told to upgrade to half a program.
    ///
    /// # Errors
    /// That is not refused, or for another reason.
    pub(crate) fn upgrade_to_a_broken_one(&self, master: &str, node: &str) -> Result<()> {
        let half = &self.own[..self.own.len() / 2];
        let done = self.offer(master, node, half)?;
        let said = said(&done);
        ensure!(!done.status.success(), "{node} takes half a program");
        ensure!(
            said.contains("the program is refused"),
            "{node} is not upgraded for another reason: {said}"
        );
        Ok(())
    }

    fn offer(&self, master: &str, node: &str, program: &[u8]) -> Result<Output> {
        let path = self.folder.path().join("tepui-agent");
        fs::write(&path, program).with_context(|| format!("write {}", path.display()))?;
        let mut command = Command::new(&self.tepui);
        command
            .args(["upgrade", node, "--key"])
            .args([self.key(), path]);
        finish(command.env("TEPUI_MASTER", master))
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join(KEY)
    }
}

fn finish(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output();
    output.with_context(|| format!("run {}", command.get_program().display()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
