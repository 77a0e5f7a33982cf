//! Which system calls a container's program may make, and by what one of them was stopped.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::sandbox::{Isolation, Refusal, Seccomp, SeccompAction};

use super::{Area, Judged, Writer};

pub(super) fn of(seccomp: &Seccomp, writer: &mut Writer<'_>) {
    let Seccomp::Filter(filter) = seccomp else {
        let judged = Judged::open(10, "unconfined, as the container asked");
        writer.row(Area::Calls, "no seccomp profile", judged);
        return;
    };
    let outcome = writer.outcome(Isolation::Seccomp);
    let profile = &filter.profile;
    let within = filter.within.as_ref();
    let default = within.map_or(filter.default, |within| filter.default.or(within.default));
    let judged = match default {
        SeccompAction::Allow | SeccompAction::Log => {
            outcome.but(6, "what no rule speaks of is allowed")
        }
        SeccompAction::Trace(_)
        | SeccompAction::Errno(_)
        | SeccompAction::Trap
        | SeccompAction::KillThread
        | SeccompAction::KillProcess => outcome,
    };
    let rules = filter.rules.len();
    let within = within.map_or(String::new(), |within| {
        let rules = within.rules.len();
        format!(", within {}: {rules} rules", within.profile)
    });
    let what =
        format!("seccomp profile {profile}: {rules} rules{within}, all other calls: {default}");
    writer.row(Area::Calls, what, judged);
}

/// ENOSYS.
const MISSING: SeccompAction = SeccompAction::Errno(38);

/// A call that was stopped, what became of it, and by which rule. Where its arguments decide, which nobody
/// tells, each rule stands there that can have stopped it.
#[must_use]
pub fn stopped(seccomp: &Seccomp, call: &str) -> String {
    let mut ways: Vec<_> = refusals(seccomp, call).iter().map(way).collect();
    // Rules for one argument after the other say the same.
    ways.dedup();
    match ways.is_empty() {
        false => format!("{call}: {}", ways.join(", or ")),
        // Programs may have filters of their own, whose refusals can be told, too.
        true => format!("{call}: by no rule of the container's profile"),
    }
}

/// Whether a call that was stopped was called missing, as on an older kernel: programs try it first, and do
/// without.
#[must_use]
pub fn is_missing(seccomp: &Seccomp, call: &str) -> bool {
    let refusals = refusals(seccomp, call);
    !refusals.is_empty() && refusals.iter().all(|one| one.action == MISSING)
}

fn refusals<'a>(seccomp: &'a Seccomp, call: &str) -> Vec<Refusal<'a>> {
    match seccomp {
        Seccomp::Filter(filter) => filter.refusals(call),
        Seccomp::Unconfined => Vec::new(),
    }
}

fn way(refusal: &Refusal<'_>) -> String {
    let Refusal {
        profile,
        rule,
        action,
    } = refusal;
    let why = match rule {
        None => "as all that no rule allows".to_string(),
        Some(rule) if rule.why.is_empty() => "by a rule for it".to_string(),
        Some(rule) => format!("by the rule \"{}\"", rule.why),
    };
    format!("{action} {why} (profile {profile})")
}
