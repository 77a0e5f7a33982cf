//! Oversubscription: what is given out twice, and when it is taken back.

use std::time::Duration;

use agent_core::oversubscription::estimator::Margin;
use agent_core::oversubscription::qos::{Limits, Scarce};
use agent_core::oversubscription::{EstimateBy, Lends, Settings};
use agent_core::sandbox::RevocableCpu;
use model::Resources;
use model::resources::{Resource, parse};

use super::settings::{Setting, Why};
use super::values::{DURATION, boolean, duration, plain, put};
use crate::processors;

/// The part of each allocation that `usage` leaves alone, in percent.
const MARGIN: Margin = Margin(10);
/// What others may wait under `pressure`, in percent of the last 10 s: memory is waited for when it is
/// nearly too late, processors are now and then.
const LIMITS: [(Scarce, u32); 3] = [(Scarce::Cpu, 50), (Scarce::Memory, 10), (Scarce::Io, 50)];

/// The settings as far as they were given.
#[derive(Default)]
pub(super) struct Draft {
    estimate: Option<EstimateBy>,
    interval: Option<Duration>,
    limits: Option<Option<Limits>>,
    correction_interval_min: Option<Duration>,
}

impl Draft {
    /// Fills in what was not given.
    pub(super) fn finish(self, cpus: processors::Policy) -> Settings {
        let usual = Settings::default();
        Settings {
            estimate: self.estimate.unwrap_or(usual.estimate),
            lends: match cpus {
                processors::Policy::None => Lends::All,
                processors::Policy::Whole => Lends::Memory,
            },
            interval: self.interval.unwrap_or(usual.interval),
            limits: self.limits.unwrap_or(usual.limits),
            correction_interval_min: self
                .correction_interval_min
                .unwrap_or(usual.correction_interval_min),
        }
    }
}

/// The flags that say so, as texts; none for what is off, as in Mesos.
#[must_use]
pub fn flags(settings: &Settings) -> Vec<(&'static str, String)> {
    let estimator = match &settings.estimate {
        EstimateBy::Noop => None,
        EstimateBy::Fixed(fixed) => {
            let amounts = fixed.quantities();
            let amounts = amounts
                .iter()
                .map(|(name, amount)| format!("{name}:{amount}"));
            Some(format!("fixed:{}", amounts.collect::<Vec<_>>().join(";")))
        }
        EstimateBy::Usage(Margin(percent)) => Some(format!("usage:{percent}")),
    };
    let controller = settings.limits.map(|limits| {
        let all = LIMITS.map(|(scarce, _)| {
            let hundredths = limits.of(scarce);
            format!("{}={}", scarce.name(), f64::from(hundredths) / 100.0)
        });
        format!("pressure:{}", all.join(","))
    });
    let mut all = vec![
        (
            "oversubscribed_resources_interval",
            model::duration::format(settings.interval),
        ),
        (
            "qos_correction_interval_min",
            model::duration::format(settings.correction_interval_min),
        ),
    ];
    all.extend(estimator.map(|text| ("resource_estimator", text)));
    all.extend(controller.map(|text| ("qos_controller", text)));
    all
}

fn estimate(text: &str) -> Result<EstimateBy, Why> {
    match text.split_once(':') {
        None if text == "noop" => Ok(EstimateBy::Noop),
        None if text == "usage" => Ok(EstimateBy::Usage(MARGIN)),
        Some(("usage", percent)) => match plain::<u8>(percent)? {
            percent if percent <= 50 => Ok(EstimateBy::Usage(Margin(percent))),
            _ => Err(", 50 percent at most".to_owned()),
        },
        Some(("fixed", amounts)) => fixed(amounts).map(EstimateBy::Fixed),
        _ => Err(Why::new()),
    }
}

fn fixed(text: &str) -> Result<Resources, Why> {
    let all = parse(text).map_err(|fault| format!("; {fault}"))?;
    let is_fit =
        |one: &Resource| matches!(&*one.name, "cpus" | "mem") && one.reservations.is_empty();
    match all.iter().find(|one| !is_fit(one)) {
        Some(one) => Err(format!("; {one} cannot be given out twice")),
        None => Ok(all
            .iter()
            .map(|one| Resource {
                revocable: true,
                ..one.clone()
            })
            .collect()),
    }
}

