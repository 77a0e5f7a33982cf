//! Appc: images of the operator's folder, and of a server.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use agent::images::appc::Prefix;
use agent::images::settings::{Default as Registry, Settings};
use agent::images::{Appc, Provisioner, Wanted};
use agent::init::chain;
use agent::web::{Authorities, Client, Patience};
use agent_core::sandbox::STORE_IDS;
use sha2::{Digest, Sha512};

use crate::Outcome;
use crate::archive::{Archive, Entry};
use crate::server::Server;
use crate::world::{Place, World};

fn aci(name: &str, more: &str, file: (&str, &str)) -> Vec<u8> {
    let manifest =
        format!(r#"{{"acKind":"ImageManifest","acVersion":"0.8.0","name":"{name}"{more}}}"#);
    Archive::default()
        .with(Entry::file("manifest", manifest.as_bytes()))
        .with(Entry::directory("rootfs"))
        .with(Entry::file(&format!("rootfs/{}", file.0), file.1.as_bytes()).owner(7, 7))
        .end()
}

fn id(archive: &[u8]) -> String {
    format!("sha512-{:x}", Sha512::digest(archive))
}

fn provisioner(world: &World, store: &Path, folder: &Path) -> Result<Provisioner, Box<dyn Error>> {
    provisioner_of(world, store, Prefix::Folder(folder.to_path_buf()))
}

fn provisioner_of(
    world: &World,
    store: &Path,
    appc: Prefix,
) -> Result<Provisioner, Box<dyn Error>> {
    let settings = Settings {
        store: store.to_path_buf(),
        bytes_max: 1 << 30,
        default: Registry::Folder(store.to_path_buf()),
        insecure: Vec::new(),
        mirrors: BTreeMap::new(),
        credentials: Default::default(),
        appc,
        waits: Vec::new(),
    };
    let client = Client::new(&Authorities::default(), Patience::default())?;
    let unpack = Arc::new(world.unpacker.clone());
    Ok(Provisioner::open(settings, client, unpack)?)
}

fn wanted(name: &str, id: Option<String>) -> Wanted {
    Wanted {
        name: name.to_owned(),
        appc: Some(Appc {
            id,
            labels: BTreeMap::from([("version".to_owned(), "1".to_owned())]),
        }),
        cached: true,
        credentials: None,
    }
}

pub(crate) fn an_image_lies_on_those_that_it_depends_on(world: &World) -> Outcome {
    let place = Place::new()?;
    let (folder, store) = (place.outside(), place.inside());
    let base = aci("base", "", ("base", "b"));
    let needs = format!(
        r#","dependencies":[{{"imageName":"base","imageID":"{}",
        "labels":[{{"name":"version","value":"1"}}]}}]"#,
        id(&base)
    );
    let middle = aci("a.org/middle", &needs, ("middle", "m"));
    let top = aci(
        "a.org/top",
        &format!(
            r#","app":{{"exec":["/run","x"],"user":"5","group":"6"}},{}"#,
            needs.trim_start_matches(',').replace(
                r#""dependencies":["#,
                r#""dependencies":[{"imageName":"a.org/middle","labels":[{"name":"version","value":"1"}]},"#
            )
        ),
        ("top", "t"),
    );
    fs::create_dir(folder.join("a.org"))?;
    fs::write(folder.join("base-1-linux-amd64.aci"), &base)?;
    fs::write(folder.join("a.org/middle-1-linux-amd64.aci"), &middle)?;
    fs::write(
        folder.join("a.org/top-1-linux-amd64.aci"),
        zstd::encode_all(top.as_slice(), 1)?,
    )?;
    let images = provisioner(world, &store, &folder)?;
    let got = world
        .runtime
        .block_on(images.provision(&wanted("a.org/top", None)))?;
    let files = ["base", "middle", "top"];
    assert_eq!(got.layers.len(), files.len());
    for (layer, file) in got.layers.iter().zip(files) {
        let data = fs::metadata(layer.join(file))?;
        assert_eq!(data.uid(), STORE_IDS.first + 7, "{file}");
    }
    assert_eq!(got.config.entrypoint, ["/run"]);
    assert_eq!(got.config.user.as_deref(), Some("5:6"));
    // It is kept: its folder is not asked again.
    drop(got);
    fs::remove_dir_all(folder.join("a.org"))?;
    let again = world
        .runtime
        .block_on(images.provision(&wanted("a.org/top", None)));
    assert_eq!(again?.layers.len(), files.len());
    Ok(())
}

