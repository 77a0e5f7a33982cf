//! What fuzz targets call: bytes as they come over the wire, through everything that looks at them
//! before the main loop does. Not an interface for anyone else.

use std::sync::Arc;

use agent_core::sandbox::Profile;
use api::http::call::decode;
use api::http::negotiate::Media;
use api::v1::ContainerInfo;
use model::sandbox::SeccompFilter;

use crate::wire::container_info::{self, Place};

/// The body of a call of the agent's API; whether it is one that would be acted on.
#[must_use]
pub fn operator_call(media: Media, body: &[u8]) -> bool {
    decode(media, body).is_ok_and(|call| crate::http::is_good(&call))
}

/// The body of a call of an executor; whether it is one that agent-core would see.
#[must_use]
pub fn executor_call(media: Media, body: &[u8]) -> bool {
    decode(media, body).is_ok_and(|call| crate::wire::executor::call(&call).is_ok())
}

/// The statement of an upgrade, and the beginning of a program; whether the one is a statement, and the
/// other is of a program of this machine.
#[must_use]
pub fn upgrade(bytes: &[u8]) -> (bool, bool) {
    let text = String::from_utf8_lossy(bytes);
    let statement = text.parse::<model::upgrade::Statement>();
    if let Ok(statement) = &statement {
        assert_eq!(statement.to_string(), text, "there is one way to write it");
    }
    (statement.is_ok(), crate::upgrade::is_program(bytes))
}

/// A `ContainerInfo` in JSON, Docker's parameters among it; whether a container could be as it asks.
#[must_use]
pub fn container(body: &[u8]) -> bool {
    api::json::from_json::<ContainerInfo>(body).is_ok_and(|info| {
        [Place::Outermost, Place::Nested]
            .into_iter()
            .any(|place| container_info::read(&info, place).is_ok())
    })
}

/// A seccomp profile; whether it is one that a container would run under.
#[must_use]
pub fn seccomp_profile(bytes: &[u8]) -> bool {
    let Ok(profile) = crate::seccomp::parse("p", bytes, (6, 12)) else {
        return false;
    };
    let filter = profile.filter(&[]);
    let program = agent_kernel::seccomp::compile(&filter);
    // As the document of a container counts, which is never longer.
    let within = SeccompFilter {
        within: Some(Arc::new(Profile::built_in().filter(&[]))),
        ..filter.clone()
    };
    let _ = agent_kernel::seccomp::compile(&within);
    let decided = filter.decide("read", &[0; 6]);
    program.is_ok() && (decided == filter.default || !filter.rules.is_empty())
}
