//! Draft: settings while they are read, and what stands for those that were not given.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use agent_core::{gc, rotation};
use api::domain::DomainSource;

use crate::housekeeping;

use super::disk::Disk;
use super::fetching::Fetching;
use super::images::Images;
use super::isolation::Isolation;
use super::networks::Networks;
use super::oversubscription;
use super::recovery;
use super::settings::{SETTINGS, Setting};
use super::{Boot, Config, LoggingLevel, Masters};

/// Settings as far as they were given.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) master: Option<Masters>,
    pub(super) zk_session_timeout: Option<Duration>,
    pub(super) loopback_master_ip: Option<IpAddr>,
    pub(super) work_dir: Option<PathBuf>,
    pub(super) ip: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) hostname: Option<String>,
    pub(super) advertise_ip: Option<IpAddr>,
    pub(super) advertise_port: Option<u16>,
    pub(super) credential: Option<PathBuf>,
    pub(super) resources: Option<String>,
    pub(super) attributes: Option<String>,
    pub(super) domain: Option<DomainSource>,
    pub(super) switch_user: Option<bool>,
    pub(super) default_rootfs: Option<PathBuf>,
    pub(super) executor_shutdown_grace_period: Option<Duration>,
    pub(super) executor_registration_timeout: Option<Duration>,
    pub(super) executor_reregistration_timeout: Option<Duration>,
    pub(super) recovery_timeout: Option<Duration>,
    pub(super) gc_delay: Option<Duration>,
    pub(super) gc_disk_headroom: Option<gc::Share>,
    pub(super) disk_watch_interval: Option<Duration>,
    pub(super) gc_non_executor_container_sandboxes: Option<bool>,
    pub(super) rotation: rotation::Rules,
    pub(super) isolation: Isolation,
    pub(super) networks: Networks,
    pub(super) disk: Disk,
    pub(super) recovery: recovery::Draft,
    pub(super) oversubscription: oversubscription::Draft,
    pub(super) fetching: Fetching,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) images: Images,
    pub(super) jwt_secret_key: Option<PathBuf>,
    pub(super) authenticate_http_executors: Option<bool>,
    pub(super) logging_level: LoggingLevel,
    pub(super) boot: Boot,
}

impl Draft {
    /// Fills in what was not given.
    pub(super) fn finish(self) -> Result<Config, &'static Setting> {
        let wants_key = self.authenticate_http_executors == Some(true);
        if wants_key && self.jwt_secret_key.is_none() {
            let key = SETTINGS
                .iter()
                .find(|setting| setting.name == "jwt_secret_key");
            return Err(key.unwrap_or(&SETTINGS[0]));
        }
        Ok(Config {
            master: self.master.ok_or(&SETTINGS[0])?,
            zk_session_timeout: self.zk_session_timeout.unwrap_or(Duration::from_secs(10)),
            loopback_master_ip: self.loopback_master_ip,
            work_dir: self
                .work_dir
                .unwrap_or_else(|| PathBuf::from("/var/lib/mesos")),
            ip: self.ip,
            port: self.port.unwrap_or(5051),
            hostname: self.hostname,
            advertise_ip: self.advertise_ip,
            advertise_port: self.advertise_port,
            resources: self.resources,
            credential: self.credential,
            attributes: self.attributes,
            domain: self.domain,
            switch_user: self.switch_user.unwrap_or(true),
            default_rootfs: self.default_rootfs,
            executor_shutdown_grace_period: self
                .executor_shutdown_grace_period
                .unwrap_or(Duration::from_secs(5)),
            executor_registration_timeout: self
                .executor_registration_timeout
                .unwrap_or(Duration::from_secs(60)),
            executor_reregistration_timeout: self
                .executor_reregistration_timeout
                .unwrap_or(Duration::from_secs(2)),
            jwt_secret_key: self.jwt_secret_key,
            authenticate_http_executors: self.authenticate_http_executors.unwrap_or(false),
            recovery_timeout: self
                .recovery_timeout
                .unwrap_or(Duration::from_secs(15 * 60)),
            housekeeping: housekeeping::Settings {
                gc: gc::Settings {
                    delay: self.gc_delay.unwrap_or(Duration::from_secs(7 * 24 * 3600)),
                    headroom: self
                        .gc_disk_headroom
                        .unwrap_or(gc::Share::millionths(100_000)),
                },
                disk_watch_interval: self.disk_watch_interval.unwrap_or(Duration::from_secs(60)),
                gc_non_executor_container_sandboxes: self
                    .gc_non_executor_container_sandboxes
                    .unwrap_or(false),
                rotation: self.rotation,
            },
            oversubscription: self.oversubscription.finish(self.isolation.cpus),
            isolation: self.isolation,
            networks: self.networks,
            disk: self.disk.finish(),
            recovery: self.recovery.finish(),
            fetching: self.fetching,
            ca_file: self.ca_file,
            images: self.images,
            logging_level: self.logging_level,
            boot: self.boot,
        })
    }
}
