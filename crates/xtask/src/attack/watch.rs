//! Watch: asks the node without pause whether it still answers, and the neighbour whether its work goes on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::replay::client::exchange;

/// The time between two questions.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one question is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// What is too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// For an answer of the node.
    pub(super) answer: Duration,
    /// Between two lines of the neighbour.
    pub(super) beat: Duration,
}

/// What was seen during a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The slowest answer of the node.
    pub(super) answer: Duration,
    /// The longest that the neighbour said nothing.
    pub(super) beat: Duration,
    /// What went wrong meanwhile.
    pub(super) faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Log {
    answers: Vec<(Instant, Duration)>,
    /// The first is the start.
    beats: Vec<Instant>,
    faults: Vec<(Instant, String)>,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins: `beats` is the virtual path of the neighbour's output.
    pub(super) fn start(node: SocketAddr, beats: String) -> Self {
        let log = Arc::new(Mutex::new(Log {
            beats: vec![Instant::now()],
            ..Log::default()
        }));
        let task = tokio::spawn(watch(node, beats, Arc::clone(&log)));
        Self { log, task }
    }

    /// What was seen since then.
    pub(super) fn since(&self, begun: Instant) -> Seen {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = log
            .answers
            .iter()
            .filter(|(asked, took)| *asked + *took >= begun);
        let now = [Instant::now()];
        let ends = log.beats.iter().skip(1).chain(&now);
        let gaps = log.beats.iter().zip(ends).filter(|(_, end)| **end >= begun);
        let faults = log.faults.iter().filter(|(at, _)| *at >= begun);
        Seen {
            answer: answers.map(|(_, took)| *took).max().unwrap_or_default(),
            beat: gaps.map(|(from, to)| *to - *from).max().unwrap_or_default(),
            faults: faults.map(|(_, text)| text.clone()).collect(),
        }
    }

    /// Waits for an answer and a line that both came after now, as long as the bounds allow.
    pub(super) async fn settle(&self, bounds: Bounds) {
        let begun = Instant::now();
        while begun.elapsed() < bounds.answer.max(bounds.beat) {
            {
                let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                let answered = log.answers.last().is_some_and(|(asked, _)| *asked > begun);
                let beaten = log.beats.last().is_some_and(|at| *at > begun);
                if answered && beaten {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(node: SocketAddr, beats: String, log: Arc<Mutex<Log>>) {
    let mut offset = 0;
    let with = |change: &mut dyn FnMut(&mut Log)| {
        change(&mut log.lock().unwrap_or_else(PoisonError::into_inner));
    };
    loop {
        let asked = Instant::now();
        let answered = get(node, "/slave(1)/health").await;
        with(&mut |log| {
            log.answers.push((asked, asked.elapsed()));
            if let Err(error) = &answered {
                log.faults.push((asked, format!("the node: {error:#}")));
            }
        });
        match read(node, &beats, offset).await {
            Ok(text) => {
                // A line that is not whole is read again.
                let whole = text.rfind('\n').map_or(0, |end| end + 1);
                offset += whole as u64;
                for line in text[..whole].lines() {
                    with(&mut |log| match line.starts_with("beat ") {
                        true => log.beats.push(Instant::now()),
                        false if line.starts_with("without ") => {}
                        false => log
                            .faults
                            .push((Instant::now(), format!("the neighbour says: {line}"))),
                    });
                }
            }
            Err(error) => with(&mut |log| {
                log.faults
                    .push((asked, format!("read of the neighbour: {error:#}")));
            }),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The body of a good answer.
///
/// # Errors
/// The node does not answer, or with another status than 200.
pub(super) async fn get(node: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {node}\r\nConnection: close\r\n\r\n").into_bytes();
    let (reply, _) = timeout(ANSWER_TIME_MAX, exchange(node, &request))
        .await
        .with_context(|| format!("{path}: no answer in {ANSWER_TIME_MAX:?}"))?
        .with_context(|| format!("ask for {path}"))?;
    match reply.status_line.contains(" 200 ") {
        true => Ok(reply.body),
        false => bail!("{path}: {}", reply.status_line),
    }
}

/// A file of a sandbox from this byte on.
///
/// # Errors
/// As with [`get`].
pub(crate) async fn read(node: SocketAddr, path: &str, offset: u64) -> Result<String> {
    let path = format!("/files/read?path={path}&offset={offset}&length=65536");
    let body = get(node, &path).await?;
    let answer: Value = serde_json::from_slice(&body).context("read the answer")?;
    Ok(answer["data"].as_str().unwrap_or_default().to_owned())
}

/// Names and sizes in a directory of a sandbox.
///
/// # Errors
/// As with [`get`].
pub(super) async fn browse(node: SocketAddr, path: &str) -> Result<Vec<(String, u64)>> {
    let body = get(node, &format!("/files/browse?path={path}")).await?;
    let answer: Value = serde_json::from_slice(&body).context("read the answer")?;
    let entries = answer.as_array().into_iter().flatten();
    Ok(entries
        .map(|entry| {
            let path = entry["path"].as_str().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), entry["size"].as_u64().unwrap_or(0))
        })
        .collect())
}
