//! The document that tells an OCI runtime what a plan tells the agent.

use std::path::Path;

use model::sandbox::{Access, Content, LaunchPlan, Mount, Namespace};
use serde_json::{Value, json};

use crate::rivals::arguments;

/// `config.json` of a bundle.
pub(crate) fn document(root: &Path, sandbox: &Path, plan: &LaunchPlan) -> Value {
    let covered = |wanted: &Content| -> Vec<&str> {
        let all = plan.mounts.iter().filter(|mount| mount.content == *wanted);
        all.map(|mount| mount.target.as_str()).collect()
    };
    let ids = json!([{
        "containerID": 0,
        "hostID": plan.ids.first,
        "size": plan.ids.length,
    }]);
    let mounts = plan
        .mounts
        .iter()
        .filter_map(|mount| self::mount(mount, sandbox));
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": root, "readonly": true },
        "hostname": plan.hostname,
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": arguments(plan),
            "env": ["PATH=/bin"],
            "cwd": "/mnt/mesos/sandbox",
            "capabilities": {},
            "noNewPrivileges": true,
        },
        "mounts": mounts.collect::<Vec<_>>(),
        "linux": {
            "namespaces": namespaces(plan),
            "uidMappings": ids,
            "gidMappings": ids,
            "cgroupsPath": format!("/oci-{}", plan.container),
            "resources": resources(plan),
            "maskedPaths": covered(&Content::Mask),
            "readonlyPaths": covered(&Content::ReadOnly),
        },
    })
}

fn namespaces(plan: &LaunchPlan) -> Vec<Value> {
    let name = |kind: &Namespace| match kind {
        Namespace::Mount => "mount",
        Namespace::Network => "network",
        other => other.name(),
    };
    // Debian's runc knows no time namespaces: the agent alone has that one to make.
    let all = plan.namespaces.iter();
    let all = all.filter(|kind| **kind != Namespace::Time);
    all.map(|kind| json!({ "type": name(kind) })).collect()
}

fn resources(plan: &LaunchPlan) -> Value {
    // Without a controller of version 2 a runtime would refuse a limit, or look for one of version 1.
    let has_limits = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let Some(limits) = plan.cgroup.limits.filter(|_| has_limits) else {
        return json!({});
    };
    // As the runtimes turn shares into weights: 1 + (shares - 2) * 9999 / 262142.
    let shares = 2 + (limits.cpu_weight.max(1) - 1) * 262_142 / 9_999;
    json!({
        "cpu": { "shares": shares },
        "memory": { "limit": limits.memory_bytes_max, "swap": limits.memory_bytes_max },
        "pids": { "limit": limits.pids_max },
    })
}

fn mount(mount: &Mount, sandbox: &Path) -> Option<Value> {
    let target = mount.target.as_str();
    Some(match &mount.content {
        Content::Proc => entry(target, "proc", "proc", &["nosuid", "noexec", "nodev"]),
        Content::Devices(_) => entry(
            target,
            "tmpfs",
            "tmpfs",
            &["nosuid", "mode=755", "size=65536k"],
        ),
        Content::Terminals { .. } => entry(
            target,
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        Content::Tmpfs { bytes_max, .. } => entry(
            target,
            "tmpfs",
            "tmpfs",
            &["nosuid", "nodev", "mode=1777", &format!("size={bytes_max}")],
        ),
        Content::Bind { source, access, .. } if Path::new(source).exists() => {
            let access = match access {
                Access::ReadOnly => "ro",
                Access::ReadWrite => "rw",
            };
            entry(
                target,
                "none",
                source,
                &["rbind", access, "nosuid", "nodev"],
            )
        }
        Content::Sysfs => entry(target, "none", "/sys", &["rbind", "ro", "nosuid", "nodev"]),
        Content::Cgroup => entry(
            target,
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
        Content::Sandbox => entry(
            target,
            "none",
            &sandbox.to_string_lossy(),
            &["rbind", "rw", "nosuid", "nodev"],
        ),
        _ => return None,
    })
}

fn entry(target: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}
