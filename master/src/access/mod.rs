//! Access: who a request is by, and what that principal may do.
//!
//! Who: HTTP Basic against the operator's credentials, in the realms that ask for it. What: the
//! operator's rules (`master_core::authorization`). Without credentials and rules everyone may do
//! everything, as in Mesos.

mod acls;
mod basic;
mod credentials;
mod identity;
mod place;

use std::sync::Arc;

use http::HeaderMap;
use master_core::authorization::Acls;
use master_core::event::Text;

use crate::flags::AccessFlags;
use credentials::Credentials;

pub use acls::AclsError;
pub use credentials::CredentialsError;
pub(crate) use identity::Identity;
pub(crate) use place::{Answerer, Realm, answerer, realm};

/// Why a master does not know whom to let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The credentials cannot be used.
    #[error("read --credentials")]
    Credentials(#[from] CredentialsError),
    /// The rules cannot be used.
    #[error("read --acls")]
    Acls(#[from] AclsError),
}

/// Who may come in, and what they may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    credentials: Arc<Credentials>,
    acls: Arc<Acls>,
    readonly: bool,
    readwrite: bool,
    scheduler: bool,
    agents: bool,
}

/// A request without good credentials where they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unauthenticated {
    /// Which realm asks for them.
    pub(crate) realm: Realm,
}

impl Access {
    /// Reads what the flags name.
    pub(crate) fn load(flags: &AccessFlags) -> Result<Self, AccessError> {
        let credentials = flags.credentials.as_deref().map(Credentials::read);
        let acls = flags.acls.as_deref().map(acls::read);
        Ok(Self {
            credentials: Arc::new(credentials.transpose()?.unwrap_or_default()),
            acls: Arc::new(acls.transpose()?.unwrap_or_default()),
            readonly: flags.authenticate_http_readonly,
            readwrite: flags.authenticate_http_readwrite,
            scheduler: flags.authenticate_http_frameworks,
            agents: flags.authenticate_agents,
        })
    }

    /// The rules.
    pub(crate) const fn acls(&self) -> &Arc<Acls> {
        &self.acls
    }

    /// Who a request to this realm is by; nobody in particular where the realm asks no one.
    pub(crate) fn authenticate(
        &self,
        realm: Realm,
        headers: &HeaderMap,
    ) -> Result<Identity, Unauthenticated> {
        let asks = match realm {
            Realm::Readonly => self.readonly,
            Realm::Readwrite => self.readwrite,
            Realm::Scheduler => self.scheduler,
            Realm::Agents => self.agents,
        };
        if !asks {
            return Ok(self.nobody());
        }
        let given = basic::given(headers).ok_or(Unauthenticated { realm })?;
        match self.credentials.principal(&given) {
            Some(principal) => Ok(self.identity(Some(principal))),
            None => Err(Unauthenticated { realm }),
        }
    }

    /// Who somebody is whom nobody asked.
    pub(crate) fn nobody(&self) -> Identity {
        self.identity(None)
    }

    fn identity(&self, principal: Option<Text>) -> Identity {
        Identity::new(principal, Arc::clone(&self.acls))
    }
}
