//! Root: what depends on where a container's root comes from.
//!
//! Its users, its environment, and for an image the command that completes the task's own.

use std::path::{Path, PathBuf};

use agent_core::sandbox::{Command, RootSpec, SwitchUser};
use agent_kernel::launch;

use super::prepare::{ACCOUNTS, Image};
use super::start::Parent;
use super::{Ground, Order};
use crate::init::chain;

/// What a launch needs to know by its root.
pub(super) struct Root<'a> {
    pub(super) spec: RootSpec<'a>,
    /// The node's default root, which others do without.
    pub(super) default: &'a Path,
    pub(super) command: Command,
    pub(super) environment: Vec<(String, String)>,
    pub(super) user: Option<&'a str>,
    pub(super) switch_user: SwitchUser,
    /// `etc/passwd` and `etc/group`.
    pub(super) accounts: [String; 2],
    pub(super) directory: Option<&'a str>,
}

impl<'a> Root<'a> {
    /// The node's default root.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn default(ground: &'a Ground, order: &'a Order) -> Result<Self, String> {
        let default = ground.root.as_deref();
        let default = default.ok_or("this host was given no root for tasks (--default_rootfs)")?;
        Ok(Self {
            spec: RootSpec::Default,
            default,
            command: order.launch.command.clone(),
            environment: environment(order),
            user: user(order),
            switch_user: ground.switch_user,
            accounts: ACCOUNTS.map(|file| launch::root_file(default, file)),
            directory: None,
        })
    }

    /// An image.
    ///
    /// # Errors
    /// There is nothing to run.
    pub(super) fn of_image(
        ground: &Ground,
        order: &'a Order,
        image: &'a Image,
    ) -> Result<Self, String> {
        let config = &image.config;
        let launch = &order.launch;
        let own = launch.command_user.as_deref();
        let (user, switch_user) = config.user(own, &launch.user, ground.switch_user);
        let command = config.command(&launch.command);
        let scratch = image.scratch.path().to_str();
        Ok(Self {
            spec: RootSpec::Image {
                layers: &image.layers,
                scratch: scratch.ok_or("the work directory's path is no text")?,
            },
            default: Path::new("/"),
            command: command.map_err(|error| chain(&error))?,
            // The agent's variables and the task's win over the image's.
            environment: [config.environment.clone(), environment(order)].concat(),
            user,
            switch_user,
            accounts: image.accounts.clone(),
            directory: config.working_directory.as_deref(),
        })
    }

    /// That of the container that one runs in, with the environment of what runs there.
    pub(super) fn of_parent(ground: &Ground, order: &'a Order, parent: &Parent) -> Self {
        let beside = parent.process.as_deref();
        let beside = beside.map_or(Vec::new(), |process| process.environment.clone());
        let root = PathBuf::from(format!("/proc/{}/root", parent.pid));
        Self {
            spec: RootSpec::Parent,
            default: Path::new("/"),
            command: order.launch.command.clone(),
            environment: [beside, environment(order)].concat(),
            user: user(order),
            switch_user: ground.switch_user,
            accounts: ACCOUNTS.map(|file| launch::root_file(&root, file)),
            directory: None,
        }
    }
}

/// What the agent sets, then what the task does.
fn environment(order: &Order) -> Vec<(String, String)> {
    [order.environment.clone(), order.launch.environment.clone()].concat()
}

fn user(order: &Order) -> Option<&str> {
    Some(order.launch.user.as_str()).filter(|user| !user.is_empty())
}
