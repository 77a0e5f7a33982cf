//! What every registry keeps: each store is put through the same.
//!
//! ZooKeeper is a real server of Debian's package, started on loopback by [`server`]; where it is not
//! installed its tests say so and are left out.

mod proxy;
mod server;

use std::time::Duration;

use self::proxy::{Cut, Proxy};
use self::server::Server;
use super::{Change, Contents, Elected, Memory, Redb, Registry, RegistryError, ZooKeeper};
use detector::{Place, ZkUrl};

fn put(key: &str, value: &[u8]) -> Change {
    Change::Put {
        key: key.into(),
        value: value.into(),
    }
}

fn delete(key: &str) -> Change {
    Change::Delete { key: key.into() }
}

fn entries(registry: &mut dyn Registry, elected: Elected) -> Vec<(String, Vec<u8>)> {
    registry.start(elected).unwrap().entries
}

/// Opens the same store again and again.
type Open<'a> = &'a dyn Fn() -> Box<dyn Registry>;

fn entries_and_the_epoch_outlive_the_process(open: Open<'_>) {
    let mut registry = open();
    assert_eq!(registry.start(Elected::Alone).unwrap().epoch, 1);
    let first = vec![put("agents/b", b"2"), put("quota/a/b%2F", b"1")];
    let second = vec![put("x", b""), put("y", b"9")];
    registry.store(&[first, second]).unwrap();
    let third = vec![delete("x"), put("agents/b", b"3"), delete("nothing")];
    registry.store(&[third, vec![delete("y")]]).unwrap();
    drop(registry);

    let contents = open().start(Elected::Alone).unwrap();
    assert_eq!(contents.epoch, 2);
    let expected = [("agents/b", b"3"), ("quota/a/b%2F", b"1")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_vec()));
    assert_eq!(contents.entries, expected);
}

fn a_look_and_an_import_leave_the_epoch_as_it_is(open: Open<'_>) {
    assert_eq!(open().read().unwrap(), Contents::default());
    let mut registry = open();
    assert_eq!(registry.start(Elected::Nobody).unwrap().epoch, 0);
    registry.store(&[vec![put("a", b"1")]]).unwrap();
    drop(registry);
    let contents = open().read().unwrap();
    assert_eq!(contents.epoch, 0);
    assert_eq!(contents.entries, [("a".to_owned(), b"1".to_vec())]);
    assert_eq!(open().start(Elected::Epoch(1)).unwrap().epoch, 1);
    assert_eq!(open().read().unwrap().epoch, 1);
}

fn of_several_changes_of_one_entry_the_last_holds(open: Open<'_>) {
    let mut registry = open();
    registry.start(Elected::Alone).unwrap();
    let groups = [
        vec![put("a", b"1")],
        vec![put("b", b"1"), put("a", b"2")],
        vec![delete("b")],
    ];
    registry.store(&groups).unwrap();
    registry
        .store(&[vec![put("b", b"3"), delete("a")]])
        .unwrap();
    drop(registry);
    let found = entries(&mut *open(), Elected::Alone);
    assert_eq!(found, [("b".to_owned(), b"3".to_vec())]);
}

fn an_epoch_of_an_election_is_greater_than_all_before(open: Open<'_>) {
    let mut registry = open();
    assert_eq!(registry.start(Elected::Epoch(7)).unwrap().epoch, 7);
    drop(registry);
    for old in [3, 7] {
        let error = open().start(Elected::Epoch(old)).err().unwrap();
        let is_told =
            matches!(error, RegistryError::Superseded { epoch, newest: 7 } if epoch == old);
        assert!(is_told, "{error}");
    }
    assert_eq!(open().start(Elected::Alone).unwrap().epoch, 8);
}

fn many_and_large_entries_are_stored_whole(open: Open<'_>) {
    let mut registry = open();
    registry.start(Elected::Alone).unwrap();
    let groups: Vec<Vec<Change>> = (0..300)
        .map(|number| vec![put(&format!("agents/{number:03}"), &[7; 5000])])
        .collect();
    registry.store(&groups).unwrap();
    let size = registry.size();
    assert!(size >= 1_500_000, "{size}");
    drop(registry);
    let found = entries(&mut *open(), Elected::Alone);
    assert_eq!(found.len(), 300);
    assert!(found.iter().all(|(_, value)| value == &[7; 5000]));
}

const ALL: [fn(Open<'_>); 5] = [
    a_look_and_an_import_leave_the_epoch_as_it_is,
    entries_and_the_epoch_outlive_the_process,
    of_several_changes_of_one_entry_the_last_holds,
    an_epoch_of_an_election_is_greater_than_all_before,
    many_and_large_entries_are_stored_whole,
];

#[test]
fn a_registry_in_redb_keeps_what_every_registry_keeps() {
    for test in ALL {
        let folder = tempfile::tempdir().unwrap();
        test(&|| Box::new(Redb::open(folder.path()).unwrap()));
    }
}

#[test]
fn a_registry_in_memory_keeps_what_every_registry_keeps_but_for_its_end() {
    let mut registry = Memory::default();
    assert_eq!(registry.start(Elected::Epoch(3)).unwrap().epoch, 3);
    registry
        .store(&[vec![put("a", b"1"), put("b", b"2")], vec![delete("a")]])
        .unwrap();
    let found = entries(&mut registry, Elected::Alone);
    assert_eq!(found, [("b".to_owned(), b"2".to_vec())]);
    assert!(registry.start(Elected::Epoch(4)).is_err());
}

/// A runtime that drives connections, and a folder of ZooKeeper for one test.
struct World {
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self { runtime }
    }

    fn open(&self, port: u16, path: &str, credential: Option<&str>) -> ZooKeeper {
        let place = Place {
            url: ZkUrl {
                servers: vec![format!("127.0.0.1:{port}")],
                path: path.to_owned(),
                credential: credential.map(str::to_owned),
            },
            session_timeout: Duration::from_secs(10),
        };
        ZooKeeper::new(place, self.runtime.handle().clone())
    }
}

