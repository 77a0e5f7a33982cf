//! The table of settings: name, value, help, and how a value is read.
//!
//! A reader says only why a value is bad where `allowed` does not say it already.

use std::time::Duration;

use agent_core::rotation;
use api::domain;

use crate::description;

use super::LoggingLevel;
use super::boot::BOOT;
use super::disk::DISK;
use super::draft::Draft;
use super::fetching;
use super::images;
use super::isolation::ISOLATION;
use super::masters::{self, MASTERS};
use super::networks;
use super::oversubscription::OVERSUBSCRIPTION;
use super::recovery::RECOVERY;
use super::values::{
    ABSOLUTE, DURATION, PORT, SIZE, absolute, boolean, duration, hostname, plain, port, put, share,
    some_text, static_address, why,
};

/// One setting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// The value's place holder in `--help`.
    pub(super) value: &'static str,
    /// Completes "… is not", and names what is allowed.
    pub(super) allowed: &'static str,
    pub(super) help: &'static str,
    /// Read by a booting node only.
    pub(super) boot: bool,
    /// True or false, and negated by `--no-`.
    pub(super) switch: bool,
    pub(super) set: fn(&mut Draft, &str) -> Result<(), Why>,
}

/// The longest session that makes sense.
const SESSION_MAX: Duration = Duration::from_secs(3600);

/// What a bad value adds to `Setting::allowed`; begins with a separator, often empty.
pub(super) type Why = String;

