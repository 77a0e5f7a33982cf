//! The gate before every endpoint: who the request is by, and whether this master answers it.
//!
//! The order is Mesos': credentials come before everything else about a request, the leader next.

use http::Uri;
use master_core::authorization::Action;

use super::respond::{self, Refusal};
use super::{Request, Response, redirect};
use crate::access::{self, Answerer, Identity};
use crate::handle::Handle;

/// Leaves with a request who it is by ([`Identity::of`]); or gives back the answer that it gets
/// whatever it asks. `place` is the endpoint's own path, however the request wrote it.
pub(crate) fn pass(
    loop_: &Handle,
    place: &str,
    request: &mut Request,
) -> Result<(), Box<Response>> {
    let identity = match access::realm(place) {
        None => loop_.access().nobody(),
        Some(realm) => loop_
            .access()
            .authenticate(realm, request.headers())
            .map_err(|asked| Box::new(respond::unauthorized(asked.realm.name())))?,
    };
    if withheld(place).is_some_and(|path| !identity.may(Action::GetEndpoint, Some(path))) {
        return Err(Box::new(Refusal::forbidden().into()));
    }
    let may = |action| identity.may(action, None);
    let is_hidden = match place {
        "/flags" => !may(Action::ViewFlags),
        "/files/browse" | "/files/read" | "/files/download" => !may(Action::AccessMesosLog),
        _ => false,
    };
    if is_hidden {
        return Err(Box::new(Refusal::forbidden().into()));
    }
    if !loop_.leads() && access::answerer(place) == Answerer::Leader {
        return Err(Box::new(to_leader(loop_, request.uri())));
    }
    request.extensions_mut().insert::<Identity>(identity);
    Ok(())
}

fn to_leader(loop_: &Handle, uri: &Uri) -> Response {
    redirect::to_leader(loop_.facts(), uri)
}

/// The path by which rules know an endpoint of the process, where they may withhold it.
fn withheld(path: &str) -> Option<&'static str> {
    match path.strip_suffix('/').unwrap_or(path) {
        "/metrics" | "/metrics/snapshot" => Some("/metrics/snapshot"),
        "/logging/toggle" => Some("/logging/toggle"),
        "/files/debug" => Some("/files/debug"),
        _ => None,
    }
}
