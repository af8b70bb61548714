//! The recent part of the index, in memory.
//!
//! Owns what was added since the last checkpoint: where the records of each stream stand, and the
//! marks. Knows nothing of the tree.

use std::ops::Range;
use std::sync::Arc;

use super::marks::last_before;
use super::{IndexFault, Mark, Seek};
use crate::types::{Address, Entry, LogEnd, NameMap, Position, Revision};

/// Bits of an offset in a segment: as many as the longest segment needs.
const OFFSET_BITS: u32 = 40;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
/// The most segments that one tail can have events in.
const SEGMENT_COUNT_MAX: u64 = 1 << (u64::BITS - OFFSET_BITS);

const TOO_FAR: IndexFault = IndexFault::damaged("a record was added that stands too far away");

/// An address in as few bytes as possible: which of the tail's segments, and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

/// Places in their order. Most streams of a store that has very many have one event in a tail.
#[derive(Debug)]
enum Places {
    One([Place; 1]),
    Many(Vec<Place>),
}

impl Places {
    fn as_slice(&self) -> &[Place] {
        match self {
            Self::One(place) => place,
            Self::Many(places) => places,
        }
    }

    fn push(&mut self, place: Place) {
        match self {
            Self::One([first]) => *self = Self::Many(vec![*first, place]),
            Self::Many(places) => places.push(place),
        }
    }
}

/// Consecutive revisions of one stream.
#[derive(Debug)]
struct Kept {
    first: Revision,
    places: Places,
}

impl Kept {
    fn end(&self) -> Revision {
        let count = u64::try_from(self.places.as_slice().len()).unwrap_or(u64::MAX);
        self.first.plus(count)
    }

    fn push(&mut self, entry: &Entry, place: Place) -> Result<(), IndexFault> {
        if entry.revision != self.end() {
            return Err(IndexFault::damaged("revisions were added that are not dense"));
        }
        if self.places.as_slice().last().is_some_and(|last| *last >= place) {
            return Err(IndexFault::damaged("records were added that do not ascend"));
        }
        self.places.push(place);
        Ok(())
    }
}

/// What a tail has of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'t> {
    tail: &'t Tail,
    kept: &'t Kept,
}

impl Run<'_> {
    pub(super) fn first(&self) -> Revision {
        self.kept.first
    }

    pub(super) fn end(&self) -> Revision {
        self.kept.end()
    }

    /// The addresses of those of `revisions` that are here.
    pub(super) fn slice(&self, revisions: &Range<Revision>) -> impl Iterator<Item = Address> {
        let places = self.kept.places.as_slice();
        let at = |revision: Revision| {
            usize::try_from(revision.since(self.kept.first)).unwrap_or(usize::MAX)
        };
        let wanted = places.get(at(revisions.start)..at(revisions.end).min(places.len()));
        wanted.unwrap_or_default().iter().map(|place| self.tail.address(*place))
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.slice(&(self.first()..self.end())).collect()
    }
}

/// What was added and is not in the tree.
#[derive(Debug, Default)]
pub(super) struct Tail {
    streams: NameMap<Kept>,
    /// First positions of the segments that places speak of, ascending.
    segments: Vec<Position>,
    marks: Vec<Mark>,
    last_mark: Option<Mark>,
    event_count: u64,
    /// Bytes of the names.
    names_len: u64,
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

    /// Bytes of the names of the streams that have events here.
    pub(super) const fn names_len(&self) -> u64 {
        self.names_len
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

    pub(super) fn run(&self, stream: &str) -> Option<Run<'_>> {
        Some(Run { tail: self, kept: self.streams.get(stream)? })
    }

    /// All streams, in no order.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Arc<str>, Run<'_>)> {
        self.streams.iter().map(|(name, kept)| (name, Run { tail: self, kept }))
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
    ) -> Vec<(Arc<str>, Revision)> {
        let is_wanted =
            |name: &str| name.starts_with(prefix) && after.is_none_or(|after| name > after);
        let mut found: Vec<_> = self.streams.iter().filter(|(name, _)| is_wanted(name)).collect();
        if found.len() > count_max {
            found.select_nth_unstable_by_key(count_max, |(name, _)| *name);
            found.truncate(count_max);
        }
        found.into_iter().map(|(name, kept)| (Arc::clone(name), kept.end())).collect()
    }

    /// Adds `entries`, after which the log ends at `end`. Marks stand `mark_interval_len` bytes
    /// apart.
    pub(super) fn add(
        &mut self,
        entries: &[Entry],
        end: LogEnd,
        mark_interval_len: u64,
    ) -> Result<(), IndexFault> {
        for entry in entries {
            self.add_mark(entry, mark_interval_len);
            self.add_address(entry)?;
            self.event_count += 1;
        }
        self.end = Some(end);
        Ok(())
    }

    fn address(&self, place: Place) -> Address {
        let at = usize::try_from(place.0 >> OFFSET_BITS).unwrap_or(usize::MAX);
        let segment = self.segments.get(at).copied().unwrap_or_default();
        Address { segment, offset: place.0 & OFFSET_MASK }
    }

    fn place_of(&mut self, address: Address) -> Result<Place, IndexFault> {
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
        Ok(Place(at << OFFSET_BITS | address.offset))
    }

    fn add_address(&mut self, entry: &Entry) -> Result<(), IndexFault> {
        let place = self.place_of(entry.address)?;
        if let Some(kept) = self.streams.get_mut(&entry.stream) {
            return kept.push(entry, place);
        }
        let kept = Kept { first: entry.revision, places: Places::One([place]) };
        self.names_len += u64::try_from(entry.stream.len()).unwrap_or(u64::MAX);
        self.streams.insert(Arc::clone(&entry.stream), kept);
        Ok(())
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
