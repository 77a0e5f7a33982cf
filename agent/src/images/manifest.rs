//! Manifests: what an image consists of, in OCI's and Docker's forms.
//!
//! The form is told by the content, not by media types: registries and mirrors get those wrong. A list
//! for several machines (OCI index, Docker manifest list) leads to the manifest for this one.

use agent_core::sandbox::ImageConfig;
use oci_spec::image::{
    Arch, Descriptor, Digest, ImageConfiguration, ImageIndex, ImageManifest, Os,
};

/// The most layers of an image that overlayfs takes.
pub const LAYERS_MAX: usize = 128;

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The manifest for one machine.
    Manifest(ImageManifest),
    /// A list for several.
    Index(ImageIndex),
}

/// Why a document is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest at all.
    #[error("the manifest is not one of Docker's or OCI's")]
    Form(#[source] serde_json::Error),
    /// Of Docker before 1.10.
    #[error(
        "the manifest has schema version 1, which is no longer supported: push the image again with a newer tool"
    )]
    Schema1,
    /// None for this machine.
    #[error("the image is not there for linux/{machine}, only for {offered}")]
    Machine {
        /// This machine.
        machine: Arch,
        /// What there is.
        offered: String,
    },
    /// Not a configuration.
    #[error("the image's configuration is none")]
    Configuration(#[source] serde_json::Error),
    /// Layers in the manifest and in the configuration differ in number.
    #[error("the manifest has {manifest} layers and the configuration {configuration}")]
    Layers {
        /// In the manifest.
        manifest: usize,
        /// In the configuration.
        configuration: usize,
    },
    /// More than can be mounted.
    #[error("the image has {0} layers, at most {LAYERS_MAX} can be mounted")]
    TooMany(usize),
    /// A name of a layer that is no digest.
    #[error("the image's configuration names a layer {0:?}")]
    Layer(String),
}

/// Reads a manifest or a list of manifests.
///
/// # Errors
/// It is neither.
pub fn parse(content: &[u8]) -> Result<Document, ManifestError> {
    let form = ManifestError::Form;
    let value: serde_json::Value = serde_json::from_slice(content).map_err(form)?;
    if value
        .get("schemaVersion")
        .and_then(serde_json::Value::as_u64)
        == Some(1)
    {
        return Err(ManifestError::Schema1);
    }
    if value.get("manifests").is_some() {
        return serde_json::from_value(value)
            .map(Document::Index)
            .map_err(form);
    }
    serde_json::from_value(value)
        .map(Document::Manifest)
        .map_err(form)
}

/// The manifest for this machine.
///
/// # Errors
/// There is none.
pub fn choose(index: &ImageIndex) -> Result<&Descriptor, ManifestError> {
    let machine = Arch::default();
    let all = index.manifests();
    let fits = |descriptor: &&Descriptor| {
        let platform = descriptor.platform().as_ref();
        platform.is_some_and(|platform| {
            *platform.os() == Os::Linux && *platform.architecture() == machine
        })
    };
    // One without a platform is for whoever asks, as in most layout directories.
    let any = |descriptor: &&Descriptor| descriptor.platform().is_none();
    let chosen = all.iter().find(fits).or_else(|| all.iter().find(any));
    chosen.ok_or_else(|| {
        let offered = all.iter().filter_map(|one| one.platform().as_ref());
        let offered = offered.map(|one| format!("{}/{}", one.os(), one.architecture()));
        let mut offered: Vec<_> = offered.collect();
        offered.sort();
        offered.dedup();
        offered.truncate(16);
        ManifestError::Machine {
            machine,
            offered: match offered.is_empty() {
                true => "nothing".to_string(),
                false => offered.join(", "),
            },
        }
    })
}

/// What a container needs to know of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// For the sandbox.
    pub config: ImageConfig,
    /// The layers' digests without compression, bottom first.
    pub layers: Vec<Digest>,
}

