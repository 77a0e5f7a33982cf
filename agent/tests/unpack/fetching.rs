//! Fetching: what commands name, from a server on this host and from its files.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::fetch::{FetchError, Fetcher, Sandbox, Settings, Uri};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Outcome;
use crate::archive::{Archive, Entry};
use crate::files::{owner, sandbox};
use crate::world::{Place, World};

/// A server with a few files.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || answer(stream, &counter));
            }
        });
        Ok(Self { address, asked })
    }

    fn uri(&self, path: &str) -> Uri {
        Uri {
            value: format!("http://{}/{path}", self.address),
            extract: true,
            ..Uri::default()
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn tgz() -> Vec<u8> {
    let tar = Archive::default()
        .with(Entry::file("dir/run.sh", b"#!/bin/sh\n").mode(0o755))
        .end();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar).expect("written to memory");
    encoder.finish().expect("written to memory")
}

fn answer(mut stream: TcpStream, asked: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    lines
        .find(|line| line.as_ref().is_ok_and(String::is_empty))?
        .ok()?;
    asked.fetch_add(1, Ordering::SeqCst);
    let path = first.split(' ').nth(1)?;
    let body = match path {
        "/file" => b"content".to_vec(),
        "/app.tgz" => tgz(),
        "/big" => vec![b'b'; 2 << 20],
        "/climbs.tar" => Archive::default()
            .with(Entry::file("../outside/new", b"x"))
            .end(),
        "/moved" => {
            let head = "HTTP/1.1 302 Found\r\nlocation: /file\r\ncontent-length: 0\r\n\r\n";
            return stream.write_all(head.as_bytes()).ok();
        }
        "/stalls" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";
            stream.write_all(head.as_bytes()).ok()?;
            // Until the fetcher has gone.
            return lines.next().map(drop);
        }
        "/cut" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";
            return stream.write_all(head.as_bytes()).ok();
        }
        _ => {
            let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";
            return stream.write_all(head.as_bytes()).ok();
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()
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
    let (server, node, place) = (Server::start()?, Place::new()?, sandbox()?);
    let fetcher = fetcher(world, &node)?;
    fs::write(node.inside().join("local"), "here")?;
    let uris = [
        server.uri("file"),
        Uri {
            executable: true,
            output_file: Some("bin/run".to_owned()),
            ..server.uri("moved")
        },
        server.uri("app.tgz"),
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
    let (server, node) = (Server::start()?, Place::new()?);
    let fetcher = fetcher(world, &node)?;
    let cached = |path: &str| Uri {
        cache: true,
        ..server.uri(path)
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
    let (server, node) = (Server::start()?, Place::new()?);
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
        (&fetcher, server.uri("none"), "the server answered 404"),
        (&fetcher, server.uri("stalls"), "more bytes not within"),
        (&fetcher, server.uri("cut"), "ask 127.0.0.1"),
        (
            &fetcher,
            server.uri("climbs.tar"),
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
        (&small, server.uri("big"), "more than 1048576 bytes"),
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
