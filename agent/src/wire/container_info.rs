//! Container information: what a `ContainerInfo` asks for, in the words of the sandbox.
//!
//! What cannot be given is named here, so that a container fails with words instead of running as
//! something other than it asked for. What the operator does not allow, the sandbox's plan refuses.

mod docker;
mod network;

use agent_core::sandbox::{Ipc, ProfileWish, Wishes};
use api::v1::{self, r_limit_info, volume};
use model::sandbox::{Access, Capability, MountsBeneath, Rlimit, Secret, WindowSize};

use crate::images;
use crate::seccomp::DOCUMENT_BYTES_MAX;

/// Where capabilities begin in Mesos' numbers.
const CAPABILITIES: i32 = 1000;

/// What a container asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Container {
    /// Beyond image, volumes and terminal.
    pub wishes: Wishes,
    /// Its volumes, apart from persistent ones.
    pub volumes: Vec<VolumeWish>,
    /// A terminal of this size.
    pub terminal: Option<WindowSize>,
    /// Variables that `docker run` would set.
    pub environment: Vec<(String, String)>,
    /// Whom `docker run` would run it as.
    pub user: Option<String>,
    /// Where `docker run` would start it.
    pub directory: Option<String>,
}

/// A volume that a container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeWish {
    /// What it is to show.
    pub source: Wanted,
    /// Where it is seen: absolute, or relative to the sandbox.
    pub container_path: String,
    /// Whether it may be written to.
    pub access: Access,
}

/// What a volume is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A path of the node, and what is seen of mounts beneath it.
    Host(String, MountsBeneath),
    /// A path in the container's own sandbox.
    OwnSandbox(String),
    /// A path in the sandbox of the container that it is nested in.
    ParentSandbox(String),
    /// The files of an image.
    Image(images::Wanted),
    /// A secret.
    Secret(Secret),
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By itself.
    Outermost,
    /// In another.
    Nested,
}

/// Reads a container's wishes.
///
/// # Errors
/// What this agent cannot give, as a whole sentence.
pub fn read(info: &v1::ContainerInfo, place: Place) -> Result<Container, String> {
    let mut container = Container {
        wishes: Wishes {
            hostname: info.hostname.clone(),
            ..Wishes::default()
        },
        volumes: info
            .volumes
            .iter()
            .map(|volume| self::volume(volume, place))
            .collect::<Result<_, _>>()?,
        terminal: info.tty_info.as_ref().map(|tty| size(tty.window_size)),
        ..Container::default()
    };
    container.wishes.network = network::read(&info.network_infos, place)?;
    if let Some(linux) = &info.linux_info {
        self::linux(&mut container.wishes, linux, place)?;
    }
    if let Some(limits) = &info.rlimit_info {
        let all = limits.rlimits.iter().map(rlimit);
        container.wishes.rlimits = all.collect::<Result<_, _>>()?;
    }
    if info.r#type == i32::from(v1::container_info::Type::Docker)
        && let Some(docker) = &info.docker
    {
        docker::read(&mut container, docker, place)?;
    }
    Ok(container)
}

/// The size of a terminal; what does not fit is none.
#[must_use]
pub fn size(size: Option<v1::tty_info::WindowSize>) -> WindowSize {
    let cut = |number: u32| u16::try_from(number).unwrap_or(0);
    size.map_or(WindowSize::default(), |size| WindowSize {
        rows: cut(size.rows),
        columns: cut(size.columns),
    })
}

fn volume(volume: &v1::Volume, place: Place) -> Result<VolumeWish, String> {
    let source = match (&volume.host_path, &volume.image, &volume.source) {
        (Some(path), ..) if path.starts_with('/') => {
            Wanted::Host(path.clone(), MountsBeneath::Hidden)
        }
        (Some(path), ..) => Wanted::OwnSandbox(path.clone()),
        (_, Some(image), _) => {
            Wanted::Image(super::image::read(image).map_err(|fault| fault.to_string())?)
        }
        (.., Some(source)) => self::source(source, place)?,
        (None, None, None) => return Err("A volume has no source".into()),
    };
    Ok(VolumeWish {
        source,
        container_path: volume.container_path.clone(),
        access: match volume.mode == i32::from(volume::Mode::Ro) {
            true => Access::ReadOnly,
            false => Access::ReadWrite,
        },
    })
}

