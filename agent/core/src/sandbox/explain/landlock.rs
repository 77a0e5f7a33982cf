//! What landlock keeps a container's program from.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{FileRights, FileRule, Isolation, Landlock, Scope};

use super::{Area, Judged, Writer};

pub(super) fn of(landlock: Option<&Landlock>, writer: &mut Writer<'_>) {
    let Some(landlock) = landlock else {
        let judged = Judged::shared("it looks into the processes of its parent, which none could");
        writer.row(Area::Landlock, "no ruleset", judged);
        return;
    };
    let abi = writer.enforcement.landlock_abi;
    if landlock.files.is_empty() {
        let judged = Judged::open(10, "it has CAP_SYS_ADMIN, to make mounts with");
        writer.row(Area::Landlock, "no rules for files", judged);
    } else {
        let outcome = writer.outcome(Isolation::Landlock);
        let outcome = match abi {
            ..3 => outcome.but(3, "before ABI 3 files that can be read can be emptied"),
            3 | 4 => outcome.but(1, "before ABI 5 every driver can be spoken to"),
            _ => outcome,
        };
        let rules: Vec<_> = landlock.files.iter().map(rule).collect();
        let what = format!("ABI {abi}: {}", rules.join(", "));
        writer.row(Area::Landlock, what, outcome);
    }
    let scoped = [
        (landlock.sockets, "abstract sockets"),
        (landlock.signals, "signals"),
    ];
    let within = |scope| -> Vec<_> {
        let some = scoped.iter().filter(|(one, _)| *one == scope);
        some.map(|(_, what)| *what).collect()
    };
    let namespace = |what: &str| format!("{what} within the namespace");
    match within(Scope::Container).as_slice() {
        [] => {}
        own => {
            let outcome = writer.outcome(Isolation::Scopes);
            let what = own.join(" and ") + " within the container";
            writer.row(Area::Scopes, what, outcome);
        }
    }
    for what in within(Scope::Namespace) {
        writer.note(Area::Scopes, namespace(what), Judged::enforced());
    }
    if let Some(ports) = &landlock.ports {
        let outcome = writer.outcome(Isolation::TcpPorts);
        let what = match ports.len() {
            1 => "TCP: 1 port, by landlock".to_string(),
            count => format!("TCP: {count} ports, by landlock"),
        };
        writer.note(Area::Network, what, outcome);
    }
}

fn rule(rule: &FileRule) -> String {
    let rights = match rule.rights {
        FileRights::Read => "read",
        FileRights::Write => "write",
        FileRights::Devices => "devices",
        FileRights::Change => "change",
    };
    rule.place.to_string() + " " + rights
}
