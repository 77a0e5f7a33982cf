//! Isolation: what containers are allowed that is not theirs by themselves.

use agent_core::sandbox::{Cfs, Policy, Protection, Rules, Swap, Throttling};
use api::v1;
use model::sandbox::{Capability, Shares};

use super::fetching;
use super::settings::{Setting, Why};
use super::values::{
    ABSOLUTE, CAPABILITIES, DEVICES, MINIMUM, SIZE, absolute, boolean, plain, put, some_text,
};
use crate::devices;
use crate::processors;
use crate::seccomp;
use crate::wire::container_info;

/// What the operator says of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// What they may ask for.
    pub policy: Policy,
    /// Their limits; the disk of `io` is for the node to find.
    pub rules: Rules,
    /// Whether they have processors of their own.
    pub cpus: processors::Policy,
    /// The seccomp profiles.
    pub seccomp: seccomp::Settings,
    /// Whether the kernel is to tell what seccomp refuses; a node has it told where nobody says.
    pub tells_refusals: Option<bool>,
    /// How many processors a container with a share sees in its view of `/proc`; `None` for no view.
    pub view: Option<Shares>,
    /// The devices of the node that every container has; they become part of the policy once they are
    /// found.
    pub devices: Vec<devices::Wanted>,
    /// Whether TASK_RUNNING tells what is missing of a container's isolation.
    pub is_told: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            rules: Rules::default(),
            cpus: processors::Policy::default(),
            seccomp: seccomp::Settings::default(),
            tells_refusals: None,
            view: Some(Shares::Node),
            devices: Vec::new(),
            is_told: false,
        }
    }
}

