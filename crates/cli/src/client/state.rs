//! State: what a master says of its nodes, frameworks and tasks (`GET /master/state`).
//!
//! Only the fields that are shown or needed; a field that is missing reads as empty.

use std::collections::BTreeMap;

use api::v1;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::Address;
use super::http::{Ask, Connection};
use super::{ClientError, MASTER, unexpected};

/// The part of a master's state that this program reads.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct State {
    pub(crate) version: String,
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) cluster: Option<String>,
    #[serde(default)]
    pub(crate) unreachable_slaves: f64,
    pub(crate) slaves: Vec<Node>,
    #[serde(default)]
    pub(crate) recovered_slaves: Vec<Node>,
    pub(crate) frameworks: Vec<Framework>,
    #[serde(default)]
    pub(crate) completed_frameworks: Vec<Framework>,
}

/// One agent.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) hostname: String,
    pub(crate) port: u16,
    pub(crate) pid: String,
    pub(crate) active: bool,
    pub(crate) deactivated: bool,
    pub(crate) registered_time: f64,
    pub(crate) resources: Amounts,
    pub(crate) used_resources: Amounts,
    pub(crate) offered_resources: Amounts,
    pub(crate) version: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// A DomainInfo.
    pub(crate) domain: Option<Value>,
}

/// The scalars of a set of resources.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, Default)]
#[serde(default)]
pub(crate) struct Amounts {
    pub(crate) cpus: f64,
    /// Megabytes.
    pub(crate) mem: f64,
    /// Megabytes.
    pub(crate) disk: f64,
}

/// One framework and its tasks.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Framework {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) role: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) hostname: String,
    pub(crate) connected: bool,
    pub(crate) tasks: Vec<Task>,
    pub(crate) unreachable_tasks: Vec<Task>,
    pub(crate) completed_tasks: Vec<Task>,
    pub(crate) executors: Vec<Executor>,
}

/// One executor.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Executor {
    pub(crate) executor_id: String,
    /// `DEFAULT` where its tasks are a pod.
    pub(crate) r#type: String,
}

/// One task.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) framework_id: String,
    pub(crate) executor_id: String,
    pub(crate) slave_id: String,
    pub(crate) state: String,
    pub(crate) resources: Amounts,
    pub(crate) statuses: Vec<Status>,
}

/// One status of a task, the oldest first.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) state: String,
    pub(crate) timestamp: f64,
    pub(crate) container_status: ContainerStatus,
}

/// What a status says of the task's container.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct ContainerStatus {
    pub(crate) container_id: Option<ContainerId>,
}

/// A container's id: its name, and the id of the one it is nested in.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ContainerId {
    value: String,
    parent: Option<Box<ContainerId>>,
}

impl From<ContainerId> for v1::ContainerId {
    fn from(id: ContainerId) -> Self {
        Self {
            value: id.value,
            parent: id.parent.map(|parent| Box::new((*parent).into())),
        }
    }
}

impl Node {
    /// The names of its region and zone, where it was told where it stands.
    pub(crate) fn place(&self) -> Option<[&str; 2]> {
        let domain = self.domain.as_ref()?;
        let name = |kind| domain["fault_domain"][kind]["name"].as_str();
        Some([name("region")?, name("zone")?])
    }

    /// Where the agent answers, as it advertises it: `slave(1)@ADDRESS:PORT`.
    pub(crate) fn address(&self) -> Address {
        let advertised = self.pid.split_once('@').map(|(_, rest)| rest.parse());
        match advertised {
            Some(Ok(address)) => address,
            _ => Address {
                host: self.hostname.clone(),
                port: self.port,
            },
        }
    }

    /// What neither tasks use nor a framework is just being offered.
    pub(crate) fn free(&self) -> Amounts {
        let free = |of: fn(&Amounts) -> f64| {
            let free = of(&self.resources) - of(&self.used_resources) - of(&self.offered_resources);
            free.max(0.0)
        };
        Amounts {
            cpus: free(|a| a.cpus),
            mem: free(|a| a.mem),
            disk: free(|a| a.disk),
        }
    }
}

impl Task {
    /// The executor's id; Mesos leaves it empty for a command task, whose executor has its name.
    pub(crate) fn executor(&self) -> &str {
        if self.executor_id.is_empty() {
            &self.id
        } else {
            &self.executor_id
        }
    }

    /// Its container, as the newest status that names one has it.
    pub(crate) fn container(&self) -> Option<v1::ContainerId> {
        let ids = self.statuses.iter().rev();
        let id = ids.filter_map(|status| status.container_status.container_id.clone());
        id.map(Into::into).next()
    }

    /// Whether no further state is to be expected.
    pub(crate) fn is_terminal(&self) -> bool {
        model::TaskState::ALL
            .iter()
            .any(|state| state.name() == self.state && state.is_terminal())
    }

    /// When its first status came, in seconds since the epoch.
    pub(crate) fn started(&self) -> Option<f64> {
        self.statuses.first().map(|status| status.timestamp)
    }
}

impl Framework {
    /// Whether a task is known to be one of a pod; an executor that is gone is not listed any more.
    pub(crate) fn is_pod(&self, task: &Task) -> bool {
        let mut executors = self.executors.iter();
        executors.any(|executor| {
            executor.executor_id == task.executor_id && executor.r#type == "DEFAULT"
        })
    }

    /// All its tasks, those that are over too.
    pub(crate) fn all_tasks(&self) -> impl Iterator<Item = &Task> {
        let over = self.unreachable_tasks.iter().chain(&self.completed_tasks);
        self.tasks.iter().chain(over)
    }
}

impl State {
    /// The frameworks that are there and those that ended.
    pub(crate) fn all_frameworks(&self) -> impl Iterator<Item = &Framework> {
        self.frameworks.iter().chain(&self.completed_frameworks)
    }

    /// The node with this id.
    pub(crate) fn node(&self, id: &str) -> Option<&Node> {
        self.slaves
            .iter()
            .chain(&self.recovered_slaves)
            .find(|node| node.id == id)
    }
}

/// Asks the leading master for its state.
pub(crate) async fn fetch(master: &mut Connection) -> Result<State, ClientError> {
    let ask = Ask::get("/master/state");
    let answer = master.fetch(&ask).await?;
    if answer.status != hyper::StatusCode::OK {
        return Err(unexpected(master.address(), MASTER, &ask, &answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| ClientError::Other {
        address: master.address().clone(),
        what: MASTER,
        why: format!(
            "its answer to {} is not a master's state ({error})",
            ask.act()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_reached_where_it_advertises() {
        let mut node = Node {
            hostname: "node1".into(),
            port: 5051,
            pid: "slave(1)@127.0.1.1:5051".into(),
            ..Node::default()
        };
        assert_eq!(node.address().to_string(), "127.0.1.1:5051");
        node.pid.clear();
        assert_eq!(node.address().to_string(), "node1:5051");
    }
}
