//! Machines: what maintenance is scheduled for; a host name, an address, or both.
//!
//! Two machines are the same where both name the same things; case in host names means nothing.
//! An agent is on the machine that has its host name and its address.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt::{self, Display, Write};
use core::net::{IpAddr, Ipv4Addr};

use crate::event::{AgentFacts, Text};

/// A MachineID.
#[derive(Debug, Clone)]
pub struct Machine {
    /// `hostname`, where set.
    pub hostname: Option<Text>,
    /// `ip`, where set.
    pub ip: Option<Text>,
}

impl Machine {
    /// The machine that an agent is on.
    pub(crate) fn of(agent: &AgentFacts) -> Self {
        Self::at(&agent.hostname, &agent.address)
    }

    /// The machine of this name at this address, which has a port.
    pub(crate) fn at(hostname: &Text, address: &str) -> Self {
        let (ip, _port) = address.rsplit_once(':').unwrap_or((address, ""));
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        Self {
            hostname: Some(hostname.clone()),
            ip: Some(Text::from(ip)),
        }
    }

    /// # Errors
    /// What is wrong with it, in Mesos' words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let filled = |field: &Option<Text>| field.clone().filter(|text| !text.is_empty());
        let ip = filled(&self.ip);
        if ip.is_none() && filled(&self.hostname).is_none() {
            return Err("Both 'hostname' and 'ip' for a machine are empty".into());
        }
        match ip {
            // Mesos knows IPv4 only, and says so; here agents may have other addresses.
            Some(ip) if ip.parse::<Ipv4Addr>().is_err() && ip.parse::<IpAddr>().is_err() => {
                Err(alloc::format!("Failed to parse IPv4: {ip}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// As in `{"hostname":"m1","ip":"10.0.0.1"}`.
    pub(crate) fn json(&self) -> String {
        let fields = [("hostname", &self.hostname), ("ip", &self.ip)];
        let mut json = String::from("{");
        for (name, text) in fields {
            let Some(text) = text else { continue };
            if json.len() > 1 {
                json.push(',');
            }
            let _ = write!(json, "\"{name}\":");
            quote(&mut json, text);
        }
        json.push('}');
        json
    }
}

/// As in `m1 (10.0.0.1)`.
impl Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.hostname, &self.ip) {
            (Some(hostname), Some(ip)) => write!(f, "{hostname} ({ip})"),
            (Some(hostname), None) => write!(f, "{hostname}"),
            (None, ip) => write!(f, "({})", ip.as_deref().unwrap_or_default()),
        }
    }
}

fn lower_case(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|byte| byte.to_ascii_lowercase())
}

impl Ord for Machine {
    fn cmp(&self, other: &Self) -> Ordering {
        let hostnames = match (&self.hostname, &other.hostname) {
            (Some(this), Some(other)) => lower_case(this).cmp(lower_case(other)),
            (this, other) => this.is_some().cmp(&other.is_some()),
        };
        hostnames.then_with(|| self.ip.cmp(&other.ip))
    }
}

impl PartialOrd for Machine {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Machine {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Machine {}

/// Writes a JSON string.
pub(crate) fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(json, "\\{c}"),
            '\n' => json.write_str("\\n"),
            '\r' => json.write_str("\\r"),
            '\t' => json.write_str("\\t"),
            c if c < ' ' => write!(json, "\\u{:04X}", u32::from(c)),
            c => json.write_char(c),
        };
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    use super::*;

    fn machine(hostname: Option<&str>, ip: Option<&str>) -> Machine {
        Machine {
            hostname: hostname.map(Text::from),
            ip: ip.map(Text::from),
        }
    }

    #[test]
    fn case_in_host_names_means_nothing_and_what_is_not_set_is_not_empty() {
        let same = machine(Some("Node-1"), Some("10.0.0.1"));
        assert_eq!(same, machine(Some("node-1"), Some("10.0.0.1")));
        let different = [
            same,
            machine(Some("node-1"), Some("10.0.0.2")),
            machine(Some("node-1"), Some("")),
            machine(Some("node-1"), None),
            machine(Some(""), Some("10.0.0.1")),
            machine(None, Some("10.0.0.1")),
            machine(None, None),
        ];
        let set: BTreeSet<&Machine> = different.iter().collect();
        assert_eq!(set.len(), different.len());
    }

    #[test]
    fn a_machine_needs_a_name_or_an_address_and_the_address_must_be_one() {
        for (hostname, ip, fault) in [
            (Some("m"), None, None),
            (Some("m"), Some(""), None),
            (None, Some("10.0.0.1"), None),
            (None, Some("fe80::1"), None),
            (
                None,
                None,
                Some("Both 'hostname' and 'ip' for a machine are empty"),
            ),
            (
                Some(""),
                Some(""),
                Some("Both 'hostname' and 'ip' for a machine are empty"),
            ),
            (
                Some("m"),
                Some("999.1.1.1"),
                Some("Failed to parse IPv4: 999.1.1.1"),
            ),
        ] {
            let outcome = machine(hostname, ip).check();
            assert_eq!(outcome.err().as_deref(), fault, "{hostname:?} {ip:?}");
        }
    }

    #[test]
    fn a_machine_is_written_as_json_and_as_text() {
        for (machine, json, text) in [
            (
                machine(Some("m1"), Some("10.0.0.1")),
                r#"{"hostname":"m1","ip":"10.0.0.1"}"#,
                "m1 (10.0.0.1)",
            ),
            (
                machine(Some("m\"2"), None),
                r#"{"hostname":"m\"2"}"#,
                "m\"2",
            ),
            (machine(None, Some("::1")), r#"{"ip":"::1"}"#, "(::1)"),
        ] {
            assert_eq!(machine.json(), json);
            assert_eq!(machine.to_string(), text);
        }
    }
}
