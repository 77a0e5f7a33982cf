//! Order: a set in order whose first is at hand.
//!
//! Whose turn it is gets something and moves back, time and again: to take the first, and to move the only
//! one, needs no search and no memory.

use alloc::collections::{BTreeSet, btree_set};

/// A set in order.
#[derive(Debug)]
pub(super) struct Order<T> {
    /// None where the set is empty.
    first: Option<T>,
    /// All of these come after the first.
    rest: BTreeSet<T>,
}

/// What is in the set, in order.
#[derive(Debug)]
pub(super) struct Iter<'a, T> {
    first: Option<T>,
    rest: btree_set::Iter<'a, T>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: BTreeSet::new(),
        }
    }
}

impl<T: Copy + Ord> Order<T> {
    pub(super) const fn first(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn contains(&self, one: &T) -> bool {
        self.first.as_ref() == Some(one) || self.rest.contains(one)
    }

    pub(super) fn insert(&mut self, one: T) {
        match self.first {
            None => self.first = Some(one),
            Some(first) if one == first => {}
            Some(first) if one < first => {
                self.first = Some(one);
                self.rest.insert(first);
            }
            Some(_) => {
                self.rest.insert(one);
            }
        }
    }

    pub(super) fn remove(&mut self, one: &T) {
        if self.first.as_ref() == Some(one) {
            self.first = self.rest.pop_first();
        } else {
            self.rest.remove(one);
        }
    }

    /// Puts one in the place of another, which may not be there.
    pub(super) fn replace(&mut self, old: &T, new: T) {
        if self.first.as_ref() == Some(old) && self.rest.first().is_none_or(|next| new < *next) {
            self.first = Some(new);
        } else {
            self.remove(old);
            self.insert(new);
        }
    }

    pub(super) fn clear(&mut self) {
        self.first = None;
        self.rest.clear();
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.rest.retain(&keep);
        if !self.first.as_ref().is_some_and(keep) {
            self.first = self.rest.pop_first();
        }
    }

    pub(super) fn iter(&self) -> Iter<'_, T> {
        Iter {
            first: self.first,
            rest: self.rest.iter(),
        }
    }
}

impl<T: Copy> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.first.take().or_else(|| self.rest.next().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use alloc::vec::Vec;

    #[test]
    fn it_holds_what_a_set_holds_whatever_happens() {
        let mut random = Random::new(1);
        let mut draw = |below: u64| (random.unit() * below as f64) as u64;
        let (mut order, mut set) = (Order::default(), BTreeSet::new());
        for _ in 0..20_000 {
            let (one, other) = (draw(6), draw(6));
            match draw(8) {
                0 | 1 => {
                    order.insert(one);
                    set.insert(one);
                }
                2 => {
                    order.remove(&one);
                    set.remove(&one);
                }
                3 => {
                    order.retain(|kept| *kept != one);
                    set.retain(|kept| *kept != one);
                }
                4 if one == 0 => {
                    order.clear();
                    set.clear();
                }
                _ => {
                    order.replace(&one, other);
                    set.remove(&one);
                    set.insert(other);
                }
            }
            let all: Vec<u64> = set.iter().copied().collect();
            assert_eq!(order.iter().collect::<Vec<_>>(), all);
            assert_eq!(order.first(), set.first());
            assert_eq!(order.is_empty(), set.is_empty());
            assert_eq!(order.contains(&one), set.contains(&one));
        }
    }
}
