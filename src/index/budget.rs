//! What the index may keep in memory, and how much of that it does.
//!
//! Owns how the bytes that are allowed are divided. Knows nothing of what is kept.

use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

/// Of so many bytes that are allowed, one is for the places of chunks and of lists of marks.
const PLACES_PART: u64 = 16;

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
        let fits = self.used.fetch_add(len, Ordering::AcqRel).saturating_add(len) <= self.max;
        if !fits {
            self.give_back(len);
        }
        fits
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
    /// Parts of filters.
    pub(super) filters: Arc<Budget>,
    /// Places of chunks, and of lists of marks.
    pub(super) places: Arc<Budget>,
    /// The most bytes of values, which count themselves.
    pub(super) values_len_max: u64,
}

impl Budgets {
    /// Divides `len_max` bytes: half is for filters, a sixteenth for places, the rest for values.
    pub(super) fn of(len_max: u64) -> Self {
        let (filters, places) = (len_max / 2, len_max / PLACES_PART);
        Self {
            filters: Arc::new(Budget::new(filters)),
            places: Arc::new(Budget::new(places)),
            values_len_max: len_max - filters - places,
        }
    }
}
