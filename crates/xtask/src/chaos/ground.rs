//! Ground: the cluster that things happen to, and the framework that works on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use qemu::{Cluster, Spec};
use serde_json::Value;

use super::counter::Counter;
use super::journal::Journal;
use crate::builds::Builds;
use crate::image::root;

/// How long the framework may take to be known by the master.
const FRAMEWORK_PATIENCE: Duration = Duration::from_secs(30);
/// How long the nodes may take to power off.
const DOWN_TIME_MAX: Duration = Duration::from_secs(20);

/// A cluster with a framework.
pub(super) struct Ground {
    pub(super) cluster: Cluster,
    pub(super) journal: Journal,
    pub(super) counter: Counter,
    /// What agents are upgraded to.
    pub(super) builds: Builds,
    /// Tasks at a time.
    pub(super) slots: usize,
    folder: PathBuf,
    python: PathBuf,
    framework: Framework,
}

impl Ground {
    /// Starts the cluster, and the framework on it.
    ///
    /// # Errors
    /// The Python of `tests/compat/venv` is not there, or a part does not come up.
    pub(super) fn start(spec: &Spec, builds: Builds, slots: usize) -> Result<Self> {
        let python = root()?.join("target/venv/bin/python");
        if !python.exists() {
            bail!("no {}: run tests/compat/venv first", python.display());
        }
        let cluster = Cluster::start(spec, &mut |phase| eprintln!("chaos: {phase}"))?;
        let folder = cluster.folder().to_owned();
        let counter = Counter::start()?;
        let path = folder.join("journal");
        let framework = framework(&python, &folder, &cluster, &counter, slots)?;
        let ground = Self {
            cluster,
            journal: Journal::new(&path),
            counter,
            builds,
            slots,
            folder,
            python,
            framework,
        };
        Ok(ground)
    }

    /// Kills the framework's process and starts it again.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn restart_framework(&mut self) -> Result<()> {
        let process = &mut self.framework.0;
        let killed = process.kill().and_then(|()| process.wait());
        killed.context("kill the framework")?;
        self.see_to_framework()
    }

    /// Starts the framework again if it has ended.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn see_to_framework(&mut self) -> Result<()> {
        if self.framework.0.try_wait()?.is_some() {
            let (python, folder) = (&self.python, &self.folder);
            self.framework = framework(python, folder, &self.cluster, &self.counter, self.slots)?;
        }
        Ok(())
    }

    /// What the leading master knows at this moment.
    ///
    /// # Errors
    /// No master leads, or answers.
    pub(super) fn sight(&self) -> Result<Sight> {
        let (status, body) = qemu::http::get(&self.cluster.state().master, "/master/state")?;
        if status != 200 {
            bail!("the master answers {status}");
        }
        let state: Value = serde_json::from_slice(&body).context("the master's state")?;
        let agents = state["slaves"].as_array().context("no slaves")?;
        let active = agents.iter().filter(|agent| agent["active"] == true);
        let frameworks = state["frameworks"].as_array().context("no frameworks")?;
        let tasks = frameworks
            .iter()
            .filter_map(|framework| framework["tasks"].as_array())
            .flatten();
        Ok(Sight {
            agents: texts(active, "hostname", "id"),
            tasks: texts(tasks, "id", "state"),
        })
    }

    /// Stops the framework and the cluster.
    ///
    /// # Errors
    /// Something does not end.
    pub(super) fn stop(self) -> Result<()> {
        drop(self.framework);
        self.cluster.down(DOWN_TIME_MAX, &mut |_| ())?;
        Ok(())
    }
}

/// What a master knows.
pub(super) struct Sight {
    /// The ids of active agents, by host name.
    pub(super) agents: BTreeMap<String, String>,
    /// The states of tasks that are not over, by id.
    pub(super) tasks: BTreeMap<String, String>,
}

/// Two texts of each object, the second by the first.
fn texts<'a>(
    objects: impl Iterator<Item = &'a Value>,
    key: &str,
    value: &str,
) -> BTreeMap<String, String> {
    let text = |object: &Value, name: &str| object[name].as_str().map(str::to_owned);
    let pairs = objects.filter_map(|object| Some((text(object, key)?, text(object, value)?)));
    pairs.collect()
}

/// The framework's process, which ends with this.
struct Framework(Child);

impl Drop for Framework {
    fn drop(&mut self) {
        // It is ours, and not waited for yet: nobody else has its id.
        if self.0.kill().and_then(|()| self.0.wait()).is_err() {
            eprintln!("chaos: the framework does not end");
        }
    }
}

fn framework(
    python: &Path,
    folder: &Path,
    cluster: &Cluster,
    counter: &Counter,
    slots: usize,
) -> Result<Framework> {
    let path = folder.join("framework.log");
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("open {}", path.display()))?;
    let journal = folder.join("journal");
    let master = cluster.zk();
    let master = master.unwrap_or_else(|| cluster.state().master.clone());
    let before = fs::metadata(&journal).map_or(0, |data| data.len());
    let child = Command::new(python)
        .arg(root()?.join("tests/chaos/keeper.py"))
        .args(["--master", &master])
        .args(["--slots", &slots.to_string()])
        .args(["--counter", &format!("10.0.2.2:{}", counter.port)])
        .arg("--journal")
        .arg(&journal)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the framework")?;
    let mut framework = Framework(child);
    let begun = Instant::now();
    while fs::metadata(&journal).map_or(0, |data| data.len()) == before {
        if let Some(status) = framework.0.try_wait()? {
            bail!("the framework ended, {status}: see {}", path.display());
        }
        if begun.elapsed() > FRAMEWORK_PATIENCE {
            bail!("the framework hears nothing: see {}", path.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(framework)
}