fn source(source: &volume::Source, place: Place) -> Result<Wanted, String> {
    use volume::source::Type;
    use volume::source::sandbox_path;
    let kind = source.r#type.and_then(|number| Type::try_from(number).ok());
    match (
        kind,
        &source.host_path,
        &source.sandbox_path,
        &source.secret,
    ) {
        (Some(Type::HostPath), Some(host), ..) => {
            let beneath = propagation(host.mount_propagation)?;
            match host.path.starts_with('/') {
                true => Ok(Wanted::Host(host.path.clone(), beneath)),
                false => Err(format!(
                    "Path '{}' in HOST_PATH volume is not absolute",
                    host.path
                )),
            }
        }
        (Some(Type::SandboxPath), _, Some(path), _) => {
            let of = path
                .r#type
                .and_then(|number| sandbox_path::Type::try_from(number).ok());
            match (of, place) {
                (Some(sandbox_path::Type::Self_), _) => Ok(Wanted::OwnSandbox(path.path.clone())),
                (Some(sandbox_path::Type::Parent), Place::Nested) => {
                    Ok(Wanted::ParentSandbox(path.path.clone()))
                }
                (Some(sandbox_path::Type::Parent), Place::Outermost) => {
                    Err("PARENT type SANDBOX_PATH volume only works for a nested container".into())
                }
                (Some(sandbox_path::Type::Unknown) | None, _) => {
                    Err("Unknown SANDBOX_PATH volume type".into())
                }
            }
        }
        (Some(Type::Secret), .., Some(secret)) => Ok(Wanted::Secret(self::secret(secret)?)),
        (Some(Type::DockerVolume), ..) => {
            Err("A DOCKER_VOLUME needs a volume driver, of which this agent has none".into())
        }
        (Some(Type::CsiVolume), ..) => {
            Err("A CSI_VOLUME needs a CSI plugin, of which this agent has none".into())
        }
        _ => Err("A volume has no source".into()),
    }
}

/// What a container sees of mounts beneath a path of the node.
fn propagation(wanted: Option<v1::MountPropagation>) -> Result<MountsBeneath, String> {
    use v1::mount_propagation::Mode;
    let Some(number) = wanted.and_then(|wanted| wanted.mode) else {
        return Ok(MountsBeneath::Hidden);
    };
    match Mode::try_from(number) {
        Ok(Mode::HostToContainer) => Ok(MountsBeneath::Followed),
        Ok(Mode::Bidirectional) => Err(
            "Mount propagation BIDIRECTIONAL of a HOST_PATH volume is not supported by this agent: \
             containers have users of their own, whose mounts the node is not to have"
                .into(),
        ),
        Ok(Mode::Unknown) | Err(_) => {
            Err("Unknown mount propagation mode of a HOST_PATH volume".into())
        }
    }
}

/// The bytes of a secret.
///
/// # Errors
/// It stands elsewhere, where this agent does not look.
pub fn secret(secret: &v1::Secret) -> Result<Secret, String> {
    match &secret.value {
        Some(value) => Ok(Secret(value.data.clone())),
        None => Err("A secret that is only referred to needs a secret resolver, of which this agent has none".into()),
    }
}

