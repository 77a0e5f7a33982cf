//! Whom a container's program runs as, and what it may do beyond others.

use alloc::format;
use alloc::string::{String, ToString};

use model::sandbox::{Capabilities, Capability, Isolation, Namespace, Rlimit, Run};

use super::names::{capabilities, rlimit};
use super::namespaces::Seen;
use super::{Area, Judged, Writer};

/// The capabilities that `docker run` gives: common, and of little use against the node.
const COMMON: [u8; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

pub(super) fn of(seen: &Seen<'_>, run: &Run, sets: &Capabilities, writer: &mut Writer<'_>) {
    let outcome = writer.outcome(Isolation::Capabilities);
    let is_common = |all: &[Capability]| all.iter().all(|one| COMMON.contains(&one.0));
    let users = [seen.own, seen.joined].concat();
    let (what, judged) = match sets.bounding.as_slice() {
        [] => ("none, in no set".to_string(), outcome),
        _ if !users.contains(&Namespace::User) => {
            (words(sets), outcome.but(10, "they count on the node"))
        }
        all if is_common(all) => (
            words(sets),
            outcome.but(3, "the usual ones, of its own user namespace"),
        ),
        _ => (
            words(sets),
            outcome.but(7, "more than the usual ones, of its own user namespace"),
        ),
    };
    writer.row(Area::Capabilities, what, judged);
    let outcome = writer.outcome(Isolation::NoNewPrivileges);
    writer.row(Area::Privileges, "no_new_privs", outcome);
    let user = run.user();
    let what = format!("user {}:{} of the container", user.uid, user.gid);
    let judged = match user.uid {
        0 => Judged::open(5, "its root, which is nobody outside"),
        _ => Judged::enforced(),
    };
    writer.row(Area::User, what, judged);
    if let Run::Process(process) = run {
        for limit in &process.rlimits {
            writer.note(Area::Rlimits, limited(limit), Judged::enforced());
        }
    }
}

fn words(sets: &Capabilities) -> String {
    let effective = match sets.effective.is_empty() {
        true => "none in force".to_string(),
        false => format!("in force {}", capabilities(&sets.effective)),
    };
    match sets.bounding == sets.effective {
        true => effective,
        false => format!("{effective}, at most {}", capabilities(&sets.bounding)),
    }
}

fn limited(limit: &Rlimit) -> String {
    let value = |number: u64| match number {
        u64::MAX => "infinite".to_string(),
        number => number.to_string(),
    };
    format!(
        "{} {}, at most {}",
        rlimit(limit.resource),
        value(limit.soft),
        value(limit.hard)
    )
}
