//! Checks: `CheckInfo` and `HealthCheck` as agent-core reckons with them, and their results.

use std::time::Duration;

use agent_core::checks::{
    Check, CheckStatus, Checks, HealthCheck, Loopback, Probe, Request, Scheme,
};
use api::v1;
use model::Blob;
use prost::Message;

/// Why a check cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A check of no kind that this agent knows, or without what its kind needs.
    #[error("a check of an unknown kind")]
    Kind,
    /// No port has this number.
    #[error("a check of port {0}")]
    Port(u32),
    /// Neither `http` nor `https`.
    #[error("a check by {0}")]
    Scheme(String),
}

/// How a task is checked.
///
/// # Errors
/// The first thing that is wrong; the master refuses all but a port past the last one.
pub fn checks(task: &v1::TaskInfo) -> Result<Checks, CheckError> {
    Ok(Checks {
        check: task.check.as_ref().map(check).transpose()?,
        health: task.health_check.as_ref().map(health).transpose()?,
    })
}

fn check(info: &v1::CheckInfo) -> Result<Check, CheckError> {
    use v1::check_info::Type;
    let probe = match info.r#type() {
        Type::Command => command(info.command.as_ref().map(|command| &command.command))?,
        Type::Http => {
            let http = info.http.as_ref().ok_or(CheckError::Kind)?;
            Probe::Request(Request::Http {
                scheme: Scheme::Http,
                loopback: Loopback::V4,
                port: port(http.port)?,
                path: http.path.clone().unwrap_or_default(),
            })
        }
        Type::Tcp => Probe::Request(Request::Tcp {
            loopback: Loopback::V4,
            port: port(info.tcp.as_ref().ok_or(CheckError::Kind)?.port)?,
        }),
        Type::Unknown => return Err(CheckError::Kind),
    };
    Ok(Check {
        probe,
        delay: seconds(info.delay_seconds()),
        interval: seconds(info.interval_seconds()),
        timeout: timeout(info.timeout_seconds()),
    })
}

fn health(info: &v1::HealthCheck) -> Result<HealthCheck, CheckError> {
    use v1::health_check::Type;
    let probe = match info.r#type() {
        Type::Command => command(info.command.as_ref())?,
        Type::Http => {
            let http = info.http.as_ref().ok_or(CheckError::Kind)?;
            Probe::Request(Request::Http {
                scheme: match http.scheme.as_deref() {
                    None | Some("http") => Scheme::Http,
                    Some("https") => Scheme::Https,
                    Some(other) => return Err(CheckError::Scheme(other.to_string())),
                },
                loopback: loopback(http.protocol()),
                port: port(http.port)?,
                path: http.path.clone().unwrap_or_default(),
            })
        }
        Type::Tcp => {
            let tcp = info.tcp.as_ref().ok_or(CheckError::Kind)?;
            Probe::Request(Request::Tcp {
                loopback: loopback(tcp.protocol()),
                port: port(tcp.port)?,
            })
        }
        Type::Unknown => return Err(CheckError::Kind),
    };
    Ok(HealthCheck {
        check: Check {
            probe,
            delay: seconds(info.delay_seconds()),
            interval: seconds(info.interval_seconds()),
            timeout: timeout(info.timeout_seconds()),
        },
        failures_max: info.consecutive_failures(),
        grace: seconds(info.grace_period_seconds()),
    })
}

fn command(info: Option<&v1::CommandInfo>) -> Result<Probe, CheckError> {
    let info = info.ok_or(CheckError::Kind)?;
    Ok(Probe::Command(Blob::new(&info.encode_to_vec())))
}

fn port(number: u32) -> Result<u16, CheckError> {
    u16::try_from(number).map_err(|_| CheckError::Port(number))
}

fn loopback(protocol: v1::network_info::Protocol) -> Loopback {
    match protocol {
        v1::network_info::Protocol::IPv4 => Loopback::V4,
        v1::network_info::Protocol::IPv6 => Loopback::V6,
    }
}

/// The master lets no negative time pass; one past five centuries is for ever.
fn seconds(value: f64) -> Duration {
    match value > 0.0 {
        true => Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX),
        false => Duration::ZERO,
    }
}

/// Zero is no timeout.
fn timeout(value: f64) -> Option<Duration> {
    Some(seconds(value)).filter(|time| !time.is_zero())
}

