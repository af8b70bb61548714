//! How a store does, in numbers.

use crate::store::Store;
use crate::sync::Ordering;
use crate::types::Position;

/// How a store does. From [`Store::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The position after that of the last visible event.
    pub end: Position,
    /// The position after that of the last event that is known to be on the medium.
    pub durable_end: Position,
    /// How many segments there are.
    pub segment_count: usize,
    /// Events that were appended since the store was opened.
    pub appended_event_count: u64,
    /// Bytes that they took, with their framing.
    pub appended_len: u64,
    /// In how many groups they were written.
    pub group_count: u64,
    /// How many of the groups were synced as they were written.
    pub sync_count: u64,
    /// Bytes that are visible, and not known to be on the medium.
    pub unsynced_len: u64,
    /// Whether the store takes appends: not once a sync has failed, nor once it is closed.
    pub takes_appends: bool,
    /// Whether the index answers. While it does not, or is being opened, the log is read instead. In the
    /// place of one that has failed another is built, which the next append begins.
    pub is_index_usable: bool,
}

impl Store {
    /// How the store does. Reads nothing, and waits for nothing but the log's lock.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (log, source) = (&self.inner.log, &self.inner.source);
        let counts = log.counts();
        // Before the visible end, which it must not be after.
        let durable_end = log.durable_end();
        Stats {
            end: source.segments().visible().position.max(durable_end),
            durable_end,
            segment_count: source.segments().bases().len(),
            appended_event_count: counts.events.load(Ordering::Relaxed),
            appended_len: counts.len.load(Ordering::Relaxed),
            group_count: counts.groups.load(Ordering::Relaxed),
            sync_count: counts.syncs.load(Ordering::Relaxed),
            unsynced_len: log.unsynced_len(),
            takes_appends: log.takes_appends(),
            is_index_usable: source.is_index_usable(),
        }
    }
}
