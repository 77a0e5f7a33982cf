//! Fetched: the files that a command names, in its sandbox before it starts.

use agent_core::sandbox::{self, Accounts};
use agent_kernel::launch;

use super::prepare::{ACCOUNTS, Image};
use super::start::NO_IDS;
use super::{Ground, Order};
use crate::fetch;
use crate::init::chain;
use crate::unpack::Owner;

/// Fetches what the order's command names. The files become those of the user that the command will
/// run as, by the passwd of its root.
///
/// # Errors
/// The first file that could not be had, in words.
pub(super) async fn fetch(
    ground: &Ground,
    order: &Order,
    image: Option<&Image>,
    index: u32,
) -> Result<(), String> {
    let wanted = &order.launch;
    if wanted.uris.is_empty() {
        return Ok(());
    }
    let ids = sandbox::id_range(index).ok_or(NO_IDS)?;
    let name = wanted.user.as_str();
    let wish = Some(name).filter(|user| !user.is_empty());
    let [passwd, group] = match (image, &ground.root) {
        (Some(image), _) => image.accounts.clone(),
        (None, Some(root)) => ACCOUNTS.map(|file| launch::root_file(root, file)),
        (None, None) => Default::default(),
    };
    let own = wanted.command_user.as_deref();
    let (wish, switch) = match image {
        Some(image) => image.config.user(own, name, ground.switch_user),
        None => (wish, ground.switch_user),
    };
    let accounts = Accounts {
        passwd: &passwd,
        group: &group,
    };
    let user = sandbox::user(wish, switch, accounts, ids);
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
    let fetched = ground.fetcher.fetch(&wanted.uris, into).await;
    fetched.map_err(|error| chain(&error))
}
