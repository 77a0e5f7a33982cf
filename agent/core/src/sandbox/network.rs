//! Network: whose a container's is.

use model::sandbox::{Capabilities, Capability, Namespace, Network};

use super::Wishes;

/// What gives rights over a network, by the kernel's numbers: `NET_BROADCAST`, `NET_ADMIN`, `NET_RAW`
/// and `SYS_ADMIN`.
const RIGHTS: [Capability; 4] = [
    Capability(11),
    Capability(12),
    Capability(13),
    Capability(21),
];

/// Whose network it is. One that was made ahead costs a launch the least, and no capability counts in
/// it; whoever asks for one that would gets a network of its own.
pub(super) fn of(own: &[Namespace], wishes: &Wishes, kept: &Capabilities) -> Network {
    if !own.contains(&Namespace::Network) {
        return Network::Shared;
    }
    let asks = wishes.privileged || wishes.effective.is_some() || wishes.bounding.is_some();
    let has_rights = kept.bounding.iter().any(|one| RIGHTS.contains(one));
    match asks && has_rights {
        true => Network::Own,
        false => Network::Ready { endpoint: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_network_is_made_ahead_unless_rights_over_it_are_asked_for() {
        let own = [Namespace::Pid, Namespace::Network];
        let kept = |number| Capabilities {
            effective: vec![],
            bounding: vec![Capability(number)],
        };
        let usual = Wishes::default();
        let asking = Wishes {
            effective: Some(vec![]),
            ..Wishes::default()
        };
        let privileged = Wishes {
            privileged: true,
            ..Wishes::default()
        };
        for (own, wishes, number, expected) in [
            (&own[..1], &asking, 12, Network::Shared),
            (&own[..], &usual, 12, Network::Ready { endpoint: None }),
            (&own[..], &asking, 10, Network::Ready { endpoint: None }),
            (&own[..], &asking, 12, Network::Own),
            (&own[..], &asking, 13, Network::Own),
            (&own[..], &privileged, 21, Network::Own),
        ] {
            assert_eq!(
                of(own, wishes, &kept(number)),
                expected,
                "{number} {wishes:?}"
            );
        }
    }
}
