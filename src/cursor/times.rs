//! A half-open range of times.

use std::ops::{Bound, RangeBounds};

use crate::types::Timestamp;

/// Times from `since` (included) to `until` (excluded). `None` is open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl Times {
    pub(crate) fn of(range: &impl RangeBounds<Timestamp>) -> Self {
        let later = |time: &Timestamp| time.as_nanos().checked_add(1).map(Timestamp::from_nanos);
        // Nothing is after the latest time, so a range that begins there holds nothing.
        let is_empty = range.start_bound() == Bound::Excluded(&Timestamp::MAX);
        Self {
            since: match range.start_bound() {
                Bound::Included(time) => Some(*time),
                Bound::Excluded(time) => later(time),
                Bound::Unbounded => None,
            },
            until: match range.end_bound() {
                _ if is_empty => Some(Timestamp::MIN),
                Bound::Included(time) => later(time),
                Bound::Excluded(time) => Some(*time),
                Bound::Unbounded => None,
            },
        }
    }

    pub(crate) fn begins_after(&self, time: Timestamp) -> bool {
        self.since.is_some_and(|since| time < since)
    }

    pub(crate) fn ends_before(&self, time: Timestamp) -> bool {
        self.until.is_some_and(|until| time >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_kind_of_range_becomes_half_open() {
        let [a, b] = [10, 20].map(Timestamp::from_nanos);
        let bounds = |range: Times| {
            (range.since.map(Timestamp::as_nanos), range.until.map(Timestamp::as_nanos))
        };
        assert_eq!(bounds(Times::of(&(a..b))), (Some(10), Some(20)));
        assert_eq!(bounds(Times::of(&(a..=b))), (Some(10), Some(21)));
        assert_eq!(bounds(Times::of(&(a..))), (Some(10), None));
        assert_eq!(bounds(Times::of(&(..b))), (None, Some(20)));
        assert_eq!(bounds(Times::of(&..)), (None, None));
        assert_eq!(bounds(Times::of(&(..=Timestamp::MAX))), (None, None));
        let none = (Bound::Excluded(Timestamp::MAX), Bound::Unbounded);
        assert_eq!(bounds(Times::of(&none)), (None, Some(i64::MIN)));
    }
}
