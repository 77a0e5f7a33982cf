//! Holders: who holds what of an agent, by client.
//!
//! Of most agents one or two hold something: those are here, with the agent, and not elsewhere in memory.

use alloc::vec::Vec;

use model::Resources;

use super::shares::ClientId;

/// A client, and what it holds.
pub(super) type Holder = (ClientId, Resources);

/// All holders, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Holders {
    first: Option<Holder>,
    second: Option<Holder>,
    more: Vec<Holder>,
}

fn is(holder: Option<&Holder>, client: ClientId) -> bool {
    holder.is_some_and(|(id, _)| *id == client)
}

impl Holders {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Holder> {
        self.first.iter().chain(&self.second).chain(&self.more)
    }

    /// What a client holds; none where it holds nothing.
    pub(super) fn get(&self, client: ClientId) -> Option<&Resources> {
        if is(self.first.as_ref(), client) {
            return self.first.as_ref().map(|(_, held)| held);
        }
        if is(self.second.as_ref(), client) {
            return self.second.as_ref().map(|(_, held)| held);
        }
        let at = self
            .more
            .binary_search_by_key(&client, |(id, _)| *id)
            .ok()?;
        self.more.get(at).map(|(_, held)| held)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, client: ClientId) -> Option<&mut Resources> {
        if is(self.first.as_ref(), client) {
            return self.first.as_mut().map(|(_, held)| held);
        }
        if is(self.second.as_ref(), client) {
            return self.second.as_mut().map(|(_, held)| held);
        }
        let at = self
            .more
            .binary_search_by_key(&client, |(id, _)| *id)
            .ok()?;
        self.more.get_mut(at).map(|(_, held)| held)
    }

    /// A client holds this, too; tells whether it held nothing before. What is shared is another copy.
    pub(super) fn add(&mut self, client: ClientId, more: Resources) -> bool {
        if let Some(held) = self.get_mut(client) {
            held.add_all(&more);
            return false;
        }
        let mut new = (client, more);
        for place in [&mut self.first, &mut self.second] {
            match place {
                None => {
                    *place = Some(new);
                    return true;
                }
                Some(holder) if new.0 < holder.0 => core::mem::swap(holder, &mut new),
                Some(_) => {}
            }
        }
        let at = self.more.partition_point(|(id, _)| *id < new.0);
        self.more.insert(at, new);
        true
    }

    /// A client holds nothing any more; what it held is given back.
    pub(super) fn remove(&mut self, client: ClientId) -> Option<Resources> {
        let gone = if is(self.first.as_ref(), client) {
            let second = self.second.take();
            self.second = self.take_third();
            core::mem::replace(&mut self.first, second)
        } else if is(self.second.as_ref(), client) {
            let third = self.take_third();
            core::mem::replace(&mut self.second, third)
        } else {
            let at = self
                .more
                .binary_search_by_key(&client, |(id, _)| *id)
                .ok()?;
            Some(self.more.remove(at))
        };
        gone.map(|(_, held)| held)
    }

    fn take_third(&mut self) -> Option<Holder> {
        (!self.more.is_empty()).then(|| self.more.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use alloc::collections::BTreeMap;
    use model::resources::parse;

    #[test]
    fn holders_stand_in_order_however_they_come_and_go() {
        let mut random = Random::new(1);
        let mut draw = |below: u32| (random.unit() * f64::from(below)) as u32;
        let (mut holders, mut map) = (Holders::default(), BTreeMap::<ClientId, Resources>::new());
        for _ in 0..5000 {
            let client = draw(6);
            if draw(2) == 0 {
                let more = parse(&alloc::format!("cpus:{}", draw(9) + 1)).expect("resources");
                let is_new = !map.contains_key(&client);
                map.entry(client).or_default().add_all(&more);
                assert_eq!(holders.add(client, more), is_new);
            } else {
                assert_eq!(holders.remove(client), map.remove(&client));
            }
            assert!(holders.iter().map(|(id, held)| (id, held)).eq(&map));
            assert_eq!(holders.get(client), map.get(&client));
            assert_eq!(holders.get_mut(client).map(|held| &*held), map.get(&client));
        }
    }
}
