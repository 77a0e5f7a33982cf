//! A model of ZooKeeper: sessions, ephemeral sequential znodes, a watch on them, and one znode with a
//! version that fences the registry.
//!
//! It is one place, as an ensemble is to its clients; requests reach it late or not at all, and so do
//! its answers (`world::election_side`). A session ends no sooner than its timeout after it was last
//! heard, and a while later only when somebody looks: servers expire sessions in steps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Instant;

/// A session, numbered by ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The session is over, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired;

/// What an ensemble keeps.
#[derive(Debug, Default)]
pub struct ZooKeeper {
    opened: u64,
    /// When each session was last heard.
    sessions: BTreeMap<SessionId, (Instant, Duration)>,
    sequence: u32,
    /// The znodes of the election, each with whose it is and what it holds.
    candidates: BTreeMap<String, (SessionId, usize)>,
    watchers: BTreeSet<SessionId>,
}

impl ZooKeeper {
    /// Opens a session.
    pub fn open(&mut self, now: Instant, timeout: Duration) -> SessionId {
        self.opened += 1;
        let session = SessionId(self.opened);
        self.sessions.insert(session, (now, timeout));
        session
    }

    /// A request of a session arrives.
    ///
    /// # Errors
    /// The session is over.
    pub fn hear(&mut self, now: Instant, session: SessionId) -> Result<(), Expired> {
        let (heard, _) = self.sessions.get_mut(&session).ok_or(Expired)?;
        *heard = now;
        Ok(())
    }

    /// Ends a session at its own wish; gives the sessions whose watch fires.
    pub fn close(&mut self, session: SessionId) -> BTreeSet<SessionId> {
        if self.sessions.remove(&session).is_none() {
            return BTreeSet::new();
        }
        self.watchers.remove(&session);
        let before = self.candidates.len();
        self.candidates.retain(|_, (owner, _)| *owner != session);
        match self.candidates.len() == before {
            true => BTreeSet::new(),
            false => std::mem::take(&mut self.watchers),
        }
    }

    /// Ends the sessions that were not heard for their timeout; gives those whose watch fires.
    pub fn expire(&mut self, now: Instant) -> BTreeSet<SessionId> {
        let silent = self.sessions.iter();
        let silent = silent.filter(|(_, (heard, timeout))| now >= *heard + *timeout);
        let silent: Vec<SessionId> = silent.map(|(session, _)| *session).collect();
        let fired = silent.into_iter().flat_map(|session| self.close(session));
        let fired: BTreeSet<SessionId> = fired.collect();
        let alive = |session: &SessionId| self.sessions.contains_key(session);
        fired.into_iter().filter(alive).collect()
    }

    /// Makes a znode for a master; gives its name and the sessions whose watch fires.
    pub fn join(&mut self, session: SessionId, master: usize) -> (String, BTreeSet<SessionId>) {
        let name = format!("{}_{:010}", model::election::LABEL, self.sequence);
        self.sequence += 1;
        self.candidates.insert(name.clone(), (session, master));
        (name, std::mem::take(&mut self.watchers))
    }

    /// Lists the znodes of the election, and watches them once.
    pub fn list(&mut self, session: SessionId) -> Vec<String> {
        self.watchers.insert(session);
        self.candidates.keys().cloned().collect()
    }

    /// The master that a znode names.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<usize> {
        self.candidates.get(name).map(|(_, master)| *master)
    }

    /// The master that leads, for clients that look.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let first = model::election::leader(self.candidates.keys().map(String::as_str));
        first.and_then(|first| self.read(first.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_znode_goes_with_its_session_and_the_watch_of_another_fires_once() {
        let mut zookeeper = ZooKeeper::default();
        let first = zookeeper.open(at(0), TIMEOUT);
        let second = zookeeper.open(at(0), TIMEOUT);
        let (name, _) = zookeeper.join(first, 1);
        assert_eq!(name, "json.info_0000000000");
        zookeeper.join(second, 2);
        assert_eq!(zookeeper.list(second).len(), 2);
        assert_eq!(zookeeper.leader(), Some(1));
        assert_eq!(zookeeper.hear(at(9), second), Ok(()));
        assert_eq!(zookeeper.expire(at(9)).len(), 0);
        assert_eq!(zookeeper.expire(at(10)), BTreeSet::from([second]));
        assert_eq!(zookeeper.hear(at(10), first), Err(Expired));
        assert_eq!((zookeeper.leader(), zookeeper.read(&name)), (Some(2), None));
        assert_eq!(zookeeper.expire(at(30)).len(), 0);
        assert_eq!(zookeeper.leader(), None);
    }
}
