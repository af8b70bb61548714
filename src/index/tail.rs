//! The recent part of the index, in memory.
//!
//! Owns what was added since the last checkpoint: where the records of each stream stand, and the
//! marks. Knows nothing of trees.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::IndexFault;
use crate::types::{Address, Entry, LogEnd, Position, Revision, Timestamp};

/// A place from which a scan of the log can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) address: Address,
}

/// What a mark must stand before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek {
    /// An event: the mark stands at it or before it.
    Position(Position),
    /// The first event of a time: the mark was recorded earlier.
    Time(Timestamp),
}

impl Seek {
    const fn is_after(self, mark: &Mark) -> bool {
        match self {
            Self::Position(position) => mark.position.get() <= position.get(),
            Self::Time(time) => mark.recorded_at.as_nanos() < time.as_nanos(),
        }
    }
}

/// Consecutive revisions of one stream.
#[derive(Debug)]
pub(super) struct Run {
    first: Revision,
    addresses: Vec<Address>,
}

impl Run {
    pub(super) const fn first(&self) -> Revision {
        self.first
    }

    pub(super) fn end(&self) -> Revision {
        self.first.plus(u64::try_from(self.addresses.len()).unwrap_or(u64::MAX))
    }

    pub(super) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The addresses of those of `revisions` that are here.
    pub(super) fn slice(&self, revisions: &Range<Revision>) -> &[Address] {
        let place =
            |revision: Revision| usize::try_from(revision.since(self.first)).unwrap_or(usize::MAX);
        let end = place(revisions.end).min(self.addresses.len());
        self.addresses.get(place(revisions.start)..end).unwrap_or_default()
    }

    fn push(&mut self, entry: &Entry) -> Result<(), IndexFault> {
        if entry.revision != self.end() {
            return Err(IndexFault::damaged("revisions were added that are not dense"));
        }
        if self.addresses.last().is_some_and(|last| *last >= entry.address) {
            return Err(IndexFault::damaged("records were added that do not ascend"));
        }
        self.addresses.push(entry.address);
        Ok(())
    }
}

/// What was added and is not in the trees.
#[derive(Debug, Default)]
pub(super) struct Tail {
    runs: HashMap<Arc<str>, Run>,
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

    pub(super) const fn end(&self) -> Option<LogEnd> {
        self.end
    }

    pub(super) fn run(&self, stream: &str) -> Option<&Run> {
        self.runs.get(stream)
    }

    /// All streams, in no order.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Arc<str>, &Run)> {
        self.runs.iter()
    }

    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The last mark before `seek`.
    pub(super) fn mark_before(&self, seek: Seek) -> Option<Mark> {
        let count = self.marks.partition_point(|mark| seek.is_after(mark));
        self.marks.get(count.checked_sub(1)?).copied()
    }

    /// The first `count_max` streams, in no order, that begin with `prefix` and stand after
    /// `after`.
    pub(super) fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Vec<Arc<str>> {
        let is_wanted =
            |name: &str| name.starts_with(prefix) && after.is_none_or(|after| name > after);
        let mut names: Vec<_> = self.runs.keys().filter(|name| is_wanted(name)).collect();
        if names.len() > count_max {
            names.select_nth_unstable(count_max);
            names.truncate(count_max);
        }
        names.into_iter().cloned().collect()
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

    fn add_address(&mut self, entry: &Entry) -> Result<(), IndexFault> {
        if let Some(run) = self.runs.get_mut(&entry.stream) {
            return run.push(entry);
        }
        let run = Run { first: entry.revision, addresses: vec![entry.address] };
        self.runs.insert(Arc::clone(&entry.stream), run);
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
