//! Flags about what frameworks may do and what is kept of them.

use std::collections::BTreeSet;
use std::str::FromStr;

use master_core::RemovalRate;
use master_core::allocator::{Sorter, Sorters};
use master_core::constraints::PatternLimits;
use model::resources::{Quantities, Role, Scalar};

use super::{BOOL, Flag, present};

/// What frameworks may do, and what is kept of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulingFlags {
    /// The roles that frameworks may have beside `*`; without it, any.
    pub roles: Option<BTreeSet<Role>>,
    /// Whether frameworks may have the user `root`.
    pub root_submissions: bool,
    /// Whose turn it is.
    pub sorters: Sorters,
    /// Any one of these is enough for an offer.
    pub min_allocatable: Vec<Quantities>,
    /// Whether agents with GPUs are for frameworks that ask for them.
    pub filter_gpu_resources: bool,
    /// Whether agents without a domain are refused.
    pub require_agent_domain: bool,
    /// How fast agents that do not answer are given up; without it, at once.
    pub agent_removal_rate: Option<RemovalRate>,
    /// How many frameworks that are over are kept.
    pub max_completed_frameworks: usize,
    /// How many ended tasks of a framework are kept.
    pub max_completed_tasks: usize,
    /// How many unreachable tasks of a framework are kept.
    pub max_unreachable_tasks: usize,
    /// How large the patterns of offer constraints may be.
    pub pattern_limits: PatternLimits,
}

impl Default for SchedulingFlags {
    fn default() -> Self {
        let least = |name: &str, amount| Quantities::from_iter([(name.into(), amount)]);
        Self {
            roles: None,
            root_submissions: true,
            sorters: Sorters::default(),
            min_allocatable: vec![least("cpus", Scalar(10)), least("mem", Scalar::whole(32))],
            filter_gpu_resources: true,
            require_agent_domain: false,
            agent_removal_rate: None,
            max_completed_frameworks: 50,
            max_completed_tasks: 1000,
            max_unreachable_tasks: 1000,
            pattern_limits: PatternLimits::default(),
        }
    }
}

/// The sorter of a name.
fn sorter(text: &str) -> Result<Sorter, String> {
    let found = Sorter::ALL.iter().find(|(name, _)| *name == text);
    let names = || Sorter::ALL.map(|(name, _)| name).join(", ");
    let sorter = found.map(|(_, sorter)| *sorter);
    sorter.ok_or_else(|| format!("expected one of {}", names()))
}

/// The name of a sorter.
fn sorter_name(sorter: Sorter) -> Option<String> {
    let found = Sorter::ALL.iter().find(|(_, other)| *other == sorter);
    found.map(|(name, _)| (*name).to_owned())
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        name: "role_sorter",
        value: "NAME",
        help: "whose turn it is among roles: drf, random or priority, by their weights (drf)",
        set: |config, text| {
            config.scheduling.sorters.roles = sorter(text)?;
            Ok(())
        },
        get: |config| sorter_name(config.scheduling.sorters.roles),
    },
    Flag {
        name: "framework_sorter",
        value: "NAME",
        help: "whose turn it is among the frameworks of a role: drf or random (drf)",
        set: |config, text| {
            let sorter = sorter(text)?;
            if sorter == Sorter::Priority {
                return Err(
                    "frameworks have no weights: give their roles some, and --role_sorter".into(),
                );
            }
            config.scheduling.sorters.frameworks = sorter;
            Ok(())
        },
        get: |config| sorter_name(config.scheduling.sorters.frameworks),
    },
    Flag {
        name: "roles",
        value: "ROLES",
        help: "the roles that frameworks may have beside *, as in web,batch (any)",
        set: |config, text| {
            let roles = present(text)?.split(',').map(Role::new);
            let roles = roles.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
            config.scheduling.roles = Some(roles);
            Ok(())
        },
        get: |config| {
            let roles = config.scheduling.roles.as_ref()?;
            Some(roles.iter().map(Role::as_str).collect::<Vec<_>>().join(","))
        },
    },
    Flag {
        name: "root_submissions",
        value: BOOL,
        help: "frameworks may run as root (true)",
        set: |config, text| number(text, &mut config.scheduling.root_submissions),
        get: |config| Some(config.scheduling.root_submissions.to_string()),
    },
    Flag {
        name: "min_allocatable_resources",
        value: "AMOUNTS",
        help: "an offer holds at least one of these (cpus:0.01|mem:32)",
        set: |config, text| {
            let one = |text| model::resources::parse(text).map(|one| one.quantities());
            let all = text.split('|').filter(|text| !text.trim().is_empty());
            let all = all.map(one).collect::<Result<_, _>>();
            config.scheduling.min_allocatable = all.map_err(|error| error.to_string())?;
            Ok(())
        },
        get: |config| {
            let all = config.scheduling.min_allocatable.iter();
            let all: Vec<_> = all.map(|one| one.to_string().replace("; ", ";")).collect();
            Some(all.join("|"))
        },
    },
    Flag {
        name: "filter_gpu_resources",
        value: BOOL,
        help: "agents with GPUs are for frameworks that can use them (true)",
        set: |config, text| number(text, &mut config.scheduling.filter_gpu_resources),
        get: |config| Some(config.scheduling.filter_gpu_resources.to_string()),
    },
    Flag {
        name: "require_agent_domain",
        value: BOOL,
        help: "only agents that have a domain are let in (false)",
        set: |config, text| number(text, &mut config.scheduling.require_agent_domain),
        get: |config| Some(config.scheduling.require_agent_domain.to_string()),
    },
    Flag {
        name: "agent_removal_rate_limit",
        value: "AGENTS/DURATION",
        help: "how fast agents that do not answer are given up, as in 1/10mins (at once)",
        set: |config, text| {
            config.scheduling.agent_removal_rate = Some(removal_rate(text)?);
            Ok(())
        },
        get: |config| {
            let rate = config.scheduling.agent_removal_rate?;
            let per = model::duration::format(rate.per);
            Some(format!("{}/{per}", rate.agents))
        },
    },
    Flag {
        name: "max_completed_frameworks",
        value: "NUMBER",
        help: "frameworks that are over and still shown (50)",
        set: |config, text| number(text, &mut config.scheduling.max_completed_frameworks),
        get: |config| Some(config.scheduling.max_completed_frameworks.to_string()),
    },
    Flag {
        name: "max_completed_tasks_per_framework",
        value: "NUMBER",
        help: "ended tasks of a framework that are still shown (1000)",
        set: |config, text| number(text, &mut config.scheduling.max_completed_tasks),
        get: |config| Some(config.scheduling.max_completed_tasks.to_string()),
    },
    Flag {
        name: "max_unreachable_tasks_per_framework",
        value: "NUMBER",
        help: "tasks of a framework on agents that were given up, kept in mind (1000)",
        set: |config, text| number(text, &mut config.scheduling.max_unreachable_tasks),
        get: |config| Some(config.scheduling.max_unreachable_tasks.to_string()),
    },
    Flag {
        name: "offer_constraints_re2_max_mem",
        value: "SIZE",
        help: "memory of one pattern of offer constraints (4KB)",
        set: |config, text| {
            config.scheduling.pattern_limits.bytes_max =
                model::bytes::parse(text).map_err(|error| error.to_string())?;
            Ok(())
        },
        get: |config| {
            Some(model::bytes::format(
                config.scheduling.pattern_limits.bytes_max,
            ))
        },
    },
    Flag {
        name: "offer_constraints_re2_max_program_size",
        value: "NUMBER",
        help: "instructions of one pattern of offer constraints (100)",
        set: |config, text| {
            let limits = &mut config.scheduling.pattern_limits;
            number(text, &mut limits.instructions_max)
        },
        get: |config| {
            let limits = config.scheduling.pattern_limits;
            Some(limits.instructions_max.to_string())
        },
    },
];

