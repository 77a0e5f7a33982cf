//! Shown: what does not change as long as it is there, with its text in a document.
//!
//! The text is made when it is first shown, and kept for as long as one snapshot shares the thing with
//! the next: of a large state most is as it was when it was read last.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A thing of the core's, shared with it.
#[derive(Debug)]
pub(super) struct Shown<T> {
    thing: Arc<T>,
    text: Arc<OnceLock<Arc<str>>>,
}

impl<T> Shown<T> {
    fn new(thing: &Arc<T>) -> Self {
        Self {
            thing: Arc::clone(thing),
            text: Arc::default(),
        }
    }

    /// Its text; every caller makes the same.
    pub(super) fn text(&self, make: impl FnOnce(&T) -> String) -> Arc<str> {
        Arc::clone(self.text.get_or_init(|| make(&self.thing).into()))
    }

    fn is(&self, thing: &Arc<T>) -> bool {
        Arc::ptr_eq(&self.thing, thing)
    }
}

impl<T> Clone for Shown<T> {
    fn clone(&self) -> Self {
        Self {
            thing: Arc::clone(&self.thing),
            text: Arc::clone(&self.text),
        }
    }
}

impl<T> Deref for Shown<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.thing
    }
}

/// Makes a list of these things; what stood in the list before is shared with it. Both stand in the
/// order of their keys.
pub(super) fn refresh<'a, T: 'a, K: Ord + ?Sized>(
    list: &mut Arc<Vec<Shown<T>>>,
    things: impl Iterator<Item = &'a Arc<T>> + Clone,
    key: impl Fn(&T) -> &K,
) {
    let mut before = list.iter();
    let mut is_same = |thing: &Arc<T>| before.next().is_some_and(|shown| shown.is(thing));
    if things.clone().all(&mut is_same) && before.next().is_none() {
        return;
    }
    let mut before = list.iter().peekable();
    let shown = things.map(|thing| {
        while before
            .next_if(|shown| !shown.is(thing) && key(shown) < key(thing))
            .is_some()
        {}
        let shown = before.next_if(|shown| shown.is(thing));
        shown.map_or_else(|| Shown::new(thing), Shown::clone)
    });
    *list = Arc::new(shown.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_once_for_as_long_as_its_thing_stands_in_the_list() {
        let thing = |text: &str| Arc::new(text.to_owned());
        let (a, b, c) = (thing("a"), thing("b"), thing("c"));
        let mut list = Arc::default();
        let mut made = Vec::new();
        let mut check = |things: &[&Arc<String>], expected: &[&str]| {
            refresh(&mut list, things.iter().copied(), String::as_str);
            let texts = list.iter().map(|shown: &Shown<String>| {
                shown.text(|text| {
                    made.push(text.clone());
                    text.to_uppercase()
                })
            });
            let texts: Vec<_> = texts.collect();
            let all: Vec<_> = things.iter().map(|text| text.to_uppercase()).collect();
            assert!(
                texts
                    .iter()
                    .map(|text| &**text)
                    .eq(all.iter().map(String::as_str))
            );
            assert_eq!(std::mem::take(&mut made), expected, "{things:?}");
        };
        check(&[&a, &c], &["a", "c"]);
        check(&[&a, &c], &[]);
        check(&[&a, &b, &c], &["b"]);
        check(&[&b], &[]);
        // Another thing of the same name is another thing.
        check(&[&a, &thing("b"), &c], &["a", "b", "c"]);
        check(&[], &[]);
    }
}
