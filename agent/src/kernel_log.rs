//! The kernel's log, for what it tells of calls and accesses that were refused to containers.
//!
//! A thread of its own waits for records and hands denials on; it ends with the process. Where an audit
//! daemon runs, on an ordinary host, the records are its and do not come here.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::thread;

use agent_core::sandbox::denials::Reader;
use agent_kernel::seccomp_refusals::SeccompRefusals;
use agent_kernel::{Errno, audit, modules};
use tracing::{debug, info};

use crate::explained::Explained;
use crate::init::{Machine, chain};

const LOG: &str = "/dev/kmsg";
/// The kernel's longest record (`PRINTK_MESSAGE_MAX`) and its head.
const RECORD_BYTES_MAX: usize = 8192;

/// Has the kernel tell what filters refuse, where somebody says so, or nobody and the machine is this
/// agent's; or says why not. On a node no records are made of it, which nobody would bound.
///
/// # Errors
/// It will not be told, in words.
pub fn tell_refusals(wanted: Option<bool>, machine: Machine) -> Result<(), String> {
    let untold = |why: &str| format!("which system calls seccomp refused is not told: {why}");
    if !wanted.unwrap_or(machine == Machine::Whole) {
        return Err(untold("nobody asked for it (--tell_seccomp_refusals)"));
    }
    if !SeccompRefusals::may_be_watched() {
        return Err(untold("this kernel does not describe itself (BTF)"));
    }
    match machine {
        Machine::Whole => audit::leave_seccomp_out().map_err(|error| untold(&chain(&error))),
        // Its audit is somebody else's.
        Machine::Namespace | Machine::Host => Ok(()),
    }
}

/// Begins to follow the log from its present end, and the kernel's checks of capabilities and, where they
/// are told, of system calls.
pub fn follow(explained: &Explained, refusals: Result<(), String>) {
    let opened = File::open(LOG).and_then(|mut log| {
        log.seek(SeekFrom::End(0))?;
        Ok(log)
    });
    let denied = explained.clone();
    // Some megabytes are read for the checks: nobody waits for that.
    let thread = thread::Builder::new().name("kernel-log".into());
    let begun = thread.spawn(move || {
        let are_told = refusals.is_ok();
        let refusals = refusals.and_then(|()| watch_calls(&denied));
        let calls = refusals.unwrap_or_else(|why| why);
        let how = [
            told_by_log(&opened, are_told),
            told_by_checks(&denied),
            calls,
        ];
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

/// What is told of the calls that filters stop.
fn watch_calls(explained: &Explained) -> Result<String, String> {
    match explained.watch_calls() {
        Ok(()) => Ok("system calls that seccomp refused are told by name".to_owned()),
        Err(error) => {
            let why = chain(&error);
            info!(
                why,
                "the kernel does not tell which system calls are refused"
            );
            Err(format!(
                "which system calls seccomp refused is not told: {why}"
            ))
        }
    }
}

fn told_by_log(log: &io::Result<File>, are_calls_told: bool) -> String {
    let release = modules::release().unwrap_or_default();
    let untold = agent_core::sandbox::denials::untold(&release);
    match log {
        Ok(_) if are_calls_told => untold,
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
