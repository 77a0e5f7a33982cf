//! Prepare: what a container needs from outside of this node, brought here before it starts.
//!
//! Runs beside the main loop and may take minutes. It is dropped where the container is killed
//! meanwhile, and whatever it holds then removes what it had begun to write.

use std::path::Path;
use std::sync::Arc;

use agent_core::sandbox::ImageConfig;
use model::ContainerId;

use crate::images::scratch::Scratch;
use crate::images::store::Lease;
use crate::images::{Provisioned, Wanted};
use crate::init::chain;
use crate::wire::container_info::Wanted as Source;

use super::{Ground, Order, fetched};

/// Where a root names its users and groups.
pub(super) const ACCOUNTS: [&str; 2] = ["etc/passwd", "etc/group"];

/// What was brought here for one container; gone with it.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Its root; the node's default where there is none.
    pub(super) image: Option<Image>,
    /// The images that its volumes show, in their order.
    pub(super) volumes: Vec<Provisioned>,
    /// The same of a container that an earlier process of this agent launched.
    again: Option<Again>,
}

#[derive(Debug)]
struct Again {
    /// Keeps the layers.
    _lease: Option<Lease>,
    scratch: Option<Scratch>,
}

impl Prepared {
    /// What a container holds that is there already.
    pub(super) fn again(lease: Option<Lease>, scratch: Option<Scratch>) -> Self {
        Self {
            again: Some(Again {
                _lease: lease,
                scratch,
            }),
            ..Self::default()
        }
    }

    /// Where a container that is there already writes beside its sandbox.
    pub(super) fn scratch(&self) -> Option<&Path> {
        self.again.as_ref()?.scratch.as_ref().map(Scratch::path)
    }

    /// The layers of the images that volumes show, in their order.
    pub(super) fn volumes(&self) -> impl Iterator<Item = Vec<String>> {
        self.volumes.iter().map(layers)
    }
}

/// An image that becomes a container's root.
#[derive(Debug)]
pub(super) struct Image {
    /// The layers' directories, the bottom first.
    pub(super) layers: Vec<String>,
    /// What it says of its containers.
    pub(super) config: ImageConfig,
    /// `etc/passwd` and `etc/group`.
    pub(super) accounts: [String; 2],
    /// Where the container's own changes go.
    pub(super) scratch: Scratch,
    /// Keeps the layers.
    _provisioned: Provisioned,
}

/// Brings everything here that the order names.
///
/// # Errors
/// The first thing that could not be had.
pub(super) async fn prepare(
    ground: &Arc<Ground>,
    order: &Order,
    index: u32,
) -> Result<Prepared, String> {
    // What is fetched is written into the sandbox.
    ground.make_sandbox(order)?;
    let image = match &order.launch.image {
        Some(wanted) => Some(image(ground, &order.container, wanted).await?),
        None => None,
    };
    let mut volumes = Vec::new();
    for volume in &order.launch.container.volumes {
        if let Source::Image(wanted) = &volume.source {
            let provisioned = ground.images.provision(wanted).await;
            volumes.push(provisioned.map_err(|error| chain(&error))?);
        }
    }
    fetched::fetch(ground, order, image.as_ref(), index).await?;
    Ok(Prepared {
        image,
        volumes,
        again: None,
    })
}

async fn image(
    ground: &Arc<Ground>,
    container: &ContainerId,
    wanted: &Wanted,
) -> Result<Image, String> {
    let provisioned = ground.images.provision(wanted).await;
    let provisioned = provisioned.map_err(|error| chain(&error))?;
    let layers = layers(&provisioned);
    let accounts = {
        let (ground, layers) = (Arc::clone(ground), layers.clone());
        let read = move || ground.host.image_files(&layers, ACCOUNTS);
        tokio::task::spawn_blocking(read).await
    };
    let accounts = accounts.map_err(|error| chain(&error))?;
    let scratch = ground.scratches.make(container);
    if let Ok(scratch) = &scratch {
        ground.disks.also(container, scratch.path())?;
    }
    Ok(Image {
        layers,
        config: provisioned.config.clone(),
        accounts: accounts.map_err(|error| chain(&error))?,
        scratch: scratch.map_err(|error| chain(&error))?,
        _provisioned: provisioned,
    })
}

fn layers(image: &Provisioned) -> Vec<String> {
    let all = image.layers.iter();
    all.map(|layer| layer.to_string_lossy().into_owned())
        .collect()
}
