//! Devices of the node that its operator gives to every container (`--allowed_devices`).
//!
//! The setting is Mesos' DeviceWhitelist. What it names is looked at once, when the agent starts: a
//! device that is not there is a fault of the setting, as it is in Mesos.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use agent_core::sandbox::AllowedDevice;
use api::v1;
use model::sandbox::{DeviceAccess, DeviceKind};
use nix::sys::stat::{major, minor};

/// Where devices are, on the node and in containers.
const FOLDER: &str = "/dev/";

/// A device that a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its path beneath `/dev`.
    name: String,
    /// What may be done with it.
    access: DeviceAccess,
}

/// Why a device of a setting cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It cannot be looked at.
    #[error("find the device {FOLDER}{name} of --allowed_devices")]
    Find {
        /// Its path beneath `/dev`.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is a file of another kind.
    #[error("{FOLDER}{0} of --allowed_devices is no device")]
    NoDevice(String),
    /// Its number is none of the kernel's.
    #[error("{FOLDER}{0} of --allowed_devices has a number that no rule can name")]
    Number(String),
}

/// Reads a DeviceWhitelist.
///
/// # Errors
/// It is none, or names what no container can have, in words.
pub fn wanted(text: &str) -> Result<Vec<Wanted>, String> {
    let list: v1::DeviceWhitelist =
        api::json::from_json(text.as_bytes()).map_err(|error| error.to_string())?;
    list.allowed_devices.iter().map(one).collect()
}

fn one(allowed: &v1::DeviceAccess) -> Result<Wanted, String> {
    let Some(path) = &allowed.device.path else {
        return Err("a device is named by its path".into());
    };
    let name = path.strip_prefix(FOLDER).unwrap_or_default();
    let is_no_name = |part| matches!(part, "" | "." | "..");
    if name.split('/').any(is_no_name) || name.contains('\0') {
        return Err(format!("{path:?} is no path beneath {FOLDER}"));
    }
    let asked = |asked: Option<bool>, access| match asked {
        Some(true) => access,
        Some(false) | None => DeviceAccess::NONE,
    };
    let rights = &allowed.access;
    let access = asked(rights.read, DeviceAccess::READ)
        | asked(rights.write, DeviceAccess::WRITE)
        | asked(rights.mknod, DeviceAccess::MKNOD);
    if access == DeviceAccess::NONE {
        return Err(format!("{path:?} has no access: read, write or mknod"));
    }
    Ok(Wanted {
        name: name.to_owned(),
        access,
    })
}

/// Looks at what a setting names.
///
/// # Errors
/// One of them is not there, or no device.
pub fn find(wanted: &[Wanted]) -> Result<Vec<AllowedDevice>, DeviceError> {
    wanted.iter().map(found).collect()
}

fn found(wanted: &Wanted) -> Result<AllowedDevice, DeviceError> {
    let name = wanted.name.clone();
    let metadata = fs::metadata(format!("{FOLDER}{name}"));
    let metadata = metadata.map_err(|source| DeviceError::Find {
        name: name.clone(),
        source,
    })?;
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => DeviceKind::Block,
        kind if kind.is_char_device() => DeviceKind::Character,
        _ => return Err(DeviceError::NoDevice(name)),
    };
    let device = metadata.rdev();
    match (u32::try_from(major(device)), u32::try_from(minor(device))) {
        (Ok(major), Ok(minor)) => Ok(AllowedDevice {
            name,
            kind,
            major,
            minor,
            access: wanted.access,
        }),
        _ => Err(DeviceError::Number(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(device: &str, access: &str) -> String {
        format!(r#"{{"allowed_devices":[{{"device":{device},"access":{access}}}]}}"#)
    }

    #[test]
    fn a_device_is_found_by_its_path_with_its_number_and_rights() {
        let text = list(r#"{"path":"/dev/null"}"#, r#"{"read":true,"mknod":false}"#);
        let all = find(&wanted(&text).expect("a list")).expect("it is there");
        let expected = AllowedDevice {
            name: "null".into(),
            kind: DeviceKind::Character,
            major: 1,
            minor: 3,
            access: DeviceAccess::READ,
        };
        assert_eq!(all, [expected]);
    }

    #[test]
    fn what_no_container_can_have_is_named() {
        let all = r#"{"read":true}"#;
        for (device, access, words) in [
            (r#"{"path":"/etc/passwd"}"#, all, "/etc/passwd"),
            (r#"{"path":"/dev/../etc/passwd"}"#, all, "beneath /dev/"),
            (r#"{"path":"/dev/"}"#, all, "beneath /dev/"),
            (
                r#"{"number":{"major_number":1,"minor_number":3}}"#,
                all,
                "by its path",
            ),
            (r#"{"path":"/dev/null"}"#, r#"{"read":false}"#, "no access"),
        ] {
            let fault = wanted(&list(device, access)).expect_err("no list");
            assert!(fault.contains(words), "{fault}");
        }
        assert!(wanted("/dev/null").is_err());
    }

    #[test]
    fn a_device_that_is_not_there_and_a_file_that_is_none_are_faults() {
        for (path, words) in [
            ("/dev/nothing", "find the device"),
            ("/dev/fd", "no device"),
        ] {
            let text = list(&format!(r#"{{"path":"{path}"}}"#), r#"{"read":true}"#);
            let error = find(&wanted(&text).expect("a list")).expect_err("none");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