fn linux(wishes: &mut Wishes, linux: &v1::LinuxInfo, place: Place) -> Result<(), String> {
    use v1::linux_info::IpcMode;
    let seccomp = linux.seccomp.as_ref();
    wishes.seccomp = seccomp.map_or(Ok(ProfileWish::Usual), profile)?;
    // The deprecated field has the meaning of the newer one.
    let effective = linux
        .effective_capabilities
        .as_ref()
        .or(linux.capability_info.as_ref());
    wishes.effective = effective.map(capabilities).transpose()?;
    wishes.bounding = linux
        .bounding_capabilities
        .as_ref()
        .map(capabilities)
        .transpose()?;
    wishes.shm_bytes = linux.shm_size.map(|mb| u64::from(mb) << 20);
    wishes.own_limits = !linux.share_cgroups();
    wishes.share_pids = linux.share_pid_namespace();
    let ipc = linux.ipc_mode.and_then(|mode| IpcMode::try_from(mode).ok());
    wishes.ipc = match ipc {
        // A /dev/shm of a size of its own is one of its own.
        None | Some(IpcMode::Unknown) if linux.shm_size.is_some() => Ipc::Private,
        None | Some(IpcMode::Unknown | IpcMode::ShareParent) => Ipc::SharesParent,
        Some(IpcMode::Private) => Ipc::Private,
    };
    match place {
        Place::Outermost if wishes.share_pids => {
            Err("Sharing agent pid namespace with container is disallowed".into())
        }
        Place::Outermost if ipc == Some(IpcMode::ShareParent) => {
            Err("Sharing agent IPC namespace with container is disallowed".into())
        }
        Place::Outermost | Place::Nested => Ok(()),
    }
}

/// The profile that a container asks for, or none.
fn profile(info: &v1::SeccompInfo) -> Result<ProfileWish, String> {
    match (&info.profile_name, info.unconfined()) {
        (Some(_), true) => Err("Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' Seccomp setting is enabled".into()),
        (Some(profile), false) => named_or_document(profile),
        (None, true) => Ok(ProfileWish::Unconfined),
        (None, false) => Err("Missing Seccomp profile name".into()),
    }
}

/// What begins like a document is one, as no name of a file does that anybody gave a profile.
///
/// # Errors
/// It is too long.
fn named_or_document(profile: &str) -> Result<ProfileWish, String> {
    match profile.len() {
        _ if !profile.trim_start().starts_with('{') => Ok(ProfileWish::Named(profile.into())),
        ..=DOCUMENT_BYTES_MAX => Ok(ProfileWish::Document(profile.into())),
        length => Err(format!(
            "A Seccomp profile of {length} bytes is too long: a document of a container's own has {DOCUMENT_BYTES_MAX} at most"
        )),
    }
}

/// Capabilities by the kernel's numbers.
///
/// # Errors
/// One is unknown.
pub fn capabilities(info: &v1::CapabilityInfo) -> Result<Vec<Capability>, String> {
    let number = |number: &i32| {
        let known = v1::capability_info::Capability::try_from(*number).is_ok();
        let own = u8::try_from(number - CAPABILITIES).ok().filter(|_| known);
        own.map(Capability)
            .ok_or_else(|| "Unknown capability".to_string())
    };
    info.capabilities.iter().map(number).collect()
}

fn rlimit(limit: &r_limit_info::RLimit) -> Result<Rlimit, String> {
    use r_limit_info::r_limit::Type;
    let kind = limit.r#type.and_then(|number| Type::try_from(number).ok());
    let kind = kind.unwrap_or(Type::Unknown);
    // Of asm-generic/resource.h.
    let resource = match kind {
        Type::Unknown => return Err("Unknown rlimit type".into()),
        Type::RlmtCpu => 0,
        Type::RlmtFsize => 1,
        Type::RlmtData => 2,
        Type::RlmtStack => 3,
        Type::RlmtCore => 4,
        Type::RlmtRss => 5,
        Type::RlmtNproc => 6,
        Type::RlmtNofile => 7,
        Type::RlmtMemlock => 8,
        Type::RlmtAs => 9,
        Type::RlmtLocks => 10,
        Type::RlmtSigpending => 11,
        Type::RlmtMsgqueue => 12,
        Type::RlmtNice => 13,
        Type::RlmtRtprio => 14,
        Type::RlmtRttime => 15,
    };
    let name = kind.as_str_name();
    let (soft, hard) = match (limit.soft, limit.hard) {
        (None, None) => (u64::MAX, u64::MAX),
        (Some(soft), Some(hard)) if soft > hard => {
            return Err(format!("The soft limit of {name} is above the hard one"));
        }
        (Some(soft), Some(hard)) => (soft, hard),
        _ => {
            return Err(format!(
                "Either both or none of the limits of {name} must be set"
            ));
        }
    };
    Ok(Rlimit {
        resource,
        soft,
        hard,
    })
}

#[cfg(test)]
mod tests;
