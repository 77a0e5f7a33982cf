//! Calls about resource providers, of which this agent has none.

use api::http::respond::{self, Refusal};
use api::v1::ResourceProviderInfo;
use api::v1::agent::Response as Message;
use api::v1::agent::response::{GetResourceProviders, Type};
use hyper::StatusCode;

use super::{Caller, answer};
use crate::http::Answer;

/// The one type that Mesos has of its own.
const STORAGE: &str = "org.apache.mesos.rp.local.storage";

/// GET_RESOURCE_PROVIDERS.
pub(super) fn get(caller: &Caller<'_>) -> Answer {
    answer::message(
        caller,
        &Message {
            get_resource_providers: Some(GetResourceProviders::default()),
            ..answer::typed(Type::GetResourceProviders)
        },
    )
}

/// ADD_RESOURCE_PROVIDER_CONFIG, UPDATE_RESOURCE_PROVIDER_CONFIG.
pub(super) fn configure(info: &ResourceProviderInfo) -> Refusal {
    match info.r#type.as_str() {
        STORAGE => no_configuration(),
        kind => Refusal::bad_request(format!(
            "Failed to validate resource provider config with type '{kind}' and name '{}': \
             Unknown local resource provider type '{kind}'",
            info.name
        )),
    }
}

/// What Mesos answers where `--resource_provider_config_dir` is not set.
pub(super) fn no_configuration() -> Refusal {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Missing required flag --resource_provider_config_dir",
    )
}

/// MARK_RESOURCE_PROVIDER_GONE: one that never was here is gone, in Mesos' eyes.
pub(super) fn mark_gone() -> Answer {
    respond::empty(StatusCode::OK)
}
