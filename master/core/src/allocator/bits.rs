//! Bits: a set of small numbers, 64 of them a word.

use alloc::vec::Vec;

use super::slots::index;

const WORD: usize = 64;

/// A set of numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits(Vec<u64>);

const fn mask(number: u32) -> u64 {
    1 << (number % 64)
}

impl Bits {
    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.0.get(index(number) / WORD);
        word.is_some_and(|word| word & mask(number) != 0)
    }

    pub(super) fn insert(&mut self, number: u32) {
        let at = index(number) / WORD;
        if at >= self.0.len() {
            self.0.resize(at.saturating_add(1), 0);
        }
        if let Some(word) = self.0.get_mut(at) {
            *word |= mask(number);
        }
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(index(number) / WORD) {
            *word &= !mask(number);
        }
    }

    /// Takes everything out and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Puts everything of another in.
    pub(super) fn add_all(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether there is a number that is in neither of the others.
    pub(super) fn any_without(&self, one: &Self, other: &Self) -> bool {
        let word = |bits: &Self, at: usize| bits.0.get(at).copied().unwrap_or(0);
        let mut words = self.0.iter().enumerate();
        words.any(|(at, own)| own & !word(one, at) & !word(other, at) != 0)
    }

    /// Whether there is a number that is in the first of the others and not in the second.
    pub(super) fn any_within(&self, one: &Self, without: &Self) -> bool {
        let word = |bits: &Self, at: usize| bits.0.get(at).copied().unwrap_or(0);
        let mut words = self.0.iter().enumerate();
        words.any(|(at, own)| own & word(one, at) & !word(without, at) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(numbers: &[u32]) -> Bits {
        let mut bits = Bits::default();
        numbers.iter().for_each(|number| bits.insert(*number));
        bits
    }

    #[test]
    fn numbers_go_in_and_out_across_words() {
        let mut all = bits(&[0, 63, 64, 200]);
        for (number, is_in) in [(0, true), (1, false), (63, true), (64, true), (1000, false)] {
            assert_eq!(all.contains(number), is_in, "{number}");
        }
        all.remove(64);
        all.remove(5000);
        assert!(!all.contains(64));
        all.add_all(&bits(&[300]));
        assert!(all.contains(300) && all.contains(200));
        all.clear();
        assert!(all.is_empty());
    }

    #[test]
    fn what_is_left_without_others_is_found_in_any_word() {
        let all = bits(&[1, 70]);
        assert!(all.any_without(&bits(&[1]), &Bits::default()));
        assert!(all.any_without(&bits(&[70]), &bits(&[2])));
        assert!(!all.any_without(&bits(&[70]), &bits(&[1])));
        assert!(all.any_within(&bits(&[70]), &bits(&[1])));
        assert!(!all.any_within(&bits(&[70]), &bits(&[70])));
        assert!(!all.any_within(&bits(&[2]), &Bits::default()));
    }
}
