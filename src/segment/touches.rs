//! How often places were touched lately, as far as little memory tells.
//!
//! Where more are touched than it remembers, each makes those beside it count for less, so that none is seen
//! to be touched often.

use crate::segment::file::wide;
use crate::sync::{AtomicU64, Ordering};

/// Bits of a count.
const COUNT_BITS: u32 = 8;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// How often places were touched lately, of which `WAYS` may have the same slots.
#[derive(Debug)]
pub(super) struct Touches<const WAYS: usize> {
    /// In the upper bits of each number which place it is of, in the lower ones how often.
    slots: Box<[[AtomicU64; WAYS]]>,
}

impl<const WAYS: usize> Touches<WAYS> {
    /// Remembers so many places.
    pub(super) fn of(count: usize) -> Self {
        let ways = |_| std::array::from_fn(|_| AtomicU64::new(0));
        Self { slots: (0..count.div_ceil(WAYS)).map(ways).collect() }
    }

    /// How often the place with this hash was touched before this, as far as is known. If no slot is free,
    /// all beside it count for less from then on, and it takes the slot of the one that was touched least.
    pub(super) fn count(&self, hash: u64) -> u8 {
        let at = (hash >> u32::BITS).checked_rem(wide(self.slots.len())).unwrap_or(0);
        let ways = usize::try_from(at).ok().and_then(|at| self.slots.get(at));
        let ways = ways.map(<[_; WAYS]>::as_slice).unwrap_or_default();
        let tag = hash & !COUNT_MASK;
        let count_of = |held: u64| held & COUNT_MASK;
        let mut free = None;
        // Two at the same time may count as one: it is a guess in any case.
        for slot in ways {
            let held = slot.load(Ordering::Relaxed);
            if count_of(held) == 0 {
                free = Some(slot);
            } else if held & !COUNT_MASK == tag {
                slot.store(tag | (count_of(held) + 1).min(COUNT_MASK), Ordering::Relaxed);
                return u8::try_from(count_of(held)).unwrap_or(u8::MAX);
            }
        }
        if free.is_none() {
            let mut least = COUNT_MASK;
            for slot in ways {
                let held = slot.load(Ordering::Relaxed);
                let left = count_of(held).saturating_sub(1);
                slot.store(held & !COUNT_MASK | left, Ordering::Relaxed);
                if left < least {
                    (least, free) = (left, Some(slot));
                }
            }
        }
        if let Some(slot) = free {
            slot.store(tag | 1, Ordering::Relaxed);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` places are known to have been touched four times, once each was touched by
    /// turns some `rounds` times.
    fn known(count: usize, rounds: usize) -> usize {
        let touches = Touches::<16>::of(4_096);
        let mut random = fastrand::Rng::with_seed(7);
        let mut hashes: Vec<_> = (0..count).map(|_| random.u64(..)).collect();
        for _ in 0..rounds {
            random.shuffle(&mut hashes);
            for hash in &hashes {
                touches.count(*hash);
            }
        }
        hashes.iter().filter(|hash| touches.count(**hash) >= 4).count()
    }

    #[test]
    fn places_for_which_there_is_room_are_known_and_of_many_more_hardly_any() {
        assert_eq!(known(100, 4), 100);
        assert!(known(2_800, 5) > 2_500, "{}", known(2_800, 5));
        assert!(known(6_144, 50) < 300, "{}", known(6_144, 50));
    }

    #[test]
    fn a_count_ends_with_the_most_that_it_can_be() {
        let touches = Touches::<4>::of(1);
        let counts: Vec<_> = (0..300).map(|_| touches.count(9)).collect();
        assert_eq!((counts[0], counts[254], counts[299]), (0, 254, 255));
    }
}
