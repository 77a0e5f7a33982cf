//! The root, what is mounted on it, and what is covered.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{
    Access, Content, DeviceRule, Isolation, Mount, MountsBeneath, Root, Scratch, View,
};

use super::names::bytes;
use super::{Area, Judged, State, Writer};

/// The directory of the node that every container sees, of which it can change nothing.
const SYS: &str = "/sys";
/// Small files that the agent writes for its containers.
const ETC: &str = "/etc/";

pub(super) fn of(root: &Root, mounts: &[Mount], writer: &mut Writer<'_>) {
    root_row(root, writer);
    volumes(mounts, writer);
    masks(root, mounts, writer);
}

fn root_row(root: &Root, writer: &mut Writer<'_>) {
    let outcome = writer.outcome(Isolation::Root);
    match root {
        Root::Directory { source, access } => match access {
            Access::ReadOnly => {
                writer.row(Area::Root, format!("{source}, read-only"), outcome);
            }
            Access::ReadWrite => writer.row(
                Area::Root,
                format!("{source}, writable"),
                outcome.but(10, "shared by all that have it"),
            ),
        },
        Root::Overlay(overlay) => {
            let count = overlay.layers.len();
            let what = match (&overlay.access, &overlay.scratch) {
                (Access::ReadOnly, _) => format!("an image of {count} layers, read-only"),
                (Access::ReadWrite, Scratch::Directory(_)) => {
                    format!("an image of {count} layers, changes gone with the container")
                }
                (Access::ReadWrite, Scratch::Memory { bytes_max }) => format!(
                    "an image of {count} layers, at most {} of changes in memory",
                    bytes(*bytes_max)
                ),
            };
            writer.row(Area::Root, what, outcome);
        }
        Root::Parent => {
            let judged = Judged::shared("that of the container it is nested in");
            writer.row(Area::Root, "root directory", judged);
        }
    }
}

/// How open a mount is, of ten; none where it is the container's own.
fn openness(mount: &Mount) -> Option<(String, u32)> {
    let by = |access: &Access, read: u32, write: u32| match access {
        Access::ReadOnly => ("read-only", read),
        Access::ReadWrite => ("writable", write),
    };
    let (what, (access, open)) = match &mount.content {
        Content::Bind { source, access, .. } => {
            let is_known = source == SYS || mount.target.starts_with(ETC);
            if is_known && *access == Access::ReadOnly {
                return None;
            }
            (format!("{source} of the node"), by(access, 4, 10))
        }
        Content::Host {
            source,
            access,
            beneath,
        } => {
            let beneath = match beneath {
                MountsBeneath::Hidden => "",
                MountsBeneath::Followed => " and what is mounted beneath it",
            };
            (
                format!("{source} of the node with its owners{beneath}"),
                by(access, 5, 10),
            )
        }
        Content::Beneath { access, path, .. } => (format!("{path} of a sandbox"), by(access, 0, 1)),
        Content::Volume { source, access, .. } => {
            (format!("persistent volume {source}"), by(access, 1, 2))
        }
        Content::Image(_) => ("an image".to_string(), ("its own", 0)),
        Content::File { .. } => ("a file in memory".to_string(), ("read-only", 0)),
        Content::OfParent => (
            "what its parent has there".to_string(),
            ("as its parent has it", 1),
        ),
        Content::Sandbox
        | Content::Tmpfs { .. }
        | Content::Devices(_)
        | Content::Terminals { .. }
        | Content::Sysfs
        | Content::Proc
        | Content::Queues
        | Content::Cgroup
        | Content::View(_)
        | Content::Mask
        | Content::ReadOnly => return None,
    };
    Some((format!("{}: {what}, {access}", mount.target), open))
}

