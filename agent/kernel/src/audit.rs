//! Audit: which records the kernel's audit subsystem does not make.
//!
//! It is the whole machine's, so that only whoever owns the machine has it leave something out.

use std::io;

use netlink_sys::protocols::NETLINK_AUDIT;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc;

/// `AUDIT_ADD_RULE` and `AUDIT_SECCOMP` of linux/audit.h.
const ADD_RULE: u16 = 1011;
const SECCOMP: u32 = 1326;
/// `AUDIT_FILTER_EXCLUDE`, `AUDIT_NEVER`, `AUDIT_MSGTYPE` and `AUDIT_EQUAL`.
const EXCLUDE: u32 = 5;
const NEVER: u32 = 0;
const MESSAGE_TYPE: u32 = 12;
const EQUAL: u32 = 0x4000_0000;

/// Words of `struct audit_rule_data`: its head, a mask of calls, fields with values and comparisons, 64 of
/// each, and the length of a text that is not there.
const HEAD: usize = 3;
const EACH: usize = 64;
const RULE_WORDS: usize = HEAD + 4 * EACH + 1;

/// The kernel does not leave them out.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no socket.
    #[error("open the netlink of audit")]
    Open(#[source] io::Error),
    /// The request was not sent, or its answer not received.
    #[error("ask audit")]
    Ask(#[source] io::Error),
    /// The kernel refused.
    #[error("keep records of seccomp out of audit")]
    Refused(#[source] Errno),
}

/// Has no record made of what filters of system calls refuse: there may be thousands in a second, they would
/// fill the kernel's log, and whoever else has something to record would wait. What programs do when one
/// would be made they go on doing.
///
/// # Errors
/// The kernel has no audit that listens, or this process may not.
pub fn leave_seccomp_out() -> Result<(), AuditError> {
    let mut socket = Socket::new(NETLINK_AUDIT).map_err(AuditError::Open)?;
    socket.bind_auto().map_err(AuditError::Open)?;
    socket
        .connect(&SocketAddr::new(0, 0))
        .map_err(AuditError::Open)?;
    let sent = socket.send(&request(), 0);
    let answered = sent.and_then(|_| socket.recv_from_full());
    match answered {
        Ok((answer, _)) => acknowledged(&answer),
        // Audit was switched off when the kernel was booted: it makes no records at all.
        Err(error) if error.raw_os_error() == Some(Errno::ECONNREFUSED as i32) => Ok(()),
        Err(error) => Err(AuditError::Ask(error)),
    }
}

fn request() -> Vec<u8> {
    let mut rule = [0_u32; RULE_WORDS];
    rule[..HEAD].copy_from_slice(&[EXCLUDE, NEVER, 1]);
    for (block, value) in [(1, MESSAGE_TYPE), (2, SECCOMP), (3, EQUAL)] {
        rule[HEAD + block * EACH] = value;
    }
    let (header, length) = (16, 16 + 4 * RULE_WORDS);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(header).to_ne_bytes());
    bytes.extend(ADD_RULE.to_ne_bytes());
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
    bytes.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    // The first request, from whoever the socket belongs to.
    bytes.extend([1_u32, 0].map(u32::to_ne_bytes).concat());
    bytes.extend(rule.map(u32::to_ne_bytes).concat());
    bytes
}

/// What the kernel says: an error of 0 behind the header, or another.
fn acknowledged(answer: &[u8]) -> Result<(), AuditError> {
    let code = answer.get(16..20).and_then(|code| code.try_into().ok());
    let code = code.map_or(-(Errno::EPROTO as i32), i32::from_ne_bytes);
    match Errno::from_raw(-code) {
        _ if code == 0 => Ok(()),
        // By the program before this one.
        Errno::EEXIST => Ok(()),
        errno => Err(AuditError::Refused(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_the_kernels_layout_and_its_answer_is_understood() {
        let bytes = request();
        assert_eq!(bytes.len(), 16 + 1040);
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("a word"));
        assert_eq!(word(0), 1056);
        assert_eq!([word(16), word(20), word(24)], [5, 0, 1]);
        // fields[0], values[0], fieldflags[0] of struct audit_rule_data.
        assert_eq!([word(284), word(540), word(796)], [12, 1326, 0x4000_0000]);
        let answer = |code: i32| [vec![0; 16], code.to_ne_bytes().to_vec()].concat();
        assert!(acknowledged(&answer(0)).is_ok());
        assert!(acknowledged(&answer(-libc::EEXIST)).is_ok());
        for bad in [answer(-libc::EPERM), vec![0; 7]] {
            assert!(acknowledged(&bad).is_err());
        }
    }
}
