//! Calls about images: PRUNE_IMAGES.

use api::http::respond::{self, Refusal};
use api::v1::agent::call::PruneImages;
use hyper::StatusCode;

use super::Caller;
use crate::http::Answer;
use crate::wire;

/// PRUNE_IMAGES: what no container uses goes, but for the images named. Answered when it is gone.
pub(super) async fn prune(caller: &Caller<'_>, call: PruneImages) -> Result<Answer, Refusal> {
    let excluded = call.excluded_images.iter().map(wire::image::read);
    let excluded: Vec<_> = excluded
        .collect::<Result<_, _>>()
        .map_err(|error: wire::image::ImageError| Refusal::bad_request(error.to_string()))?;
    let images = caller.context.images.clone();
    let pruned = tokio::task::spawn_blocking(move || images.prune(&excluded)).await;
    match pruned {
        Ok(()) => Ok(respond::empty(StatusCode::OK)),
        Err(error) => Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )),
    }
}
