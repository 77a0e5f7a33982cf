//! Suite: the neighbour, the containers that attacks run in, and the checks after each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::images;
use super::judge::{self, End, Verdict};
use super::rows::{Row, Shape};
use super::watch::{self, Bounds, Seen, Watch};
use crate::lab::Lab;
use crate::lab::framework::{Framework, Launch, probe_task, resources};
use crate::lab::server::Server;

/// The neighbour's task.
const VICTIM: &str = "victim";
/// What its sandbox holds, and nothing else, ever.
const VICTIM_FILES: [&str; 5] = ["probe", "secret", "stderr", "stdout", "work"];
/// How long a container may take to start, its image pulled, under software emulation.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a kill may take.
const KILL_TIME_MAX: Duration = Duration::from_secs(60);
/// When files of the sandbox are asked for while the attack runs.
const READ_AFTER: Duration = Duration::from_millis(1500);

/// An attack that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) name: String,
    pub(super) tries: String,
    pub(super) shape: Shape,
    pub(super) took: Duration,
    pub(super) seen: Seen,
    pub(super) verdict: Verdict,
    /// What it printed.
    pub(super) said: String,
}

/// An attack under way.
#[derive(Debug)]
struct Run<'a> {
    row: &'a Row,
    shape: Shape,
    id: String,
    launched: Instant,
    killed: Option<Instant>,
    /// What the checks while it ran have found.
    faults: Vec<String>,
    was_read: bool,
}

/// The node under attack.
pub(super) struct Suite {
    node: SocketAddr,
    framework: Framework,
    server: Server,
    watch: Watch,
    bounds: Bounds,
    /// The neighbour's sandbox, as a path on the node.
    victim: String,
    secret: String,
    started: Value,
    number: usize,
}

