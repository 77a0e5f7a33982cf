//! The work a master has while it is attacked: one short task after another.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::replay::client::{Acknowledged, Stream, Unrecorded, exchange, unrecorded};

const POLL: Duration = Duration::from_millis(5);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// A framework at work, until it is dropped.
pub(super) struct Workload {
    finished: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    task: JoinHandle<Result<()>>,
}

impl Workload {
    /// Subscribes and begins.
    pub(super) async fn start(master: SocketAddr) -> Result<Self> {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {
            "framework_info": {"user": "root", "name": "workload", "failover_timeout": 60.0},
        }});
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
        let stream = Stream::new(None, id.to_owned(), events);
        let finished = std::sync::Arc::default();
        let counter = std::sync::Arc::clone(&finished);
        Ok(Self {
            finished,
            task: tokio::spawn(work(master, stream, counter)),
        })
    }

    /// How many tasks have finished.
    pub(super) fn finished(&self) -> usize {
        self.finished.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits for one more task to finish.
    pub(super) async fn must_go_on(&mut self, time_max: Duration) -> Result<()> {
        let (before, begin) = (self.finished(), Instant::now());
        while self.finished() == before {
            ensure!(!self.task.is_finished(), "the workload's stream has ended");
            ensure!(
                begin.elapsed() < time_max,
                "no task finished in {time_max:?}"
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn work(
    master: SocketAddr,
    mut stream: Stream,
    finished: std::sync::Arc<std::sync::atomic::AtomicUsize>,
) -> Result<()> {
    let mut number = 0_usize;
    while !stream.ended {
        let mut due = stream.pump(&Acknowledged::default());
        for event in stream.queue.drain(..) {
            if event["update"]["status"]["state"] == "TASK_FINISHED" {
                finished.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let framework_id = json!({"value": stream.framework_id()});
        for offer in stream.take_offers() {
            number += 1;
            due.push(Unrecorded {
                stream_id: stream.id.clone(),
                call: launch(&framework_id, &offer, number),
            });
        }
        for call in due {
            let bytes = unrecorded(&call);
            // A call that is lost shows as a task that does not finish.
            drop(timeout(ANSWER_TIME_MAX, exchange(master, &bytes)).await);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn launch(framework_id: &Value, offer: &Value, number: usize) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    json!({
        "type": "ACCEPT",
        "framework_id": framework_id,
        "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [{
                "name": "short",
                "task_id": {"value": format!("short-{number}")},
                "agent_id": offer["agent_id"],
                "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
                "command": {"value": "true"},
            }]}}],
            "filters": {"refuse_seconds": 0.0},
        },
    })
}
