//! Labels: numbers that stand in the order of the names that they were given for.
//!
//! To compare names costs a look at two texts elsewhere, and the names of frameworks differ in their
//! last letters only. Who stands in an order stands there by a label; one who finds no label between
//! those of its neighbours shares the lower one until all are labelled anew, which one run of the
//! allocator does once.

/// How far the labels of neighbours are apart where there is room.
const STEP: u64 = 1 << 32;

/// A label between those of the neighbours of a new name; none where there is no room, so that all
/// have to be labelled anew.
pub(super) fn between(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    match (before.unwrap_or(0), after) {
        (before, None) => before.checked_add(STEP),
        (before, Some(after)) => {
            let label = before.midpoint(after);
            (label != before).then_some(label)
        }
    }
}

/// Labels for all, in order.
pub(super) fn all() -> impl Iterator<Item = u64> {
    (1..).map(|number: u64| number.saturating_mul(STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_while_there_is_one_between() {
        assert_eq!(between(None, None), Some(STEP));
        assert_eq!(between(Some(STEP), None), Some(2 * STEP));
        assert_eq!(between(Some(4), Some(8)), Some(6));
        assert_eq!(between(None, Some(2)), Some(1));
        for (before, after) in [(Some(4), Some(5)), (None, Some(1)), (Some(u64::MAX), None)] {
            assert_eq!(between(before, after), None, "{before:?} {after:?}");
        }
        assert_eq!(
            all().take(2).collect::<alloc::vec::Vec<_>>(),
            [STEP, 2 * STEP]
        );
    }
}
