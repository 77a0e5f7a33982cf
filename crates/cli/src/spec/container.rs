//! The container, the files and the checks of a task, as Mesos' messages have them.

use api::v1::command_info::Uri;
use api::v1::container_info::MesosInfo;
use api::v1::health_check::{HttpCheckInfo, TcpCheckInfo};
use api::v1::{
    CommandInfo, ContainerInfo, DurationInfo, HealthCheck, Image, NetworkInfo, Volume,
    container_info, health_check, image, network_info, volume,
};

use crate::args::container::{ContainerArgs, HealthArgs};

/// The container; `None` where nothing asks for one.
pub(super) fn container(args: &ContainerArgs, ports: &[u16]) -> Option<ContainerInfo> {
    let image = image(args);
    // Those that lead to the task come after those that it holds for itself.
    let published = ports.iter().skip(args.ports.len()).zip(&args.publish);
    let port_mappings: Vec<_> = published
        .map(|(port, one)| network_info::PortMapping {
            host_port: (*port).into(),
            container_port: one.container_port.into(),
            protocol: Some(one.protocol.to_owned()),
        })
        .collect();
    let network_infos: Vec<NetworkInfo> = match args.network.as_str() {
        "host" if port_mappings.is_empty() => Vec::new(),
        name => vec![NetworkInfo {
            // The node refuses mappings of its own network, in words.
            name: (name != "host").then(|| name.to_owned()),
            port_mappings,
            ..Default::default()
        }],
    };
    let is_plain = image.is_none() && args.volumes.is_empty();
    if is_plain && network_infos.is_empty() && args.hostname.is_none() {
        return None;
    }
    Some(ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        mesos: Some(MesosInfo { image }),
        volumes: args.volumes.iter().map(volume).collect(),
        network_infos,
        hostname: args.hostname.clone(),
        ..Default::default()
    })
}

fn image(args: &ContainerArgs) -> Option<Image> {
    let cached = args.force_pull.then_some(false);
    let docker = args.image.clone().map(|name| Image {
        r#type: image::Type::Docker.into(),
        docker: Some(image::Docker {
            name,
            ..Default::default()
        }),
        cached,
        ..Default::default()
    });
    let appc = args.appc.clone().map(|name| Image {
        r#type: image::Type::Appc.into(),
        appc: Some(image::Appc {
            name,
            ..Default::default()
        }),
        cached,
        ..Default::default()
    });
    docker.or(appc)
}

fn volume(volume: &crate::args::container::Volume) -> Volume {
    let mode = match volume.is_read_only {
        true => volume::Mode::Ro,
        false => volume::Mode::Rw,
    };
    Volume {
        mode: mode.into(),
        container_path: volume.path.clone(),
        host_path: Some(volume.source.clone()),
        ..Default::default()
    }
}

/// The files to fetch.
pub(super) fn uris(args: &ContainerArgs) -> Vec<Uri> {
    let uris = args.uris.iter().map(|uri| Uri {
        value: uri.value.clone(),
        executable: Some(uri.executable),
        extract: Some(uri.extract),
        cache: Some(uri.cache),
        output_file: uri.output.clone(),
    });
    uris.collect()
}

/// The health check, where one is asked for; `port` is the task's first one.
pub(super) fn health_check(args: &HealthArgs, port: Option<u16>) -> Option<HealthCheck> {
    use health_check::Type;
    let port = u32::from(args.health_port.or(port).unwrap_or(0));
    let (kind, command, http, tcp) = match (&args.health_cmd, &args.health_http, args.health_tcp) {
        (Some(line), _, _) => {
            let command = CommandInfo {
                shell: Some(true),
                value: Some(line.clone()),
                ..Default::default()
            };
            (Type::Command, Some(command), None, None)
        }
        (None, Some(path), _) => {
            let http = HttpCheckInfo {
                port,
                path: Some(path.clone()),
                scheme: Some("http".to_owned()),
                ..Default::default()
            };
            (Type::Http, None, Some(http), None)
        }
        (None, None, true) => {
            let tcp = TcpCheckInfo {
                port,
                ..Default::default()
            };
            (Type::Tcp, None, None, Some(tcp))
        }
        (None, None, false) => return None,
    };
    Some(HealthCheck {
        r#type: Some(kind.into()),
        command,
        http,
        tcp,
        delay_seconds: Some(args.health_delay),
        interval_seconds: Some(args.health_interval),
        timeout_seconds: Some(args.health_timeout),
        grace_period_seconds: Some(args.health_grace),
        consecutive_failures: Some(args.health_failures),
    })
}

/// A duration out of seconds.
pub(super) fn duration(seconds: f64) -> DurationInfo {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the command line takes a thousand million seconds at most"
    )]
    let nanoseconds = (seconds * 1e9) as i64;
    DurationInfo { nanoseconds }
}