#[test]
fn a_registry_in_zookeeper_keeps_what_every_registry_keeps() {
    let Some(server) = Server::start() else {
        return;
    };
    let world = World::new();
    for (number, test) in ALL.into_iter().enumerate() {
        let path = format!("/mesos/{number}");
        test(&|| Box::new(world.open(server.port(), &path, None)));
    }
}

#[test]
fn a_master_that_was_superseded_writes_nothing_to_zookeeper() {
    let Some(server) = Server::start() else {
        return;
    };
    let world = World::new();
    let mut old = world.open(server.port(), "/mesos", None);
    old.start(Elected::Epoch(1)).unwrap();
    old.store(&[vec![put("a", b"1")]]).unwrap();
    let mut new = world.open(server.port(), "/mesos", None);
    assert_eq!(entries(&mut new, Elected::Epoch(2)).len(), 1);

    let error = old.store(&[vec![put("b", b"1")]]).err().unwrap();
    let is_told = matches!(
        error,
        RegistryError::Superseded {
            epoch: 1,
            newest: 2
        }
    );
    assert!(is_told, "{error}");
    new.store(&[vec![put("a", b"2")]]).unwrap();
    assert!(old.store(&[vec![delete("a")]]).is_err());
    let mut later = world.open(server.port(), "/mesos", None);
    let found = entries(&mut later, Elected::Epoch(3));
    assert_eq!(found, [("a".to_owned(), b"2".to_vec())]);
}

#[test]
fn an_entry_that_zookeeper_does_not_take_is_named() {
    let Some(server) = Server::start() else {
        return;
    };
    let world = World::new();
    let mut registry = world.open(server.port(), "/mesos", None);
    registry.start(Elected::Alone).unwrap();
    let error = registry
        .store(&[vec![put("agents/big", &[1; 600_000])]])
        .err()
        .unwrap();
    assert!(error.to_string().contains("agents/big"), "{error}");
    registry.store(&[vec![put("a", b"1")]]).unwrap();
}

#[test]
fn with_a_credential_only_its_owner_writes_and_everyone_reads() {
    let Some(server) = Server::start() else {
        return;
    };
    let world = World::new();
    let mut own = world.open(server.port(), "/mesos", Some("me:secret"));
    own.start(Elected::Epoch(1)).unwrap();
    own.store(&[vec![put("a", b"1")]]).unwrap();
    let mut other = world.open(server.port(), "/mesos", Some("you:secret"));
    let error = other.start(Elected::Epoch(2)).err().unwrap();
    assert!(matches!(error, RegistryError::ZooKeeper { .. }), "{error}");
    let mut again = world.open(server.port(), "/mesos", Some("me:secret"));
    assert_eq!(entries(&mut again, Elected::Epoch(2)).len(), 1);
}

/// The changes of one round: one entry is made, one changed, one goes.
fn round(number: usize) -> Vec<Vec<Change>> {
    let mut group = vec![
        put("count", number.to_string().as_bytes()),
        put(&format!("of/{number}"), b"x"),
    ];
    if let Some(before) = number.checked_sub(1) {
        group.push(delete(&format!("of/{before}")));
    }
    vec![group]
}

/// What must be there after so many rounds.
fn after(rounds: usize) -> Vec<(String, Vec<u8>)> {
    let last = rounds - 1;
    vec![
        ("count".to_owned(), last.to_string().into_bytes()),
        (format!("of/{last}"), b"x".to_vec()),
    ]
}

#[test]
fn a_write_whose_question_or_answer_is_lost_is_made_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let world = World::new();
    let proxy = Proxy::start(server.port());
    let mut registry = world.open(proxy.port(), "/mesos", None);
    registry.start(Elected::Epoch(1)).unwrap();
    for number in 0..12 {
        // The connection breaks at the next write: before the server has it, or before its answer.
        proxy.cut_at_write(if number % 2 == 0 {
            Cut::Question
        } else {
            Cut::Answer
        });
        registry.store(&round(number)).unwrap();
    }
    assert_eq!(proxy.cuts(), 12);
    drop(registry);
    let mut registry = world.open(server.port(), "/mesos", None);
    assert_eq!(entries(&mut registry, Elected::Epoch(2)), after(12));
}

#[test]
fn a_crash_at_any_write_leaves_what_was_answered_and_nothing_by_halves() {
    let Some(server) = Server::start() else {
        return;
    };
    let world = World::new();
    for crash in 0..2 {
        let path = format!("/crash/{crash}");
        let proxy = Proxy::start(server.port());
        let mut registry = world.open(proxy.port(), &path, None);
        registry.start(Elected::Epoch(1)).unwrap();
        for number in 0..crash {
            registry.store(&round(number)).unwrap();
        }
        // The process ends with its write on the way: nothing comes back to it.
        proxy.cut_at_write(if crash % 2 == 0 {
            Cut::Question
        } else {
            Cut::Answer
        });
        proxy.stay_cut();
        assert!(registry.store(&round(crash)).is_err());
        drop(registry);
        let mut registry = world.open(server.port(), &path, None);
        let found = entries(&mut registry, Elected::Epoch(2));
        let before = if crash == 0 { Vec::new() } else { after(crash) };
        let is_whole = found == before || found == after(crash + 1);
        assert!(is_whole, "{found:?}");
    }
}
