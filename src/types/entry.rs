//! What the log tells of itself to whoever follows it.

use super::{Address, NameHash, Position, Revision, Timestamp};

/// What there is to index of one record, but for the name of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The hash of the stream's name, in the store's way.
    pub(crate) hash: NameHash,
    pub(crate) revision: Revision,
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) address: Address,
}

/// Entries of records that follow each other, and the names of their streams: in two pieces of memory,
/// so that they are handed from thread to thread without a thing that both count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    names: String,
    /// Each with where the name of its stream ends. It begins where the one before ends.
    entries: Vec<(Entry, usize)>,
}

impl Entries {
    pub(crate) fn push(&mut self, stream: &str, entry: Entry) {
        self.names.push_str(stream);
        self.entries.push((entry, self.names.len()));
    }

    /// Adds all of `others`, which follow.
    pub(crate) fn append(&mut self, others: &Self) {
        let before = self.names.len();
        self.names.push_str(&others.names);
        self.entries.extend(others.entries.iter().map(|(entry, end)| (*entry, before + end)));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.last().map(|(entry, _)| entry)
    }

    /// The names of the streams, and the entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let mut start = 0;
        self.entries.iter().map(move |(entry, end)| {
            let name = self.names.get(start..*end).unwrap_or_default();
            start = *end;
            (name, entry)
        })
    }

    /// Keeps the first `count`, and room for more.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
        self.names.truncate(self.entries.last().map_or(0, |(_, end)| *end));
    }

    /// Keeps nothing but room.
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }
}

/// An end of the log, and what is needed to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// One past the last event.
    pub(crate) position: Position,
    /// Where the next record goes, or the footer.
    pub(crate) address: Address,
    /// Checksum of the last record, which the next one must carry.
    pub(crate) checksum: u32,
    /// Recorded time of the last event; the next batch's must be later. [`Timestamp::MIN`] if
    /// there is none.
    pub(crate) recorded_at: Timestamp,
}

impl LogEnd {
    /// The end of a log without events: its first record goes to `offset` in the first segment,
    /// and carries `checksum`.
    pub(crate) fn start(checksum: u32, offset: u64) -> Self {
        let address = Address { segment: Position::START, offset };
        let recorded_at = Timestamp::MIN;
        Self { position: Position::START, address, checksum, recorded_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NameHasher;

    fn entry(n: u64, stream: &str) -> Entry {
        Entry {
            hash: NameHasher::random().hash(stream),
            revision: Revision::new(n),
            position: Position::new(n),
            recorded_at: Timestamp::from_nanos(7),
            address: Address { segment: Position::START, offset: 64 + 8 * n },
        }
    }

    #[test]
    fn entries_keep_their_names_when_some_are_taken_back_or_others_follow() {
        let (mut first, mut second) = (Entries::default(), Entries::default());
        for (n, stream) in (0..).zip(["a", "购物车", "bc", "d"]) {
            first.push(stream, entry(n, stream));
        }
        first.truncate(3);
        second.push("e", entry(3, "e"));
        second.push("", entry(4, ""));
        first.append(&second);
        let names: Vec<_> = first.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "购物车", "bc", "e", ""]);
        assert!(first.iter().map(|(_, entry)| entry.position.get()).eq(0..5));
        assert_eq!(
            (first.len(), first.last().map(|last| last.position)),
            (5, Some(Position::new(4)))
        );
        first.clear();
        assert!(first.is_empty() && first.iter().next().is_none());
    }
}
