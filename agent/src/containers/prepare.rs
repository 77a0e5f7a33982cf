//! Prepare: what a container needs from outside of this node, brought here before it starts.
//!
//! Runs beside the main loop and may take minutes. It is dropped where the container is killed
//! meanwhile, and whatever it holds then removes what it had begun to write.

use std::path::Path;

use crate::init::chain;

use super::{Ground, Order, fetched};

/// What was brought here for one container; gone with it.
#[derive(Debug, Default)]
pub(super) struct Prepared {}

/// Brings everything here that the order names.
///
/// # Errors
/// The first thing that could not be had.
pub(super) async fn prepare(
    ground: &Ground,
    order: &Order,
    index: u32,
) -> Result<Prepared, String> {
    // What is fetched is written into the sandbox.
    let made = ground.make_sandbox(order);
    made.map_err(|error| chain(&error))?;
    let roots: Vec<&Path> = ground.root.as_deref().into_iter().collect();
    fetched::fetch(ground, order, &roots, index).await?;
    Ok(Prepared::default())
}
