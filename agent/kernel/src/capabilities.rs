//! Capabilities: what is left in each set, and that nothing can be gained.
//!
//! The order matters: the bounding set shrinks while `CAP_SETPCAP` is there, the user changes next,
//! the other sets last.

use caps::{CapSet, CapsHashSet};
use model::sandbox::{Capabilities, Capability, User};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// A step that went wrong, with its name.
pub(crate) type Failed = (&'static str, Errno);

/// Becomes the user, with these capabilities and no way to more.
pub(crate) fn become_user(user: &User, sets: &Capabilities) -> Result<(), Failed> {
    let known = |set: &[Capability]| -> CapsHashSet {
        let all = caps::all().into_iter();
        all.filter(|known| set.contains(&Capability(known.index())))
            .collect()
    };
    let kept = known(&sets.effective);
    shrink_bounding(&known(&sets.bounding))
        .map_err(|errno| ("capabilities: bounding set", errno))?;
    prctl::set_no_new_privs().map_err(|errno| ("no_new_privs", errno))?;
    // Without this a change from 0 to another user empties the permitted set.
    prctl::set_keepcaps(true).map_err(|errno| ("capabilities: keep", errno))?;
    switch(user)?;
    // Effective before permitted, of which it is a part.
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::set(None, set, &kept).map_err(|_| ("capabilities: sets", Errno::last()))?;
    }
    caps::clear(None, CapSet::Ambient).map_err(|_| ("capabilities: ambient", Errno::last()))?;
    for capability in kept {
        caps::raise(None, CapSet::Ambient, capability)
            .map_err(|_| ("capabilities: ambient", Errno::last()))?;
    }
    Ok(())
}

fn switch(user: &User) -> Result<(), Failed> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(|errno| ("setgroups", errno))?;
    let gid = Gid::from_raw(user.gid);
    setresgid(gid, gid, gid).map_err(|errno| ("setresgid", errno))?;
    let uid = Uid::from_raw(user.uid);
    setresuid(uid, uid, uid).map_err(|errno| ("setresuid", errno))
}

/// By number and not by name: a kernel may know more capabilities than the crate.
fn shrink_bounding(kept: &CapsHashSet) -> Result<(), Errno> {
    for number in 0..64_u8 {
        if kept.iter().any(|capability| capability.index() == number) {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        let rc =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        match Errno::result(rc) {
            // The kernel knows no capability of this number, nor of any above it.
            Err(Errno::EINVAL) => return Ok(()),
            result => drop(result?),
        }
    }
    Ok(())
}
