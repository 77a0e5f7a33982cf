//! Several masters, elected by real ZooKeeper servers on the host, and a node that reaches them there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qemu::cluster::Health;

use crate::cases::Case;
use crate::cluster::Lab;

/// How long the next leader may take, and the node to be with it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What wants a cluster of its own.
pub(crate) const ALL: &[(&str, Case)] = &[(
    "a_node_follows_the_leader_that_zookeeper_servers_elect",
    follows_the_leader,
)];

/// The node is led by one master, then by the next, and its task never knows.
fn follows_the_leader(_: &mut Lab) -> Result<()> {
    let mut lab = Lab::elected(1, 3, 5979)?;
    let text = lab.shell("hostname")?;
    ensure!(text.contains("node1"), "{text}");
    let detached = ["run", "--detach", "--name", "stays", "--", "sleep 100000"];
    ensure!(
        lab.tepui(&detached).status()?.success(),
        "no task is started"
    );
    let before = lab.get("/master/slaves")?["slaves"][0]["id"].clone();

    let begun = Instant::now();
    let killed = lab.cluster()?.kill_leader()?;
    let masters = lab.master();
    let is_led = || {
        let leader = qemu::http::leader(&masters);
        let is_another = leader.is_ok_and(|leader| leader != killed);
        is_another
            && lab.cluster().is_ok_and(|cluster| {
                cluster
                    .registered()
                    .is_ok_and(|nodes| nodes.contains("node1"))
            })
    };
    while !is_led() {
        ensure!(
            begun.elapsed() < PATIENCE,
            "node1 is not with the next leader"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    println!(
        "  led by the next master after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let after = lab.get("/master/slaves")?["slaves"][0]["id"].clone();
    ensure!(before == after, "the node was {before} and is {after}");
    let tasks = lab.get("/master/tasks")?;
    let tasks = tasks["tasks"].as_array().context("no tasks")?;
    let runs = |task: &&serde_json::Value| task["state"] == "TASK_RUNNING";
    ensure!(tasks.iter().filter(runs).count() == 1, "{tasks:?}");
    let text = lab.shell("echo again")?;
    ensure!(text.contains("again"), "{text}");
    ensure!(
        lab.cluster()?.health() == Health::Whole,
        "a part was not started again"
    );
    lab.down().map(drop)
}
