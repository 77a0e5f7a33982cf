//! A cluster: a master on the host, a LAN, and nodes in QEMU, all of them in one folder.
//!
//! Every process is written into the state before the next is started, so that whatever goes wrong
//! on the way, `down` finds them all.

mod disk;
mod ensemble;
mod error;
mod phase;
mod spec;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::accel::AccelChoice;
use crate::boot_files::BootFiles;
use crate::guest::{Console, Guest, QEMU, Watchdog};
use crate::http;
use crate::preflight;
use crate::process::{Process, tail};
use crate::qmp::{self, Monitor};
use crate::state::{NodeState, State};

pub use ensemble::ENSEMBLE_MAX;
pub use error::ClusterError;
pub use phase::Phase;
pub(crate) use spec::AGENT_PORT;
pub use spec::{AGENTS_MAX, Spec};

/// How long the master may take to listen.
const MASTER_PATIENCE: Duration = Duration::from_secs(20);

/// How many lines of a log are shown with an error.
const TAIL: usize = 20;

/// How a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Every process runs.
    Whole,
    /// These parts do not.
    Lacks(Vec<String>),
}

/// A cluster that was started, by this process or another.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    state: State,
}

impl Cluster {
    /// The cluster in `folder`, if one was started there and not stopped.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn find(folder: &Path) -> Result<Option<Cluster>, ClusterError> {
        let folder = absolute(folder)?;
        Ok(State::load(&folder)?.map(|state| Cluster { folder, state }))
    }

    /// Starts a cluster and waits until all nodes are registered; `say` gets a line for each phase.
    ///
    /// # Errors
    /// There is one already, something that is needed is not there, or a part does not come up. What
    /// was started until then stays, for its logs' sake, until `down`.
    pub fn start(spec: &Spec, say: &mut dyn FnMut(&Phase)) -> Result<Cluster, ClusterError> {
        let folder = absolute(&spec.folder)?;
        if State::load(&folder)?.is_some() {
            return Err(ClusterError::Exists(folder));
        }
        preflight::qemu()?;
        preflight::memory(spec.agents, spec.memory_mb)?;
        match spec.has_election() {
            true => spec.check_ensemble()?,
            false => preflight::port(&spec.master(), "master")?,
        }
        for number in 1..=spec.agents {
            let address = format!("{}:{AGENT_PORT}", spec.node_ip(number));
            preflight::port(&address, &format!("node{number}"))?;
        }
        let boot = BootFiles::checked(&absolute(&spec.image)?)?;
        if spec.accel == AccelChoice::Auto {
            say(&Phase::TryingKvm);
        }
        let (accel, found) = spec.accel.settle(&boot.kernel)?;
        say(&Phase::Accelerated { found });

        clear(&folder)?;
        let state = State {
            master: match spec.has_election() {
                true => spec.masters(),
                false => spec.master(),
            },
            parts: Vec::new(),
            nodes: Vec::new(),
            accel: accel.to_string(),
            master_process: None,
            switch_process: None,
            forwarder_process: None,
        };
        let mut cluster = Cluster { folder, state };
        cluster.start_switch(spec)?;
        if spec.has_election() {
            cluster.start_ensemble(spec, say)?;
        } else {
            cluster.start_master(spec)?;
            cluster.say_master(spec, say);
        }
        cluster.start_forwarder(spec)?;
        for number in 1..=spec.agents {
            let guest = Guest {
                name: format!("node{number}"),
                machine: spec.machine,
                accel,
                cpus: spec.cpus,
                memory_mb: spec.memory_mb,
                boot: boot.clone(),
                append: spec.append_for(number),
                disk: Some(cluster.folder.join(format!("node{number}.disk"))),
                forward: Some(format!("{}:{AGENT_PORT}", spec.node_ip(number))),
                lan: u8::try_from(number).ok(),
                console: Console::Files,
                watchdog: Watchdog::None,
            };
            cluster.start_node(&guest, spec)?;
        }
        say(&Phase::NodesStarted {
            nodes: spec.agents,
            memory_mb: spec.memory_mb,
        });
        cluster.wait_registered(spec.patience, say)?;
        Ok(cluster)
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Node `number`, from 1.
    ///
    /// # Errors
    /// There is no such node.
    pub fn node(&self, number: usize) -> Result<&NodeState, ClusterError> {
        let node = number
            .checked_sub(1)
            .and_then(|at| self.state.nodes.get(at));
        node.ok_or(ClusterError::NoNode(number))
    }

    /// What node `number` has written to its console.
    ///
    /// # Errors
    /// There is no such node, or no log.
    pub fn console_text(&self, number: usize) -> Result<String, ClusterError> {
        let path = self.log(&self.node(number)?.name);
        match fs::read(&path) {
            Ok(data) => Ok(String::from_utf8_lossy(&data).replace('\r', "")),
            Err(source) => Err(ClusterError::File { path, source }),
        }
    }

    /// The monitor of node `number`.
    ///
    /// # Errors
    /// There is no such node, or QEMU is gone.
    pub fn monitor(&self, number: usize) -> Result<Monitor, ClusterError> {
        let node = self.node(number)?;
        Monitor::open(&self.folder, &format!("{}.monitor", node.name)).map_err(|error| {
            ClusterError::Start {
                program: format!("a conversation with {}", node.name),
                source: io::Error::other(error),
            }
        })
    }

    /// Ends node `number` as a power cut does.
    ///
    /// # Errors
    /// There is no such node, or it is not ours.
    pub fn kill_node(&self, number: usize) -> Result<(), ClusterError> {
        let node = self.node(number)?;
        end(
            &node.name,
            &node.process(),
            Signal::SIGKILL,
            Duration::from_secs(5),
        )
    }

    /// Starts node `number` again, with the disk that it had. It is not waited for.
    ///
    /// # Errors
    /// There is no such node, it runs, or QEMU cannot be started.
    pub fn start_node_again(&mut self, number: usize) -> Result<(), ClusterError> {
        let node = self.node(number)?.clone();
        self.start_again(QEMU, &format!("{}.qemu", node.name), node)
    }

    /// Runs a program again that has ended, with the arguments that it had.
    fn start_again(
        &mut self,
        program: &str,
        log: &str,
        mut part: NodeState,
    ) -> Result<(), ClusterError> {
        if part.process().runs() {
            return Err(ClusterError::Stays(part.name));
        }
        self.run(program, log, &mut part)?;
        let all = self.state.parts.iter_mut().chain(&mut self.state.nodes);
        for kept in all.filter(|kept| kept.name == part.name) {
            kept.pid = part.pid;
        }
        Ok(self.state.save(&self.folder)?)
    }

    fn run(&self, program: &str, log: &str, part: &mut NodeState) -> Result<(), ClusterError> {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).args(&part.arguments);
        part.pid = start(&mut command, &part.mark, &self.log(log))?.pid;
        Ok(())
    }

    /// Which processes run.
    #[must_use]
    pub fn health(&self) -> Health {
        let all = self.state.processes();
        let dead = all.into_iter().filter(|(_, process)| !process.runs());
        let dead: Vec<String> = dead.map(|(name, _)| name).collect();
        match dead.is_empty() {
            true => Health::Whole,
            false => Health::Lacks(dead),
        }
    }

    /// The host names of agents that the master counts as active.
    ///
    /// # Errors
    /// It does not answer, or not as a master.
    pub fn registered(&self) -> Result<BTreeSet<String>, ClusterError> {
        let log = self.folder.join("master.log");
        let failed = |said: String| ClusterError::Master {
            address: self.state.master.clone(),
            said,
            tail: tail(&log, TAIL),
            log: log.clone(),
        };
        let answer = http::get(&self.state.master, "/master/state");
        let (status, body) = answer.map_err(|error| failed(error.to_string()))?;
        if status != 200 {
            return Err(failed(format!("it answers {status}")));
        }
        let state: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        let agents = state["slaves"].as_array();
        let agents =
            agents.ok_or_else(|| failed("there are no \"slaves\" in its state".to_owned()))?;
        let active = agents.iter().filter(|agent| agent["active"] == true);
        Ok(active
            .filter_map(|agent| agent["hostname"].as_str())
            .map(str::to_owned)
            .collect())
    }

    /// Stops the cluster: nodes by their power buttons, and within `grace` without; then the rest.
    ///
    /// # Errors
    /// A process does not end.
    pub fn down(self, grace: Duration, say: &mut dyn FnMut(&str)) -> Result<(), ClusterError> {
        let deadline = Instant::now() + grace;
        let mut running = BTreeSet::new();
        for number in 1..=self.state.nodes.len() {
            if !self.node(number)?.process().runs() {
                continue;
            }
            running.insert(number);
            if let Ok(mut monitor) = self.monitor(number) {
                // A guest that does not hear is dealt with after the grace time.
                let _pressed = monitor.power_button();
            }
        }
        for number in 1..=self.state.nodes.len() {
            let node = self.node(number)?;
            let process = node.process();
            if !running.contains(&number) {
                say(&format!("{}: was not running any more", node.name));
                continue;
            }
            if process.ends_within(deadline.saturating_duration_since(Instant::now())) {
                say(&format!("{}: powered off", node.name));
                continue;
            }
            if let Ok(mut monitor) = self.monitor(number) {
                let _quit = monitor.quit();
            }
            end(
                &node.name,
                &process,
                Signal::SIGKILL,
                Duration::from_secs(5),
            )?;
            say(&format!(
                "{}: cut off, having not powered off in {} s",
                node.name,
                grace.as_secs()
            ));
        }
        let rest = [
            ("forwarder", &self.state.forwarder_process),
            ("switch", &self.state.switch_process),
            ("master", &self.state.master_process),
        ];
        let rest = rest.map(|(name, process)| Some((name, process.clone()?)));
        let parts = self.state.parts.iter().rev();
        let parts = parts.map(|part| (part.name.as_str(), part.process()));
        for (name, process) in rest.into_iter().flatten().chain(parts) {
            let process = &process;
            match end(name, process, Signal::SIGTERM, Duration::from_secs(5)) {
                Err(ClusterError::Stays(_)) => {
                    end(name, process, Signal::SIGKILL, Duration::from_secs(5))?;
                    say(&format!("{name}: killed, having not stopped when asked to"));
                }
                Err(error) => return Err(error),
                Ok(()) => say(&format!("{name}: stopped")),
            }
        }
        State::remove(&self.folder)?;
        Ok(())
    }

    fn say_master(&self, spec: &Spec, say: &mut dyn FnMut(&Phase)) {
        let pid = self
            .state
            .master_process
            .as_ref()
            .map_or(0, |process| process.pid);
        say(&Phase::MasterListens {
            address: spec.master(),
            pid,
        });
    }

    fn log(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.log"))
    }

    fn start_switch(&mut self, spec: &Spec) -> Result<(), ClusterError> {
        let mark = format!("--folder={}", self.folder.display());
        let mut command = Command::new(&spec.qemu_program);
        command.args(["switch", &mark]);
        let process = start(&mut command, &mark, &self.log("switch"))?;
        self.state.switch_process = Some(process);
        Ok(self.state.save(&self.folder)?)
    }

    fn start_forwarder(&mut self, spec: &Spec) -> Result<(), ClusterError> {
        let mark = format!("--folder={}", self.folder.display());
        let mut command = Command::new(&spec.qemu_program);
        command.args(["forward", &mark]);
        let process = start(&mut command, &mark, &self.log("forwarder"))?;
        self.state.forwarder_process = Some(process);
        Ok(self.state.save(&self.folder)?)
    }

    fn start_master(&mut self, spec: &Spec) -> Result<(), ClusterError> {
        let mark = format!("--work_dir={}", self.folder.join("master").display());
        let mut command = Command::new(&spec.master_program);
        command.args([
            "--ip=127.0.0.1",
            "--hostname=localhost",
            "--cluster=tepui",
            &mark,
        ]);
        command
            .arg(format!("--port={}", spec.port))
            .args(&spec.master_flags);
        let process = start(&mut command, &mark, &self.log("master"))?;
        self.state.master_process = Some(process.clone());
        self.state.save(&self.folder)?;
        let deadline = Instant::now() + MASTER_PATIENCE;
        loop {
            match http::get(&self.state.master, "/health") {
                Ok((200, _)) => return Ok(()),
                _ if !process.runs() => return Err(self.ended("master")),
                Ok(_) | Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(_) | Err(_) => return self.registered().map(drop),
            }
        }
    }

    fn start_node(&mut self, guest: &Guest, spec: &Spec) -> Result<(), ClusterError> {
        if let Some(path) = &guest.disk {
            let made = disk::make(path, spec.disk_bytes, spec.disk_image.as_deref());
            made.map_err(|source| ClusterError::File {
                path: path.clone(),
                source,
            })?;
        }
        let mut node = NodeState {
            name: guest.name.clone(),
            address: guest.forward.clone().unwrap_or_default(),
            pid: 0,
            mark: self.folder.join(guest.file("pid")).display().to_string(),
            arguments: guest.command_line(&self.folder),
        };
        self.run(QEMU, &format!("{}.qemu", guest.name), &mut node)?;
        self.state.nodes.push(node);
        Ok(self.state.save(&self.folder)?)
    }

    fn wait_registered(
        &self,
        patience: Duration,
        say: &mut dyn FnMut(&Phase),
    ) -> Result<(), ClusterError> {
        let deadline = Instant::now() + patience;
        let mut told = 0;
        loop {
            let registered = self.registered()?;
            let all = self.state.nodes.len();
            if registered.len() > told {
                told = registered.len();
                say(&Phase::Registered {
                    registered: told,
                    nodes: all,
                });
            }
            let missing: Vec<&NodeState> = self
                .state
                .nodes
                .iter()
                .filter(|node| !registered.contains(&node.name))
                .collect();
            let Some(first) = missing.first() else {
                return Ok(());
            };
            if let Some(dead) = missing.iter().find(|node| !node.process().runs()) {
                return Err(self.ended(&dead.name));
            }
            if Instant::now() >= deadline {
                let names: Vec<&str> = missing.iter().map(|node| node.name.as_str()).collect();
                let log = self.log(&first.name);
                return Err(ClusterError::Unregistered {
                    missing: names.join(", "),
                    patience,
                    tail: tail(&log, TAIL),
                    log,
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The error for a part that ended: with its log, and what QEMU said for a node.
    fn ended(&self, part: &str) -> ClusterError {
        let log = self.log(part);
        let said = [self.log(&format!("{part}.qemu")), log.clone()];
        let tails = said.map(|log| tail(&log, TAIL));
        ClusterError::Ended {
            part: part.to_owned(),
            log,
            tail: tails.join("\n").trim().to_owned(),
        }
    }
}

fn start(command: &mut Command, mark: &str, log: &Path) -> Result<Process, ClusterError> {
    Process::start(command, mark, log).map_err(|source| ClusterError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// Sends `signal` and waits for the end.
fn end(
    part: &str,
    process: &Process,
    signal: Signal,
    patience: Duration,
) -> Result<(), ClusterError> {
    process
        .signal(signal)
        .map_err(|source| ClusterError::Signal {
            part: part.to_owned(),
            source,
        })?;
    match process.ends_within(patience) {
        true => Ok(()),
        false => Err(ClusterError::Stays(part.to_owned())),
    }
}

/// Makes `folder`, without what an earlier cluster left in it.
fn clear(folder: &Path) -> Result<(), ClusterError> {
    let failed = |source| ClusterError::File {
        path: folder.to_owned(),
        source,
    };
    match fs::remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    fs::create_dir_all(folder.join("master")).map_err(failed)
}

/// Without links in it, and even where there is nothing yet.
fn absolute(path: &Path) -> Result<PathBuf, ClusterError> {
    std::path::absolute(path).map_err(|source| ClusterError::File {
        path: path.to_owned(),
        source,
    })
}

/// The console's socket of node `number`.
///
/// # Errors
/// There is no such node, or QEMU is gone.
pub fn console(
    cluster: &Cluster,
    number: usize,
) -> Result<std::os::unix::net::UnixStream, ClusterError> {
    let node = cluster.node(number)?;
    let name = format!("{}.console", node.name);
    qmp::connect(cluster.folder(), &name).map_err(|source| ClusterError::Start {
        program: format!("a conversation with {}", node.name),
        source,
    })
}
