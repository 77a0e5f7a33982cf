//! Isolation: what containers are allowed that is not theirs by themselves.

use agent_core::sandbox::{Cfs, Policy, Profile};
use api::v1;
use model::sandbox::{Capability, Shares};

use super::settings::Why;
use crate::wire::container_info;

/// What the operator says of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// What they may ask for.
    pub policy: Policy,
    /// Whether the share of the processor is a limit as well.
    pub cfs: Cfs,
    /// The seccomp profile of a container that asks for none.
    pub seccomp: Profile,
    /// How many processors a container with a share sees in its view of `/proc`; `None` for no view.
    pub view: Option<Shares>,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            cfs: Cfs::Off,
            seccomp: Profile::built_in(),
            view: Some(Shares::Node),
        }
    }
}

/// A `CapabilityInfo`, as in Mesos.
pub(super) fn capabilities(text: &str) -> Result<Vec<Capability>, Why> {
    let info: v1::CapabilityInfo =
        api::json::from_json(text.as_bytes()).map_err(|error| format!(": {error}"))?;
    container_info::capabilities(&info).map_err(|fault| format!(": {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_named_as_in_mesos() {
        let text = r#"{"capabilities":["NET_RAW","CHOWN"]}"#;
        assert_eq!(capabilities(text), Ok(vec![Capability(13), Capability(0)]));
        for text in ["", "NET_RAW", r#"{"capabilities":7}"#] {
            assert!(capabilities(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_built_in_profile_has_decided_every_call_of_this_architecture() {
        let profile = Profile::built_in();
        let decided = |call: &str| {
            let mut rules = profile.entries.iter().map(|entry| &entry.rule);
            rules.any(|rule| rule.calls.iter().any(|name| name == call))
        };
        let forgotten: Vec<_> = agent_kernel::seccomp::names()
            .filter(|call| !decided(call))
            .collect();
        assert_eq!(forgotten, Vec::<&str>::new());
        let all: Vec<_> = (0..=40).map(Capability).collect();
        for capabilities in [&[][..], &all] {
            let program = agent_kernel::seccomp::compile(&profile.filter(capabilities));
            let length = program.expect("a program").length();
            assert!(length < 600, "{length} instructions");
        }
    }
}
