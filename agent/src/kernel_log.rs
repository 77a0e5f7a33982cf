//! The kernel's log, for what it tells of calls and accesses that were refused to containers.
//!
//! A thread of its own waits for records and hands denials on; it ends with the process. Where an audit
//! daemon runs, on an ordinary host, the records are its and do not come here.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::thread;

use agent_core::sandbox::denials::Reader;
use agent_kernel::{Errno, modules};
use tracing::{debug, info};

use crate::explained::Explained;
use crate::init::chain;

const LOG: &str = "/dev/kmsg";
/// The kernel's longest record (`PRINTK_MESSAGE_MAX`) and its head.
const RECORD_BYTES_MAX: usize = 8192;

/// Begins to follow the log from its present end, and the kernel's checks of capabilities.
pub fn follow(explained: &Explained) {
    let opened = File::open(LOG).and_then(|mut log| {
        log.seek(SeekFrom::End(0))?;
        Ok(log)
    });
    let denied = explained.clone();
    // Some megabytes are read for the checks: nobody waits for that.
    let thread = thread::Builder::new().name("kernel-log".into());
    let begun = thread.spawn(move || {
        let how = [told_by_log(&opened), told_by_checks(&denied)];
        denied.told_by(how.join("; "));
        if let Ok(log) = opened {
            read(log, &denied);
        }
    });
    if let Err(error) = begun {
        explained.told_by(format!(
            "nothing is told of refusals: start a thread: {error}"
        ));
    }
}

fn told_by_log(log: &io::Result<File>) -> String {
    let release = modules::release().unwrap_or_default();
    let untold = agent_core::sandbox::denials::untold(&release);
    match log {
        Ok(_) => format!(
            "seccomp's refusals are told where a filter logs them or ends the process; {untold}"
        ),
        Err(error) => {
            info!(%error, "the kernel's log is out of reach: nothing is told of refusals");
            format!("the kernel's log is out of reach: {LOG}: {error}")
        }
    }
}

fn told_by_checks(explained: &Explained) -> String {
    match explained.watch_checks() {
        Ok(()) => "capabilities that were lacked are told by name".to_owned(),
        Err(error) => {
            let why = chain(&error);
            info!(
                why,
                "the kernel does not tell which capabilities are lacked"
            );
            format!("which capabilities were lacked is not told: {why}")
        }
    }
}

fn read(mut log: File, explained: &Explained) {
    let mut reader = Reader::default();
    let mut record = vec![0; RECORD_BYTES_MAX];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                // `level,number,time,flags;text`, and lines of a dictionary after it.
                let line = text.lines().next().and_then(|line| line.split_once(';'));
                if let Some(denial) = line.and_then(|(_, line)| reader.read(line)) {
                    explained.denied(denial);
                }
            }
            // The next one was overwritten before it was read: those after it are not.
            Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                debug!(%error, "read the kernel's log");
                return;
            }
        }
    }
}
