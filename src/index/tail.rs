//! The recent part of the index, in memory.
//!
//! Owns what was added since the last checkpoint: where the records of each stream stand, and the
//! marks. Knows nothing of the tree.

use std::ops::Range;

use super::lists::{List, Lists};
use super::marks::last_before;
use super::{IndexFault, Mark, Seek};
use crate::types::{Address, Entries, Entry, LogEnd, NameHash, Names, Position, Revision};

/// Bits of an offset in a segment: as many as the longest segment needs.
const OFFSET_BITS: u32 = 40;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
/// The most segments that one tail can have events in.
const SEGMENT_COUNT_MAX: u64 = 1 << (u64::BITS - OFFSET_BITS);

/// How many marks there may be where batches end, for each that there is in any case. More of them
/// would spare a reader the headers of fewer records than it reads of what it has come for.
const MARKS_AT_BATCH_ENDS: u64 = 4;

/// What a stream takes, besides its name and the places of its records.
const STREAM_LEN: u64 = 44;

const TOO_FAR: IndexFault = IndexFault::damaged("a record was added that stands too far away");
const TOO_MANY: IndexFault = IndexFault::damaged("more was added than memory is divided for");

/// Consecutive revisions of one stream.
#[derive(Clone, Copy, Debug)]
struct Kept {
    first: Revision,
    /// Their places, ascending.
    places: List,
}

impl Kept {
    fn end(self) -> Revision {
        let count = u64::try_from(self.places.count()).unwrap_or(u64::MAX);
        self.first.plus(count)
    }
}

/// What a tail has of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'t> {
    tail: &'t Tail,
    kept: Kept,
}

impl Run<'_> {
    pub(super) fn first(&self) -> Revision {
        self.kept.first
    }

    pub(super) fn end(&self) -> Revision {
        self.kept.end()
    }

    /// Adds to `found` the addresses of those of `revisions` that are here, ascending.
    pub(super) fn add_to(&self, found: &mut Vec<Address>, revisions: &Range<Revision>) {
        let at = |revision: Revision| {
            usize::try_from(revision.since(self.kept.first)).unwrap_or(usize::MAX)
        };
        let wanted = at(revisions.start)..at(revisions.end);
        let known_count = found.len();
        let places = self.tail.places.descending(self.kept.places, wanted);
        found.extend(places.map(|place| self.tail.address(place)));
        found.get_mut(known_count..).unwrap_or_default().reverse();
    }
}

/// What was added and is not in the tree.
#[derive(Debug, Default)]
pub(super) struct Tail {
    streams: Names<Kept>,
    /// Where the records of the streams are: which of the tail's segments, and the offset in it.
    places: Lists,
    /// First positions of the segments that places speak of, ascending.
    segments: Vec<Position>,
    marks: Vec<Mark>,
    last_mark: Option<Mark>,
    event_count: u64,
    end: Option<LogEnd>,
}

impl Tail {
    /// An empty tail that goes on from `end`.
    pub(super) fn from_end(end: Option<LogEnd>) -> Self {
        Self { end, ..Self::default() }
    }

    /// An empty tail that goes on where this one ends.
    pub(super) fn successor(&self) -> Self {
        Self { last_mark: self.last_mark, ..Self::from_end(self.end) }
    }

    pub(super) const fn event_count(&self) -> u64 {
        self.event_count
    }

    /// Bytes that the streams take which have events here: their names, and what is kept of each.
    pub(super) fn streams_len(&self) -> u64 {
        let kept = STREAM_LEN.saturating_mul(u64::try_from(self.streams.len()).unwrap_or(u64::MAX));
        self.streams.text_len().saturating_add(kept)
    }

    pub(super) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    pub(super) const fn end(&self) -> Option<LogEnd> {
        self.end
    }

    /// The first segment that has events here.
    pub(super) fn base(&self) -> Position {
        self.segments.first().copied().unwrap_or_default()
    }

