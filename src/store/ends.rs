//! Where streams end, counting events that are not visible yet.
//!
//! Owns what every append decides on: the ends of the streams appended to last, in bounded memory.
//! Knows nothing of where an end comes from that it does not have.

use std::mem;

use crate::types::{Guess, NameHash, Names, Position, Revision};

/// Streams that are remembered in each of the two generations.
const GENERATION_COUNT_MAX: usize = 32 << 10;

/// Where a stream ends once everything that was given a place is visible.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamEnd {
    /// That of the stream's name.
    pub(super) hash: NameHash,
    pub(super) end: Revision,
}

/// Which of the streams that are remembered. Counts until [`StreamEnds::begin`] is called next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot(usize);

/// Streams that were remembered at about the same time.
#[derive(Debug, Default)]
struct Generation {
    slots: Names<usize>,
    streams: Vec<StreamEnd>,
    /// The end of the log when an event was last given a place in one of them.
    assigned_end: Position,
}

impl Generation {
    /// Keeps nothing but room.
    fn clear(&mut self) {
        self.slots.clear();
        self.streams.clear();
        self.assigned_end = Position::START;
    }
}

/// The ends of the streams that events were appended to last.
///
/// Two generations: what is used is in the young one, and when that is full it becomes the old one,
/// which is forgotten, but never while it has events that the index has not sorted in: only of those
/// that it has can it tell at once.
#[derive(Debug)]
pub(super) struct StreamEnds {
    young: Generation,
    old: Generation,
    /// As the log has counted them when this was last right.
    retractions: u64,
    generation_count_max: usize,
}

impl Default for StreamEnds {
    fn default() -> Self {
        Self::of(GENERATION_COUNT_MAX)
    }
}

impl StreamEnds {
    pub(super) fn of(generation_count_max: usize) -> Self {
        let (young, old) = Default::default();
        Self { young, old, retractions: 0, generation_count_max }
    }

    /// Prepares for a batch: forgets what is not right any more, or too much. Where streams end that
    /// have no event after `known_end` can be asked for elsewhere. Says whether more should be known
    /// there, all that is visible: because everything was forgotten, or because too much cannot be.
    #[must_use]
    pub(super) fn begin(&mut self, retractions: u64, known_end: Position) -> bool {
        if retractions != self.retractions {
            (self.young, self.old) = Default::default();
            self.retractions = retractions;
            return true;
        }
        let is_full = self.young.streams.len() >= self.generation_count_max;
        let may_forget = self.old.assigned_end <= known_end;
        if is_full && may_forget {
            mem::swap(&mut self.young, &mut self.old);
            if self.young.streams.len() > 2 * self.generation_count_max {
                // A batch of very many streams must not take up memory for ever.
                self.young = Generation::default();
            }
            self.young.clear();
        }
        is_full && !may_forget
    }

    /// Where a stream with this hash may be, for [`Self::find_guessed`].
    #[inline]
    pub(super) fn guess(&self, hash: NameHash) -> Option<Guess<usize>> {
        self.young.slots.guess(hash)
    }

    /// As [`Self::find`], of a stream that was guessed at since [`Self::begin`].
    #[inline]
    pub(super) fn find_guessed(
        &mut self,
        guess: Option<Guess<usize>>,
        hash: NameHash,
        stream: &str,
    ) -> Option<Slot> {
        match guess.and_then(|guess| self.young.slots.confirm(guess, stream)) {
            Some(slot) => Some(Slot(slot)),
            None => self.find(hash, stream),
        }
    }

    /// The slot of a stream that is remembered.
    pub(super) fn find(&mut self, hash: NameHash, stream: &str) -> Option<Slot> {
        if let Some(slot) = self.young.slots.get(hash, stream) {
            return Some(Slot(*slot));
        }
        let old = *self.old.streams.get(*self.old.slots.get(hash, stream)?)?;
        // What is not visible of it stays known: the young generation has it now.
        self.young.assigned_end = self.young.assigned_end.max(self.old.assigned_end);
        self.remember(stream, old)
    }

    /// Remembers a stream that is not; `None` if there is no room for its name.
    pub(super) fn remember(&mut self, stream: &str, end: StreamEnd) -> Option<Slot> {
        let slot = self.young.streams.len();
        self.young.slots.insert_new(end.hash, stream, slot)?;
        self.young.streams.push(end);
        Some(Slot(slot))
    }