fn number<T: FromStr>(text: &str, into: &mut T) -> Result<(), String> {
    *into = text
        .parse()
        .map_err(|_| format!("{text:?} is not of this kind"))?;
    Ok(())
}

fn removal_rate(text: &str) -> Result<RemovalRate, String> {
    let (agents, per) = text
        .split_once('/')
        .ok_or("expected a number and a duration, as in 1/10mins")?;
    let mut count = 0;
    number(agents, &mut count)?;
    let per = model::duration::parse(per).map_err(|error| error.to_string())?;
    match count {
        0 => Err("at least one agent must have its turn".into()),
        agents => Ok(RemovalRate { agents, per }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Config;

    #[test]
    fn a_flag_is_shown_as_it_can_be_given() {
        for (name, text) in [
            ("roles", "batch,web"),
            ("root_submissions", "false"),
            ("role_sorter", "priority"),
            ("framework_sorter", "random"),
            ("min_allocatable_resources", "cpus:0.01|mem:32"),
            ("min_allocatable_resources", "cpus:1;mem:64"),
            ("min_allocatable_resources", ""),
            ("require_agent_domain", "true"),
            ("agent_removal_rate_limit", "3/10mins"),
            ("max_completed_frameworks", "7"),
            ("offer_constraints_re2_max_mem", "4KB"),
            ("offer_constraints_re2_max_mem", "4097B"),
            ("offer_constraints_re2_max_program_size", "50"),
        ] {
            let mut config = Config::default();
            let flag = FLAGS.iter().find(|flag| flag.name == name);
            let shown = flag.map(|flag| {
                assert_eq!((flag.set)(&mut config, text), Ok(()), "{name}={text}");
                (flag.get)(&config)
            });
            assert_eq!(shown.flatten().as_deref(), Some(text), "{name}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (name, text) in [
            ("roles", ""),
            ("roles", "a b"),
            ("root_submissions", "perhaps"),
            ("role_sorter", "fair"),
            ("framework_sorter", "priority"),
            ("min_allocatable_resources", "cpus"),
            ("agent_removal_rate_limit", "10mins"),
            ("agent_removal_rate_limit", "0/10mins"),
            ("max_completed_tasks_per_framework", "-1"),
            ("offer_constraints_re2_max_mem", "4"),
            ("offer_constraints_re2_max_mem", "99999999999GB"),
        ] {
            let flag = FLAGS.iter().find(|flag| flag.name == name);
            let set = flag.map(|flag| (flag.set)(&mut Config::default(), text));
            assert!(matches!(set, Some(Err(_))), "{name}={text}: {set:?}");
        }
    }
}
