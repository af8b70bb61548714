//! Where the chunks of a run begin, as far as it was learned from chunks that were read.
//!
//! Owns the places in memory, within a bound. A place is known once a chunk was read that begins
//! or ends there, so what is known is never more than was asked for, and whoever asks again needs
//! no search in the tree.

use std::fmt;
use std::sync::Arc;

use super::budget::Budget;
use super::keys;
use super::parsed::{common_len, range_of};
use crate::sync::RwLock;

/// The place of a chunk.
#[derive(Clone, Copy, Debug)]
struct PlaceAt {
    start: u32,
    len: u16,
    /// Whether a chunk was read that begins here, so that the next place is where it ends.
    is_read: bool,
    /// Given once: the place may be forgotten, and learned again as another.
    slot: u32,
}

/// What is counted for a place, besides its bytes.
const PLACE_LEN: usize = size_of::<PlaceAt>() + size_of::<u64>();

/// The known places of the chunks of one run.
pub(super) struct Places {
    known: RwLock<Known>,
    budget: Arc<Budget>,
}

impl Places {
    /// Knows nothing yet, and takes what it learns from `budget`.
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { known: RwLock::default(), budget: Arc::clone(budget) }
    }

    /// The slot of the chunk in which a block with this place would be, if it is known.
    pub(super) fn slot(&self, place: &[u8]) -> Option<u32> {
        self.known.read().chunk_at(place).map(|chunk| chunk.slot)
    }

    /// The same, with the place at which the chunk begins.
    pub(super) fn find(&self, place: &[u8]) -> Option<(u32, Vec<u8>)> {
        let known = self.known.read();
        known.chunk_at(place).map(|chunk| (chunk.slot, known.bytes_at(chunk).to_vec()))
    }

    /// Learns that a chunk begins at `place`, and where the next one does, if there is one. Gives
    /// the slot of the chunk, or nothing if there is no room for it.
    pub(super) fn learn(&self, place: &[u8], next: Option<&[u8]>) -> Option<u32> {
        let mut known = self.known.write();
        let mut wanted = known.len_of(place) + next.map_or(0, |next| known.len_of(next));
        if !self.budget.take(wanted) {
            // What is known may be of no use any more; what is asked for now is.
            self.budget.give_back(known.forget());
            wanted = known.len_of(place) + next.map_or(0, |next| known.len_of(next));
            if !self.budget.take(wanted) {
                return None;
            }
        }
        known.counted += wanted;
        if let Some(next) = next {
            known.add(next)?;
        }
        known.mark_read(place)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.budget.give_back(self.known.write().forget());
    }
}

impl fmt::Debug for Places {
    /// Not what is known, which may be much.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

/// Places in their order.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    /// What all places begin with, but the first of the run, which is empty.
    prefix: Vec<u8>,
    /// What each place goes on with, as far as a number holds it.
    heads: Vec<u64>,
    places: Vec<PlaceAt>,
    first: Option<PlaceAt>,
    next_slot: u32,
    /// What the budget was asked for.
    counted: u64,
}

impl Known {
    /// The chunk in which a block with this place would be.
    fn chunk_at(&self, place: &[u8]) -> Option<&PlaceAt> {
        let before = self.count_to(place).checked_sub(1);
        let chunk = before.map_or(self.first.as_ref(), |at| self.places.get(at))?;
        chunk.is_read.then_some(chunk)
    }

    fn bytes_at(&self, place: &PlaceAt) -> &[u8] {
        let start = usize::try_from(place.start).unwrap_or(usize::MAX);
        self.bytes.get(start..start.saturating_add(usize::from(place.len))).unwrap_or_default()
    }

    /// How many places there are at this one or before it, the first of the run left out.
    fn count_to(&self, place: &[u8]) -> usize {
        let Some(rest) = place.strip_prefix(&*self.prefix) else {
            return if *place < *self.prefix { 0 } else { self.places.len() };
        };
        let same = range_of(&self.heads, keys::head(rest));
        let start = same.start;
        let same = self.places.get(same).unwrap_or_default();
        start + same.partition_point(|other| self.bytes_at(other) <= place)
    }

    /// Adds a place that is not the first of the run, unless it is known; says where it stands.
    /// `None` if there are more than can be numbered.
    fn add(&mut self, place: &[u8]) -> Option<usize> {
        self.shorten_prefix(place);
        let count = self.count_to(place);
        let before = count.checked_sub(1);
        if let Some(at) = before.filter(|at| self.is_at(*at, place)) {
            return Some(at);
        }
        let added = self.place_of(place)?;
        self.heads.insert(count, self.head_of(place));
        self.places.insert(count, added);
        Some(count)
    }

