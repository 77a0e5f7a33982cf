//! Landlock: rulesets of containers, made in their own tree of mounts.
//!
//! A rule is tied to a file as a mount shows it, and rules do not cross the layers of an overlay: they
//! are made after `pivot_root`, of what the container will see. What this kernel lacks of a ruleset is
//! told by [`Abi`] before a launch.

use std::os::fd::AsFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Compatible, NetPort, PathBeneath,
    RestrictionStatus, Ruleset as Rules, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope as Scoped,
};
use model::sandbox::{FileRights, Landlock, Scope};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use crate::mounts;

pub(crate) use landlock::RulesetCreated as Ruleset;

/// The rights that are asked for; a kernel that knows fewer gives those.
const RIGHTS: ABI = ABI::V6;

/// Which version of landlock a kernel has; 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Abi(pub u32);

impl Abi {
    /// That of this kernel.
    #[must_use]
    pub fn current() -> Self {
        /// `LANDLOCK_CREATE_RULESET_VERSION`.
        const VERSION: libc::c_uint = 1;
        let nothing = std::ptr::null::<libc::c_void>();
        let call = libc::SYS_landlock_create_ruleset;
        // SAFETY: with this flag the call takes no attributes, reads nothing and makes no ruleset.
        let version = unsafe { libc::syscall(call, nothing, 0_usize, VERSION) };
        Self(Errno::result(version).map_or(0, |version| u32::try_from(version).unwrap_or(0)))
    }

    /// Why this kernel does not restrict files.
    ///
    /// # Errors
    /// In words.
    pub fn files(self) -> Result<(), String> {
        match self.0 {
            0 => Err("the kernel has no landlock".into()),
            1 => Err("landlock ABI 1 refuses every move between directories".into()),
            _ => Ok(()),
        }
    }

    /// Why this kernel does not bound TCP ports.
    ///
    /// # Errors
    /// In words.
    pub fn ports(self) -> Result<(), String> {
        match self.0 {
            0 => Err("the kernel has no landlock".into()),
            1..=3 => Err(format!("landlock ABI {} has no ports; ABI 4 has", self.0)),
            _ => Ok(()),
        }
    }

    /// Why this kernel does not keep sockets and signals within a container.
    ///
    /// # Errors
    /// In words.
    pub fn scopes(self) -> Result<(), String> {
        match self.0 {
            0 => Err("the kernel has no landlock".into()),
            1..=5 => Err(format!("landlock ABI {} has no scopes; ABI 6 has", self.0)),
            _ => Ok(()),
        }
    }
}

/// Makes the ruleset of a container whose root is already the caller's; `None` where this kernel has
/// nothing to restrict by it.
///
/// # Errors
/// The step and what the kernel said.
pub(crate) fn prepare(wanted: &Landlock) -> Result<Option<Ruleset>, (String, Errno)> {
    let failed = |error: RulesetError| ("landlock: make a ruleset".to_string(), errno(&error));
    let mut scopes = BitFlags::<Scoped>::EMPTY;
    for (scope, scoped) in [
        (wanted.sockets, Scoped::AbstractUnixSocket),
        (wanted.signals, Scoped::Signal),
    ] {
        if scope == Scope::Container {
            scopes |= scoped;
        }
    }
    let abi = Abi::current();
    let restricts_files = !wanted.files.is_empty() && abi.files().is_ok();
    let restricts_others = !scopes.is_empty() && abi.scopes().is_ok();
    let ports = wanted.ports.as_ref().filter(|_| abi.ports().is_ok());
    if !restricts_files && !restricts_others && ports.is_none() {
        return Ok(None);
    }
    let mut rules = Rules::default();
    if restricts_files {
        rules = rules
            .handle_access(AccessFs::from_all(RIGHTS))
            .map_err(failed)?;
    }
    if restricts_others {
        rules = rules.scope(scopes).map_err(failed)?;
    }
    if ports.is_some() {
        rules = rules.handle_access(AccessNet::BindTcp).map_err(failed)?;
    }
    let mut rules = rules.create().map_err(failed)?;
    // With 0 the kernel picks a port, as it does for who binds none.
    for port in ports
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .chain(ports.map(|_| &0))
    {
        let allowed = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp));
        rules = allowed.map_err(|error| (format!("landlock: allow port {port}"), errno(&error)))?;
    }
    if !restricts_files {
        return Ok(Some(rules));
    }
    let root = nix::fcntl::open(
        "/",
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    );
    let root = root.map_err(|errno| ("landlock: open /".to_string(), errno))?;
    for rule in &wanted.files {
        let failed = |errno| (format!("landlock: allow {}", rule.place), errno);
        let place = match mounts::place(root.as_fd(), &rule.place) {
            Err(Errno::ENOENT) => continue,
            place => place.map_err(failed)?,
        };
        let beneath = PathBeneath::new(place, rights(rule.rights));
        let added = rules.add_rule(beneath);
        rules = added.map_err(|error| failed(errno(&error)))?;
    }
    Ok(Some(rules))
}

/// Restricts the calling thread and all that it will start.
///
/// # Errors
/// As in `landlock_restrict_self(2)`.
pub(crate) fn restrict(rules: Ruleset) -> Result<(), Errno> {
    let rules = rules.set_compatibility(landlock::CompatLevel::BestEffort);
    match rules.restrict_self() {
        Ok(RestrictionStatus {
            ruleset: RulesetStatus::NotEnforced,
            ..
        }) => Err(Errno::EOPNOTSUPP),
        Ok(_) => Ok(()),
        Err(error) => Err(errno(&error)),
    }
}

fn rights(rights: FileRights) -> BitFlags<AccessFs> {
    let read = AccessFs::from_read(RIGHTS);
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    match rights {
        FileRights::Read => read,
        FileRights::Write => read | write,
        FileRights::Devices => read | write | AccessFs::IoctlDev,
        FileRights::Change => AccessFs::from_all(RIGHTS) & !AccessFs::MakeBlock,
    }
}

/// What the kernel said, from the bottom of an error.
fn errno(error: &RulesetError) -> Errno {
    let mut cause: &dyn std::error::Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    let said = cause.downcast_ref::<std::io::Error>();
    said.map_or(Errno::EINVAL, crate::files::errno)
}