pub(crate) fn an_image_is_found_on_a_server_by_simple_discovery(world: &World) -> Outcome {
    let base = aci("a.org/base", "", ("base", "b"));
    let needs = r#","dependencies":[{"imageName":"a.org/base",
        "labels":[{"name":"version","value":"1"}]}]"#;
    let top = aci("a.org/top", needs, ("top", "t"));
    let files = [
        ("/a.org/base-1-linux-amd64.aci", base),
        (
            "/a.org/top-1-linux-amd64.aci",
            zstd::encode_all(top.as_slice(), 1)?,
        ),
    ];
    let server = Server::start(files.map(|(path, body)| (path.to_owned(), body)).into())?;
    let place = Place::new()?;
    let store = place.inside();
    let images = provisioner_of(world, &store, Prefix::Web(server.root()))?;
    let provision = |name: &str| {
        world
            .runtime
            .block_on(images.provision(&wanted(name, None)))
    };
    let got = provision("a.org/top")?;
    for (layer, file) in got.layers.iter().zip(["base", "top"]) {
        assert!(layer.join(file).exists(), "{file}");
    }
    assert_eq!((got.layers.len(), server.asked()), (2, 2));
    // It is kept, and the server is not asked again.
    assert_eq!(provision("a.org/top")?.layers.len(), 2);
    assert_eq!(server.asked(), 2);
    for (prefix, words) in [
        (server.root(), "the server answered 404"),
        ("http://127.0.0.1:1/".to_owned(), "connect to 127.0.0.1:1"),
    ] {
        let images = provisioner_of(world, &store, Prefix::Web(prefix))?;
        let failed = world
            .runtime
            .block_on(images.provision(&wanted("none", None)));
        let Err(error) = failed else {
            return Err(format!("taken, and not: {words}").into());
        };
        let text = chain(&error);
        if !text.contains(words) {
            return Err(text.into());
        }
        assert_eq!(fs::read_dir(store.join("staging"))?.count(), 0, "{words}");
    }
    Ok(())
}

pub(crate) fn an_image_that_is_not_what_it_should_be_leaves_nothing(world: &World) -> Outcome {
    let circle = |of: &str| {
        let needs = format!(
            r#","dependencies":[{{"imageName":"{of}","labels":[{{"name":"version","value":"1"}}]}}]"#
        );
        aci(of, &needs, ("a", "a"))
    };
    let plain = aci("a", "", ("a", "a"));
    let other = Some(format!("sha512-{}", "0".repeat(128)));
    let no_root = Archive::default()
        .with(Entry::file(
            "manifest",
            br#"{"acKind":"ImageManifest","name":"a"}"#,
        ))
        .end();
    let linked = Archive::default()
        .with(Entry::symlink("manifest", "/etc/passwd"))
        .with(Entry::directory("rootfs"))
        .end();
    let root_is_a_link = Archive::default()
        .with(Entry::file(
            "manifest",
            br#"{"acKind":"ImageManifest","name":"a"}"#,
        ))
        .with(Entry::symlink("rootfs", "/"))
        .end();
    for (archive, id, words) in [
        (plain.clone(), other, "has the id"),
        (aci("b", "", ("a", "a")), None, "it is that of \"b\""),
        (no_root, None, "no rootfs"),
        (linked, None, "manifest"),
        (root_is_a_link, None, "no rootfs"),
        (circle("a"), None, "or itself"),
        (plain[..1000].to_vec(), None, "cut short"),
    ] {
        let place = Place::new()?;
        let (folder, store) = (place.outside(), place.inside());
        fs::write(folder.join("a-1-linux-amd64.aci"), &archive)?;
        let images = provisioner(world, &store, &folder)?;
        let result = world.runtime.block_on(images.provision(&wanted("a", id)));
        let Err(error) = result else {
            return Err(format!("taken, and not: {words}").into());
        };
        let text = chain(&error);
        if !text.contains(words) {
            return Err(text.into());
        }
        assert_eq!(fs::read_dir(store.join("staging"))?.count(), 0, "{words}");
        assert_eq!(fs::read_dir(store.join("images"))?.count(), 0, "{words}");
    }
    Ok(())
}
