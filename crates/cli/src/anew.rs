//! Anew: whether the program of a node's agent was executed again, or upgraded, while something was held
//! open to it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::client::address::Address;
use crate::client::http::{Ask, Connection};

/// How long an agent may take to answer again.
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What became of an agent's program since it answered here, in words; none where it is the same that
/// answers, or nobody does.
pub(crate) async fn since(agent: &Address, answered: Instant) -> Option<String> {
    let told = async {
        loop {
            // What has ended may have had its last moments.
            if let Some(words) = ask(agent, answered).await {
                return words;
            }
            sleep(ASK_EVERY).await;
        }
    };
    timeout(AGAIN_MAX, told).await.ok()
}

async fn ask(agent: &Address, answered: Instant) -> Option<String> {
    let figures = document(agent, "/metrics/snapshot").await?;
    let is_another = figures["slave/uptime_secs"].as_f64()? < answered.elapsed().as_secs_f64();
    match is_another {
        true => Some(words(&document(agent, "/state").await?)),
        false => None,
    }
}

async fn document(agent: &Address, path: &str) -> Option<Value> {
    // A connection of its own each time: the one before may have ended with the program.
    let answer = Connection::new(agent.clone()).fetch(&Ask::get(path)).await;
    serde_json::from_slice(&answer.ok()?.body).ok()
}

/// By the state of an agent whose program is another process' than before, or was executed again.
fn words(state: &Value) -> String {
    match state["tepui_history"]["executed_again_for"].as_str() {
        Some(cause) if cause.starts_with("upgrade ") => format!("was upgraded ({cause})"),
        Some(cause) => format!("was executed again ({cause})"),
        None => "was started again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_agent_tells_why_its_program_was_executed_again() {
        let told = |cause| words(&json!({ "tepui_history": { "executed_again_for": cause } }));
        assert_eq!(
            told("upgrade to version 1 with SHA-256 a7"),
            "was upgraded (upgrade to version 1 with SHA-256 a7)"
        );
        assert_eq!(
            told("SIGSEGV in thread x"),
            "was executed again (SIGSEGV in thread x)"
        );
        assert_eq!(words(&json!({})), "was started again");
    }
}
