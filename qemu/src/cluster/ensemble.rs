//! A cluster with several masters, elected by ZooKeeper servers on loopback.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::{Cluster, ClusterError, MASTER_PATIENCE, Phase, Spec, end, start};
use crate::http;
use crate::preflight;
use crate::state::NodeState;

/// Where Debian's package has the server; it names the other archives itself.
const ARCHIVE: &str = "/usr/share/java/zookeeper.jar";
/// What runs it.
const JAVA: &str = "java";
/// What the servers' names begin with.
const ZOOKEEPER: &str = "zookeeper";
/// What the masters' names begin with.
const MASTER: &str = "master";
/// The folder of the election.
const FOLDER: &str = "tepui";
/// The timeout of the sessions.
pub(super) const SESSION: &str = "5secs";
/// How far apart the ports of masters are, so that none is an agent's.
const PORTS: u16 = 10;

/// How many masters and servers there may be.
pub const ENSEMBLE_MAX: usize = 7;

impl Spec {
    /// Whether the masters are elected.
    pub(super) const fn has_election(&self) -> bool {
        self.zookeepers > 0
    }

    pub(super) fn master_port(&self, number: usize) -> u16 {
        let step = u16::try_from(number - 1).unwrap_or(u16::MAX);
        self.port.saturating_add(PORTS.saturating_mul(step))
    }

    /// Every master's address, with commas between them.
    pub(super) fn masters(&self) -> String {
        let all =
            (1..=self.masters).map(|number| format!("127.0.0.1:{}", self.master_port(number)));
        all.collect::<Vec<_>>().join(",")
    }

    /// Where the masters are elected, for whoever reaches the host by this address.
    pub(super) fn zk(&self, host: &str) -> String {
        let servers =
            (1..=self.zookeepers).map(|number| format!("{host}:{}", self.zk_port(number, 0)));
        format!("zk://{}/{FOLDER}", servers.collect::<Vec<_>>().join(","))
    }

    /// A server's port for clients (0), for the servers' own talk (1) and for their election (2).
    fn zk_port(&self, number: usize, kind: u16) -> u16 {
        let number = u16::try_from(number - 1).unwrap_or(u16::MAX);
        self.zookeeper_port
            .saturating_add(100 * kind)
            .saturating_add(number)
    }

    /// That every port is free that masters and servers are to have.
    pub(super) fn check_ensemble(&self) -> Result<(), ClusterError> {
        preflight::zookeeper(Path::new(ARCHIVE))?;
        for number in 1..=self.masters {
            let address = format!("127.0.0.1:{}", self.master_port(number));
            preflight::port(&address, &format!("master{number}"))?;
        }
        for number in 1..=self.zookeepers {
            for kind in 0..3 {
                let address = format!("127.0.0.1:{}", self.zk_port(number, kind));
                preflight::port(&address, &format!("zookeeper{number}"))?;
            }
        }
        Ok(())
    }

    /// The configuration of a server; sessions may be from one to ten seconds long.
    fn zookeeper(&self, number: usize, data: &Path) -> String {
        let mut text = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=6\ndataDir={}\nclientPort={}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            data.display(),
            self.zk_port(number, 0)
        );
        // One alone would take part in no election.
        if self.zookeepers > 1 {
            for other in 1..=self.zookeepers {
                let (talk, election) = (self.zk_port(other, 1), self.zk_port(other, 2));
                text.push_str(&format!("server.{other}=127.0.0.1:{talk}:{election}\n"));
            }
        }
        text
    }
}