fn limits(text: &str) -> Result<Option<Limits>, Why> {
    let mut limits = Limits::default();
    for (scarce, percent) in LIMITS {
        *place(&mut limits, scarce) = percent * 100;
    }
    let own = match text.split_once(':') {
        None if text == "noop" => return Ok(None),
        None if text == "pressure" => "",
        Some(("pressure", own)) if !own.is_empty() => own,
        _ => return Err(Why::new()),
    };
    for part in own.split(',').filter(|part| !part.is_empty()) {
        let (name, percent) = part.split_once('=').ok_or_else(Why::new)?;
        let scarce = Scarce::ALL.into_iter().find(|one| one.name() == name);
        let scarce = scarce.ok_or_else(|| format!("; {name:?} is none of cpu, memory and io"))?;
        let percent: f64 = plain(percent)?;
        if !(0.01..=100.0).contains(&percent) {
            return Err(format!("; {percent} is not from 0.01 to 100"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked on the lines above"
        )]
        let hundredths = (percent * 100.0).round() as u32;
        *place(&mut limits, scarce) = hundredths;
    }
    Ok(Some(limits))
}

fn place(limits: &mut Limits, scarce: Scarce) -> &mut u32 {
    match scarce {
        Scarce::Cpu => &mut limits.cpu,
        Scarce::Memory => &mut limits.memory,
        Scarce::Io => &mut limits.io,
    }
}

pub(super) static OVERSUBSCRIPTION: &[Setting] = &[
    Setting {
        name: "resource_estimator",
        value: "HOW",
        allowed: "noop, fixed:RESOURCES, usage or usage:PERCENT, as in fixed:cpus:4;mem:1024 or usage:20",
        help: "what is offered beyond this agent's resources as revocable cpus and mem, to frameworks with\n      REVOCABLE_RESOURCES: nothing; always the same; or what containers have left unused of theirs\n      for the last 20 intervals (memory: 80), less PERCENT of it (memory: twice that; usage: 10);\n      of memory alone with --container_cpuset=whole (default: noop)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.oversubscription.estimate, estimate(text)),
    },
    Setting {
        name: "oversubscribed_resources_interval",
        value: "DURATION",
        allowed: DURATION,
        help: "how often that is estimated, and told to the master where it has changed (default: 15secs)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let interval = duration(text, Duration::MAX)?;
            match interval >= Duration::from_secs(1) {
                true => put(&mut draft.oversubscription.interval, Ok(interval)),
                false => Err(", 1secs at least".to_owned()),
            }
        },
    },
    Setting {
        name: "qos_controller",
        value: "HOW",
        allowed: "noop, pressure or pressure:NAME=PERCENT,…, with cpu, memory and io as names, as in pressure:cpu=40,memory=5",
        help: "when revocable containers are ended for others: never; or when one that is not revocable waits\n      for more than PERCENT of 10 seconds for what it was given (pressure: cpu=50,memory=10,io=50)\n      (default: noop)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.oversubscription.limits, limits(text)),
    },
    Setting {
        name: "qos_correction_interval_min",
        value: "DURATION",
        allowed: DURATION,
        help: "the least time between two such ends, 10secs where it is less (default: 0secs)",
        boot: false,
        switch: false,
        set: |draft, text| {
            let interval = duration(text, Duration::MAX);
            put(
                &mut draft.oversubscription.correction_interval_min,
                interval,
            )
        },
    },
    Setting {
        name: "revocable_cpu_low_priority",
        value: "BOOL",
        allowed: "true or false",
        help: "give revocable processors a hundredth of the weight of others (default: true)",
        boot: false,
        switch: true,
        set: |draft, text| {
            draft.isolation.rules.revocable_cpu = match boolean(text)? {
                true => RevocableCpu::Low,
                false => RevocableCpu::Same,
            };
            Ok(())
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimator_is_nothing_something_fixed_or_what_is_left() {
        assert_eq!(estimate("noop"), Ok(EstimateBy::Noop));
        assert_eq!(estimate("usage"), Ok(EstimateBy::Usage(Margin(10))));
        assert_eq!(estimate("usage:25"), Ok(EstimateBy::Usage(Margin(25))));
        let Ok(EstimateBy::Fixed(fixed)) = estimate("fixed:cpus:4;mem:512") else {
            panic!("fixed");
        };
        assert!(fixed.iter().all(|one| one.revocable));
        assert_eq!(fixed.scalar("cpus").thousandths(), 4_000);
        for (text, why) in [
            ("", ""),
            ("usage:x", ""),
            ("usage:51", ", 50 percent at most"),
            ("org_apache_mesos_FixedResourceEstimator", ""),
            ("fixed:disk:4", "; disk:4 cannot be given out twice"),
            (
                "fixed:cpus(a):4",
                "; cpus(reservations: [(STATIC,a)]):4 cannot be given out twice",
            ),
        ] {
            assert_eq!(estimate(text), Err(why.to_owned()), "{text}");
        }
        assert!(estimate("fixed:cpus").is_err());
    }

    #[test]
    fn processors_that_are_a_containers_own_are_not_lent() {
        let lends = |cpus| Draft::default().finish(cpus).lends;
        assert_eq!(lends(processors::Policy::None), Lends::All);
        assert_eq!(lends(processors::Policy::Whole), Lends::Memory);
    }

    #[test]
    fn limits_of_pressure_are_percentages_of_what_there_is() {
        assert_eq!(limits("noop"), Ok(None));
        let usual = Limits {
            cpu: 5_000,
            memory: 1_000,
            io: 5_000,
        };
        assert_eq!(limits("pressure"), Ok(Some(usual)));
        let own = Limits {
            cpu: 4_050,
            io: 100,
            ..usual
        };
        assert_eq!(limits("pressure:cpu=40.5,io=1"), Ok(Some(own)));
        for (text, why) in [
            ("", ""),
            ("load", ""),
            ("pressure:", ""),
            ("pressure:cpu", ""),
            ("pressure:cpu=x", ""),
            (
                "pressure:swap=1",
                "; \"swap\" is none of cpu, memory and io",
            ),
            ("pressure:cpu=101", "; 101 is not from 0.01 to 100"),
            ("pressure:cpu=0", "; 0 is not from 0.01 to 100"),
            ("pressure:cpu=NaN", "; NaN is not from 0.01 to 100"),
        ] {
            assert_eq!(limits(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn flags_say_what_was_set_and_can_be_given_again() {
        let settings = Draft {
            estimate: estimate("fixed:cpus:4;mem:512").ok(),
            limits: limits("pressure:cpu=40.5").ok(),
            ..Draft::default()
        };
        let flags = flags(&settings.finish(processors::Policy::None));
        let find = |name| {
            flags
                .iter()
                .find(|(of, _)| *of == name)
                .map(|(_, text)| text.as_str())
        };
        assert_eq!(find("resource_estimator"), Some("fixed:cpus:4;mem:512"));
        assert_eq!(
            find("qos_controller"),
            Some("pressure:cpu=40.5,memory=10,io=50")
        );
        assert_eq!(find("oversubscribed_resources_interval"), Some("15secs"));
        let off = super::flags(&Settings::default());
        assert!(off.iter().all(|(name, _)| *name != "resource_estimator"));
    }
}
