//! The framework that a lab's tasks run under: launches what fits into the offers it holds, acknowledges, and
//! remembers what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::server::Server;
use crate::replay::client::{Acknowledged, Stream, Unrecorded, exchange, unrecorded};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A task to launch; its `agent_id` comes from the offer.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) task: Value,
    /// As a pod of this one task.
    pub(crate) is_pod: bool,
    /// When it has to fit: thousandths of a processor, MB of memory and of disk.
    pub(crate) needs: [u64; 3],
}

/// A subscribed framework.
pub(crate) struct Framework {
    master: SocketAddr,
    stream: Stream,
    offers: Vec<Value>,
    statuses: BTreeMap<String, Vec<(Instant, Value)>>,
}

impl Framework {
    /// Subscribes.
    ///
    /// # Errors
    /// The master does not take it.
    pub(crate) async fn subscribe(master: SocketAddr, name: &str) -> Result<Self> {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {
            "user": "root", "name": name, "failover_timeout": 0.0,
        }}});
        let bytes = unrecorded(&Unrecorded {
            stream_id: String::new(),
            call,
        });
        let (reply, events) = timeout(ANSWER_TIME_MAX, exchange(master, &bytes))
            .await
            .context("the subscription is not answered")?
            .context("subscribe")?;
        let events = events.with_context(|| format!("subscribe: {}", reply.status_line))?;
        let id = reply.header("Mesos-Stream-Id").unwrap_or_default();
        let mut this = Self {
            master,
            stream: Stream::new(None, id.to_owned(), events),
            offers: Vec::new(),
            statuses: BTreeMap::new(),
        };
        let begun = Instant::now();
        while this.stream.framework_id().is_none() {
            ensure!(
                begun.elapsed() < ANSWER_TIME_MAX,
                "SUBSCRIBED does not come"
            );
            this.turn().await?;
        }
        Ok(this)
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.stream.framework_id().unwrap_or_default()
    }

    /// Takes in what came, after a short rest.
    ///
    /// # Errors
    /// The master has ended the stream.
    pub(crate) async fn turn(&mut self) -> Result<()> {
        tokio::time::sleep(POLL).await;
        let due = self.stream.pump(&Acknowledged::default());
        ensure!(!self.stream.ended, "the master has ended the stream");
        for event in self.stream.queue.drain(..) {
            match event["type"].as_str() {
                Some("UPDATE") => {
                    let status = event["update"]["status"].clone();
                    let task = status["task_id"]["value"].as_str().unwrap_or_default();
                    let known = self.statuses.entry(task.to_owned()).or_default();
                    known.push((Instant::now(), status));
                }
                Some("RESCIND") => {
                    let gone = &event["rescind"]["offer_id"];
                    self.offers.retain(|offer| offer["id"] != *gone);
                }
                Some("ERROR") => bail!("the master says: {}", event["error"]["message"]),
                _ => {}
            }
        }
        self.offers.extend(self.stream.take_offers());
        for call in due {
            self.send(call).await?;
        }
        Ok(())
    }

    /// Launches the first of these that fit into what is offered, in one call; how many those are.
    ///
    /// # Errors
    /// The master does not answer.
    pub(crate) async fn launch(&mut self, wanted: &[Launch]) -> Result<usize> {
        let Some(agent) = self.offers.first().map(|offer| offer["agent_id"].clone()) else {
            return Ok(0);
        };
        let mut room = [0_u64; 3];
        for offer in &self.offers {
            for (place, name) in ["cpus", "mem", "disk"].into_iter().enumerate() {
                room[place] += scalar(offer, name);
            }
        }
        // The first is in thousandths.
        room[1] /= 1000;
        room[2] /= 1000;
        let mut operations = Vec::new();
        for launch in wanted {
            let fits = launch
                .needs
                .iter()
                .zip(&room)
                .all(|(need, room)| need <= room);
            if !fits {
                break;
            }
            for (need, room) in launch.needs.iter().zip(&mut room) {
                *room -= need;
            }
            operations.push(self.operation(launch, &agent));
        }
        let launched = operations.len();
        if launched == 0 {
            return Ok(0);
        }
        let ids: Vec<Value> = std::mem::take(&mut self.offers)
            .iter()
            .map(|offer| offer["id"].clone())
            .collect();
        let call = json!({
            "type": "ACCEPT",
            "framework_id": {"value": self.id()},
            "accept": {
                "offer_ids": ids,
                "operations": operations,
                "filters": {"refuse_seconds": 0.0},
            },
        });
        self.send(self.call(call)).await?;
        Ok(launched)
    }

    fn operation(&self, launch: &Launch, agent: &Value) -> Value {
        let mut task = launch.task.clone();
        task["agent_id"] = agent.clone();
        if !launch.is_pod {
            return json!({"type": "LAUNCH", "launch": {"task_infos": [task]}});
        }
        let executor = json!({
            "type": "DEFAULT",
            "executor_id": {"value": format!("pod-{}", task["task_id"]["value"].as_str().unwrap_or_default())},
            "framework_id": {"value": self.id()},
            "resources": resources(100, 32, 32),
        });
        json!({"type": "LAUNCH_GROUP", "launch_group": {
            "executor": executor,
            "task_group": {"tasks": [task]},
        }})
    }

    /// Kills a task at once.
    ///
    /// # Errors
    /// The master does not answer.
    pub(crate) async fn kill(&self, task: &str) -> Result<()> {
        self.send(self.call(json!({
            "type": "KILL",
            "framework_id": {"value": self.id()},
            "kill": {
                "task_id": {"value": task},
                "kill_policy": {"grace_period": {"nanoseconds": 0}},
            },
        })))
        .await
    }

    /// When the first status of this state came, and the status.
    pub(crate) fn status(&self, task: &str, state: &str) -> Option<&(Instant, Value)> {
        let all = self.statuses.get(task)?;
        all.iter().find(|(_, status)| status["state"] == state)
    }

    /// The terminal status, once it is there.
    pub(crate) fn end(&self, task: &str) -> Option<&(Instant, Value)> {
        const GOING_ON: [&str; 3] = ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"];
        let all = self.statuses.get(task)?;
        all.iter().find(|(_, status)| {
            let state = status["state"].as_str().unwrap_or_default();
            !GOING_ON.contains(&state)
        })
    }

    /// Launches one task and waits until it runs.
    ///
    /// # Errors
    /// It does not run in time.
    pub(crate) async fn start(&mut self, launch: Launch, within: Duration) -> Result<()> {
        let begun = Instant::now();
        let task = launch.task["task_id"]["value"].as_str().unwrap_or_default();
        let (task, all) = (task.to_owned(), [launch]);
        while self.launch(&all).await? == 0 {
            ensure!(
                begun.elapsed() < within,
                "no offer is large enough for {task}"
            );
            self.turn().await?;
        }
        self.wait_for(&task, "TASK_RUNNING", within).await
    }

    /// Waits for a state, or for the end that comes instead.
    ///
    /// # Errors
    /// Neither comes in time.
    pub(crate) async fn wait_for(
        &mut self,
        task: &str,
        state: &str,
        within: Duration,
    ) -> Result<()> {
        let begun = Instant::now();
        while self.status(task, state).is_none() {
            if let Some((_, end)) = self.end(task) {
                bail!("{task} has ended: {end}");
            }
            ensure!(
                begun.elapsed() < within,
                "{task} is not {state} in {within:?}"
            );
            self.turn().await?;
        }
        Ok(())
    }

    fn call(&self, call: Value) -> Unrecorded {
        Unrecorded {
            stream_id: self.stream.id.clone(),
            call,
        }
    }

    async fn send(&self, call: Unrecorded) -> Result<()> {
        let name = call.call["type"].as_str().unwrap_or_default().to_owned();
        let (reply, _) = timeout(ANSWER_TIME_MAX, exchange(self.master, &unrecorded(&call)))
            .await
            .with_context(|| format!("{name} is not answered"))?
            .with_context(|| format!("send {name}"))?;
        let said = String::from_utf8_lossy(&reply.body);
        ensure!(
            reply.status_line.contains(" 202"),
            "{name}: {} {said}",
            reply.status_line
        );
        Ok(())
    }
}

