//! All connections: how many there may be, and what they may hold together.
//!
//! Nobody waits for those who came before: where there is no room, or no memory, the connections go
//! whose request, or whose rest, began longest ago. A client that works goes on; one that keeps a
//! connection to keep it loses it. Streams and links stay: what they hold has bounds of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Connection;

/// Where there is no room, one connection in so many goes, so that the search is worth it.
const SHARE_CUT: usize = 64;
/// How long a connection that was cut may take to be gone.
const CUT_TIME_MAX: Duration = Duration::from_secs(1);

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many connections there may be.
    pub(crate) connections: usize,
    /// Bytes that requests and answers under way may hold together.
    pub(crate) held: usize,
    /// How long a request may take, from its first byte to the last one of its answer.
    pub(crate) request_time: Duration,
}

/// The connections that are open.
#[derive(Debug, Clone)]
pub(crate) struct Table(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    limits: Limits,
    room: Arc<Semaphore>,
    held: AtomicUsize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next_number: u64,
    connections: HashMap<u64, Connection>,
}

/// A connection's place among the others; it is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place {
    connection: Connection,
    _room: OwnedSemaphorePermit,
}

impl Place {
    /// The connection.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        // What it held is free, and nothing more of it is counted.
        connection.cut();
        let mut open = connection.0.table.open();
        open.connections.remove(&connection.0.number);
    }
}

impl Table {
    /// No connections yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            limits,
            room: Arc::new(Semaphore::new(limits.connections)),
            held: AtomicUsize::new(0),
            open: Mutex::default(),
        }))
    }

    /// Takes a new connection in, in place of others where there is no room; `None` where every
    /// place is a stream's.
    pub(crate) async fn admit(&self, peer: SocketAddr) -> Option<Place> {
        let room = match Arc::clone(&self.0.room).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => {
                self.0.make_room();
                let room = Arc::clone(&self.0.room).acquire_owned();
                let room = tokio::time::timeout(CUT_TIME_MAX, room).await;
                room.ok()?.ok()?
            }
        };
        let mut open = self.0.open();
        let number = open.next_number;
        open.next_number += 1;
        let connection = Connection::new(number, peer, Arc::clone(&self.0));
        open.connections.insert(number, connection.clone());
        Some(Place {
            connection,
            _room: room,
        })
    }

    /// Cuts connections whose request takes too long; to be called now and then.
    pub(crate) fn sweep(&self) {
        let mut slow = self.0.connections();
        slow.retain(|connection| {
            let time = connection.under_way().map(|(time, _)| time);
            time.is_some_and(|time| time > self.0.limits.request_time)
        });
        for connection in slow {
            tracing::debug!(peer = %connection.peer(), "request takes too long, connection is cut");
            connection.cut();
        }
    }
}

impl Shared {
    /// Counts bytes; tells whether all together are too many.
    pub(super) fn add(&self, bytes: usize) -> bool {
        self.held.fetch_add(bytes, Ordering::Relaxed) + bytes > self.limits.held
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Cuts the requests that began first until a quarter of the memory is free.
    pub(super) fn relieve(&self) {
        let mut holding: Vec<(Duration, usize, Connection)> = self
            .connections()
            .into_iter()
            .filter_map(|connection| {
                let (time, held) = connection.under_way()?;
                (held > 0).then_some((time, held, connection))
            })
            .collect();
        holding.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let mut cut = 0_usize;
        for (_, _, connection) in holding {
            if self.held.load(Ordering::Relaxed) <= self.limits.held / 4 * 3 {
                break;
            }
            connection.cut();
            cut += 1;
        }
        tracing::warn!(
            connections = cut,
            "requests held too much, the oldest are cut"
        );
    }

    /// Cuts the connections that were idle, or busy with one request, for the longest time.
    fn make_room(&self) {
        let mut spare: Vec<_> = self
            .connections()
            .into_iter()
            .filter_map(|connection| Some((connection.spare_since()?, connection)))
            .collect();
        let count = (self.limits.connections / SHARE_CUT).clamp(1, spare.len().max(1));
        spare.sort_by_key(|(since, _)| *since);
        spare.truncate(count);
        tracing::warn!(
            connections = spare.len(),
            "too many connections, the oldest are cut"
        );
        for (_, connection) in spare {
            connection.cut();
        }
    }

    fn connections(&self) -> Vec<Connection> {
        self.open().connections.values().cloned().collect()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Phase;
    use super::*;

    const LIMITS: Limits = Limits {
        connections: 3,
        held: 1000,
        request_time: Duration::from_secs(60),
    };

    async fn admit(table: &Table) -> Option<Place> {
        // One second between any two.
        tokio::time::sleep(Duration::from_secs(1)).await;
        table.admit(SocketAddr::from(([127, 0, 0, 1], 1))).await
    }

    async fn is_cut(place: &Place) -> bool {
        let cut = place.connection().was_cut();
        tokio::time::timeout(Duration::ZERO, cut).await.is_ok()
    }

    /// Gives a place back as soon as its connection is cut, as the server does.
    fn serve(place: Place) {
        tokio::spawn(async move {
            place.connection().was_cut().await;
            drop(place);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_room_and_streams_stay() {
        let table = Table::new(LIMITS);
        let stream = admit(&table).await.unwrap();
        stream.connection().keep();
        let idle = admit(&table).await.unwrap();
        let old = idle.connection().clone();
        serve(idle);
        let busy = admit(&table).await.unwrap();
        let new = admit(&table).await.unwrap();
        assert_eq!(old.state().phase, Phase::Cut);
        assert!(!is_cut(&stream).await && !is_cut(&busy).await);
        busy.connection().keep();
        new.connection().keep();
        assert!(admit(&table).await.is_none(), "every place is a stream's");
        drop(stream);
        assert!(admit(&table).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_hold_too_much_together_go_the_oldest_first() {
        let table = Table::new(LIMITS);
        let (first, second) = (admit(&table).await.unwrap(), admit(&table).await.unwrap());
        let third = admit(&table).await.unwrap();
        second.connection().took(400);
        tokio::time::sleep(Duration::from_secs(1)).await;
        first.connection().took(400);
        third.connection().took(100);
        third.connection().took(200);
        assert!(is_cut(&second).await, "its request began first");
        assert!(!is_cut(&first).await && !is_cut(&third).await);
        assert_eq!(table.0.held.load(Ordering::Relaxed), 700);

        first.connection().answers(50);
        first.connection().answered();
        assert_eq!(table.0.held.load(Ordering::Relaxed), 350);
        first.connection().flushed();
        third.connection().keep();
        third.connection().took(5000);
        assert_eq!(table.0.held.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_its_time_and_rest_has_none() {
        let table = Table::new(LIMITS);
        let (slow, idle) = (admit(&table).await.unwrap(), admit(&table).await.unwrap());
        slow.connection().took(1);
        tokio::time::sleep(Duration::from_secs(30)).await;
        slow.connection().took(1);
        tokio::time::sleep(Duration::from_secs(31)).await;
        table.sweep();
        assert!(is_cut(&slow).await && !is_cut(&idle).await);
    }
}
