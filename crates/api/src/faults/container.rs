//! What is wrong with a ContainerInfo, in Mesos' words.

use crate::v1;
use crate::v1::container_info::Type;
use crate::v1::volume::source::Type as SourceType;

/// The first fault of a container.
#[must_use]
pub fn fault(container: &v1::ContainerInfo) -> Option<String> {
    if let Some(fault) = container.volumes.iter().find_map(volume) {
        return Some(format!("Invalid volume: {fault}"));
    }
    if container.r#type != i32::from(Type::Docker) {
        return None;
    }
    let Some(docker) = &container.docker else {
        return Some("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".into());
    };
    let names_it = docker.parameters.iter().any(|p| p.key == "name");
    names_it.then(|| "Parameter in DockerInfo must not be 'name'".into())
}

fn volume(volume: &v1::Volume) -> Option<&'static str> {
    let origins = [
        volume.host_path.is_some(),
        volume.image.is_some(),
        volume.source.is_some(),
    ];
    if origins.into_iter().filter(|is_set| *is_set).count() != 1 {
        return Some("Only one of them should be set: 'host_path', 'image' and 'source'");
    }
    let source = volume.source.as_ref()?;
    let kind = source
        .r#type
        .and_then(|number| SourceType::try_from(number).ok());
    let (is_set, fault) = match kind {
        Some(SourceType::DockerVolume) => (
            source.docker_volume.is_some(),
            "'source.docker_volume' is not set for DOCKER_VOLUME volume",
        ),
        Some(SourceType::HostPath) => (
            source.host_path.is_some(),
            "'source.host_path' is not set for HOST_PATH volume",
        ),
        Some(SourceType::SandboxPath) => (
            source.sandbox_path.is_some(),
            "'source.sandbox_path' is not set for SANDBOX_PATH volume",
        ),
        Some(SourceType::Secret) => (
            source.secret.is_some(),
            "'source.secret' is not set for SECRET volume",
        ),
        Some(SourceType::CsiVolume) => match &source.csi_volume {
            None => (false, "'source.csi_volume' is not set for CSI volume"),
            Some(csi) => (
                csi.static_provisioning.is_some(),
                "'source.csi_volume.static_provisioning' is not set for CSI volume",
            ),
        },
        Some(SourceType::Unknown) | None => (false, "'source.type' is unknown"),
    };
    (!is_set).then_some(fault)
}
