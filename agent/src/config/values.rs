//! Values: how the text of a setting is read, and what is allowed of each kind.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use agent_core::gc;
use model::sandbox::Ipv4Net;

use crate::description::DescriptionError;

use super::settings::Why;
use super::{HostPort, StaticAddress};

pub(super) const CAPABILITIES: &str = r#"a CapabilityInfo, as in {"capabilities":["NET_RAW"]}"#;
pub(super) const DEVICES: &str = r#"a DeviceWhitelist, as in {"allowed_devices":[{"device":{"path":"/dev/kvm"},"access":{"read":true,"write":true}}]}"#;
pub(super) const MINIMUM: &str = "isolators of namespaces/user, namespaces/pid, namespaces/mnt, namespaces/ipc, namespaces/uts, namespaces/cgroup, namespaces/time, linux/capabilities, linux/nnp, linux/seccomp, linux/landlock, linux/scopes, filesystem/linux, cgroups/all, cgroups/cpu, cgroups/cpuset, cgroups/mem, cgroups/hugetlb, cgroups/pids, cgroups/devices, cgroups/io, network/ports, disk/quota, procview, with commas between them";
pub(super) const ABSOLUTE: &str = "an absolute path without ..";
pub(super) const SIZE: &str =
    "a size above 0: a whole number and one of B, KB, MB, GB, TB, as in 2GB";
pub(super) const PORT: &str = "a port from 1 to 65535";
pub(super) const DURATION: &str =
    "a duration: a number and one of ns, us, ms, secs, mins, hrs, days, weeks, as in 5secs";
pub(super) const DEVICE: &str = "a block device's path, as in /dev/vda";

pub(super) fn put<T>(place: &mut Option<T>, value: Result<T, Why>) -> Result<(), Why> {
    *place = Some(value?);
    Ok(())
}

pub(super) fn plain<T: FromStr>(text: &str) -> Result<T, Why> {
    text.parse().map_err(|_| Why::new())
}

pub(super) fn duration(text: &str, max: Duration) -> Result<Duration, Why> {
    let duration = model::duration::parse(text).map_err(|_| Why::new())?;
    match duration <= max {
        true => Ok(duration),
        false => Err(format!(", {} at most", model::duration::format(max))),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, Why> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Why::new()),
    }
}

/// A part of a whole, as a decimal fraction.
pub(super) fn share(text: &str) -> Result<gc::Share, Why> {
    let share: f64 = plain(text)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(Why::new());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked on the line above"
    )]
    Ok(gc::Share::millionths((share * 1e6).round() as u32))
}

pub(super) fn port(text: &str) -> Result<u16, Why> {
    plain(text).and_then(|port| if port == 0 { Err(Why::new()) } else { Ok(port) })
}

pub(super) fn why(error: DescriptionError) -> Why {
    match error {
        DescriptionError::Resources { source, .. } => format!("; {source}"),
        DescriptionError::Domain(error) => format!("; {error}"),
        DescriptionError::Attribute(part) => format!("; {part:?} is not name:value"),
    }
}

pub(super) fn some_text(text: &str) -> Result<String, Why> {
    if text.trim().is_empty() {
        return Err(Why::new());
    }
    Ok(text.to_owned())
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, Why> {
    if text.starts_with('/') && !text.split('/').any(|part| part == "..") {
        return Ok(PathBuf::from(text));
    }
    Err(Why::new())
}

pub(super) fn device(text: &str) -> Result<PathBuf, Why> {
    if text.starts_with("/dev/") {
        return absolute(text);
    }
    Err(Why::new())
}

/// A host name as `sethostname(2)` and others' resolvers take it.
pub(super) fn hostname(text: &str) -> Result<String, Why> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= 64 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(Why::new())
}

pub(super) fn host_port(text: &str, default: Option<u16>) -> Result<HostPort, Why> {
    let (host, port_text) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(Why::new)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| Why::new())?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (hostname(host).map(|_| host)?, Some(port)),
            None => (hostname(text).map(|_| text)?, None),
        },
    };
    let port = match (port_text, default) {
        (Some(text), _) => port(text).map_err(|_| format!("; the port is not {PORT}"))?,
        (None, Some(default)) => default,
        (None, None) => return Err("; the port is missing".to_owned()),
    };
    Ok(HostPort {
        host: host.to_owned(),
        port,
    })
}

pub(super) fn net(text: &str) -> Result<Ipv4Net, Why> {
    let (address, prefix) = text.split_once('/').ok_or_else(Why::new)?;
    let prefix = plain(prefix)?;
    if prefix > 32 {
        return Err("; a prefix is at most 32".to_owned());
    }
    Ok(Ipv4Net {
        address: plain(address)?,
        prefix,
    })
}

pub(super) fn static_address(text: &str) -> Result<StaticAddress, Why> {
    let mut parts = text.split(',');
    let mut address = StaticAddress {
        net: net(parts.next().unwrap_or_default())?,
        gateway: None,
        dns: Vec::new(),
    };
    for part in parts {
        let value = |text: &str| plain::<Ipv4Addr>(text).map_err(|_| format!("; {part:?} is bad"));
        match part.split_once('=') {
            Some(("gw", text)) => address.gateway = Some(value(text)?),
            Some(("dns", text)) => address.dns.push(value(text)?),
            _ => return Err(format!("; {part:?} is bad")),
        }
    }
    Ok(address)
}
