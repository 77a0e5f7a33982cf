//! Which system calls a container's program may make.

use alloc::format;
use alloc::string::String;

use model::sandbox::{Isolation, Seccomp, SeccompAction};

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
