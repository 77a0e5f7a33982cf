//! Counter: where tasks tell that they run, by HTTP, under a name for each run: `GET /TASK/RUN`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::judge::Runs;

/// How long a task may take to say what it has to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens as long as the program runs.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) port: u16,
    runs: Arc<Mutex<Runs>>,
}

impl Counter {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let port = listener.local_addr().context("find the port")?.port();
        let runs = Arc::new(Mutex::new(Runs::new()));
        let shared = Arc::clone(&runs);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A task whose node was cut off meanwhile tells it again.
                std::thread::spawn(move || drop(take(stream, &shared)));
            }
        });
        Ok(Self { port, runs })
    }

    /// What was told until now.
    pub(super) fn runs(&self) -> Runs {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.clone()
    }
}

fn take(stream: TcpStream, runs: &Mutex<Runs>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let path = first.split(' ').nth(1).context("no path")?;
    let (task, run) = path
        .trim_start_matches('/')
        .split_once('/')
        .context("no run")?;
    {
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.entry(task.to_owned())
            .or_default()
            .insert(run.to_owned());
    }
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_run_that_is_told_twice_counts_once() {
        let counter = Counter::start().unwrap();
        for run in ["r1", "r1", "r2"] {
            let mut stream = TcpStream::connect(("127.0.0.1", counter.port)).unwrap();
            let request = format!("GET /slot1.7/{run} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert_eq!(counter.runs()["slot1.7"].len(), 2);
    }
}
