//! Images: what a `ContainerInfo` asks for as its root.

use agent_core::sandbox::Command;
use api::v1;
use api::v1::container_info::Type;

use crate::images::{Appc, Secret, Wanted};

/// Why an image cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The message lacks what its type says.
    #[error("the image has type {0} and no field for it")]
    Missing(&'static str),
    /// Credentials that lie elsewhere.
    #[error(
        "the image's config is a secret that is named and not given; only type VALUE is supported"
    )]
    Reference,
    /// Credentials that are no text.
    #[error("the image's config is not JSON")]
    Config,
}

/// The image of a container; `None` where it has the node's default root.
///
/// # Errors
/// It is of a kind that this agent cannot get.
pub fn wanted(container: &v1::ContainerInfo) -> Result<Option<Wanted>, ImageError> {
    if container.r#type == i32::from(Type::Docker) {
        let docker = container.docker.as_ref();
        return Ok(docker.map(|docker| Wanted {
            name: docker.image.clone(),
            appc: None,
            cached: !docker.force_pull_image(),
            credentials: None,
        }));
    }
    let image = container
        .mesos
        .as_ref()
        .and_then(|mesos| mesos.image.as_ref());
    image.map(read).transpose()
}

/// What a command runs in a container. One of type DOCKER runs what `docker run` would.
#[must_use]
pub fn command(container: Option<&v1::ContainerInfo>, info: v1::CommandInfo) -> Command {
    let is_docker = container.is_some_and(|container| container.r#type == i32::from(Type::Docker));
    match (info.shell(), is_docker) {
        (true, _) => Command::Shell(info.value.unwrap_or_default()),
        (false, true) => Command::Docker {
            arguments: info.value.into_iter().chain(info.arguments).collect(),
        },
        (false, false) => Command::Program {
            value: info.value.unwrap_or_default(),
            arguments: info.arguments,
        },
    }
}

/// One image.
///
/// # Errors
/// As [`wanted`].
pub fn read(image: &v1::Image) -> Result<Wanted, ImageError> {
    match image.r#type() {
        v1::image::Type::Appc => {
            let appc = image.appc.as_ref().ok_or(ImageError::Missing("APPC"))?;
            let labels = appc.labels.iter().flat_map(|labels| &labels.labels);
            Ok(Wanted {
                name: appc.name.clone(),
                appc: Some(Appc {
                    id: appc.id.clone(),
                    labels: labels
                        .map(|label| (label.key.clone(), label.value().to_owned()))
                        .collect(),
                }),
                cached: image.cached(),
                credentials: None,
            })
        }
        v1::image::Type::Docker => {
            let docker = image.docker.as_ref().ok_or(ImageError::Missing("DOCKER"))?;
            Ok(Wanted {
                name: docker.name.clone(),
                appc: None,
                cached: image.cached(),
                credentials: docker.config.as_ref().map(config).transpose()?,
            })
        }
    }
}

fn config(secret: &v1::Secret) -> Result<Secret, ImageError> {
    let value = secret.value.as_ref().ok_or(ImageError::Reference)?;
    let text = std::str::from_utf8(&value.data).map_err(|_| ImageError::Config)?;
    Ok(Secret(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<Option<(&str, bool)>, ImageError>) {
        let container = api::json::from_json(json.as_bytes()).expect("a ContainerInfo");
        let got = wanted(&container);
        let got = got.map(|wanted| wanted.map(|wanted| (wanted.name, wanted.cached)));
        let expected = expected.map(|some| some.map(|(name, cached)| (name.to_string(), cached)));
        assert_eq!(got, expected, "{json}");
    }

    #[test]
    fn an_image_is_asked_for_by_either_type_of_container() {
        check(r#"{"type":"MESOS"}"#, Ok(None));
        check(r#"{"type":"MESOS","mesos":{}}"#, Ok(None));
        check(
            r#"{"type":"MESOS","mesos":{"image":{"type":"DOCKER","docker":{"name":"a"}}}}"#,
            Ok(Some(("a", true))),
        );
        check(
            r#"{"type":"MESOS","mesos":{"image":{"type":"DOCKER","cached":false,"docker":{"name":"a"}}}}"#,
            Ok(Some(("a", false))),
        );
        check(
            r#"{"type":"DOCKER","docker":{"image":"a","force_pull_image":true}}"#,
            Ok(Some(("a", false))),
        );
        check(
            r#"{"type":"MESOS","mesos":{"image":{"type":"APPC","appc":{"name":"a"}}}}"#,
            Ok(Some(("a", true))),
        );
        check(
            r#"{"type":"MESOS","mesos":{"image":{"type":"DOCKER"}}}"#,
            Err(ImageError::Missing("DOCKER")),
        );
    }

    #[test]
    fn an_images_credentials_are_read_and_never_printed() {
        let json = r#"{"type":"DOCKER","docker":{"name":"a","config":
            {"type":"VALUE","value":{"data":"e30="}}}}"#;
        let image = api::json::from_json(json.as_bytes()).expect("an Image");
        let wanted = read(&image).expect("an image");
        assert_eq!(wanted.credentials, Some(Secret("{}".to_string())));
        assert!(!format!("{wanted:?}").contains("{}"));
        let json = r#"{"type":"DOCKER","docker":{"name":"a","config":
            {"type":"REFERENCE","reference":{"name":"x"}}}}"#;
        let image = api::json::from_json(json.as_bytes()).expect("an Image");
        assert_eq!(read(&image), Err(ImageError::Reference));
    }
}
