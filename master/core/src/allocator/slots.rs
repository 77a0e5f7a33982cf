//! Slots: values under small numbers, which are used again.
//!
//! The numbers are what the allocator calls things by while it runs: they are compared at once, and
//! found without a search.

use alloc::vec::Vec;

/// Values by number.
#[derive(Debug)]
pub(super) struct Slots<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Takes a value in; gives back its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.values.get_mut(index(number))
        {
            *slot = Some(value);
            return number;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(Some(value));
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.values.get_mut(index(number))?.take();
        if value.is_some() {
            self.free.push(number);
        }
        value
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.values.get(index(number))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.values.get_mut(index(number))?.as_mut()
    }

    /// How many values there are.
    pub(super) const fn len(&self) -> usize {
        self.values.len().saturating_sub(self.free.len())
    }

    /// A number that is greater than that of any value, and not by much.
    pub(super) const fn slots(&self) -> usize {
        self.values.len()
    }

    /// The values with their numbers, the lowest first.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let numbered = (0..).zip(&mut self.values);
        numbered.filter_map(|(number, value)| Some((number, value.as_mut()?)))
    }
}

/// A number as an index.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_free_again_when_its_value_is_gone() {
        let mut slots = Slots::default();
        assert_eq!((slots.insert('a'), slots.insert('b')), (0, 1));
        assert_eq!((slots.remove(0), slots.remove(0)), (Some('a'), None));
        assert_eq!((slots.len(), slots.get(0)), (1, None));
        assert_eq!((slots.insert('c'), slots.insert('d')), (0, 2));
        let all: Vec<_> = slots
            .iter_mut()
            .map(|(number, value)| (number, *value))
            .collect();
        assert_eq!(all, [(0, 'c'), (1, 'b'), (2, 'd')]);
    }
}