/// A result as Mesos' API says it.
#[must_use]
pub fn status_info(status: CheckStatus) -> v1::CheckStatusInfo {
    use v1::check_info::Type;
    use v1::check_status_info::{Command, Http, Tcp};
    match status {
        CheckStatus::Command(code) => v1::CheckStatusInfo {
            r#type: Some(Type::Command.into()),
            command: Some(Command {
                exit_code: code.map(i32::from),
            }),
            ..v1::CheckStatusInfo::default()
        },
        CheckStatus::Http(code) => v1::CheckStatusInfo {
            r#type: Some(Type::Http.into()),
            http: Some(Http {
                status_code: code.map(u32::from),
            }),
            ..v1::CheckStatusInfo::default()
        },
        CheckStatus::Tcp(succeeded) => v1::CheckStatusInfo {
            r#type: Some(Type::Tcp.into()),
            tcp: Some(Tcp { succeeded }),
            ..v1::CheckStatusInfo::default()
        },
    }
}

/// A result as this agent stored it; `None` where another version did, in another way.
#[must_use]
pub fn status(info: &v1::CheckStatusInfo) -> Option<CheckStatus> {
    let (command, http, tcp) = (&info.command, &info.http, &info.tcp);
    if let Some(command) = command {
        let code = command.exit_code.map(u8::try_from);
        return Some(CheckStatus::Command(code.transpose().ok()?));
    }
    if let Some(http) = http {
        let code = http.status_code.map(u16::try_from);
        return Some(CheckStatus::Http(code.transpose().ok()?));
    }
    tcp.as_ref().map(|tcp| CheckStatus::Tcp(tcp.succeeded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Checks, CheckError> {
        let json = format!(
            r#"{{"name":"n","task_id":{{"value":"t1"}},"agent_id":{{"value":"S1"}},{json}}}"#
        );
        checks(&api::json::from_json(json.as_bytes()).expect("a TaskInfo"))
    }

    #[test]
    fn what_a_check_leaves_open_is_as_in_mesos() {
        let checks = read(r#""health_check":{"type":"HTTP","http":{"port":80}}"#).expect("checks");
        let expected = HealthCheck {
            check: Check {
                probe: Probe::Request(Request::Http {
                    scheme: Scheme::Http,
                    loopback: Loopback::V4,
                    port: 80,
                    path: String::new(),
                }),
                delay: Duration::from_secs(15),
                interval: Duration::from_secs(10),
                timeout: Some(Duration::from_secs(20)),
            },
            failures_max: 3,
            grace: Duration::from_secs(10),
        };
        assert_eq!((checks.check, checks.health), (None, Some(expected)));
    }

    #[test]
    fn a_check_has_its_own_times_and_zero_is_no_timeout() {
        let checks = read(
            r#""check":{"type":"TCP","tcp":{"port":81},
               "delay_seconds":0.5,"interval_seconds":0,"timeout_seconds":0}"#,
        );
        let expected = Check {
            probe: Probe::Request(Request::Tcp {
                loopback: Loopback::V4,
                port: 81,
            }),
            delay: Duration::from_millis(500),
            interval: Duration::ZERO,
            timeout: None,
        };
        assert_eq!(checks.expect("checks").check, Some(expected));
    }

    #[test]
    fn a_health_check_may_ask_by_tls_and_ipv6() {
        let checks = read(
            r#""health_check":{"type":"HTTP","http":
               {"port":443,"scheme":"https","path":"/up","protocol":"IPv6"}}"#,
        );
        let health = checks.expect("checks").health.expect("a health check");
        let expected = Probe::Request(Request::Http {
            scheme: Scheme::Https,
            loopback: Loopback::V6,
            port: 443,
            path: "/up".into(),
        });
        assert_eq!(health.check.probe, expected);
    }

    #[test]
    fn a_check_that_cannot_be_done_says_why() {
        for (json, error) in [
            (
                r#""check":{"type":"TCP","tcp":{"port":70000}}"#,
                CheckError::Port(70_000),
            ),
            (r#""check":{"type":"HTTP"}"#, CheckError::Kind),
            (
                r#""health_check":{"type":"HTTP","http":{"port":1,"scheme":"ftp"}}"#,
                CheckError::Scheme("ftp".into()),
            ),
        ] {
            assert_eq!(read(json), Err(error), "{json}");
        }
    }

    #[test]
    fn a_result_is_itself_again_once_it_was_stored() {
        for result in [
            CheckStatus::Command(None),
            CheckStatus::Command(Some(255)),
            CheckStatus::Http(Some(404)),
            CheckStatus::Tcp(Some(false)),
            CheckStatus::Tcp(None),
        ] {
            assert_eq!(status(&status_info(result)), Some(result));
        }
    }
}
