//! `cargo xtask fleet`: thousands of simulated agents on real links to a real master.
//!
//! One process and few threads; behind each link there is a stand-in whose tasks are only said to run.
//! An agent whose link ends comes back by itself, with what it has, so that the fleet outlives its
//! master and joins the next one at the same address. Links begin at many addresses of 127.0.0.0/8:
//! one address has too few ports.

mod agent;
mod limits;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::tests::fake_agent::Conduct;
use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

pub(crate) use agent::Counts;
use agent::{Member, Plan};

/// Each agent is a port at one address, and 0 is none.
const AGENTS_MAX: usize = 65_000;
/// How often the fleet tells how it does.
const REPORT: Duration = Duration::from_secs(1);
/// How often it looks whether all agents are there.
const LOOK: Duration = Duration::from_millis(5);
/// What the line begins with by which the fleet says that all agents have a link; the seconds since
/// its start follow.
pub(crate) const ALL_IN: &str = "all agents linked:";
/// How long agents that are stopped have to say so.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// How many agents, and what they are like.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Where the master listens
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) master: SocketAddr,
    /// How many agents
    #[arg(long, default_value_t = 1000)]
    pub(crate) agents: usize,
    /// What each has, as in the agent's --resources
    #[arg(
        long,
        default_value = "cpus:24;mem:65536;disk:1048576;ports:[31000-32000]"
    )]
    pub(crate) resources: String,
    /// Tasks that each agent has when it comes, as COUNT or COUNT:SECONDS, after which they end
    #[arg(long, default_value = "0", value_name = "COUNT[:SECONDS]")]
    pub(crate) tasks: Tasks,
    /// The framework of those tasks, by its id
    #[arg(long, default_value = "fleet")]
    pub(crate) framework: String,
    /// How long every task runs, in seconds, whatever its command says
    #[arg(long, value_name = "SECONDS")]
    pub(crate) run: Option<f64>,
    /// Of a hundred tasks that end by themselves, so many fail
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub(crate) failing: u8,
    /// Every task that runs says so again as soon as its framework has acknowledged that
    #[arg(long)]
    pub(crate) repeat: bool,
    /// Links on which nobody registers; the master ends each after ten seconds
    #[arg(long)]
    pub(crate) silent: bool,
    /// So many agents a second lose their link, one after the other, and come back
    #[arg(long, default_value_t = 0.0, value_name = "PER_SECOND")]
    pub(crate) churn: f64,
    /// How long such an agent is away, in seconds
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub(crate) away: f64,
    /// How many threads the fleet has
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
}

/// Tasks that are there from the beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tasks {
    pub(crate) count: usize,
    pub(crate) lasts: Option<Duration>,
}

impl std::str::FromStr for Tasks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, seconds) = match text.split_once(':') {
            Some((count, seconds)) => (count, Some(seconds)),
            None => (text, None),
        };
        let count = count.parse().map_err(|e| format!("{count:?}: {e}"))?;
        let lasts = seconds.map(|text| {
            let seconds: f64 = text.parse().map_err(|e| format!("{text:?}: {e}"))?;
            seconds_of(seconds).map_err(|e| format!("{text:?}: {e}"))
        });
        Ok(Self {
            count,
            lasts: lasts.transpose()?,
        })
    }
}

fn seconds_of(seconds: f64) -> Result<Duration, std::time::TryFromFloatSecsError> {
    Duration::try_from_secs_f64(seconds)
}

/// Runs the fleet until SIGINT.
pub(crate) fn run(args: &Args) -> Result<()> {
    crate::release::run(|| {
        let runtime = runtime(args.threads)?;
        runtime.block_on(until_stopped(args))
    })
}

/// Threads for a fleet.
pub(crate) fn runtime(threads: u8) -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.into())
        .enable_all()
        .build()
        .context("start the runtime")
}

async fn until_stopped(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let fleet = Fleet::start(args)?;
    let mut told = (usize::MAX, usize::MAX);
    let mut were_all_in = false;
    let mut report = tokio::time::interval(REPORT);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => {
                stopped.context("wait for SIGINT")?;
                break;
            }
            _ = look.tick() => {
                let are_all_in = fleet.counts().linked() == args.agents;
                if are_all_in && !were_all_in {
                    // For programs: a line each time that all are there.
                    println!("{ALL_IN} {:.3}", begin.elapsed().as_secs_f64());
                }
                were_all_in = are_all_in;
            }
            _ = report.tick() => {
                let now = (fleet.counts().linked(), fleet.counts().lost());
                if now != told {
                    let seconds = begin.elapsed().as_secs_f64();
                    let (linked, lost) = now;
                    eprintln!("{seconds:.0} s: {linked} of {} agents, {lost} links lost", args.agents);
                    if let Some(why) = fleet.counts().complaint() {
                        eprintln!("the last that did not come in: {why}");
                    }
                    told = now;
                }
            }
        }
    }
    fleet.stop().await;
    Ok(())
}

