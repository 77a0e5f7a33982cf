//! Fault domains: what a master tells of its own and of its agents', and who is offered what.

use master::flags::Config;
use serde_json::{Value, json};

use crate::support::agent::{self, Agent};
use crate::support::http;
use crate::support::scheduler::Scheduler;
use crate::support::{config, soon};

fn domain(region: &str, zone: &str) -> Value {
    json!({"fault_domain": {"region": {"name": region}, "zone": {"name": zone}}})
}

#[tokio::test]
async fn domains_are_told_and_frameworks_that_know_no_regions_see_the_masters_own() {
    let config = Config {
        domain: Some(domain("eu", "m").to_string().parse().unwrap()),
        ..config()
    };
    let master = master::Server::start(&config).await.unwrap();
    let address = master.address();
    let mut agents = Vec::new();
    for (name, region) in [("near", "eu"), ("far", "us")] {
        let mut register = agent::register(name);
        let info = register.agent_info.as_mut().unwrap();
        info.domain = api::json::from_json(domain(region, name).to_string().as_bytes()).ok();
        register.advertise_ip = match name {
            "near" => "127.0.1.8".into(),
            _ => "127.0.1.9".into(),
        };
        agents.push(Agent::register(address, register).await);
    }
    // There are no offers of it to anyone before, and none to this one afterwards.
    let info = json!({"user": "root", "name": "near"});
    let mut near = Scheduler::subscribe(address, info).await;
    let offers = near.expect("OFFERS").await;
    let offers = offers["offers"]["offers"].as_array().unwrap();
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(offers[0]["domain"], domain("eu", "near"));
    let info = json!({"user": "root", "name": "far", "capabilities": [{"type": "REGION_AWARE"}]});
    let mut far = Scheduler::subscribe(address, info).await;
    let offers = far.expect("OFFERS").await;
    let offers = offers["offers"]["offers"].as_array().unwrap();
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(offers[0]["domain"], domain("us", "far"));

    let state = http::get(address, "/state").await;
    assert_eq!(state["domain"], domain("eu", "m"));
    assert_eq!(state["leader_info"]["domain"], domain("eu", "m"));
    assert_eq!(state["flags"]["domain"], domain("eu", "m").to_string());
    let told = |agents: &Value, at: &str| {
        let agents = agents.as_array().unwrap().iter();
        let mut domains: Vec<String> = agents
            .map(|agent| agent.pointer(at).unwrap().to_string())
            .collect();
        domains.sort();
        domains
    };
    let expected = [domain("eu", "near"), domain("us", "far")].map(|domain| domain.to_string());
    assert_eq!(told(&state["slaves"], "/domain"), expected);
    let call = |kind: &'static str| async move {
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        ];
        let body = json!({"type": kind}).to_string();
        let answer = http::ask(address, "POST /api/v1", &headers, body.as_bytes());
        soon("an answer", answer).await.json()
    };
    let agents = call("GET_AGENTS").await;
    let agents = &agents["get_agents"]["agents"];
    assert_eq!(told(agents, "/agent_info/domain"), expected);
    let found = call("GET_MASTER").await;
    let info = &found["get_master"]["master_info"];
    assert_eq!(info["domain"], domain("eu", "m"));
    master.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_domain_in_a_file_that_is_none_stops_the_start_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("domain");
    std::fs::write(&path, r#"{"fault_domain":{}}"#).unwrap();
    let config = Config {
        domain: Some(path.display().to_string().parse().unwrap()),
        ..config()
    };
    let Err(error) = master::Server::start(&config).await else {
        panic!("it started");
    };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("{} holds no domain", path.display()));
}
