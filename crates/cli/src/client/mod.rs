//! Client: what `tepui` asks masters and agents, over HTTP/1.1.
//!
//! One module a conversation; each turns an answer that is not Mesos' into an error that says so.

pub(crate) mod address;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod master;
pub(crate) mod report;
pub(crate) mod scheduler;
pub(crate) mod session;
pub(crate) mod state;
pub(crate) mod statistics;

use address::Address;
use http::{Answer, Ask, HttpError};

/// Why a question to a master or an agent has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{address} is not {what}: {why}")]
    Other {
        address: Address,
        what: &'static str,
        why: String,
    },
    #[error("{address} refused {act}: {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Refused {
        address: Address,
        act: String,
        status: hyper::StatusCode,
        text: String,
    },
    #[error("{address} has no leader yet: {act} was answered with 503")]
    NoLeader { address: Address, act: String },
}

/// The parts of a Mesos cluster that are asked.
const MASTER: &str = "a Mesos master";
const AGENT: &str = "a Mesos agent";

/// An error for an answer whose status is none of the expected ones.
fn unexpected(address: &Address, what: &'static str, ask: &Ask, answer: &Answer) -> ClientError {
    let address = address.clone();
    let act = ask.act();
    let (status, text) = (answer.status, answer.text());
    match status.as_u16() {
        404 | 405 | 501 => ClientError::Other {
            address,
            what,
            why: format!("it answers {act} with {status}"),
        },
        503 => ClientError::NoLeader { address, act },
        _ => ClientError::Refused {
            address,
            act,
            status,
            text,
        },
    }
}
