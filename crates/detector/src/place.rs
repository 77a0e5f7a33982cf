//! Where the znodes of a cluster are, and how one comes to them.

use std::time::Duration;

use zookeeper_client::{Acl, Acls, Client, CreateMode, CreateOptions, Error, Permission};

use crate::ZkUrl;

/// Who may change znodes that a master with a credential makes; everyone may read them, as in Mesos.
const OWNED: &[Acl] = &[
    Acl::new_const(Permission::ALL, "auth", ""),
    Acl::new_const(Permission::READ, "world", "anyone"),
];

/// Where the znodes of a cluster are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The servers, the folder, and who asks.
    pub url: ZkUrl,
    /// The timeout of a session, and how long a request is tried.
    pub session_timeout: Duration,
}

impl Place {
    /// Opens a session.
    ///
    /// # Errors
    /// No server answers within the session's timeout.
    pub async fn connect(&self) -> Result<Client, Error> {
        let connector = Client::connector().with_session_timeout(self.session_timeout);
        let connector = match &self.url.credential {
            Some(credential) => connector.with_auth("digest", credential.as_bytes()),
            None => connector,
        };
        connector.connect(&self.url.hosts()).await
    }

    /// How znodes are made here.
    #[must_use]
    pub fn options(&self, mode: CreateMode) -> CreateOptions<'static> {
        let acls = match self.url.credential {
            Some(_) => Acls::new(OWNED),
            None => Acls::anyone_all(),
        };
        mode.with_acls(acls)
    }
}
