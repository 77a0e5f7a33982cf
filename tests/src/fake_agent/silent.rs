//! A link on which no agent says who it is: what a link costs a master that knows nothing of it.

use std::net::{IpAddr, SocketAddr};

use api::link::v1::link_client::LinkClient;
use api::link::v1::{AgentFrame, MasterFrame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::FakeAgentError;
use super::channel::channel;

/// An open link; the master ends it after ten seconds of silence.
#[derive(Debug)]
pub struct SilentLink {
    _frames: mpsc::Sender<AgentFrame>,
    _incoming: Streaming<MasterFrame>,
}

impl SilentLink {
    /// Opens one, from `source` where that is given.
    ///
    /// # Errors
    /// The master is not there, or takes no links.
    pub async fn open(address: SocketAddr, source: Option<IpAddr>) -> Result<Self, FakeAgentError> {
        let (frames, outgoing) = mpsc::channel(1);
        let channel = channel(address, source).await?;
        let answered = LinkClient::new(channel)
            .connect(ReceiverStream::new(outgoing))
            .await
            .map_err(|status| FakeAgentError::Refused(status.to_string()))?;
        Ok(Self {
            _frames: frames,
            _incoming: answered.into_inner(),
        })
    }
}
