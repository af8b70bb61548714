//! What the index may keep in memory, and how much of that it does.
//!
//! Owns how the bytes that are allowed are divided. Knows nothing of what is kept.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

/// Of so many bytes that are allowed, one is for the places of chunks and of lists of marks.
const PLACES_PART: u64 = 16;
/// And one of so many for the filter over many runs.
const UNION_PART: u64 = 16;

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
        let used = self.used.fetch_add(len, Ordering::AcqRel).saturating_add(len);
        let fits = used <= self.eighths(eighths);
        if !fits {
            self.give_back(len);
        }
        fits
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

    #[cfg(test)]
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
    /// The most bytes of values, which count themselves.
    pub(super) values_len_max: u64,
}

impl Budgets {
    /// Divides `len_max` bytes: half is for filters, an eighth of that for one over many runs, a sixteenth
    /// of all for places, the rest for values.
    pub(super) fn of(len_max: u64) -> Self {
        let (places, union_len_max) = (len_max / PLACES_PART, len_max / UNION_PART);
        let filters = len_max / 2 - union_len_max;
        Self {
            filters: Arc::new(Budget::new(filters)),
            places: Arc::new(Budget::new(places)),
            union_len_max,
            values_len_max: len_max - filters - places - union_len_max,
        }
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
}