    /// The stream in a slot.
    pub(super) fn at(&self, Slot(slot): Slot) -> Option<&StreamEnd> {
        self.young.streams.get(slot)
    }

    /// Moves the end of the stream in a slot, by events after which the log ends at `log_end`.
    pub(super) fn advance(&mut self, Slot(slot): Slot, end: Revision, log_end: Position) {
        self.young.assigned_end = log_end;
        if let Some(stream) = self.young.streams.get_mut(slot) {
            stream.end = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NameHasher, StoreId};

    fn find(ends: &mut StreamEnds, stream: &str) -> Option<Slot> {
        ends.find(hash(stream), stream)
    }

    fn hash(stream: &str) -> NameHash {
        NameHasher::of(StoreId::from_bytes([3; 16])).hash(stream)
    }

    fn append(ends: &mut StreamEnds, stream: &str, log_end: u64) -> Revision {
        let slot = find(ends, stream).unwrap_or_else(|| {
            let end = StreamEnd { hash: hash(stream), end: Revision::START };
            ends.remember(stream, end).unwrap()
        });
        let end = ends.at(slot).unwrap().end.next();
        ends.advance(slot, end, Position::new(log_end));
        end
    }

    #[test]
    fn what_is_visible_is_forgotten_in_time_and_what_is_not_never() {
        let mut ends = StreamEnds::of(10);
        for n in 1..=100 {
            let _ = ends.begin(0, Position::new(5));
            append(&mut ends, &format!("s{n}"), n);
        }
        // Nothing but the first five events may be forgotten.
        assert!((6..=100).all(|n| find(&mut ends, &format!("s{n}")).is_some()));
        for n in 101..=200 {
            let _ = ends.begin(0, Position::new(n));
            append(&mut ends, &format!("s{n}"), n);
        }
        assert!(ends.young.streams.len() + ends.old.streams.len() <= 20);
        // It says so when it has too much, whatever comes of the appends.
        for n in 0..20 {
            append(&mut ends, &format!("t{n}"), 300);
        }
        assert!(!ends.begin(0, Position::new(299)) && ends.young.streams.is_empty());
        for n in 0..10 {
            append(&mut ends, &format!("u{n}"), 300);
        }
        assert!(ends.begin(0, Position::new(299)) && !ends.begin(0, Position::new(300)));
        assert!(ends.young.streams.is_empty());
        assert!(find(&mut ends, "s7").is_none() && find(&mut ends, "u9").is_some());
    }

    #[test]
    fn an_end_goes_on_from_one_generation_to_the_next() {
        let mut ends = StreamEnds::of(4);
        for n in 1..=50 {
            let _ = ends.begin(0, Position::new(2 * n));
            assert_eq!(append(&mut ends, "hot", 2 * n), Revision::new(n));
            append(&mut ends, &format!("s{n}"), 2 * n + 1);
        }
    }

    /// Two names of one hash, and a stream of the old generation, are found all the same.
    #[test]
    fn a_guess_is_never_taken_for_another_stream() {
        let mut ends = StreamEnds::of(2);
        let same = NameHash::of_number(7);
        let end = |n| StreamEnd { hash: same, end: Revision::new(n) };
        ends.remember("a", end(1)).unwrap();
        ends.remember("b", end(2)).unwrap();
        let mut found = |stream: &str| {
            let guess = ends.guess(same);
            let slot = ends.find_guessed(guess, same, stream)?;
            ends.at(slot).map(|stream| stream.end.get())
        };
        assert_eq!([found("a"), found("b"), found("c")], [Some(1), Some(2), None]);
        assert!(!ends.begin(0, Position::new(9)) && ends.young.streams.is_empty());
        let guess = ends.guess(same);
        assert!(guess.is_none());
        let slot = ends.find_guessed(guess, same, "b").unwrap();
        assert_eq!(ends.at(slot).unwrap().end, Revision::new(2));
    }

    #[test]
    fn what_was_taken_back_is_forgotten() {
        let mut ends = StreamEnds::of(4);
        assert!(!ends.begin(0, Position::START));
        append(&mut ends, "a", 1);
        assert!(ends.begin(1, Position::START) && !ends.begin(1, Position::START));
        assert!(find(&mut ends, "a").is_none());
        assert_eq!(append(&mut ends, "a", 1), Revision::new(1));
    }
}
