//! What the log tells of itself to whoever follows it.

use std::sync::Arc;

use super::{Address, NameHash, Position, Revision, Timestamp};

/// What there is to index of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stream: Arc<str>,
    /// That of the stream's name, in the store's way.
    pub(crate) hash: NameHash,
    pub(crate) revision: Revision,
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) address: Address,
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
