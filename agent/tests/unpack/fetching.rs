//! Fetching: what commands name, from a server on this host and from its files.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::fetch::{FetchError, Fetcher, Sandbox, Settings, Uri};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Outcome;
use crate::archive::{Archive, Entry};
use crate::files::{owner, sandbox};
use crate::server::Server;
use crate::world::{Place, World};

fn tgz() -> Vec<u8> {
    let tar = Archive::default()
        .with(Entry::file("dir/run.sh", b"#!/bin/sh\n").mode(0o755))
        .end();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar).expect("written to memory");
    encoder.finish().expect("written to memory")
}

fn files() -> Result<Server, Box<dyn Error>> {
    let climbs = Archive::default()
        .with(Entry::file("../outside/new", b"x"))
        .end();
    let all = [
        ("/file", b"content".to_vec()),
        ("/app.tgz", tgz()),
        ("/big", vec![b'b'; 2 << 20]),
        ("/climbs.tar", climbs),
    ];
    Server::start(all.map(|(path, body)| (path.to_owned(), body)).into())
}

fn uri_of(server: &Server, path: &str) -> Uri {
    Uri {
        value: format!("{}{path}", server.root()),
        extract: true,
        ..Uri::default()
    }
}

fn fetcher(world: &World, node: &Place) -> Result<Fetcher, FetchError> {
    let settings = Settings {
        cache_dir: node.outside().join("cache"),
        cache_bytes_max: 1 << 20,
        file_bytes_max: 3 << 20,
        stall_max: Duration::from_millis(500),
        local: vec![node.inside()],
        frameworks_home: None,
        authorities: None,
    };
    Fetcher::open(Arc::clone(&world.workers), settings)
}

fn fetch(world: &World, fetcher: &Fetcher, uris: &[Uri], into: &Path) -> Result<(), FetchError> {
    let sandbox = Sandbox {
        folder: into,
        owner: owner(),
        user: "someone",
    };
    world.runtime.block_on(fetcher.fetch(uris, sandbox))
}

pub(crate) fn files_of_a_server_and_of_the_node_come_as_the_tasks_own(world: &World) -> Outcome {
    let (server, node, place) = (files()?, Place::new()?, sandbox()?);
    let fetcher = fetcher(world, &node)?;
    fs::write(node.inside().join("local"), "here")?;
    let uris = [
        uri_of(&server, "file"),
        Uri {
            executable: true,
            output_file: Some("bin/run".to_owned()),
            ..uri_of(&server, "moved")
        },
        uri_of(&server, "app.tgz"),
        Uri {
            value: format!("file://{}", node.inside().join("local").display()),
            ..Uri::default()
        },
    ];
    fetch(world, &fetcher, &uris, &place.inside())?;
    let data = |name: &str| fs::metadata(place.inside().join(name));
    let ids = owner().ids;
    for (name, mode) in [
        ("file", 0o644),
        ("bin/run", 0o755),
        ("app.tgz", 0o644),
        ("dir/run.sh", 0o755),
        ("local", 0o644),
    ] {
        let data = data(name)?;
        let found = (data.uid(), data.gid(), data.mode() & 0o7777);
        assert_eq!(found, (ids.first + 1000, ids.first + 1000, mode), "{name}");
    }
    assert_eq!(
        fs::read_to_string(place.inside().join("bin/run"))?,
        "content"
    );
    assert_eq!(fs::read_to_string(place.inside().join("local"))?, "here");
    assert_eq!(fetcher.figures().succeeded, 1);
    Ok(())
}

pub(crate) fn what_several_tasks_want_is_loaded_once(world: &World) -> Outcome {
    let (server, node) = (files()?, Place::new()?);
    let fetcher = fetcher(world, &node)?;
    let cached = |path: &str| Uri {
        cache: true,
        ..uri_of(&server, path)
    };
    let places: Vec<Place> = (0..3).map(|_| sandbox()).collect::<Result<_, _>>()?;
    let insides: Vec<_> = places.iter().map(Place::inside).collect();
    let uris = [cached("app.tgz")];
    let all = insides.iter().map(|inside| {
        let sandbox = Sandbox {
            folder: inside,
            owner: owner(),
            user: "someone",
        };
        fetcher.fetch(&uris, sandbox)
    });
    let all = world.runtime.block_on(futures_util::future::join_all(all));
    all.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(server.asked(), 1, "one for all");
    for inside in &insides {
        assert!(inside.join("dir/run.sh").exists() && !inside.join("app.tgz").exists());
    }
    assert_eq!(fetcher.figures().cache_bytes, tgz().len() as u64);
    // Larger than the whole cache: each gets its own.
    let place = sandbox()?;
    fetch(world, &fetcher, &[cached("big")], &place.inside())?;
    assert_eq!(fs::metadata(place.inside().join("big"))?.len(), 2 << 20);
    assert_eq!(fetcher.figures().cache_bytes, tgz().len() as u64);
    Ok(())
}

pub(crate) fn what_cannot_be_fetched_is_told_in_words(world: &World) -> Outcome {
    let (server, node) = (files()?, Place::new()?);
    let fetcher = fetcher(world, &node)?;
    let uri = |value: &str| Uri {
        value: value.to_owned(),
        ..Uri::default()
    };
    let small = Fetcher::open(
        Arc::clone(&world.workers),
        Settings {
            cache_dir: node.outside().join("other"),
            cache_bytes_max: 1 << 20,
            file_bytes_max: 1 << 20,
            stall_max: Duration::from_secs(5),
            local: Vec::new(),
            frameworks_home: None,
            authorities: None,
        },
    )?;
    for (fetcher, uri, words) in [
        (&fetcher, uri_of(&server, "none"), "the server answered 404"),
        (&fetcher, uri_of(&server, "stalls"), "more bytes not within"),
        (&fetcher, uri_of(&server, "cut"), "ask 127.0.0.1"),
        (
            &fetcher,
            uri_of(&server, "climbs.tar"),
            "leads out of the folder",
        ),
        (
            &fetcher,
            uri("http://127.0.0.1:1/x"),
            "connect to 127.0.0.1:1",
        ),
        (
            &fetcher,
            uri("http://no.such.host.invalid/x"),
            "look up no.such.host",
        ),
        (&fetcher, uri("ftp://h/x"), "only http, https and file"),
        (&fetcher, uri("/etc/passwd"), "--fetcher_local_paths"),
        (&small, uri_of(&server, "big"), "more than 1048576 bytes"),
    ] {
        let place = sandbox()?;
        let result = fetch(world, fetcher, std::slice::from_ref(&uri), &place.inside());
        let Err(error) = result else {
            return Err(format!("{}: fetched", uri.value).into());
        };
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        if !text.contains(words) {
            return Err(format!("{}: {text}", uri.value).into());
        }
        assert!(place.is_untouched(), "{}", uri.value);
    }
    assert_eq!(fetcher.figures().failed, 8);
    Ok(())
}
