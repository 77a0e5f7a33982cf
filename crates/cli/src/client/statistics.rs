//! Statistics: what containers of an agent use (`GET /monitor/statistics`).

use serde::Deserialize;

use super::http::{Ask, Connection};
use super::{AGENT, ClientError, unexpected};

/// What one executor's container uses.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Container {
    pub(crate) executor_id: String,
    pub(crate) framework_id: String,
    /// Missing while the container comes or goes.
    #[serde(default)]
    pub(crate) statistics: Option<Usage>,
}

/// The figures; what an agent does not tell is missing.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Usage {
    /// When, in seconds since the epoch.
    pub(crate) timestamp: f64,
    pub(crate) processes: Option<f64>,
    pub(crate) cpus_user_time_secs: Option<f64>,
    pub(crate) cpus_system_time_secs: Option<f64>,
    pub(crate) cpus_limit: Option<f64>,
    pub(crate) cpus_soft_limit: Option<f64>,
    pub(crate) mem_rss_bytes: Option<f64>,
    pub(crate) mem_total_bytes: Option<f64>,
    pub(crate) mem_limit_bytes: Option<f64>,
    pub(crate) mem_soft_limit_bytes: Option<f64>,
}

impl Usage {
    /// The processor time since the container's start, in seconds.
    pub(crate) fn cpu_time(&self) -> Option<f64> {
        match (self.cpus_user_time_secs, self.cpus_system_time_secs) {
            (None, None) => None,
            (user, system) => Some(user.unwrap_or(0.0) + system.unwrap_or(0.0)),
        }
    }

    /// How many processors it used since an earlier look, where both tell.
    pub(crate) fn cpus_since(&self, before: &Self) -> Option<f64> {
        let seconds = self.timestamp - before.timestamp;
        let used = self.cpu_time()? - before.cpu_time()?;
        (seconds > 0.0).then(|| (used / seconds).max(0.0))
    }
}

/// Asks an agent.
pub(crate) async fn fetch(agent: &mut Connection) -> Result<Vec<Container>, ClientError> {
    let ask = Ask::get("/monitor/statistics");
    let answer = agent.fetch(&ask).await?;
    if answer.status != hyper::StatusCode::OK {
        return Err(unexpected(agent.address(), AGENT, &ask, &answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| ClientError::Other {
        address: agent.address().clone(),
        what: AGENT,
        why: format!(
            "its answer to {} is no list of statistics ({error})",
            ask.act()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_in_use_are_time_used_by_time_passed() {
        let look = |timestamp, user, system| Usage {
            timestamp,
            cpus_user_time_secs: user,
            cpus_system_time_secs: system,
            ..Usage::default()
        };
        let before = look(10.0, Some(1.0), Some(1.0));
        assert_eq!(
            look(12.0, Some(1.5), Some(1.5)).cpus_since(&before),
            Some(0.5)
        );
        assert_eq!(look(12.0, Some(0.0), None).cpus_since(&before), Some(0.0));
        assert_eq!(look(12.0, None, None).cpus_since(&before), None);
        assert_eq!(look(10.0, Some(1.0), None).cpus_since(&before), None);
    }
}