/// `master` stands first: it is the one setting that has to be given.
pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "master",
        value: "HOST:PORT",
        allowed: MASTERS,
        help: "the master to register with: HOST:PORT, or several with commas between them of which one\n      leads, or where it is elected: zk://[USER:PASSWORD@]HOST:PORT,…/PATH, or file:///FILE that\n      holds this (required)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.master, masters::read(text)),
    },
    Setting {
        name: "work_dir",
        value: "DIR",
        allowed: ABSOLUTE,
        help: "where sandboxes and the checkpoint live (default: /var/lib/mesos)",
        boot: false,
        switch: false,
        set: |draft, text| {
            if text == "/" {
                return Err("; the root cannot be it".to_owned());
            }
            put(&mut draft.work_dir, absolute(text))
        },
    },
    Setting {
        name: "ip",
        value: "ADDRESS",
        allowed: "an address to listen on, or for a node ADDRESS/PREFIX[,gw=ADDRESS][,dns=ADDRESS]…",
        help: "the address to listen on (default: all). On a booting node ADDRESS/PREFIX,gw=ADDRESS,dns=ADDRESS\n      gives the first network device its address instead of DHCP",
        boot: false,
        switch: false,
        set: |draft, text| {
            if text.contains('/') {
                put(&mut draft.boot.address, static_address(text))
            } else {
                put(&mut draft.ip, plain(text))
            }
        },
    },
    Setting {
        name: "port",
        value: "PORT",
        allowed: PORT,
        help: "the port to listen on (default: 5051)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.port, port(text)),
    },
    Setting {
        name: "hostname",
        value: "NAME",
        allowed: "a host name: letters, digits, dots and hyphens, 64 at most",
        help: "the name to be known by (default: the machine's own)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.hostname, hostname(text)),
    },
    Setting {
        name: "advertise_ip",
        value: "ADDRESS",
        allowed: "an address",
        help: "the address that others reach this agent at (default: the one it listens on)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.advertise_ip, plain(text)),
    },
    Setting {
        name: "advertise_port",
        value: "PORT",
        allowed: PORT,
        help: "the port that others reach this agent at (default: the one it listens on)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.advertise_port, port(text)),
    },
    Setting {
        name: "zk_session_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "the timeout of the session with the ZooKeeper of --master (default: 10secs)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.zk_session_timeout, duration(text, SESSION_MAX)),
    },
    Setting {
        name: "loopback_master_ip",
        value: "ADDRESS",
        allowed: "an address",
        help: "where masters are reached that tell an address of the loopback, as those on a host do to its\n      guests (default: there)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.loopback_master_ip, plain(text)),
    },
    Setting {
        name: "resources",
        value: "TEXT",
        allowed: "resources, as in cpus:4;mem:1024;ports:[31000-32000]",
        help: "what is offered, as in cpus:4;mem:1024;ports:[31000-32000] (default: what the machine has)",
        boot: false,
        switch: false,
        set: |draft, text| {
            description::check(Some(text), None).map_err(why)?;
            put(&mut draft.resources, some_text(text))
        },
    },
    Setting {
        name: "attributes",
        value: "TEXT",
        allowed: "attributes, as in rack:a1;zone:west",
        help: "what is told about this agent, as in rack:a1;zone:west",
        boot: false,
        switch: false,
        set: |draft, text| {
            description::check(None, Some(text)).map_err(why)?;
            put(&mut draft.attributes, some_text(text))
        },
    },
    Setting {
        name: "domain",
        value: "DOMAIN",
        allowed: domain::ALLOWED,
        help: "region and zone of this agent: region:NAME;zone:NAME, Mesos' JSON, or the path of a file that\n      holds it; frameworks that are not REGION_AWARE get no offers of agents in another region than\n      the master's (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            put(
                &mut draft.domain,
                text.parse().map_err(|fault| format!("; {fault}")),
            )
        },
    },
    Setting {
        name: "switch_user",
        value: "BOOL",
        allowed: "true or false",
        help: "run tasks as the user they name; otherwise as the agent's own (default: true)",
        boot: false,
        switch: true,
        set: |draft, text| put(&mut draft.switch_user, boolean(text)),
    },
    Setting {
        name: "credential",
        value: "FILE",
        allowed: ABSOLUTE,
        help: "JSON with the principal and secret to show the master (default: none is shown)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.credential, absolute(text)),
    },
    Setting {
        name: "default_rootfs",
        value: "DIR",
        allowed: ABSOLUTE,
        help: "the root of a task that names no image (default: on a booting node a busybox, elsewhere none)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.default_rootfs, absolute(text)),
    },
    Setting {
        name: "executor_shutdown_grace_period",
        value: "DURATION",
        allowed: DURATION,
        help: "how long an executor may take to end by itself (default: 5secs)",
        boot: false,
        switch: false,
        set: |draft, text| {
            put(
                &mut draft.executor_shutdown_grace_period,
                duration(text, Duration::MAX),
            )
        },
    },
    Setting {
        name: "executor_registration_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long an executor may take to subscribe, from its launch on, images and files\n      included (default: 1mins)",
        boot: false,
        switch: false,
        set: |draft, text| {
            put(
                &mut draft.executor_registration_timeout,
                duration(text, Duration::MAX),
            )
        },
    },
    Setting {
        name: "executor_reregistration_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long an executor may take to subscribe again after a restart of the agent, 15secs at\n      most (default: 2secs)",
        boot: false,
        switch: false,
        set: |draft, text| {
            put(
                &mut draft.executor_reregistration_timeout,
                duration(text, Duration::from_secs(15)),
            )
        },
    },
    Setting {
        name: "recovery_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long an executor waits for an agent that is gone before it ends itself\n      (default: 15mins)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.recovery_timeout, duration(text, Duration::MAX)),
    },
    Setting {
        name: "gc_delay",
        value: "DURATION",
        allowed: DURATION,
        help: "how long a sandbox is kept after the end of its container, on an empty disk (default: 1weeks)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.gc_delay, duration(text, Duration::MAX)),
    },
    Setting {
        name: "gc_disk_headroom",
        value: "SHARE",
        allowed: "a number from 0 to 1",
        help: "the part of the disk that is to stay free: sandboxes are kept for\n      gc_delay * (1 - gc_disk_headroom - usage) (default: 0.1)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.gc_disk_headroom, share(text)),
    },
    Setting {
        name: "disk_watch_interval",
        value: "DURATION",
        allowed: DURATION,
        help: "how often the disk's usage is looked at, and sandboxes are removed (default: 1mins)",
        boot: false,
        switch: false,
        set: |draft, text| {
            put(
                &mut draft.disk_watch_interval,
                duration(text, Duration::MAX),
            )
        },
    },
    Setting {
        name: "gc_non_executor_container_sandboxes",
        value: "BOOL",
        allowed: "true or false",
        help: "remove sandboxes of nested and standalone containers by their age too (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| {
            put(
                &mut draft.gc_non_executor_container_sandboxes,
                boolean(text),
            )
        },
    },
    Setting {
        name: "max_stdout_size",
        value: "SIZE",
        allowed: "a size of 4096B or more, or 0B",
        help: "the size from which a task's stdout is rotated; 0B is never (default: 10MB). A task sets its own by\n      CONTAINER_LOGGER_MAX_STDOUT_SIZE",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.rotation.stdout.size = rotation::size(text).map_err(|_| Why::new())?;
            Ok(())
        },
    },
    Setting {
        name: "max_stderr_size",
        value: "SIZE",
        allowed: "a size of 4096B or more, or 0B",
        help: "the same of stderr",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.rotation.stderr.size = rotation::size(text).map_err(|_| Why::new())?;
            Ok(())
        },
    },
    Setting {
        name: "logrotate_stdout_options",
        value: "OPTIONS",
        allowed: "`rotate NUMBER`, up to 100",
        help: "how many older files of stdout are kept (default: rotate 4). A task sets its own by\n      CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.rotation.stdout.keep = rotation::keep(text).map_err(|_| Why::new())?;
            Ok(())
        },
    },
    Setting {
        name: "logrotate_stderr_options",
        value: "OPTIONS",
        allowed: "`rotate NUMBER`, up to 100",
        help: "the same of stderr",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.rotation.stderr.keep = rotation::keep(text).map_err(|_| Why::new())?;
            Ok(())
        },
    },
    Setting {
        name: "appc_simple_discovery_uri_prefix",
        value: "PREFIX",
        allowed: "http://…, https://… or an absolute path without ..",
        help: "what stands before the name of an Appc image, or the folder that has them (default: https://)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.images.appc = images::appc(text)?;
            Ok(())
        },
    },
    Setting {
        name: "fetcher_cache_dir",
        value: "DIR",
        allowed: ABSOLUTE,
        help: "where fetched files are kept that several tasks want (default: fetch in the work directory)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.fetching.cache_dir, absolute(text)),
    },
    Setting {
        name: "fetcher_cache_size",
        value: "SIZE",
        allowed: SIZE,
        help: "the most that is kept of fetched files (default: 2GB)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.fetching.cache_bytes_max = fetching::size(text)?;
            Ok(())
        },
    },
    Setting {
        name: "fetcher_size_limit",
        value: "SIZE",
        allowed: SIZE,
        help: "the most that one fetched file may have, and what is in an archive (default: 32GB)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.fetching.file_bytes_max = fetching::size(text)?;
            Ok(())
        },
    },
    Setting {
        name: "fetcher_stall_timeout",
        value: "DURATION",
        allowed: DURATION,
        help: "how long a server may send nothing of a file that is fetched (default: 1mins)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.fetching.stall_max = model::duration::parse(text).map_err(|_| Why::new())?;
            Ok(())
        },
    },
    Setting {
        name: "fetcher_local_paths",
        value: "DIR[,DIR]",
        allowed: "absolute paths without .., with commas between them",
        help: "the folders of this node that tasks may take files from, as file:///DIR/FILE (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.fetching.local = fetching::folders(text)?;
            Ok(())
        },
    },
    Setting {
        name: "frameworks_home",
        value: "DIR",
        allowed: ABSOLUTE,
        help: "where relative paths of files begin that tasks take (default: there are none)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.fetching.frameworks_home, absolute(text)),
    },
    Setting {
        name: "ca_file",
        value: "FILE",
        allowed: ABSOLUTE,
        help: "certificates in PEM of authorities that are believed beside Mozilla's, for images and files (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.ca_file, absolute(text)),
    },
    Setting {
        name: "docker_registry",
        value: "ADDRESS|DIR",
        allowed: "a registry, as in https://registry.example:5000, or the absolute path of a directory with images",
        help: "where images are that name no registry: a registry, or a directory with OCI layouts and\n      archives of docker save (default: https://registry-1.docker.io)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.images.registry = images::registry(text)?;
            Ok(())
        },
    },
    Setting {
        name: "docker_config",
        value: "JSON|FILE",
        allowed: "a Docker configuration in JSON, or the absolute path of a file with one",
        help: "names and passwords for registries, as docker login writes them (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.images.credentials = images::credentials(text)?;
            Ok(())
        },
    },
    Setting {
        name: "docker_insecure_registries",
        value: "HOST[:PORT],…",
        allowed: "registries, as in 10.0.2.2:5000,registry.example",
        help: "registries that speak http without TLS (default: localhost and 127.0.0.1 with a port, and port 80)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.images.insecure = images::insecure(text)?;
            Ok(())
        },
    },
    Setting {
        name: "docker_registry_mirrors",
        value: "REGISTRY=ADDRESS,…",
        allowed: "registries and mirrors, as in registry-1.docker.io=https://mirror.example",
        help: "what is asked before a registry (default: none)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.images.mirrors = images::mirrors(text)?;
            Ok(())
        },
    },
    Setting {
        name: "docker_store_dir",
        value: "DIR",
        allowed: ABSOLUTE,
        help: "where the layers of images are kept (default: store in the work directory)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.images.store, absolute(text)),
    },
    Setting {
        name: "image_store_size",
        value: "SIZE",
        allowed: "a size: a whole number and one of B, KB, MB, GB, TB, as in 10GB",
        help: "how much is kept of images that nobody uses, and how large one may be (default: half of the disk)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.images.store_bytes_max, images::size(text)),
    },
    Setting {
        name: "networks",
        value: "NAME=NET[:open],…",
        allowed: "networks, as in bridge=172.17.0.0/16,lan=10.5.0.1/24:open",
        help: "the networks that containers can be connected with, each with an address of this node or the\n      network's own; containers of one that is open reach each other by their addresses, others by\n      mapped ports alone (default: bridge=172.17.0.0/16)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.networks.named = networks::named(text)?;
            Ok(())
        },
    },
    Setting {
        name: "egress_rate_limit_per_container",
        value: "SIZE",
        allowed: "a size a second: a whole number and one of B, KB, MB, GB, TB, as in 10MB",
        help: "how much each container of a network sends in a second at most (default: no limit)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.networks.rates.egress, networks::rate(text)),
    },
    Setting {
        name: "ingress_rate_limit_per_container",
        value: "SIZE",
        allowed: "a size a second: a whole number and one of B, KB, MB, GB, TB, as in 10MB",
        help: "how much each container of a network receives in a second at most (default: no limit)",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.networks.rates.ingress, networks::rate(text)),
    },
    Setting {
        name: "network_pool_size",
        value: "NUMBER",
        allowed: "a whole number",
        help: "how many network namespaces are made before there is a container for them (default: 4)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.networks.pool_size = networks::pool_size(text)?;
            Ok(())
        },
    },
    Setting {
        name: "jwt_secret_key",
        value: "FILE",
        allowed: ABSOLUTE,
        help: "the file of the key that signs executors' tokens",
        boot: false,
        switch: false,
        set: |draft, text| put(&mut draft.jwt_secret_key, absolute(text)),
    },
    Setting {
        name: "authenticate_http_executors",
        value: "BOOL",
        allowed: "true or false",
        help: "whether executors are refused that show no token; needs --jwt_secret_key\n      (default: false)",
        boot: false,
        switch: true,
        set: |draft, text| put(&mut draft.authenticate_http_executors, boolean(text)),
    },
    Setting {
        name: "logging_level",
        value: "LEVEL",
        allowed: "one of DEBUG, INFO, WARNING, ERROR",
        help: "the least severe events that are logged: DEBUG, INFO, WARNING or ERROR (default: INFO)",
        boot: false,
        switch: false,
        set: |draft, text| {
            draft.logging_level = match text {
                "DEBUG" => LoggingLevel::Debug,
                "INFO" => LoggingLevel::Info,
                "WARNING" => LoggingLevel::Warning,
                "ERROR" => LoggingLevel::Error,
                _ => return Err(Why::new()),
            };
            Ok(())
        },
    },
];

/// All settings, those of a booting node last.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    let own = SETTINGS.iter().chain(ISOLATION).chain(DISK);
    own.chain(RECOVERY).chain(OVERSUBSCRIPTION).chain(BOOT)
}
