//! A stand-in's connection to its master.

use std::net::{IpAddr, SocketAddr};

use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::{Channel, Endpoint};

use super::FakeAgentError;

/// A connection to a master, which begins at `source` where that is given.
pub(super) async fn channel(
    address: SocketAddr,
    source: Option<IpAddr>,
) -> Result<Channel, FakeAgentError> {
    let connect = |source| FakeAgentError::Connect { address, source };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(connect)?;
    let connector = tower::service_fn(move |_| async move {
        let stream = open(address, source).await?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(connect)
}

async fn open(address: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    if let Some(source) = source {
        begin_at(&socket, source)?;
    }
    socket.connect(address).await
}

/// Binds a socket to an address, and leaves the port to connect(2), which knows the other end.
///
/// bind(2) looks for a port that no connection has, those that ended a minute ago included: with
/// thousands of them that search is what a fleet would spend its time on.
fn begin_at(socket: &TcpSocket, source: IpAddr) -> std::io::Result<()> {
    setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?;
    socket.bind(SocketAddr::new(source, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 9));

    #[tokio::test]
    async fn a_connection_begins_at_its_source() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _stream = open(address, Some(SOURCE)).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), SOURCE);
    }

    #[tokio::test]
    async fn its_port_is_not_chosen_before_the_other_end_is_known() {
        let socket = TcpSocket::new_v4().unwrap();
        begin_at(&socket, SOURCE).unwrap();
        assert_eq!(socket.local_addr().unwrap(), SocketAddr::new(SOURCE, 0));
    }
}
