//! Network: where a probe connects from.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use agent_kernel::Errno;
use agent_kernel::sockets::{self, Family};
use tokio::net::{TcpSocket, TcpStream};

/// Where a probe connects from.
#[derive(Debug, Clone)]
pub enum Network {
    /// The network of the container whose init this pidfd names.
    Of(Arc<OwnedFd>),
    /// The agent's own.
    #[cfg(test)]
    Own,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It was not tried: the container is gone, or the agent is short of something.
    #[error("enter the container's network")]
    Enter(#[source] Errno),
    /// As before.
    #[error("make a socket")]
    Socket(#[source] io::Error),
    /// Nobody took it.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Network {
    /// Connects to an address of this network.
    ///
    /// # Errors
    /// The socket could not be had, or the connection was not made.
    pub async fn connect(&self, address: SocketAddr) -> Result<TcpStream, DialError> {
        let socket = match self {
            Self::Of(process) => within(Arc::clone(process), address).await?,
            #[cfg(test)]
            Self::Own => TcpSocket::new_v4().map_err(DialError::Socket)?,
        };
        let connected = socket.connect(address).await;
        connected.map_err(|source| DialError::Connect { address, source })
    }
}

async fn within(process: Arc<OwnedFd>, address: SocketAddr) -> Result<TcpSocket, DialError> {
    let family = match address {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    };
    let made = tokio::task::spawn_blocking(move || sockets::tcp_within(process.as_fd(), family));
    let made = made
        .await
        .map_err(|panicked| DialError::Socket(panicked.into()))?;
    let stream = std::net::TcpStream::from(made.map_err(DialError::Enter)?);
    Ok(TcpSocket::from_std_stream(stream))
}
