//! What operators set for roles in a script: lines that begin with `ask`.
//!
//!     ask update-quota ROLE … [guarantee=cpus:1;mem:64] [limit=cpus:2] [force=]
//!     ask set-quota ROLE guarantee=cpus:1 [force=]
//!     ask remove-quota ROLE
//!     ask weights ROLE:2.5 …

use master_core::event::{ClusterEntry, OperatorCall, QuotaConfig, Text};
use master_core::quota::Quota;
use model::resources::{Role, parse};

use crate::words::Words;

/// The call of a line.
pub(crate) fn call(words: &mut Words<'_>) -> OperatorCall {
    match words.next() {
        "update-quota" => OperatorCall::UpdateQuota {
            configs: words
                .plain
                .iter()
                .map(|role| QuotaConfig {
                    role: Text::from(*role),
                    guarantees: amounts(words, "guarantee"),
                    limits: amounts(words, "limit"),
                })
                .collect(),
            force: words.named.contains_key("force"),
        },
        "set-quota" => {
            let guarantee = words.named.get("guarantee").copied().unwrap_or_default();
            OperatorCall::SetQuota {
                role: words.plain.pop_front().map(Text::from),
                guarantee: Ok(parse(guarantee)
                    .expect("resources")
                    .iter()
                    .cloned()
                    .collect()),
                force: words.named.contains_key("force"),
            }
        }
        "remove-quota" => OperatorCall::RemoveQuota {
            role: Text::from(words.next()),
            path: words.text("path"),
        },
        "weights" => OperatorCall::UpdateWeights {
            weights: words
                .plain
                .iter()
                .map(|word| {
                    let (role, weight) = word.split_once(':').expect("role:weight");
                    (Text::from(role), weight.parse().expect("weight"))
                })
                .collect(),
        },
        other => panic!("no such operator's verb: {other}"),
    }
}

/// Amounts by name, without the rules of resources.
fn amounts(words: &Words<'_>, name: &str) -> Vec<(Text, f64)> {
    let text = words.named.get(name).copied().unwrap_or_default();
    text.split(';')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, amount) = part.split_once(':').expect("name:amount");
            (Text::from(name), amount.parse().expect("amount"))
        })
        .collect()
}

/// What the registry holds: `quota=role/guarantee,…`.
pub(crate) fn quotas(words: &Words<'_>) -> Vec<ClusterEntry> {
    let quota = |text: &Text| {
        let (role, guarantee) = text.split_once('/').expect("role/guarantee");
        let quota = Quota {
            guarantees: parse(guarantee).expect("resources").quantities(),
            ..Quota::default()
        };
        ClusterEntry::Quota {
            role: Role::new(role).expect("role"),
            quota: Some(quota),
        }
    };
    words.list("quota").iter().map(quota).collect()
}

/// Entries of the registry on one line.
pub(crate) fn print(entries: &[ClusterEntry]) -> String {
    let each: Option<Vec<String>> = entries.iter().map(print_entry).collect();
    each.map_or_else(|| format!("cluster {entries:?}"), |each| each.join(", "))
}

fn print_entry(entry: &ClusterEntry) -> Option<String> {
    match entry {
        ClusterEntry::Quota { role, quota: None } => Some(format!("no quota of {role}")),
        ClusterEntry::Quota {
            role,
            quota: Some(quota),
        } => Some(format!(
            "quota of {role} {} within {}",
            quota.guarantees, quota.limits
        )),
        ClusterEntry::Weight { role, weight } => Some(format!("weight of {role} {weight}")),
        _ => None,
    }
}
