//! Readers: the threads that make documents and serve those who read them, behind those that schedule.
//!
//! To make, pack and write what shows a large cluster keeps a processor busy, and a few dozen clients
//! that poll it keep all of them busy. All of that is done on a runtime of its own, whose threads the
//! kernel runs after those of the main one where all want a processor; whoever reads is served with what
//! the schedulers leave, and they hardly notice it. What is left out: a connection that began with
//! another request, and reads later, is written to by the main runtime.

use std::io::Result;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle, Runtime};

/// How far these threads stand back behind the others, in steps of nice(2): where all want a processor,
/// one of them has a tenth of what each other has. At 5 steps, a third, one scheduler's call of a hundred
/// took 19 ms beside 50 clients that polled a large cluster.
const NICE: i32 = 10;
/// How many of them write to connections; what takes longer has threads of its own beside these.
const THREADS_MAX: usize = 2;

/// The runtime.
#[derive(Debug)]
pub(crate) struct Readers {
    handle: Handle,
    /// Taken only at the end.
    runtime: Option<Runtime>,
}

impl Readers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives none.
    pub(crate) fn start() -> Result<Self> {
        // Threads begin with the priority of the one that starts them, which may be one of these.
        let nice = getpriority_process(Some(rustix::thread::gettid()))? + NICE;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads((processors / 2).clamp(1, THREADS_MAX))
            .thread_name("reader")
            .on_thread_start(move || stand_back(nice))
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Where to spawn what reads.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Nobody waits for a document that is in the making; this may be one of the threads itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lets this thread run after those that have something to schedule.
fn stand_back(nice: i32) {
    // To Linux the priority of a thread is that of a process of its id.
    let own = Some(rustix::thread::gettid());
    if let Err(error) = setpriority_process(own, nice) {
        tracing::debug!(%error, "lower a thread's priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> i32 {
        getpriority_process(Some(rustix::thread::gettid())).unwrap()
    }

    #[test]
    fn its_threads_stand_back_whether_they_write_or_block() {
        let readers = Readers::start().unwrap();
        let expected = (nice() + NICE).min(19);
        let both = readers.handle().spawn(async {
            let block = tokio::task::spawn_blocking(nice);
            (nice(), block.await.unwrap())
        });
        let both = readers.handle().block_on(both).unwrap();
        assert_eq!(both, (expected, expected));
    }

    #[test]
    fn it_may_end_on_a_thread_of_its_own() {
        let readers = Readers::start().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        readers.handle().clone().spawn(async move {
            drop(readers);
            sender.send(()).unwrap();
        });
        receiver.recv().unwrap();
    }
}