    /// What a place takes that is not known: twice itself, for vectors that grow may take as much.
    fn len_of(&self, place: &[u8]) -> u64 {
        let before = self.count_to(place).checked_sub(1);
        let is_known = if place.is_empty() {
            self.first.is_some()
        } else {
            before.is_some_and(|at| self.is_at(at, place))
        };
        let len = if is_known { 0 } else { 2 * (PLACE_LEN + place.len()) };
        u64::try_from(len).unwrap_or(u64::MAX)
    }

    fn is_at(&self, at: usize, place: &[u8]) -> bool {
        self.places.get(at).is_some_and(|other| self.bytes_at(other) == place)
    }

    fn place_of(&mut self, place: &[u8]) -> Option<PlaceAt> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        let len = u16::try_from(place.len()).ok()?;
        let slot = self.next_slot;
        self.next_slot = slot.checked_add(1)?;
        self.bytes.extend_from_slice(place);
        Some(PlaceAt { start, len, is_read: false, slot })
    }

    fn head_of(&self, place: &[u8]) -> u64 {
        keys::head(place.get(self.prefix.len()..).unwrap_or_default())
    }

    /// Makes the prefix one that `place` has as well.
    fn shorten_prefix(&mut self, place: &[u8]) {
        if self.places.is_empty() {
            place.clone_into(&mut self.prefix);
        }
        let len = common_len(&self.prefix, place);
        if len < self.prefix.len() {
            self.prefix.truncate(len);
            self.heads =
                self.places.iter().map(|place| self.head_of(self.bytes_at(place))).collect();
        }
    }

    /// Notes that the chunk was read that begins at `place`; gives its slot.
    fn mark_read(&mut self, place: &[u8]) -> Option<u32> {
        let read = if place.is_empty() {
            let first = self.first.or_else(|| self.place_of(place))?;
            self.first.insert(first)
        } else {
            let at = self.add(place)?;
            self.places.get_mut(at)?
        };
        read.is_read = true;
        Some(read.slot)
    }

    /// Forgets all places; says what the budget was asked for.
    fn forget(&mut self) -> u64 {
        let counted = self.counted;
        *self = Self { next_slot: self.next_slot, ..Self::default() };
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Revision;

    /// Places of chunks, the first of a run first.
    fn all_places(count: u64) -> Vec<Vec<u8>> {
        let names = (0..count).map(|n| match n % 3 {
            0 => keys::place(&format!("order-{n:05}"), Revision::START),
            1 => keys::place("order-00001", Revision::new(n * 256)),
            _ => keys::place(&format!("用户-{n}"), Revision::new(n)),
        });
        let mut places: Vec<_> = names.chain([Vec::new()]).collect();
        places.sort();
        places.dedup();
        places
    }

    #[test]
    fn a_place_is_in_the_chunk_that_was_read_and_unknown_otherwise() {
        let budget = Arc::new(Budget::new(1 << 20));
        let all = all_places(60);
        let places = Places::new(&budget);
        let mut order: Vec<_> = (0..all.len()).collect();
        fastrand::Rng::with_seed(3).shuffle(&mut order);
        let mut slots = vec![None; all.len()];
        for at in order {
            slots[at] = places.learn(&all[at], all.get(at + 1).map(|next| &**next));
            assert!(slots[at].is_some());
            for (other, place) in all.iter().enumerate() {
                let within = [&place[..], b"\0"].concat();
                for place in [place, &within] {
                    assert_eq!(places.slot(place), slots[other]);
                    let start = slots[other].map(|slot| (slot, all[other].clone()));
                    assert_eq!(places.find(place), start);
                }
            }
        }
        let mut slots: Vec<_> = slots.into_iter().flatten().collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), all.len(), "each has its own");
        let used = budget.used();
        places.learn(&all[3], Some(&all[4])).unwrap();
        assert_eq!(budget.used(), used, "it is known");
        drop(places);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_does_not_fit_takes_the_place_of_what_was_known_and_never_its_slot() {
        let max = 1_000;
        let budget = Arc::new(Budget::new(max));
        let all = all_places(60);
        let places = Places::new(&budget);
        let mut slots = Vec::new();
        for _ in 0..2 {
            for pair in all.windows(2) {
                let slot = places.learn(&pair[0], Some(&pair[1])).unwrap();
                assert_eq!(places.slot(&pair[0]), Some(slot));
                assert!(budget.used() <= max);
                slots.push(slot);
            }
        }
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 2 * (all.len() - 1));
        let full = Places::new(&Arc::new(Budget::new(10)));
        assert_eq!(full.learn(&all[3], None), None);
        assert_eq!(full.slot(&all[3]), None);
    }
}
