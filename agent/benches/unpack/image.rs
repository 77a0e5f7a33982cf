//! Image: an OCI layout of this host's own files.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{LAYERS, Outcome, run};

/// What the layers are made of, in this order.
const SOURCES: [&str; 3] = ["/usr/lib", "/usr/share", "/usr/bin"];

/// An OCI layout; gives the size of its packed layers.
pub(crate) fn make(folder: &Path, bytes: u64) -> Outcome<u64> {
    let image = folder.join("image");
    let blobs = image.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut lists = vec![(Vec::new(), 0_u64); LAYERS];
    let each = bytes / LAYERS as u64;
    let mut at = 0;
    let mut files = Vec::new();
    for source in SOURCES {
        collect(Path::new(source), &mut files)?;
    }
    for (path, size) in files {
        lists[at].0.push(path);
        lists[at].1 += size;
        if lists[at].1 >= each {
            at += 1;
        }
        if at == LAYERS {
            break;
        }
    }
    if at < LAYERS {
        return Err("this host has not enough files for an image of this size".into());
    }
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    let mut packed = 0;
    for (paths, _) in &lists {
        let (list, tar) = (folder.join("list"), folder.join("layer.tar"));
        let mut names = BufWriter::new(File::create(&list)?);
        for path in paths {
            names.write_all(path.as_os_str().as_encoded_bytes())?;
            names.write_all(b"\0")?;
        }
        drop(names);
        run(Command::new("tar")
            .args([
                "--create",
                "--no-recursion",
                "--null",
                "--absolute-names",
                "--transform=s,^/,,",
            ])
            .args(["--sort=none", "--numeric-owner", "--hard-dereference"])
            .arg("--file")
            .arg(&tar)
            .arg("--files-from")
            .arg(&list))?;
        diff_ids.push(json!(digest(&tar)?));
        run(Command::new("gzip").args(["-6", "--no-name"]).arg(&tar))?;
        let gzip = folder.join("layer.tar.gz");
        layers.push(blob(
            &blobs,
            &gzip,
            "application/vnd.oci.image.layer.v1.tar+gzip",
        )?);
        packed += layers
            .last()
            .and_then(|layer| layer["size"].as_u64())
            .unwrap_or(0);
    }
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = document(
        folder,
        &blobs,
        &config,
        "application/vnd.oci.image.config.v1+json",
    )?;
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let mut manifest = document(folder, &blobs, &manifest, kind)?;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(image.join("index.json"), index.to_string())?;
    fs::write(
        image.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    Ok(packed)
}

/// Regular files beneath a folder, with their sizes, in a fixed order.
fn collect(folder: &Path, into: &mut Vec<(PathBuf, u64)>) -> Outcome<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let data = entry.metadata()?;
        if data.is_dir() {
            collect(&entry.path(), into)?;
        } else if data.is_file() {
            into.push((entry.path(), data.size()));
        }
    }
    Ok(())
}

fn document(folder: &Path, blobs: &Path, value: &Value, kind: &str) -> Outcome<Value> {
    let path = folder.join("document");
    fs::write(&path, value.to_string())?;
    blob(blobs, &path, kind)
}

/// Moves a file among the blobs; gives its descriptor.
fn blob(blobs: &Path, file: &Path, kind: &str) -> Outcome<Value> {
    let (digest, size) = (digest(file)?, fs::metadata(file)?.len());
    let name = digest.strip_prefix("sha256:").unwrap_or(&digest);
    fs::rename(file, blobs.join(name))?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": size}))
}

fn digest(file: &Path) -> Outcome<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(file)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    Ok(format!("sha256:{:x}", hasher.finalize()))
}