impl Suite {
    /// Starts the neighbour and waits for its first work.
    ///
    /// # Errors
    /// It does not come up.
    pub(super) async fn start(lab: &Lab, server: Server, bounds: Bounds) -> Result<Self> {
        let probe = lab.program("probe")?;
        images::serve(&server, &lab.parts(), &probe)?;
        server.put("/probe", "application/octet-stream", probe);
        let mut framework = Framework::subscribe(lab.master, "attack").await?;
        let nonce = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.subsec_nanos());
        let secret = format!("tepui-secret-{nonce:08x}");
        let mut task = probe_task(
            &server,
            VICTIM,
            &format!("exec ./probe victim {secret}"),
            &[],
        );
        task["command"]["environment"]["variables"] = json!([{"name": "SECRET", "value": secret}]);
        task["resources"] = resources(100, 64, 64);
        let launch = Launch {
            task,
            is_pod: false,
            needs: [100, 64, 64],
        };
        framework
            .start(launch, START_TIME_MAX)
            .await
            .context("start the neighbour")?;
        let beats = format!("{}/stdout", sandbox(&framework.id(), VICTIM, Shape::Task));
        let watch = Watch::start(lab.node, beats);
        let victim = real_sandbox(lab.node, &framework.id()).await?;
        images::archives(&server, &victim)?;
        watch.settle(bounds).await;
        let seen = watch.since(Instant::now());
        ensure!(seen.faults.is_empty(), "the neighbour: {:?}", seen.faults);
        Ok(Self {
            node: lab.node,
            started: started(lab.node).await?,
            framework,
            server,
            watch,
            bounds,
            victim,
            secret,
            number: 0,
        })
    }

    /// Runs every row in each of its containers; so many at a time.
    ///
    /// # Errors
    /// The master or the framework is gone.
    pub(super) async fn run(
        &mut self,
        rows: &[Row],
        at_once: usize,
        tell: &mut dyn FnMut(Done),
    ) -> Result<()> {
        let mut waiting: Vec<(&Row, Shape)> = rows
            .iter()
            .flat_map(|row| row.shapes.iter().map(move |shape| (row, *shape)))
            .collect();
        waiting.reverse();
        let mut running: Vec<Run<'_>> = Vec::new();
        while !(waiting.is_empty() && running.is_empty()) {
            self.launch(&mut waiting, &mut running, at_once).await?;
            self.framework.turn().await?;
            let mut place = 0;
            while place < running.len() {
                self.look_after(&mut running[place]).await?;
                if self.is_over(&running[place]) {
                    let run = running.swap_remove(place);
                    tell(self.judge(run).await?);
                } else {
                    place += 1;
                }
            }
        }
        Ok(())
    }

    async fn launch<'a>(
        &mut self,
        waiting: &mut Vec<(&'a Row, Shape)>,
        running: &mut Vec<Run<'a>>,
        at_once: usize,
    ) -> Result<()> {
        let room = at_once.saturating_sub(running.len()).min(waiting.len());
        if room == 0 {
            return Ok(());
        }
        let next: Vec<_> = waiting.iter().rev().take(room).copied().collect();
        let mut launches = Vec::new();
        let mut runs = Vec::new();
        for (offset, (row, shape)) in next.into_iter().enumerate() {
            let id = format!("{}-{}", self.number + offset, short(&row.name));
            launches.push(self.container(row, shape, &id)?);
            runs.push(Run {
                row,
                shape,
                id,
                launched: Instant::now(),
                killed: None,
                faults: Vec::new(),
                was_read: false,
            });
        }
        let launched = self.framework.launch(&launches).await?;
        self.number += launched;
        waiting.truncate(waiting.len() - launched);
        running.extend(runs.into_iter().take(launched));
        Ok(())
    }

    /// The task of an attack.
    fn container(&self, row: &Row, shape: Shape, id: &str) -> Result<Launch> {
        let script = format!(
            "export PATH=\"$MESOS_SANDBOX:$PATH:/bin:/sbin:/usr/bin:/usr/sbin\"\n{}",
            row.script
        );
        let mut task = probe_task(&self.server, id, &script, &row.uris);
        let framework = self.framework.id();
        let variables = [
            ("VICTIM_SANDBOX", self.victim.as_str()),
            ("VICTIM_FRAMEWORK", &framework),
            (
                "VICTIM_CONTAINER",
                self.victim.rsplit('/').next().unwrap_or_default(),
            ),
            ("HOST", &self.server.name()),
        ];
        task["command"]["environment"]["variables"] = variables
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let image = row.image.as_deref().unwrap_or(images::USUAL);
        let image = format!("{}/{image}", self.server.name());
        let mut container = match shape {
            Shape::Task => Value::Null,
            Shape::Terminal => json!({"type": "MESOS", "tty_info": {}}),
            Shape::Pod => json!({"type": "MESOS"}),
            Shape::Image => json!({"type": "MESOS", "mesos": {
                "image": {"type": "DOCKER", "docker": {"name": image}},
            }}),
            Shape::Docker => json!({"type": "DOCKER", "docker": {
                "image": image, "network": "HOST",
            }}),
        };
        merge(&mut container, row.container()?);
        if !container.is_null() {
            if container["type"].is_null() {
                container["type"] = Value::from("MESOS");
            }
            task["container"] = container;
        }
        let cpus = 100;
        let is_pod = shape == Shape::Pod;
        let (memory, disk) = (u64::from(row.memory_mb), u64::from(row.disk_mb));
        task["resources"] = resources(cpus, memory, disk);
        // The pod itself takes its share.
        let more = if is_pod { [100, 32, 32] } else { [0; 3] };
        Ok(Launch {
            task,
            is_pod,
            needs: [cpus + more[0], memory + more[1], disk + more[2]],
        })
    }

    /// Kills what has had its time, and asks for files meanwhile.
    async fn look_after(&mut self, run: &mut Run<'_>) -> Result<()> {
        let since = self
            .framework
            .status(&run.id, "TASK_RUNNING")
            .map(|(at, _)| *at);
        let time_max = match since {
            Some(_) => Duration::from_secs(run.row.seconds),
            None => START_TIME_MAX,
        };
        let since = since.unwrap_or(run.launched);
        if since.elapsed() > READ_AFTER && !run.was_read {
            run.was_read = true;
            let faults = self.reads(run).await;
            run.faults.extend(faults);
        }
        if run.killed.is_none() && since.elapsed() > time_max {
            run.killed = Some(Instant::now());
            self.framework.kill(&run.id).await?;
        }
        Ok(())
    }

    fn is_over(&self, run: &Run<'_>) -> bool {
        let stuck = run.killed.is_some_and(|at| at.elapsed() > KILL_TIME_MAX);
        self.framework.end(&run.id).is_some() || stuck
    }

    async fn judge(&mut self, mut run: Run<'_>) -> Result<Done> {
        let took = run.launched.elapsed();
        let was_running = self.framework.status(&run.id, "TASK_RUNNING").is_some();
        let end = match self.framework.end(&run.id) {
            Some((_, status)) => End::of(status, was_running, run.killed.is_some()),
            None => {
                run.faults.push("it could not be killed".to_owned());
                End::TimedOut
            }
        };
        let mut faults = std::mem::take(&mut run.faults);
        faults.extend(self.reads(&run).await);
        faults.extend(self.output(&run).await);
        if !run.row.uris.is_empty() {
            faults.extend(self.victim_files().await);
        }
        if run.row.alone {
            self.watch.settle(self.bounds).await;
        }
        if let Some((_, end)) = self.framework.end(VICTIM) {
            faults.push(format!("the neighbour has ended: {end}"));
        }
        let seen = self.watch.since(run.launched);
        let folder = sandbox(&self.framework.id(), &run.id, run.shape);
        let mut said = String::new();
        for name in ["stdout", "stderr"] {
            // What never ran has said nothing.
            let text = watch::read(self.node, &format!("{folder}/{name}"), 0).await;
            said.push_str(&text.unwrap_or_default());
        }
        if said.contains(&self.secret) {
            faults.push("it has the neighbour's secret".to_owned());
        }
        Ok(Done {
            name: run.row.name.clone(),
            tries: run.row.tries.clone(),
            shape: run.shape,
            took,
            verdict: judge::verdict(run.row, &end, &seen, self.bounds, faults),
            seen,
            said,
        })
    }

    /// Files that the agent must not give out: what it does give.
    async fn reads(&self, run: &Run<'_>) -> Vec<String> {
        let folder = sandbox(&self.framework.id(), &run.id, run.shape);
        let mut faults = Vec::new();
        for path in run.row.reads.iter().chain(&run.row.answers) {
            let asked = Instant::now();
            let answer = watch::read(self.node, &format!("{folder}/{path}"), 0).await;
            if asked.elapsed() > self.bounds.answer {
                let seconds = asked.elapsed().as_secs_f64();
                faults.push(format!("{path} was answered after {seconds:.1} s"));
            }
            if let Ok(text) = answer
                && run.row.reads.contains(path)
                && !text.is_empty()
            {
                let start: String = text.chars().take(60).collect();
                faults.push(format!("the agent gives out {path}: {start:?}"));
            }
        }
        faults
    }

    /// Whether its output is cut to its bound, soon after it has ended.
    async fn output(&self, run: &Run<'_>) -> Option<String> {
        let most = run.row.output_mb_max?;
        let folder = sandbox(&self.framework.id(), &run.id, run.shape);
        let begun = Instant::now();
        loop {
            let files = match watch::browse(self.node, &folder).await {
                Ok(files) => files,
                Err(error) => return Some(format!("{error:#}")),
            };
            let all = files.iter().filter(|(name, _)| name.starts_with("stdout"));
            let megabytes = all.map(|(_, size)| size).sum::<u64>() >> 20;
            if megabytes <= most {
                return None;
            }
            if begun.elapsed() > self.bounds.beat {
                return Some(format!("its output takes {megabytes} MB, more than {most}"));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// What the neighbour's sandbox holds and should not, or lacks.
    async fn victim_files(&self) -> Option<String> {
        let folder = sandbox(&self.framework.id(), VICTIM, Shape::Task);
        let mut names: Vec<String> = match watch::browse(self.node, &folder).await {
            Ok(files) => files.into_iter().map(|(name, _)| name).collect(),
            Err(error) => return Some(format!("{error:#}")),
        };
        names.retain(|name| !name.starts_with("stdout.") && !name.starts_with("stderr."));
        names.sort();
        (names != VICTIM_FILES).then(|| format!("the neighbour's sandbox holds {names:?}"))
    }

    /// What is asked once, at the end: a name, and what is wrong.
    pub(super) async fn finish(&mut self, lab: &Lab) -> Vec<(String, Option<String>)> {
        let now = started(self.node).await;
        let restarted = match now {
            Ok(now) if now == self.started => None,
            other => Some(format!("{} became {other:?}", self.started)),
        };
        let console = match lab.console() {
            Ok(text) => complaint(&text),
            Err(error) => Some(format!("{error:#}")),
        };
        let folder = sandbox(&self.framework.id(), VICTIM, Shape::Task);
        let secret = watch::read(self.node, &format!("{folder}/secret"), 0).await;
        let kept = match secret {
            Ok(text) if text == self.secret => self.victim_files().await,
            other => Some(format!("its secret is {other:?}")),
        };
        vec![
            ("the_agent_never_started_again".to_owned(), restarted),
            ("the_kernel_never_complained".to_owned(), console),
            ("the_neighbours_files_are_its_own".to_owned(), kept),
        ]
    }
}

/// What the kernel writes where something is broken.
fn complaint(console: &str) -> Option<String> {
    const WORDS: [&str; 7] = [
        "BUG:",
        "Oops",
        "Kernel panic",
        "general protection fault",
        "kernel NULL pointer",
        "blocked for more than",
        "panicked at",
    ];
    let found = console
        .lines()
        .find(|line| WORDS.iter().any(|word| line.contains(word)));
    found.map(str::to_owned)
}

/// As much of a name as a task's id may have without trouble.
fn short(name: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars()
        .map(|c| if ok(c) { c } else { '_' })
        .take(40)
        .collect()
}

/// The virtual path of a sandbox.
fn sandbox(framework: &str, id: &str, shape: Shape) -> String {
    match shape {
        Shape::Pod => {
            format!("/frameworks/{framework}/executors/pod-{id}/runs/latest/tasks/{id}")
        }
        _ => format!("/frameworks/{framework}/executors/{id}/runs/latest"),
    }
}

/// Where the neighbour's sandbox is on the node.
async fn real_sandbox(node: SocketAddr, framework: &str) -> Result<String> {
    let body = watch::get(node, "/files/debug").await?;
    let all: Value = serde_json::from_slice(&body).context("read /files/debug")?;
    let path = all[sandbox(framework, VICTIM, Shape::Task)].as_str();
    Ok(path.context("the neighbour has no sandbox")?.to_owned())
}

/// When the agent started, and as whom.
async fn started(node: SocketAddr) -> Result<Value> {
    let body = watch::get(node, "/state").await?;
    let state: Value = serde_json::from_slice(&body).context("read /state")?;
    Ok(json!([state["start_time"], state["id"]]))
}

/// Lays one document over another.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (_, Value::Null) => {}
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