/// A resource of an offer, in thousandths.
fn scalar(offer: &Value, name: &str) -> u64 {
    let all = offer["resources"].as_array().into_iter().flatten();
    let sum: f64 = all
        .filter(|resource| resource["name"] == name)
        .filter_map(|resource| resource["scalar"]["value"].as_f64())
        .sum();
    // Offers are not negative, and far below the bound.
    (sum * 1000.0).round() as u64
}

/// Resources of a task: thousandths of a processor, MB of memory and of disk.
pub(crate) fn resources(cpus: u64, memory_mb: u64, disk_mb: u64) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let mut all = vec![
        scalar("cpus", cpus as f64 / 1000.0),
        scalar("mem", memory_mb as f64),
    ];
    if disk_mb > 0 {
        all.push(scalar("disk", disk_mb as f64));
    }
    Value::Array(all)
}

/// A command task that has the probe, and these files.
pub(crate) fn probe_task(server: &Server, id: &str, script: &str, uris: &[String]) -> Value {
    let mut all = vec![json!({
        "value": format!("http://{}/probe", server.name()),
        "executable": true,
        "extract": false,
        "cache": true,
    })];
    all.extend(
        uris.iter().map(
            |name| json!({"value": format!("http://{}/{name}", server.name()), "extract": true}),
        ),
    );
    json!({
        "name": id,
        "task_id": {"value": id},
        "command": {
            "shell": true,
            "value": script,
            "uris": all,
            "environment": {"variables": []},
        },
    })
}