fn volumes(mounts: &[Mount], writer: &mut Writer<'_>) {
    let all: Vec<_> = mounts.iter().filter_map(openness).collect();
    let worst = all.iter().map(|(_, open)| *open).max();
    let judged = match worst {
        None | Some(0) => Judged::enforced(),
        Some(open) => Judged::open(open, "the task asked for them"),
    };
    let what = match all.len() {
        0 => "no directory of the node or of others".to_string(),
        1 => "1 volume".to_string(),
        count => format!("{count} volumes"),
    };
    writer.row(Area::Volumes, what, judged);
    for (what, open) in all {
        let judged = match open {
            0 => Judged::enforced(),
            open => Judged::open(open, ""),
        };
        writer.note(Area::Volumes, what, judged);
    }
    for mount in mounts {
        if let Content::Tmpfs { bytes_max, .. } = &mount.content {
            let what = format!("{}: its own, at most {}", mount.target, bytes(*bytes_max));
            writer.note(Area::Volumes, what, Judged::enforced());
        }
    }
}

fn masks(root: &Root, mounts: &[Mount], writer: &mut Writer<'_>) {
    let targets = |wanted: &Content| {
        let all = mounts.iter().filter(|mount| mount.content == *wanted);
        let all: Vec<_> = all.map(|mount| mount.target.as_str()).collect();
        all.join(" ")
    };
    let has = |wanted: &Content| mounts.iter().any(|mount| mount.content == *wanted);
    if !has(&Content::Proc) && *root == Root::Parent {
        let judged = Judged::shared("as the container has it that it is nested in");
        writer.row(Area::Masks, "/proc and /sys", judged);
        return;
    }
    if !has(&Content::Mask) && !has(&Content::ReadOnly) {
        let judged = Judged::open(10, "the container is privileged");
        writer.row(Area::Masks, "nothing of /proc and /sys is covered", judged);
        return;
    }
    let hidden = targets(&Content::Mask);
    let outcome = writer.outcome(Isolation::Root);
    writer.row(Area::Masks, format!("hidden: {hidden}"), outcome);
    let fixed = targets(&Content::ReadOnly);
    let outcome = writer.outcome(Isolation::Root);
    writer.note(Area::Masks, format!("read-only: {fixed}"), outcome);
}

/// Whose memory and processors `/proc` tells of.
pub(super) fn view(root: &Root, mounts: &[Mount], view: Option<&View>, writer: &mut Writer<'_>) {
    let files = mounts.iter().filter_map(|mount| match mount.content {
        Content::View(file) => Some(file.path()),
        _ => None,
    });
    let files = files.collect::<Vec<_>>().join(" ");
    let has_proc = mounts.iter().any(|mount| mount.content == Content::Proc);
    if files.is_empty() {
        let judged = match (root, has_proc) {
            (Root::Parent, false) => Judged::shared("as the container has it that it is nested in"),
            _ => Judged::open(10, "this agent gives none (--proc_view)"),
        };
        writer.row(Area::View, "memory and processors in /proc", judged);
        return;
    }
    let outcome = writer.outcome(Isolation::ProcView);
    match (view, outcome.state) {
        (None, State::Enforced) => {
            let judged = Judged::shared("those of the container it is nested in");
            writer.row(Area::View, format!("limits in {files}"), judged);
        }
        _ => writer.row(Area::View, format!("its own limits in {files}"), outcome),
    }
}

/// Which device files may be used, and which there are.
pub(super) fn devices(mounts: &[Mount], rules: &[DeviceRule], writer: &mut Writer<'_>) {
    let allowed: Vec<_> = rules.iter().map(ToString::to_string).collect();
    let what = format!("none but {}", allowed.join(", "));
    let outcome = writer.outcome(Isolation::Devices);
    writer.row(Area::Devices, what, outcome);
    for mount in mounts {
        if let Content::Devices(devices) = &mount.content {
            let mut what = format!("{} holds", mount.target);
            for node in &devices.nodes {
                what = format!("{what} {}", node.name);
            }
            if devices.nodes.is_empty() {
                what.push_str(" none");
            }
            let outcome = writer.outcome(Isolation::Root);
            writer.note(Area::Devices, what, outcome);
        }
    }
}
