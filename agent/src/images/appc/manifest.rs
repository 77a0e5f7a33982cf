//! Manifest: what an App Container Image says of itself, as far as it is used here.

use agent_core::sandbox::ImageConfig;
use serde::Deserialize;

use super::Name;

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    ac_kind: String,
    name: String,
    app: Option<App>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct App {
    #[serde(default)]
    exec: Vec<String>,
    user: Option<String>,
    group: Option<String>,
    working_directory: Option<String>,
    #[serde(default)]
    environment: Vec<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    image_name: String,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
    #[serde(default)]
    labels: Vec<Pair>,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// It is not JSON, or of something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match manifest.ac_kind.as_str() {
            "ImageManifest" => Ok(manifest),
            other => Err(format!("it is of the kind {other:?} and not ImageManifest")),
        }
    }

    /// The name that it gives itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of containers.
    #[must_use]
    pub fn config(&self) -> ImageConfig {
        let Some(app) = self.app.clone() else {
            return ImageConfig::default();
        };
        let mut exec = app.exec.into_iter();
        // A path says that the file's owner is meant, and Mesos leaves the user to the task anyway.
        let is_plain = |id: &String| !id.is_empty() && !id.starts_with('/');
        let user = app.user.filter(is_plain);
        let group = app.group.filter(is_plain);
        ImageConfig {
            entrypoint: exec.next().into_iter().collect(),
            cmd: exec.collect(),
            environment: app
                .environment
                .into_iter()
                .map(|variable| (variable.name, variable.value))
                .collect(),
            user: user.map(|user| match group {
                Some(group) => format!("{user}:{group}"),
                None => user,
            }),
            working_directory: app.working_directory.filter(|path| !path.is_empty()),
        }
    }

    /// The images that it lies on.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = Name> + '_ {
        self.dependencies.iter().map(|dependency| Name {
            name: dependency.image_name.clone(),
            id: dependency.image_id.clone(),
            labels: dependency
                .labels
                .iter()
                .map(|label| (label.name.clone(), label.value.clone()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_gives_the_program_and_its_surroundings() {
        let manifest = Manifest::parse(
            br#"{"acKind":"ImageManifest","acVersion":"0.6.1","name":"a.com/b","app":{
            "exec":["/bin/run","-x"],"user":"100","group":"50","workingDirectory":"/opt",
            "environment":[{"name":"A","value":"b"}]},
            "dependencies":[{"imageName":"a.com/base","imageID":"sha512-00",
            "labels":[{"name":"version","value":"1"}]}]}"#,
        )
        .expect("a manifest");
        let expected = ImageConfig {
            entrypoint: vec!["/bin/run".to_owned()],
            cmd: vec!["-x".to_owned()],
            environment: vec![("A".to_owned(), "b".to_owned())],
            user: Some("100:50".to_owned()),
            working_directory: Some("/opt".to_owned()),
        };
        assert_eq!(manifest.config(), expected);
        let base = manifest.dependencies().next().expect("a dependency");
        assert_eq!(base.id.as_deref(), Some("sha512-00"));
        assert_eq!(base.labels["version"], "1");
        for bad in ["", "{}", r#"{"acKind":"PodManifest","name":"a"}"#] {
            assert!(Manifest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
