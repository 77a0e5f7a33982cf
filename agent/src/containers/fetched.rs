//! Fetched: the files that a command names, in its sandbox before it starts.

use std::path::Path;

use agent_core::sandbox::{self, Accounts};
use agent_kernel::launch;

use super::{Ground, Order};
use crate::fetch;
use crate::init::chain;
use crate::unpack::Owner;

/// Fetches what the order's command names. The roots are those that the container will have, the
/// uppermost first: their passwd says whose the files become.
///
/// # Errors
/// The first file that could not be had, in words.
pub(super) async fn fetch(
    ground: &Ground,
    order: &Order,
    roots: &[&Path],
    index: u32,
) -> Result<(), String> {
    if order.launch.uris.is_empty() {
        return Ok(());
    }
    let ids = sandbox::id_range(index).ok_or("this node has no more ids for containers")?;
    let (passwd, group) = (text(roots, "etc/passwd"), text(roots, "etc/group"));
    let accounts = Accounts {
        passwd: &passwd,
        group: &group,
    };
    let name = order.launch.user.as_str();
    let wish = Some(name).filter(|user| !user.is_empty());
    let user = sandbox::user(wish, ground.switch_user, accounts, ids);
    let user = user.map_err(|error| chain(&error))?;
    let folder = ground.sandboxes.path(&order.sandbox);
    let into = fetch::Sandbox {
        folder: &folder,
        owner: Owner {
            ids,
            uid: user.uid,
            gid: user.gid,
        },
        user: name,
    };
    let fetched = ground.fetcher.fetch(&order.launch.uris, into).await;
    fetched.map_err(|error| chain(&error))
}

/// A file of the uppermost root that has it.
fn text(roots: &[&Path], path: &str) -> String {
    let mut all = roots.iter().map(|root| launch::root_file(root, path));
    all.find(|text| !text.is_empty()).unwrap_or_default()
}
