//! Images that attacks run in, and archives that they bring.
//!
//! One layer: a busybox, the probe, and the probe again with what a file can give to whoever runs it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::lab::server::Server;

/// The usual image.
pub(super) const USUAL: &str = "attack";

/// Images that differ from the usual one in their configuration alone.
const OTHERS: [(&str, &str, &str); 3] = [
    // Descriptors that a runtime left open as the working directory (CVE-2024-21626).
    ("descriptor7", "WorkingDir", "/proc/self/fd/7"),
    ("descriptor8", "WorkingDir", "/proc/self/fd/8/../../.."),
    ("init_root", "WorkingDir", "/proc/1/root"),
];

const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nodd:x:1000:1000:odd:/:/bin/sh\n";

/// `VFS_CAP_REVISION_2` with the effective bit; CAP_SYS_ADMIN, CAP_DAC_OVERRIDE and CAP_SYS_PTRACE.
const FILE_CAPABILITIES: [u32; 5] = [0x0200_0001, (1 << 21) | (1 << 1) | (1 << 19), 0, 0, 0];

/// Puts every image on the server.
///
/// # Errors
/// The busybox of the boot image's parts is not there.
pub(super) fn serve(server: &Server, parts: &Path, probe: &[u8]) -> Result<()> {
    let layer = layer(parts, probe)?;
    let layer_digest = digest(&layer);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&layer).context("pack a layer")?;
    let packed = packed.finish().context("pack a layer")?;
    for (name, key, value) in [(USUAL, "WorkingDir", "/")].into_iter().chain(OTHERS) {
        let mut settings = json!({
            "Cmd": ["/bin/sh"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/sbin:/usr/sbin"],
        });
        settings[key] = Value::from(value);
        let configuration = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        });
        let configuration = configuration.to_string().into_bytes();
        let blob = |kind: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            let path = format!("/v2/{name}/blobs/{digest}");
            server.put(&path, "application/octet-stream", bytes);
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": digest,
                "size": bytes.len(),
            })
        };
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": blob("config.v1+json", &configuration),
            "layers": [blob("layer.v1.tar+gzip", &packed)],
        });
        let manifest = manifest.to_string().into_bytes();
        for reference in ["latest", &digest(&manifest)] {
            let path = format!("/v2/{name}/manifests/{reference}");
            server.put(&path, kind, manifest.clone());
        }
    }
    server.put("/v2/", "application/json", *b"{}");
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        // A string takes everything.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// One entry of an archive.
struct Entry<'a> {
    path: &'a str,
    kind: EntryType,
    mode: u32,
    /// What a link points to.
    target: &'a str,
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    const fn file(path: &'a str, mode: u32, bytes: &'a [u8]) -> Self {
        Self {
            path,
            kind: EntryType::Regular,
            mode,
            target: "",
            bytes,
        }
    }

    const fn link(path: &'a str, kind: EntryType, target: &'a str) -> Self {
        Self {
            path,
            kind,
            mode: 0o777,
            target,
            bytes: b"",
        }
    }

    fn add(&self, archive: &mut Builder<Vec<u8>>) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_size(self.bytes.len() as u64);
        // By hand, since the library refuses what climbs.
        let gnu = header.as_gnu_mut().context("a header")?;
        gnu.name[..self.path.len()].copy_from_slice(self.path.as_bytes());
        gnu.linkname[..self.target.len()].copy_from_slice(self.target.as_bytes());
        header.set_cksum();
        archive
            .append(&header, self.bytes)
            .context("add to an archive")
    }
}

fn layer(parts: &Path, probe: &[u8]) -> Result<Vec<u8>> {
    let path = parts.join("busybox");
    let busybox = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let path = parts.join("applets");
    let applets =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut archive = Builder::new(Vec::new());
    for folder in [
        "bin", "sbin", "usr", "usr/bin", "usr/sbin", "etc", "tmp", "root",
    ] {
        Entry {
            path: folder,
            kind: EntryType::Directory,
            mode: if folder == "tmp" { 0o1777 } else { 0o755 },
            target: "",
            bytes: b"",
        }
        .add(&mut archive)?;
    }
    Entry::file("bin/busybox", 0o755, &busybox).add(&mut archive)?;
    for applet in applets.split_whitespace() {
        if applet != "bin/busybox" && applet != "linuxrc" {
            Entry::link(applet, EntryType::Symlink, "/bin/busybox").add(&mut archive)?;
        }
    }
    Entry::file("etc/passwd", 0o644, PASSWD.as_bytes()).add(&mut archive)?;
    Entry::file("bin/probe", 0o755, probe).add(&mut archive)?;
    Entry::file("bin/rooted", 0o4755, probe).add(&mut archive)?;
    let capabilities: Vec<u8> = FILE_CAPABILITIES
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    archive
        .append_pax_extensions([("SCHILY.xattr.security.capability", capabilities.as_slice())])
        .context("add to an archive")?;
    Entry::file("bin/capable", 0o755, probe).add(&mut archive)?;
    archive.into_inner().context("end an archive")
}

/// Archives that climb out of the sandbox towards the neighbour's, and links that lead to the node's root.
///
/// # Errors
/// A path is too long for an archive.
pub(super) fn archives(server: &Server, victim: &str) -> Result<()> {
    let pwned = b"pwned\n";
    let up = "../".repeat(12);
    let climbing = format!("{up}{}/pwned", victim.trim_start_matches('/'));
    let absolute = format!("{victim}/pwned");
    let link_up = format!("{up}{}", victim.trim_start_matches('/'));
    let all: [(&str, Vec<Entry<'_>>); 5] = [
        ("dotdot.tar", vec![Entry::file(&climbing, 0o644, pwned)]),
        ("absolute.tar", vec![Entry::file(&absolute, 0o644, pwned)]),
        (
            "symlink.tar",
            vec![
                Entry::link("out", EntryType::Symlink, &link_up),
                Entry::file("out/pwned", 0o644, pwned),
            ],
        ),
        (
            "hardlink.tar",
            vec![Entry::link(
                "stolen",
                EntryType::Link,
                "../../../../../../../../../../etc/hosts",
            )],
        ),
        (
            "links.tar",
            vec![
                Entry::link("root", EntryType::Symlink, "/"),
                Entry::link("up", EntryType::Symlink, "../../../../../../../.."),
                Entry::link("neighbour", EntryType::Symlink, victim),
            ],
        ),
    ];
    for (name, entries) in all {
        let mut archive = Builder::new(Vec::new());
        for entry in entries {
            if entry.path.len() > 100 || entry.target.len() > 100 {
                long(&entry, &mut archive)?;
            } else {
                entry.add(&mut archive)?;
            }
        }
        let bytes = archive.into_inner().context("end an archive")?;
        server.put(&format!("/{name}"), "application/x-tar", bytes);
    }
    Ok(())
}

/// An entry whose names come before it, since they are too long for its header.
fn long(entry: &Entry<'_>, archive: &mut Builder<Vec<u8>>) -> Result<()> {
    for (kind, name) in [(b'L', entry.path), (b'K', entry.target)] {
        if name.is_empty() {
            continue;
        }
        let bytes = [name.as_bytes(), b"\0"].concat();
        Entry {
            path: "././@LongLink",
            kind: EntryType::new(kind),
            mode: 0o644,
            target: "",
            bytes: &bytes,
        }
        .add(archive)?;
    }
    Entry {
        path: "long",
        target: "long",
        ..*entry
    }
    .add(archive)
}