/// A running fleet; it is gone without a word when it is dropped.
pub(crate) struct Fleet {
    counts: Arc<Counts>,
    stop: tokio::sync::watch::Sender<bool>,
    members: JoinSet<()>,
}

impl Fleet {
    /// Sets the agents going; [`Fleet::counts`] tells how many have come in. To be called inside a
    /// runtime.
    ///
    /// # Errors
    /// The arguments cannot be met here.
    pub(crate) fn start(args: &Args) -> Result<Self> {
        ensure!(
            (1..=AGENTS_MAX).contains(&args.agents),
            "--agents {}: there can be from 1 to {AGENTS_MAX}",
            args.agents
        );
        limits::raise(args.agents)?;
        let run = args.run.map(seconds_of).transpose();
        let away = seconds_of(args.away).context("--away: no such time")?;
        ensure!(
            args.churn >= 0.0 && args.churn.is_finite(),
            "--churn {}: a number from 0 on is wanted",
            args.churn
        );
        let conduct = Conduct {
            lasts: run.context("--run: no such time")?.or(args.tasks.lasts),
            failing_percent: args.failing,
            repeats: args.repeat,
        };
        let plan = Arc::new(Plan::new(args, conduct, away)?);
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut members = JoinSet::new();
        for number in 0..args.agents {
            if args.silent {
                members.spawn(agent::be_silent(
                    number,
                    Arc::clone(&plan),
                    Arc::clone(&counts),
                ));
                continue;
            }
            let member = Member::new(number, &plan, &counts)?;
            members.spawn(member.live(stopped.clone()));
        }
        Ok(Self {
            counts,
            stop,
            members,
        })
    }

    /// How its agents do.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Every agent says that it will not come back.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let all_gone = async { while self.members.join_next().await.is_some() {} };
        drop(tokio::time::timeout(STOP_TIME_MAX, all_gone).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_a_count_and_perhaps_a_time() {
        let tasks = |count, seconds: Option<u64>| Tasks {
            count,
            lasts: seconds.map(Duration::from_secs),
        };
        assert_eq!("10".parse(), Ok(tasks(10, None)));
        assert_eq!("3:60".parse(), Ok(tasks(3, Some(60))));
        for wrong in ["", "x", "1:", "1:-1", "1:nan", "-1"] {
            assert!(wrong.parse::<Tasks>().is_err(), "{wrong:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_fleet_comes_back_with_its_tasks_to_the_next_master() {
        let config = |port| master::flags::Config {
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
            port,
            registry: master::flags::RegistryKind::InMemory,
            ..Default::default()
        };
        let first = master::Server::start(&config(0)).await.unwrap();
        let args = Args {
            agents: 20,
            tasks: tasks_of(2),
            ..Args::of(first.address())
        };
        let fleet = Fleet::start(&args).unwrap();
        fleet.counts().wait_for(20).await;
        let port = first.address().port();
        first.shutdown().await.unwrap();
        let mut tries = 0;
        let second = loop {
            // Somebody else's connection may have begun at this port meanwhile.
            match master::Server::start(&config(port)).await {
                Err(_) if tries < 100 => tries += 1,
                started => break started.unwrap(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        while fleet.counts().lost() < 20 || fleet.counts().linked() < 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let request = b"GET /master/tasks?limit=1000 HTTP/1.1\r\nHost: m\r\n\r\n";
        let (reply, _) = crate::replay::client::exchange(second.address(), request)
            .await
            .unwrap();
        let state: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let tasks = state["tasks"].as_array().unwrap().len();
        assert_eq!(tasks, 40);
        fleet.stop().await;
        second.shutdown().await.unwrap();
    }

    impl Args {
        /// One small agent, as a test wants it.
        pub(crate) fn of(master: SocketAddr) -> Self {
            Self {
                master,
                agents: 1,
                resources: "cpus:4;mem:4096".into(),
                tasks: tasks_of(0),
                framework: "fleet".into(),
                run: None,
                failing: 0,
                repeat: false,
                silent: false,
                churn: 0.0,
                away: 0.1,
                threads: 1,
            }
        }
    }

    fn tasks_of(count: usize) -> Tasks {
        Tasks { count, lasts: None }
    }
}
