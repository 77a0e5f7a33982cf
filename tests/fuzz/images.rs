//! Targets of what registries and archives say of images.

use agent::images::appc::Manifest;
use agent::images::challenge::Challenge;
use agent::images::credentials::Credentials;
use agent::images::manifest::{self, Document};
use agent::images::reference::Reference;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What a registry sends, whole.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let descriptor = format!(r#"{{"mediaType":"x","digest":"{DIGEST}","size":0}}"#);
    let all = [
        format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#),
        format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["A=1"],"Cmd":["a"],
            "User":"a:b"}},"rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}}}}"#
        ),
        format!("host.example:5000/a/b_c:tag@{DIGEST}"),
        r#"Bearer realm="https://a.example/token",service="s",scope="repository:a:pull""#
            .to_string(),
        r#"{"acKind":"ImageManifest","acVersion":"0.8.0","name":"a.org/b","app":{"exec":["/x"],
            "user":"0","group":"0","environment":[{"name":"A","value":"b"}]},"dependencies":[
            {"imageName":"c","labels":[{"name":"version","value":"1"}]}]}"#
            .to_string(),
        r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"}}}"#.to_string(),
    ];
    all.map(String::into_bytes).to_vec()
}

/// A manifest, a list of manifests, or a configuration.
pub(crate) fn document(bytes: &[u8]) {
    if let Ok(Document::Index(index)) = manifest::parse(bytes) {
        let _ = manifest::choose(&index);
    }
    for layers in [0, 1] {
        if let Ok(read) = manifest::configuration(bytes, layers) {
            assert_eq!(read.layers.len(), layers);
        }
    }
}

/// What an App Container Image says of itself.
pub(crate) fn appc(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let config = manifest.config();
        assert!(config.entrypoint.len() <= 1, "{}", manifest.name());
    }
}

/// The name of an image: what is taken stays what it is, and leads nowhere in a folder but beneath.
pub(crate) fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(reference) = text.parse::<Reference>() {
        let again = reference.to_string().parse::<Reference>();
        let again = again.expect("a name that was written is read");
        assert_eq!(again.to_string(), reference.to_string());
        assert_eq!(again.version(), reference.version());
        let path = std::path::PathBuf::from(reference.to_string());
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        assert!(path.components().all(is_plain), "{reference}");
    }
}

/// What a registry wants to be shown, and what an operator has for it.
pub(crate) fn shown(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Challenge::parse(&text);
    if let Ok(credentials) = Credentials::parse(&text) {
        let _ = credentials.of("docker.io");
    }
}
