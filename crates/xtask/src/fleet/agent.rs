//! One agent of a fleet: it comes, stays, loses its link and comes back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use api::v1;
use model::resources::Role;
use tests::fake_agent::{Adopted, Conduct, Description, FakeAgent, SilentLink};
use tokio::sync::{Semaphore, watch};

use super::Args;

/// How many links are opened at a time: more would only wait for each other at the master.
const OPENING_MAX: usize = 256;
/// How many links begin at one address.
const LINKS_PER_ADDRESS: usize = 8192;
/// How long an agent waits after the first failure to come in, and at the most.
const BACK_OFF: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// What each task holds that is there from the beginning.
const HELD: &str = "cpus:0.1;mem:32";

/// What all agents have in common.
pub(super) struct Plan {
    master: SocketAddr,
    resources: String,
    conduct: Conduct,
    adopted: Option<Adopted>,
    /// From the loss of one link to that of the next; none: no link is lost on purpose.
    churn: Option<Duration>,
    away: Duration,
    agents: usize,
    opening: Semaphore,
}

impl Plan {
    pub(super) fn new(args: &Args, conduct: Conduct, away: Duration) -> Result<Self> {
        let held = model::resources::parse(HELD).context("read what a task holds")?;
        let adopted = (args.tasks.count > 0).then(|| Adopted {
            framework: v1::FrameworkInfo {
                user: "root".into(),
                name: "fleet".into(),
                id: Some(v1::FrameworkId {
                    value: args.framework.clone(),
                }),
                // A week: its tasks stay when nobody subscribes.
                failover_timeout: Some(604_800.0),
                ..Default::default()
            },
            prefix: String::new(),
            count: args.tasks.count,
            resources: held.allocate(&Role::star()),
        });
        Ok(Self {
            master: args.master,
            resources: args.resources.clone(),
            conduct,
            adopted,
            churn: (args.churn > 0.0).then(|| Duration::from_secs_f64(args.churn.recip())),
            away,
            agents: args.agents,
            opening: Semaphore::new(OPENING_MAX),
        })
    }

    /// Where this agent's link begins; anywhere where the master is not on loopback.
    fn source(&self, number: usize) -> Option<IpAddr> {
        self.master.ip().is_loopback().then(|| source(number))
    }
}

/// Has a link, and says nothing on it.
pub(super) async fn be_silent(number: usize, plan: Arc<Plan>, counts: Arc<Counts>) {
    let mut back_off = BACK_OFF;
    loop {
        let opened = {
            let Ok(_place) = plan.opening.acquire().await else {
                return;
            };
            SilentLink::open(plan.master, plan.source(number)).await
        };
        match opened {
            Ok(_link) => {
                counts.linked.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            }
            Err(error) => counts.complain(format!("{:#}", anyhow::Error::from(error))),
        }
        // On a busy machine one that is not let in at first may be later.
        tokio::time::sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// How the agents do.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    linked: AtomicUsize,
    lost: AtomicUsize,
    complaint: Mutex<Option<String>>,
}

impl Counts {
    /// How many have a link.
    pub(crate) fn linked(&self) -> usize {
        self.linked.load(Ordering::Relaxed)
    }

    /// How many links have been lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until so many have a link.
    #[cfg(test)]
    pub(crate) async fn wait_for(&self, agents: usize) {
        while self.linked() < agents {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Why the last one that was not admitted was not; it is told once.
    pub(super) fn complaint(&self) -> Option<String> {
        let complaint = self.complaint.lock();
        complaint.unwrap_or_else(PoisonError::into_inner).take()
    }

    fn complain(&self, why: String) {
        let complaint = self.complaint.lock();
        *complaint.unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// An agent.
pub(super) struct Member {
    number: usize,
    agent: FakeAgent,
    plan: Arc<Plan>,
    counts: Arc<Counts>,
}

impl Member {
    pub(super) fn new(number: usize, plan: &Arc<Plan>, counts: &Arc<Counts>) -> Result<Self> {
        let port = u16::try_from(number + 1).context("number the agents")?;
        let description = Description {
            hostname: format!("agent{number}"),
            resources: plan.resources.clone(),
            source: plan.source(number),
            conduct: plan.conduct,
            ..Description::of_port(port)
        };
        let mut agent = FakeAgent::alone(&description)?;
        if let Some(adopted) = &plan.adopted {
            agent.adopt(&Adopted {
                prefix: format!("fleet-{number}-"),
                ..adopted.clone()
            });
        }
        Ok(Self {
            number,
            agent,
            plan: Arc::clone(plan),
            counts: Arc::clone(counts),
        })
    }

    /// Comes, and comes back, until the fleet is stopped.
    pub(super) async fn live(mut self, mut stopped: watch::Receiver<bool>) {
        let mut back_off = BACK_OFF;
        let mut next_cut = self.first_cut();
        loop {
            let came = tokio::select! {
                came = self.come() => came,
                () = is_true(&mut stopped) => return,
            };
            if let Err(why) = came {
                self.counts.complain(why);
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
                continue;
            }
            back_off = BACK_OFF;
            self.counts.linked.fetch_add(1, Ordering::Relaxed);
            let is_over = tokio::select! {
                () = self.agent.link_ended() => false,
                () = sleep_until(next_cut) => {
                    self.agent.cut().await;
                    next_cut = next_cut.zip(self.turn()).map(|(at, turn)| at + turn);
                    false
                }
                () = is_true(&mut stopped) => {
                    self.agent.unregister().await;
                    true
                }
            };
            self.counts.linked.fetch_sub(1, Ordering::Relaxed);
            if is_over {
                return;
            }
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            if self.plan.churn.is_some() {
                tokio::time::sleep(self.plan.away).await;
            }
        }
    }

    async fn come(&mut self) -> Result<(), String> {
        let _place = self
            .plan
            .opening
            .acquire()
            .await
            .map_err(|e| e.to_string())?;
        let came = self.agent.come_back(self.plan.master).await;
        came.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    /// How long it is until it is this agent's turn again to lose its link.
    fn turn(&self) -> Option<Duration> {
        let agents = u32::try_from(self.plan.agents).unwrap_or(u32::MAX);
        self.plan.churn.map(|one| one.saturating_mul(agents))
    }

    fn first_cut(&self) -> Option<tokio::time::Instant> {
        let before = u32::try_from(self.number + 1).unwrap_or(u32::MAX);
        let wait = self.plan.churn?.saturating_mul(before);
        tokio::time::Instant::now().checked_add(wait)
    }
}

async fn is_true(flag: &mut watch::Receiver<bool>) {
    // The sender's end is an end too.
    drop(flag.wait_for(|&is| is).await);
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The address that an agent's link begins at: one of few, since one alone has too few ports.
fn source(number: usize) -> IpAddr {
    let last = u8::try_from(number / LINKS_PER_ADDRESS + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 77, 0, last).into()
}
