//! What the index may keep in memory, and how much of that it does.
//!
//! Owns how the bytes that are allowed are divided. Knows nothing of what is kept.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

/// Of so many bytes that are allowed, one is for the places of chunks and of lists of marks.
const PLACES_PART: u64 = 16;
/// And one of so many for the filter over many runs.
const UNION_PART: u64 = 16;
/// Filters leave values three of so many, however much they want.
const VALUES_PART: u64 = 16;
const VALUES_COUNT_MIN: u64 = 3;
/// What filters and values share changes hands in so many pieces: each time, values are let go of.
const PIECE_COUNT: u64 = 32;

const EIGHTHS: u64 = 8;

/// How many bytes of one kind are in memory, and may be.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    max: u64,
}

impl Budget {
    pub(super) fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max }
    }

    /// Counts `len` bytes more, if there is room for them; says whether there is.
    pub(super) fn take(&self, len: u64) -> bool {
        self.take_within(len, EIGHTHS)
    }

    /// The same, if no more than so many eighths of all are in use then: what is left is for others.
    pub(super) fn take_within(&self, len: u64, eighths: u64) -> bool {
        let max = self.eighths(eighths);
        let taken = |used: u64| used.checked_add(len).filter(|used| *used <= max);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
    }

    /// Whether fewer than so many eighths of all are in use.
    pub(super) fn has_room_within(&self, eighths: u64) -> bool {
        self.used.load(Ordering::Acquire) < self.eighths(eighths)
    }

    fn eighths(&self, count: u64) -> u64 {
        self.max.saturating_sub(self.max / EIGHTHS * EIGHTHS.saturating_sub(count))
    }

    pub(super) fn give_back(&self, len: u64) {
        self.used.fetch_sub(len, Ordering::AcqRel);
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

/// What may be in memory of each kind.
#[derive(Clone, Debug)]
pub(super) struct Budgets {
    /// Parts of filters of runs.
    pub(super) filters: Arc<Budget>,
    /// Places of chunks, and of lists of marks.
    pub(super) places: Arc<Budget>,
    /// The most bytes of the filter over many runs.
    pub(super) union_len_max: u64,
    /// What filters and values have together.
    shared: u64,
    /// What values leave filters in any case.
    filters_len_min: u64,
}

impl Budgets {
    /// Divides `len_max` bytes: half is for filters, an eighth of that for one over many runs, a sixteenth
    /// of all for places, the rest for values. Of which filters take more if there are very many streams:
    /// without its filter, each run is read for each stream that is looked for.
    pub(super) fn of(len_max: u64) -> Self {
        let (places, union_len_max) = (len_max / PLACES_PART, len_max / UNION_PART);
        let shared = len_max - places - union_len_max;
        let filters = shared - VALUES_COUNT_MIN * (len_max / VALUES_PART);
        Self {
            filters: Arc::new(Budget::new(filters)),
            places: Arc::new(Budget::new(places)),
            union_len_max,
            shared,
            filters_len_min: len_max / 2 - union_len_max,
        }
    }

    /// The most bytes of values, which count themselves, beside the filters there are now.
    pub(super) fn values_len_max(&self) -> u64 {
        let piece = (self.shared / PIECE_COUNT).max(1);
        let pieces = self.filters.used().div_ceil(piece).saturating_mul(piece);
        let taken = pieces.min(self.filters.max);
        self.shared.saturating_sub(taken.max(self.filters_len_min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_use_a_part_leaves_the_rest_to_others() {
        let budget = Budget::new(83);
        assert!(budget.take_within(53, 5) && !budget.has_room_within(5));
        assert!(!budget.take_within(1, 5) && budget.has_room_within(7));
        assert!(budget.take_within(20, 7) && !budget.take_within(1, 7));
        assert!(budget.take(10) && !budget.take(1) && !budget.has_room_within(8));
        budget.give_back(83);
        assert!(budget.take(83));
    }

    #[test]
    fn values_have_what_filters_have_not_taken() {
        for len_max in [0, 1, 15, 3_000, 60 << 20] {
            let budgets = Budgets::of(len_max);
            let at_first = budgets.values_len_max();
            assert!(at_first >= len_max / 16 * 7, "{at_first} of {len_max}");
            assert!(budgets.filters.take(len_max / 16 * 6));
            assert_eq!(budgets.values_len_max(), at_first, "it is their own");
            while budgets.filters.take(len_max / 100 + 1) {
                let sum = budgets.filters.used() + budgets.values_len_max();
                assert!(sum + budgets.union_len_max + len_max / 16 <= len_max);
            }
            assert!(budgets.values_len_max() >= len_max / 16 * 3);
            budgets.filters.give_back(budgets.filters.used());
            assert_eq!(budgets.values_len_max(), at_first);
        }
    }
}
