//! Flags about who may come in, and what they may do.

use super::{BOOL, Flag, present};

/// The only kind of credentials that HTTP requests can carry here.
const BASIC: &str = "basic";

/// Who may come in, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFlags {
    /// Whether agents must show credentials on their link.
    pub authenticate_agents: bool,
    /// Whether frameworks of Mesos' v0 driver must authenticate; none of them can come in here.
    pub authenticate_frameworks: bool,
    /// Whether frameworks must.
    pub authenticate_http_frameworks: bool,
    /// Whether those who read must.
    pub authenticate_http_readonly: bool,
    /// Whether those who change something must.
    pub authenticate_http_readwrite: bool,
    /// How operators authenticate.
    pub http_authenticators: String,
    /// How frameworks do.
    pub http_framework_authenticators: Option<String>,
    /// The file of credentials, or its JSON.
    pub credentials: Option<String>,
    /// The file of rules, or its JSON.
    pub acls: Option<String>,
}

impl Default for AccessFlags {
    fn default() -> Self {
        Self {
            authenticate_agents: false,
            authenticate_frameworks: false,
            authenticate_http_frameworks: false,
            authenticate_http_readonly: false,
            authenticate_http_readwrite: false,
            http_authenticators: BASIC.into(),
            http_framework_authenticators: None,
            credentials: None,
            acls: None,
        }
    }
}

impl AccessFlags {
    /// What is wrong with the flags together.
    pub(super) fn faults(&self) -> impl Iterator<Item = String> {
        let asked = [
            ("authenticate_agents", self.authenticate_agents),
            (
                "authenticate_http_frameworks",
                self.authenticate_http_frameworks,
            ),
            (
                "authenticate_http_readonly",
                self.authenticate_http_readonly,
            ),
            (
                "authenticate_http_readwrite",
                self.authenticate_http_readwrite,
            ),
        ];
        let has_credentials = self.credentials.is_some();
        let unmet = asked
            .into_iter()
            .filter(move |(_, is_asked)| *is_asked && !has_credentials)
            .map(|(name, _)| format!("--{name}: needs --credentials"));
        let method = (self.authenticate_http_frameworks
            && self.http_framework_authenticators.is_none())
        .then(|| {
            format!("--authenticate_http_frameworks: needs --http_framework_authenticators={BASIC}")
        });
        unmet.chain(method)
    }
}

pub(super) const FLAGS: &[Flag] = &[
    Flag {
        name: "authenticate_agents",
        value: BOOL,
        help: "agents must show credentials on their link (false)",
        set: |config, text| boolean(text, &mut config.access.authenticate_agents),
        get: |config| Some(config.access.authenticate_agents.to_string()),
    },
    Flag {
        name: "authenticate_frameworks",
        value: BOOL,
        help: "taken for Mesos' sake; the v0 driver it is about has no way in (false)",
        set: |config, text| boolean(text, &mut config.access.authenticate_frameworks),
        get: |config| Some(config.access.authenticate_frameworks.to_string()),
    },
    Flag {
        name: "authenticate_http_frameworks",
        value: BOOL,
        help: "frameworks must show credentials, over HTTP and gRPC (false)",
        set: |config, text| boolean(text, &mut config.access.authenticate_http_frameworks),
        get: |config| Some(config.access.authenticate_http_frameworks.to_string()),
    },
    Flag {
        name: "authenticate_http_readonly",
        value: BOOL,
        help: "those who read must show credentials (false)",
        set: |config, text| boolean(text, &mut config.access.authenticate_http_readonly),
        get: |config| Some(config.access.authenticate_http_readonly.to_string()),
    },
    Flag {
        name: "authenticate_http_readwrite",
        value: BOOL,
        help: "those who change something must show credentials (false)",
        set: |config, text| boolean(text, &mut config.access.authenticate_http_readwrite),
        get: |config| Some(config.access.authenticate_http_readwrite.to_string()),
    },
    Flag {
        name: "http_authenticators",
        value: "KIND",
        help: "how operators show credentials: basic (basic)",
        set: |config, text| {
            config.access.http_authenticators = basic(text)?;
            Ok(())
        },
        get: |config| Some(config.access.http_authenticators.clone()),
    },
    Flag {
        name: "http_framework_authenticators",
        value: "KIND",
        help: "how frameworks do: basic; needed with --authenticate_http_frameworks",
        set: |config, text| {
            config.access.http_framework_authenticators = Some(basic(text)?);
            Ok(())
        },
        get: |config| config.access.http_framework_authenticators.clone(),
    },
    Flag {
        name: "credentials",
        value: "FILE",
        help: "JSON of principals and secrets: {\"credentials\": [{\"principal\", \"secret\"}]}",
        set: |config, text| {
            config.access.credentials = Some(present(text)?.to_owned());
            Ok(())
        },
        // Secrets given on the spot are not for readers of `/flags`.
        get: |config| {
            let given = config.access.credentials.as_ref()?;
            let is_inline = given.trim_start().starts_with('{');
            Some(if is_inline {
                "{}".into()
            } else {
                given.clone()
            })
        },
    },
    Flag {
        name: "acls",
        value: "FILE|JSON",
        help: "rules of who may do what; without any, everyone everything",
        set: |config, text| {
            config.access.acls = Some(present(text)?.to_owned());
            Ok(())
        },
        get: |config| config.access.acls.clone(),
    },
];

fn boolean(text: &str, into: &mut bool) -> Result<(), String> {
    *into = match text {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => return Err("expected true or false".into()),
    };
    Ok(())
}

fn basic(text: &str) -> Result<String, String> {
    match text {
        BASIC => Ok(BASIC.into()),
        _ => Err(format!("only {BASIC} is known here")),
    }
}