/// Reads an image's configuration, which has to be for this machine and to have `layers` layers.
///
/// # Errors
/// It has not, or is none.
pub fn configuration(content: &[u8], layers: usize) -> Result<Configuration, ManifestError> {
    let read: ImageConfiguration =
        serde_json::from_slice(content).map_err(ManifestError::Configuration)?;
    let machine = Arch::default();
    if *read.os() != Os::Linux || *read.architecture() != machine {
        return Err(ManifestError::Machine {
            machine,
            offered: format!("{}/{}", read.os(), read.architecture()),
        });
    }
    let names = read.rootfs().diff_ids();
    if names.len() != layers {
        return Err(ManifestError::Layers {
            manifest: layers,
            configuration: names.len(),
        });
    }
    if layers > LAYERS_MAX {
        return Err(ManifestError::TooMany(layers));
    }
    let names = names.iter().map(|name| {
        let digest = name.parse::<Digest>();
        digest.map_err(|_| ManifestError::Layer(name.clone()))
    });
    let layers = names.collect::<Result<_, _>>()?;
    let given = read.config().clone().unwrap_or_default();
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let variables = given.env().iter().flatten();
    Ok(Configuration {
        config: ImageConfig {
            entrypoint: given.entrypoint().clone().unwrap_or_default(),
            cmd: given.cmd().clone().unwrap_or_default(),
            // One without a `=` is no variable; Mesos leaves it out, too.
            environment: variables
                .filter_map(|variable| variable.split_once('='))
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            user: some(given.user()),
            working_directory: some(given.working_dir()),
        },
        layers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";

    fn index(platforms: &[&str]) -> String {
        let manifests = platforms.iter().enumerate().map(|(size, platform)| {
            let platform = match platform.split_once('/') {
                Some((os, machine)) => {
                    format!(r#","platform":{{"os":"{os}","architecture":"{machine}"}}"#)
                }
                None => String::new(),
            };
            format!(r#"{{"mediaType":"x","digest":"{DIGEST}","size":{size}{platform}}}"#)
        });
        let manifests: Vec<_> = manifests.collect();
        format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            manifests.join(",")
        )
    }

    #[test]
    fn of_a_list_the_manifest_for_this_machine_is_chosen_or_one_for_any() {
        let here = format!("linux/{}", Arch::default());
        for (platforms, chosen) in [
            (vec!["linux/s390x", &here], Ok(1)),
            (vec!["windows/amd64", "", &here], Ok(2)),
            (vec!["linux/s390x", ""], Ok(1)),
            (
                vec!["linux/s390x", "windows/amd64", "linux/s390x"],
                Err("linux/s390x, windows/amd64"),
            ),
            (vec![], Err("nothing")),
        ] {
            let Document::Index(index) = parse(index(&platforms).as_bytes()).expect("a list")
            else {
                panic!("{platforms:?} is a list");
            };
            let got = choose(&index).map(Descriptor::size);
            let got = got.map_err(|error| error.to_string());
            let expected = chosen.map_err(|offered| {
                let machine = Arch::default();
                format!("the image is not there for linux/{machine}, only for {offered}")
            });
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_manifest_is_told_by_its_content_and_schema_1_is_refused_in_words() {
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{DIGEST}","size":1}},"layers":[]}}"#
        );
        assert!(matches!(
            parse(manifest.as_bytes()),
            Ok(Document::Manifest(_))
        ));
        let old = parse(br#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#).expect_err("old");
        assert!(old.to_string().contains("schema version 1"), "{old}");
        for content in ["", "{}", "[]", "null", r#"{"manifests":1}"#, "\u{0}"] {
            let fault = parse(content.as_bytes());
            assert!(matches!(fault, Err(ManifestError::Form(_))), "{content}");
        }
    }

    #[test]
    fn a_configuration_is_read_as_docker_writes_it() {
        let text = |machine: &str| {
            format!(
                r#"{{"architecture":"{machine}","os":"linux","created":"2024-01-01T00:00:00Z",
                "docker_version":"24","container_config":{{}},"history":[{{"created_by":"x"}}],
                "config":{{"Hostname":"","User":"web","AttachStdin":false,"ExposedPorts":null,
                "Env":["A=1=2","B"],"Cmd":["c"],"Image":"","Volumes":null,"WorkingDir":"",
                "Entrypoint":null,"OnBuild":null,"Labels":null}},
                "rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}}}}"#
            )
        };
        let machine = Arch::default().to_string();
        let read = configuration(text(&machine).as_bytes(), 1).expect("a configuration");
        assert_eq!(read.layers, [DIGEST.parse().expect("a digest")]);
        assert_eq!(
            read.config,
            ImageConfig {
                entrypoint: Vec::new(),
                cmd: vec!["c".into()],
                environment: vec![("A".into(), "1=2".into())],
                user: Some("web".into()),
                working_directory: None,
            }
        );
        for (content, layers) in [(text(&machine), 2), (text("s390x"), 1), (String::new(), 0)] {
            assert!(configuration(content.as_bytes(), layers).is_err());
        }
    }
}
