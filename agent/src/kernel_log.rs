//! The kernel's log, for what it tells of calls and accesses that were refused to containers.
//!
//! A thread of its own waits for records and hands denials on; it ends with the process. Where an audit
//! daemon runs, on an ordinary host, the records are its and do not come here.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::thread;

use agent_core::sandbox::denials::Reader;
use agent_kernel::{Errno, modules};
use tracing::{debug, info};

use crate::explained::Explained;

const LOG: &str = "/dev/kmsg";
/// The kernel's longest record (`PRINTK_MESSAGE_MAX`) and its head.
const RECORD_BYTES_MAX: usize = 8192;

/// Begins to follow the log from its present end.
pub fn follow(explained: &Explained) {
    let release = modules::release().unwrap_or_default();
    let opened = File::open(LOG).and_then(|mut log| {
        log.seek(SeekFrom::End(0))?;
        let denied = explained.clone();
        let thread = thread::Builder::new().name("kernel-log".into());
        thread.spawn(move || read(log, &denied)).map(drop)
    });
    let untold = agent_core::sandbox::denials::untold(&release);
    let how = match opened {
        Ok(()) => format!(
            "seccomp's refusals are told where a filter logs them or ends the process; {untold}"
        ),
        Err(error) => {
            info!(%error, "the kernel's log is out of reach: nothing is told of refusals");
            format!(
                "the kernel's log is out of reach, and nothing is told of refusals: {LOG}: {error}"
            )
        }
    };
    explained.told_by(how);
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