impl Cluster {
    /// Starts ZooKeeper servers and masters, and waits until one leads.
    pub(super) fn start_ensemble(
        &mut self,
        spec: &Spec,
        say: &mut dyn FnMut(&Phase),
    ) -> Result<(), ClusterError> {
        for number in 1..=spec.zookeepers {
            self.start_zookeeper(spec, number)?;
        }
        for number in 1..=spec.masters {
            self.start_elected(spec, number)?;
        }
        let deadline = Instant::now() + MASTER_PATIENCE * 3;
        loop {
            if let Ok(leader) = http::leader(&spec.masters()) {
                say(&Phase::Elected {
                    leader: leader.into_owned(),
                    masters: spec.masters,
                    zookeepers: spec.zookeepers,
                });
                return Ok(());
            }
            let parts = &self.state.parts;
            if let Some(dead) = parts.iter().find(|part| !part.process().runs()) {
                return Err(self.ended(&dead.name));
            }
            if Instant::now() >= deadline {
                return self.registered().map(drop);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the leading master as SIGKILL does, and says which it was; it is started again.
    ///
    /// # Errors
    /// None leads, or it is not ours.
    pub fn kill_leader(&self) -> Result<String, ClusterError> {
        let leader = self.leader_beside("")?;
        Self::signal_master(leader, Signal::SIGKILL)?;
        Ok(leader.address.clone())
    }

    /// The leading master, where it is not the one of this name, which is not asked.
    ///
    /// # Errors
    /// None leads, or none that is ours.
    pub fn leader_beside(&self, name: &str) -> Result<&NodeState, ClusterError> {
        let failed = |source| ClusterError::Start {
            program: "a conversation with the leading master".to_owned(),
            source,
        };
        let parts = self.state.parts.iter();
        let masters: Vec<&NodeState> = parts
            .filter(|part| part.name.starts_with(MASTER) && part.name != name)
            .collect();
        let addresses: Vec<&str> = masters.iter().map(|part| part.address.as_str()).collect();
        let addresses = addresses.join(",");
        let leader = http::leader(&addresses).map_err(failed)?;
        let mut found = masters.into_iter().filter(|part| part.address == leader);
        found
            .next()
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Signals a master, which is its keeper's child.
    ///
    /// # Errors
    /// It is not ours.
    pub fn signal_master(master: &NodeState, signal: Signal) -> Result<(), ClusterError> {
        for child in master.process().children() {
            kill(child, signal).map_err(|source| ClusterError::Signal {
                part: master.name.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Where masters are elected, as clients on the host name it; none where there is but one master.
    #[must_use]
    pub fn zk(&self) -> Option<String> {
        let servers = self.state.parts.iter();
        let servers = servers.filter(|part| part.name.starts_with(ZOOKEEPER));
        let servers: Vec<&str> = servers.map(|part| part.address.as_str()).collect();
        let is_there = !servers.is_empty();
        is_there.then(|| format!("zk://{}/{FOLDER}", servers.join(",")))
    }

    /// Ends ZooKeeper server `number` as SIGKILL does. It stays away until it is started again.
    ///
    /// # Errors
    /// There is none, or it is not ours.
    pub fn kill_zookeeper(&self, number: usize) -> Result<(), ClusterError> {
        let part = self.zookeeper(number)?;
        end(
            &part.name,
            &part.process(),
            Signal::SIGKILL,
            Duration::from_secs(5),
        )
    }

    /// Starts ZooKeeper server `number` again, with what it left on the disk.
    ///
    /// # Errors
    /// There is none, it runs, or it cannot be started.
    pub fn start_zookeeper_again(&mut self, number: usize) -> Result<(), ClusterError> {
        let part = self.zookeeper(number)?.clone();
        self.start_again(JAVA, &part.name.clone(), part)
    }

    fn zookeeper(&self, number: usize) -> Result<&NodeState, ClusterError> {
        let name = format!("{ZOOKEEPER}{number}");
        let part = self.state.parts.iter().find(|part| part.name == name);
        part.ok_or(ClusterError::NoPart(name))
    }

    fn start_zookeeper(&mut self, spec: &Spec, number: usize) -> Result<(), ClusterError> {
        let name = format!("{ZOOKEEPER}{number}");
        let data = self.folder.join(&name);
        let config = self.folder.join(format!("{name}.cfg"));
        let made = fs::create_dir_all(&data)
            .and_then(|()| fs::write(data.join("myid"), number.to_string()))
            .and_then(|()| fs::write(&config, spec.zookeeper(number, &data)));
        made.map_err(|source| ClusterError::File {
            path: config.clone(),
            source,
        })?;
        let mark = config.display().to_string();
        let server = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        let arguments = ["-Xmx128m", "-cp", ARCHIVE, server, &mark];
        let arguments: Vec<String> = arguments.map(str::to_owned).into();
        let mut command = Command::new(JAVA);
        command.args(&arguments);
        self.start_part(
            command,
            NodeState {
                name,
                address: format!("127.0.0.1:{}", spec.zk_port(number, 0)),
                pid: 0,
                mark,
                arguments,
            },
        )
    }

    fn start_elected(&mut self, spec: &Spec, number: usize) -> Result<(), ClusterError> {
        let name = format!("{MASTER}{number}");
        let mark = format!("--work_dir={}", self.folder.join(&name).display());
        let port = spec.master_port(number);
        let mut command = Command::new(&spec.qemu_program);
        command.args(["keep", "--"]).arg(&spec.master_program);
        command.args([
            "--ip=127.0.0.1",
            "--hostname=localhost",
            "--cluster=tepui",
            &mark,
        ]);
        command
            .arg(format!("--port={port}"))
            .arg(format!("--zk={}", spec.zk("127.0.0.1")))
            .arg(format!("--zk_session_timeout={SESSION}"))
            .args(&spec.master_flags);
        self.start_part(
            command,
            NodeState {
                name,
                address: format!("127.0.0.1:{port}"),
                pid: 0,
                mark,
                // Its keeper starts it again.
                arguments: Vec::new(),
            },
        )
    }

    fn start_part(
        &mut self,
        mut command: Command,
        mut part: NodeState,
    ) -> Result<(), ClusterError> {
        part.pid = start(&mut command, &part.mark, &self.log(&part.name))?.pid;
        self.state.parts.push(part);
        Ok(self.state.save(&self.folder)?)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn masters_and_servers_have_ports_of_their_own_and_nodes_are_told_of_them() {
        let place = Path::new("/c");
        let spec = Spec {
            masters: 3,
            zookeepers: 2,
            ..Spec::new(place, place, place, place)
        };
        let shown = [
            spec.masters(),
            spec.zk("127.0.0.1"),
            spec.append_for(1).join(" "),
            spec.zookeeper(2, place),
        ];
        expect![[r#"
            127.0.0.1:5050,127.0.0.1:5060,127.0.0.1:5070
            zk://127.0.0.1:2181,127.0.0.1:2182/tepui
            quiet tepui.master=zk://10.0.2.2:2181,10.0.2.2:2182/tepui tepui.zk_session_timeout=5secs tepui.loopback_master_ip=10.0.2.2 tepui.hostname=node1 tepui.advertise_ip=127.0.1.1 tepui.advertise_port=5051 tepui.switch_user=false
            tickTime=500
            initLimit=20
            syncLimit=6
            dataDir=/c
            clientPort=2182
            clientPortAddress=127.0.0.1
            admin.enableServer=false
            server.1=127.0.0.1:2281:2381
            server.2=127.0.0.1:2282:2382
        "#]]
        .assert_eq(&shown.join("\n"));
    }
}
