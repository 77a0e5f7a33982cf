//! A node whose agent fails, in each way there is, with tasks that must not notice.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cases::{Case, node_of};
use crate::cluster::{Lab, finish};

/// The setting of nodes that may be told to fail.
pub(crate) const SETTING: &str = "tepui.failure_test=true";
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ALL: &[(&str, Case)] = &[(
    "an_agent_that_fails_as_pid_1_comes_back_and_its_tasks_do_not_notice",
    fails,
)];

fn fails(lab: &mut Lab) -> Result<()> {
    let script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.1; done";
    let (node, before) = counter(lab, script)?;
    for (number, kind) in ["signal", "panic", "abort"].into_iter().enumerate() {
        let began = Instant::now();
        ask_to_fail(lab, node, kind)?;
        let state = came_back(lab, node, number + 1)?;
        println!(
            "  {kind}: registered again after {:.2} s",
            began.elapsed().as_secs_f64()
        );
        ensure!(
            state["tepui_history"]["executed_again_for"].is_string(),
            "{state:#}"
        );
        let after = container(lab, node)?;
        ensure!(after == before, "{after:#} was {before:#}");
        let written = lines(lab)?;
        let deadline = Instant::now() + PATIENCE;
        while lines(lab)? < written + 5 {
            ensure!(Instant::now() < deadline, "the task writes no more");
        }
    }
    let kill = finish(&mut lab.tepui(&["kill", "counter"]), PATIENCE)?;
    ensure!(kill.status.success(), "{kill:?}");
    let deadline = Instant::now() + PATIENCE;
    while get(lab, node, "/containers")? != Value::Array(Vec::new()) {
        ensure!(Instant::now() < deadline, "the container is still there");
    }
    ensure!(lab.shell("echo still here")? == "still here\n");
    Ok(())
}

pub(crate) fn get(lab: &Lab, node: usize, path: &str) -> Result<Value> {
    let (status, body) = qemu::http::get(&lab.node_port(node, 5051)?, path)?;
    ensure!(status == 200, "{path}: status {status}");
    Ok(serde_json::from_slice(&body)?)
}

/// Starts a task that counts, in a network of its own; its node and its container.
pub(crate) fn counter(lab: &Lab, script: &str) -> Result<(usize, Value)> {
    let words = [
        "--name",
        "counter",
        "--network",
        "bridge",
        "--detach",
        "--",
        script,
    ];
    let begun = lab.run(&words)?;
    ensure!(begun.status.success(), "{begun:?}");
    let node = node_of(lab, "counter")?;
    Ok((node, started(lab, node)?))
}

/// The one container of a node, once its task runs.
fn started(lab: &Lab, node: usize) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match container(lab, node) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
}

/// The one container of a node, as far as a restart must not change it.
pub(crate) fn container(lab: &Lab, node: usize) -> Result<Value> {
    let all = get(lab, node, "/containers")?;
    let one = all.get(0).with_context(|| format!("no container: {all}"))?;
    let status = &one["status"];
    ensure!(status["executor_pid"].as_f64() > Some(1.0), "{one:#}");
    Ok(serde_json::json!({
        "id": one["container_id"],
        "pid": status["executor_pid"],
        "network": status["network_infos"],
    }))
}

pub(crate) fn ask_to_fail(lab: &Lab, node: usize, kind: &str) -> Result<()> {
    fail(&lab.node_port(node, 5051)?, kind)
}

/// Has the agent at an address fail.
pub(crate) fn fail(address: &str, kind: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "POST /failure?kind={kind} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    // It may be gone before it has answered.
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).is_ok() {
        ensure!(&answer == b"HTTP/1.1 202", "{answer:?}");
    }
    Ok(())
}

/// The state of a node that is registered again after it was executed so often.
pub(crate) fn came_back(lab: &Lab, node: usize, times: usize) -> Result<Value> {
    let times = Some(times as f64);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(state) = get(lab, node, "/state")
            && state["tepui_history"]["executed_again_lately"].as_f64() == times
            && let Ok(figures) = get(lab, node, "/metrics/snapshot")
            && figures["slave/registered"].as_f64() == Some(1.0)
        {
            return Ok(state);
        }
        ensure!(
            Instant::now() < deadline,
            "the agent is not registered again"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many lines the task has written, which count from 0.
pub(crate) fn lines(lab: &Lab) -> Result<usize> {
    let logs = finish(&mut lab.tepui(&["logs", "counter"]), PATIENCE)?;
    let text = String::from_utf8_lossy(&logs.stdout).into_owned();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    for (number, line) in whole.clone().enumerate() {
        ensure!(
            line.trim() == number.to_string(),
            "{line:?} is line {number}"
        );
    }
    Ok(whole.count())
}
