//! Which system calls a container's program may make.

use alloc::format;

use model::sandbox::{Isolation, Seccomp, SeccompAction};

use super::{Area, Judged, Writer};

pub(super) fn of(seccomp: &Seccomp, writer: &mut Writer<'_>) {
    let Seccomp::Filter(filter) = seccomp else {
        let judged = Judged::open(10, "unconfined, as the container asked");
        writer.row(Area::Calls, "no seccomp profile", judged);
        return;
    };
    let outcome = writer.outcome(Isolation::Seccomp);
    let (profile, default) = (&filter.profile, filter.default);
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
    let what = format!("seccomp profile {profile}: {rules} rules, all other calls: {default}");
    writer.row(Area::Calls, what, judged);
}
