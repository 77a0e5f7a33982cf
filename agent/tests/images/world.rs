//! Images, a registry that has them, and a provisioner that wants them.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::ready;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agent::images::credentials::Credentials;
use agent::images::digest::sha256;
use agent::images::pull::Unpack;
use agent::images::{Provisioned, Provisioner, Settings, Wanted};
use agent::init::chain;
use agent::unpack::{Bounds, UnpackError, Unpacked, What};
use agent::web::{Authorities, Client, Patience};
use agent_kernel::confine::Landlock;
use serde_json::json;

use crate::server::{Asked, Reply, Server};

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An image's blobs and manifests by their paths in a repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) parts: BTreeMap<String, (String, Vec<u8>)>,
    /// The layers' digests.
    pub(crate) layers: Vec<String>,
    pub(crate) config: String,
    pub(crate) manifest: String,
}

impl Image {
    /// An image with these layers, under the tag `latest`. They are no archives: the unpacker does not
    /// mind.
    pub(crate) fn new(media_type: &str, layers: &[&str]) -> Self {
        Self::with_config(media_type, layers, |config| config)
    }

    pub(crate) fn with_config(
        media_type: &str,
        layers: &[&str],
        change: impl Fn(serde_json::Value) -> serde_json::Value,
    ) -> Self {
        let mut image = Self::default();
        let digests: Vec<_> = layers
            .iter()
            .map(|layer| sha256(layer.as_bytes()))
            .collect();
        let config = change(json!({
            "architecture": oci_machine(), "os": "linux",
            "config": {"Cmd": ["run"], "Env": ["A=1"]},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }));
        let config = config.to_string();
        image.config = sha256(config.as_bytes());
        image.blob(config.as_bytes());
        let mut descriptors = Vec::new();
        for layer in layers {
            image.blob(layer.as_bytes());
            descriptors.push(json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": sha256(layer.as_bytes()), "size": layer.len(),
            }));
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {"mediaType": "x", "digest": image.config, "size": config.len()},
            "layers": descriptors,
        });
        let manifest = manifest.to_string();
        image.manifest = sha256(manifest.as_bytes());
        image.manifest(&image.manifest.clone(), media_type, manifest.as_bytes());
        image.manifest("latest", media_type, manifest.as_bytes());
        image.layers = digests;
        image
    }

    pub(crate) fn blob(&mut self, content: &[u8]) {
        let path = format!("blobs/{}", sha256(content));
        let media_type = "application/octet-stream".to_string();
        self.parts.insert(path, (media_type, content.to_vec()));
    }

    pub(crate) fn manifest(&mut self, version: &str, media_type: &str, content: &[u8]) {
        let path = format!("manifests/{version}");
        self.parts
            .insert(path, (media_type.to_string(), content.to_vec()));
    }

    /// What a registry without faults answers.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let Some((_, part)) = asked.path.split_once("/image/") else {
            return Reply::new(404, "");
        };
        match self.parts.get(part) {
            None => Reply::new(
                404,
                r#"{"errors":[{"code":"UNKNOWN","message":"no such thing"}]}"#,
            ),
            Some((media_type, content)) => {
                let from = asked.header("range").and_then(|range| {
                    let range = range.strip_prefix("bytes=")?.strip_suffix('-')?;
                    range.parse::<usize>().ok()
                });
                let reply = match from {
                    Some(from) => Reply::new(206, &content[from..]),
                    None => Reply::new(200, content.clone()),
                };
                reply.with("Content-Type", media_type.clone())
            }
        }
    }
}

pub(crate) fn oci_machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Takes everything for a layer, and reckons its digest.
#[derive(Debug)]
struct Reckoner;

impl Unpack for Reckoner {
    fn unpack<'a>(
        &'a self,
        source: OwnedFd,
        _: &'a What,
        _: Bounds,
        into: &'a File,
    ) -> Pin<Box<dyn Future<Output = Result<Unpacked, UnpackError>> + Send + 'a>> {
        let mut content = Vec::new();
        File::from(source)
            .read_to_end(&mut content)
            .expect("the packed layer");
        let path = format!("/proc/self/fd/{}/content", into.as_raw_fd());
        File::create(path)
            .and_then(|mut file| file.write_all(&content))
            .expect("a file");
        Box::pin(ready(Ok(Unpacked {
            entries: 1,
            bytes: content.len() as u64,
            skipped: 0,
            digest: Some(sha256(&content)),
            landlock: Landlock::Full,
        })))
    }
}

/// A provisioner with a store of its own.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) provisioner: Provisioner,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with("{}", 1 << 20)
    }

    /// With a Docker configuration, and a bound of the store.
    pub(crate) fn with(config: &str, bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let patience = Patience {
            connect: Duration::from_secs(20),
            head: Duration::from_secs(20),
            stall: Duration::from_millis(300),
        };
        let client = Client::new(&Authorities::default(), patience).expect("a client");
        let settings = Settings {
            store: folder.path().join("store"),
            bytes_max,
            default: agent::images::settings::Default::default(),
            insecure: Vec::new(),
            mirrors: BTreeMap::new(),
            credentials: Credentials::parse(config).expect("credentials"),
            waits: vec![Duration::from_millis(1); 3],
            appc: agent::images::appc::Prefix::default(),
        };
        let provisioner = Provisioner::open(settings, client, Arc::new(Reckoner));
        Self {
            provisioner: provisioner.expect("a provisioner"),
            folder,
        }
    }

    /// Pulls `image` of a server; an error is its whole chain.
    pub(crate) async fn pull(&self, server: &Server) -> Result<Provisioned, String> {
        self.wants(&wanted(server)).await
    }

    pub(crate) async fn wants(&self, wanted: &Wanted) -> Result<Provisioned, String> {
        let got = self.provisioner.provision(wanted).await;
        got.map_err(|error| chain(&error))
    }

    /// Pulls, and expects words of why it fails and nothing left of it.
    pub(crate) async fn fails(&self, server: &Server, words: &[&str]) {
        let error = self.pull(server).await.expect_err("no image");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
        assert_eq!(self.entries("staging"), Vec::<String>::new());
        assert_eq!(self.entries("images"), Vec::<String>::new());
    }

    pub(crate) fn entries(&self, folder: &str) -> Vec<String> {
        let path = self.folder.path().join("store").join(folder);
        let all = std::fs::read_dir(path).expect("a folder").flatten();
        let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

pub(crate) fn wanted(server: &Server) -> Wanted {
    Wanted {
        name: format!("{}/image", server.address),
        appc: None,
        cached: true,
        credentials: None,
    }
}

/// What the layers of an image hold, bottom first.
pub(crate) fn contents(image: &Provisioned) -> Vec<String> {
    let read = |layer: &Path| std::fs::read_to_string(layer.join("content"));
    let all = image.layers.iter().map(|layer| read(layer));
    all.map(|content| content.expect("a layer")).collect()
}
