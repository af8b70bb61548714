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
        let len = |place: &[u8]| u64::try_from(2 * (PLACE_LEN + place.len())).unwrap_or(u64::MAX);
        // Vectors that grow take up to twice what they hold.
        let wanted = len(place) + next.map_or(0, len);
        let mut known = self.known.write();
        if !self.budget.take(wanted) {
            // What is known may be of no use any more; what is asked for now is.
            self.budget.give_back(known.forget());
            if !self.budget.take(wanted) {
                return None;
            }
        }
        known.counted += wanted;
        if let Some(next) = next {
            known.add(next)?;
        }
        let at = known.add(place)?;
        known.mark_read(at)
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

    /// Adds a place, unless it is known; says where it stands, or nothing for the first of a run.
    /// `None` if there are more than can be numbered.
    fn add(&mut self, place: &[u8]) -> Option<Option<usize>> {
        if place.is_empty() {
            if self.first.is_none() {
                self.first = Some(self.place_of(place)?);
            }
            return Some(None);
        }
        self.shorten_prefix(place);
        let count = self.count_to(place);
        let before = count.checked_sub(1);
        if let Some(at) = before.filter(|at| self.is_at(*at, place)) {
            return Some(Some(at));
        }
        let added = self.place_of(place)?;
        self.heads.insert(count, self.head_of(place));
        self.places.insert(count, added);
        Some(Some(count))
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

    /// Notes that the chunk was read that begins at `at`; gives its slot.
    fn mark_read(&mut self, at: Option<usize>) -> Option<u32> {
        let place = at.map_or(self.first.as_mut(), |at| self.places.get_mut(at))?;
        place.is_read = true;
        Some(place.slot)
    }

    /// Forgets all places; says what the budget was asked for.
    fn forget(&mut self) -> u64 {
        let counted = self.counted;
        *self = Self { next_slot: self.next_slot, ..Self::default() };
        counted
    }
}