/// In the order of `--help`.
pub(super) static ISOLATION: &[Setting] = &[
    Setting {
        name: "allowed_host_paths",
        value: "DIR,…",
        allowed: "absolute paths with commas between them",
        help: "the directories of this host that volumes may show, with all in them (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let folders = fetching::folders(text)?;
            let paths = folders
                .iter()
                .map(|path| path.to_string_lossy().into_owned());
            draft.isolation.policy.host_paths = paths.collect();
            Ok(())
        },
    },
    Setting {
        name: "enforce_container_ports",
        value: "BOOL",
        allowed: "true or false",
        help: "keep containers in the node's network from binding ports that are not among their resources;\n      port 0 stays free (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.policy.enforce_ports = boolean(text)?;
            Ok(())
        },
    },
    Setting {
        name: "allowed_devices",
        value: "JSON",
        allowed: DEVICES,
        help: "devices of this host that every container has and may use beyond the usual (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.devices =
                devices::wanted(text).map_err(|fault| format!(": {fault}"))?;
            Ok(())
        },
    },
    Setting {
        name: "allow_privileged",
        value: "BOOL",
        allowed: "true or false",
        help: "let containers of type DOCKER be privileged: all capabilities over what is their own (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.policy.privileged = boolean(text)?;
            Ok(())
        },
    },
    Setting {
        name: "label_degraded_isolation",
        value: "BOOL",
        allowed: "true or false",
        help: "tell in a label of TASK_RUNNING, tepui.degraded, what this host does not give of a task's\n      isolation; Mesos has no such label (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.is_told = boolean(text)?;
            Ok(())
        },
    },
    Setting {
        name: "proc_view",
        value: "CPUS",
        allowed: "node, share or none",
        help: "a container sees its own limits in /proc/meminfo, cpuinfo, stat and the like (needs FUSE). CPUS\n      is how many processors it sees there with a share of them and no limit: those of the node, or\n      its share, rounded up; none: it sees what the node has (default: node)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.view = match text {
                "node" => Some(Shares::Node),
                "share" => Some(Shares::Share),
                "none" => None,
                _ => return Err(Why::new()),
            };
            Ok(())
        },
    },
    Setting {
        name: "effective_capabilities",
        value: "JSON",
        allowed: CAPABILITIES,
        help: "what a container has that asks for no capabilities (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.policy.effective = capabilities(text)?;
            Ok(())
        },
    },
    Setting {
        name: "bounding_capabilities",
        value: "JSON",
        allowed: CAPABILITIES,
        help: "what containers may ask for; what is theirs is never the host's (default: all)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.policy.bounding = Some(capabilities(text)?);
            Ok(())
        },
    },
    Setting {
        name: "seccomp_config_dir",
        value: "DIR",
        allowed: ABSOLUTE,
        help: "where seccomp profiles in Docker's format are, which containers may name (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.isolation.seccomp.directory, absolute(text)),
    },
    Setting {
        name: "seccomp_profile_name",
        value: "NAME",
        allowed: "the name of a file in the directory of --seccomp_config_dir",
        help: "the seccomp profile of a container that names none (default: a built-in allow-list)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.isolation.seccomp.usual, some_text(text)),
    },
    Setting {
        name: "allow_seccomp_unconfined",
        value: "BOOL",
        allowed: "true or false",
        help: "let containers be without a seccomp filter where they ask for that, or have the profile that they\n      bring as a document alone; else such a one only takes away from the profile of\n      --seccomp_profile_name, within which it counts (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.policy.seccomp_unconfined = boolean(text)?;
            Ok(())
        },
    },
    Setting {
        name: "tell_seccomp_refusals",
        value: "BOOL",
        allowed: "true or false",
        help: "have the kernel tell which system calls seccomp refuses, for /explain and the message of a task\n      that failed (needs BTF). On a node their audit records are not made meanwhile; on another host its\n      own audit gets one for each (default: true on a node, false elsewhere)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.tells_refusals = Some(boolean(text)?);
            Ok(())
        },
    },
    Setting {
        name: "isolation_minimum",
        value: "NAME,…",
        allowed: MINIMUM,
        help: "what every container must have: a launch that this kernel gives less is refused\n      (default: nothing; what is missing is told). As in linux/seccomp,linux/landlock,cgroups/mem",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.policy.required = minimum(text)?;
            Ok(())
        },
    },
    Setting {
        name: "default_container_shm_size",
        value: "SIZE",
        allowed: "a size, as in 64MB",
        help: "the size of a container's /dev/shm where it does not say (default: 64MB)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.policy.shm_bytes = Some(fetching::size(text)?);
            Ok(())
        },
    },
    Setting {
        name: "cgroups_enable_cfs",
        value: "BOOL",
        allowed: "true or false",
        help: "make the cpus of a container a limit, and not only its share (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.rules.cfs = match boolean(text)? {
                true => Cfs::On,
                false => Cfs::Off,
            };
            Ok(())
        },
    },
    Setting {
        name: "container_cpuset",
        value: "POLICY",
        allowed: "none or whole",
        help: "whole: a task that asks for whole processors, and for no limit beyond them, has them alone, as\n      far as one is left for the others, who run on the rest (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.cpus = match text {
                "none" => processors::Policy::None,
                "whole" => processors::Policy::Whole,
                _ => return Err(Why::new()),
            };
            Ok(())
        },
    },
    Setting {
        name: "cgroups_limit_swap",
        value: "BOOL",
        allowed: "true or false",
        help: "keep containers' memory out of the swap, so that their limits are what they say (default: true)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.rules.swap = match boolean(text)? {
                true => Swap::Off,
                false => Swap::On,
            };
            Ok(())
        },
    },
    Setting {
        name: "container_memory_protection",
        value: "HOW",
        allowed: "low or min",
        help: "how the memory that a container asked for is kept for it. low: it is taken when nothing else is\n      left (memory.low); min: it is never taken, and others are killed first (memory.min) (default: low)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.isolation.rules.protection = match text {
                "low" => Protection::Low,
                "min" => Protection::Min,
                _ => return Err(Why::new()),
            };
            Ok(())
        },
    },
    Setting {
        name: "container_memory_throttling",
        value: "PERCENT",
        allowed: "a number from 1 to 100",
        help: "take memory back from a container, and hold it up, this far on the way from the memory that it\n      asked for to a limit that stands apart (memory.high). Without swap only what is of files can be\n      taken back: a task whose own memory grows past it crawls, and is not killed (default: never)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let percent = Throttling::percent(plain(text)?).ok_or_else(Why::new)?;
            draft.isolation.rules.throttling = Some(percent);
            Ok(())
        },
    },
    Setting {
        name: "container_io_read_rate",
        value: "SIZE",
        allowed: SIZE,
        help: "what each container may read in a second from the disk of the work directory (default: all)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let io = draft.isolation.rules.io.get_or_insert_default();
            io.read_bytes_s = Some(fetching::size(text)?);
            Ok(())
        },
    },
    Setting {
        name: "container_io_write_rate",
        value: "SIZE",
        allowed: SIZE,
        help: "what each container may write in a second to the disk of the work directory (default: all)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let io = draft.isolation.rules.io.get_or_insert_default();
            io.write_bytes_s = Some(fetching::size(text)?);
            Ok(())
        },
    },
];

/// What every container must have, by the names of Mesos' isolators.
fn minimum(text: &str) -> Result<Vec<model::sandbox::Isolation>, Why> {
    let one = |name: &str| {
        model::sandbox::Isolation::from_name(name)
            .ok_or_else(|| format!("; {name:?} is none of them"))
    };
    text.split(',').map(one).collect()
}

/// A `CapabilityInfo`, as in Mesos.
fn capabilities(text: &str) -> Result<Vec<Capability>, Why> {
    let info: v1::CapabilityInfo =
        api::json::from_json(text.as_bytes()).map_err(|error| format!(": {error}"))?;
    container_info::capabilities(&info).map_err(|fault| format!(": {fault}"))
}

#[cfg(test)]
mod tests {
    use agent_core::sandbox::Profile;

    use super::*;

    #[test]
    fn a_minimum_names_isolators() {
        use model::sandbox::Isolation::{Landlock, Memory, Namespace, Seccomp};
        let pid = Namespace(model::sandbox::Namespace::Pid);
        let text = "linux/seccomp,linux/landlock,cgroups/mem,namespaces/pid";
        assert_eq!(minimum(text), Ok(vec![Seccomp, Landlock, Memory, pid]));
        for text in ["", "seccomp", "linux/seccomp,"] {
            assert!(minimum(text).is_err(), "{text}");
        }
    }

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