    pub(super) fn run(&self, hash: NameHash, stream: &str) -> Option<Run<'_>> {
        Some(Run { tail: self, kept: *self.streams.get(hash, stream)? })
    }

    /// All streams, in no order.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&str, Run<'_>)> {
        self.streams.iter().map(|(name, kept)| (name, Run { tail: self, kept: *kept }))
    }

    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The last mark before `seek`.
    pub(super) fn mark_before(&self, seek: Seek) -> Option<Mark> {
        last_before(&self.marks, seek)
    }

    /// The first `count_max` streams, in no order, that begin with `prefix` and stand after
    /// `after`, with their ends.
    pub(super) fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Vec<(&str, Revision)> {
        let is_wanted =
            |name: &str| name.starts_with(prefix) && after.is_none_or(|after| name > after);
        let mut found: Vec<_> = self.streams.iter().filter(|(name, _)| is_wanted(name)).collect();
        if found.len() > count_max {
            found.select_nth_unstable_by_key(count_max, |(name, _)| *name);
            found.truncate(count_max);
        }
        found.into_iter().map(|(name, kept)| (name, kept.end())).collect()
    }

    /// Adds `entries`, after which the log ends at `end`. Marks stand `mark_interval_len` bytes
    /// apart; where a batch ends, a part of that is far enough.
    pub(super) fn add(
        &mut self,
        entries: &Entries,
        end: LogEnd,
        mark_interval_len: u64,
    ) -> Result<(), IndexFault> {
        let mut entries = entries.iter().peekable();
        while let Some((stream, entry)) = entries.next() {
            let next = entries.peek().map(|(_, next)| next.recorded_at);
            // What is sought by its time is the first event of a batch.
            let ends_batch = next.is_none_or(|next| next != entry.recorded_at);
            let part = if ends_batch { MARKS_AT_BATCH_ENDS } else { 1 };
            self.add_mark(entry, mark_interval_len / part);
            self.add_address(stream, entry)?;
            self.event_count += 1;
        }
        self.end = Some(end);
        Ok(())
    }

    fn address(&self, place: u64) -> Address {
        let at = usize::try_from(place >> OFFSET_BITS).unwrap_or(usize::MAX);
        let segment = self.segments.get(at).copied().unwrap_or_default();
        Address { segment, offset: place & OFFSET_MASK }
    }

    fn place_of(&mut self, address: Address) -> Result<u64, IndexFault> {
        match self.segments.last() {
            Some(last) if *last == address.segment => {}
            Some(last) if *last > address.segment => {
                return Err(IndexFault::damaged("records were added that do not ascend"));
            }
            _ => self.segments.push(address.segment),
        }
        let at = u64::try_from(self.segments.len() - 1).map_err(|_| TOO_FAR)?;
        if at >= SEGMENT_COUNT_MAX || address.offset > OFFSET_MASK {
            return Err(TOO_FAR);
        }
        Ok(at << OFFSET_BITS | address.offset)
    }

    fn add_address(&mut self, stream: &str, entry: &Entry) -> Result<(), IndexFault> {
        let place = self.place_of(entry.address)?;
        let Some(kept) = self.streams.get_mut(entry.hash, stream) else {
            let mut places = List::default();
            self.places.push(&mut places, place).ok_or(TOO_MANY)?;
            let kept = Kept { first: entry.revision, places };
            return self.streams.insert_new(entry.hash, stream, kept).ok_or(TOO_MANY);
        };
        if entry.revision != kept.end() {
            return Err(IndexFault::damaged("revisions were added that are not dense"));
        }
        if self.places.last(kept.places).is_some_and(|last| last >= place) {
            return Err(IndexFault::damaged("records were added that do not ascend"));
        }
        self.places.push(&mut kept.places, place).ok_or(TOO_MANY)
    }

    fn add_mark(&mut self, entry: &Entry, mark_interval_len: u64) {
        let is_near = self.last_mark.is_some_and(|last| {
            last.address.segment == entry.address.segment
                && entry.address.offset.saturating_sub(last.address.offset) < mark_interval_len
        });
        if is_near {
            return;
        }
        let mark = Mark {
            position: entry.position,
            recorded_at: entry.recorded_at,
            address: entry.address,
        };
        self.marks.push(mark);
        self.last_mark = Some(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NameHasher, StoreId, Timestamp};

    /// Positions of the marks over events of 100 bytes, one after the other, in batches of so many.
    fn marks_of(batch_lens: &[u64]) -> Vec<u64> {
        let hasher = NameHasher::of(StoreId::from_bytes([7; 16]));
        let mut tail = Tail::default();
        let mut position = 0;
        for (nanos, len) in (0..).zip(batch_lens) {
            let mut entries = Entries::default();
            for _ in 0..*len {
                let entry = Entry {
                    hash: hasher.hash("a"),
                    revision: Revision::new(position),
                    position: Position::new(position),
                    recorded_at: Timestamp::from_nanos(nanos),
                    address: Address { segment: Position::START, offset: 64 + 100 * position },
                };
                entries.push("a", entry);
                position += 1;
            }
            let address = Address { segment: Position::START, offset: 64 + 100 * position };
            let end = LogEnd {
                position: Position::new(position),
                address,
                checksum: 0,
                recorded_at: Timestamp::from_nanos(nanos),
            };
            tail.add(&entries, end, 1_000).unwrap();
        }
        tail.marks().iter().map(|mark| mark.position.get()).collect()
    }

    #[test]
    fn marks_stand_their_interval_apart_within_a_batch() {
        assert_eq!(marks_of(&[35]), [0, 10, 20, 30, 34]);
    }

    /// Whoever seeks a time read up to an interval of what was before it.
    #[test]
    fn the_last_event_of_a_batch_has_a_mark_unless_one_is_near() {
        assert_eq!(marks_of(&[8, 12, 12]), [0, 7, 17, 27, 31]);
        assert_eq!(marks_of(&[1; 8]), [0, 3, 6]);
    }
}
