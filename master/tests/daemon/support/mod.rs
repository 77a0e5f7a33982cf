//! A master in this process, and raw clients of it: HTTP by hand, and a stand-in for an agent.

pub(crate) mod agent;
pub(crate) mod http;
pub(crate) mod scheduler;

use std::time::Duration;

use master::Server;
use master::flags::{Config, RegistryKind};

/// Nothing that a test waits for takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Settings for a master on a free port of loopback, with nothing on disk.
pub(crate) fn config() -> Config {
    Config {
        ip: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 0,
        registry: RegistryKind::InMemory,
        ..Config::default()
    }
}

/// A master with those settings.
pub(crate) async fn master() -> Server {
    Server::start(&config()).await.unwrap()
}

/// Waits for something with patience.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks again and again until the answer is good.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
