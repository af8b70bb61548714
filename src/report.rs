//! What was found when a store was opened, and what was done about it.

use std::path::PathBuf;

use crate::types::Position;

/// What opening a store has found and done. From [`Store::recovery`](crate::Store::recovery).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the store was created.
    pub created: bool,
    /// Whether the store had been closed, so that nothing had to be put right.
    pub was_closed: bool,
    /// The end of the log: how many events there are.
    pub end: Position,
    /// How many records were read and checked to find that end: those since the last place in the
    /// last segment that was noted to be durable, or all of that segment.
    pub scanned_count: u64,
    /// What was cut off the end of the log, if anything was.
    pub torn_tail: Option<TornTail>,
    /// How many bytes at the end were written again, because they might have been in the
    /// operating system's memory only.
    pub rewritten_len: u64,
    /// Whether all that was found is on the medium. `false` if a sync had failed before, and the
    /// disk had no room for a copy of the last segment: the store can be read then, and takes no
    /// appends ([`Error::Poisoned`](crate::Error::Poisoned)) until it is opened where there is
    /// room.
    pub is_durable: bool,
    /// How many full segments were sealed that a crash had left open.
    pub sealed_count: u64,
    /// How far the log is known to have been durable before, and from what.
    pub witness: Option<(Position, Witness)>,
    /// What had to be done about the index.
    pub index: IndexRecovery,
}

/// The end of a log that was written but never acknowledged as durable, and was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// First position of the segment, which names its file.
    pub segment: Position,
    /// Where in the file it began.
    pub offset: u64,
    /// How many bytes it had, up to the last that is not zero: segments are prepared with zeroes.
    pub len: u64,
    /// The file in which its bytes were kept; `None` if they were more than 16 MiB, or could not
    /// be kept, for want of room for instance.
    pub kept_in: Option<PathBuf>,
}

/// Something that can only name what was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Witness {
    /// The header of the last segment: all before it was durable when it was created.
    SegmentHeader,
    /// The footer of the last segment: it was sealed after another had been created.
    SegmentFooter,
    /// A record, which names the durable end as it was known when the record was written.
    Record,
    /// The note of a clean close.
    CleanClose,
    /// The note of how far the log was durable, which an open store writes now and then.
    DurableNote,
    /// The committed position of a consumer.
    Consumer,
    /// The checkpoint of the index.
    IndexCheckpoint,
}

/// What had to be done about the index when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexRecovery {
    /// Nothing: it knew all events.
    Current,
    /// It was behind, and `event_count` events were added from the log.
    CaughtUp {
        /// Events that were added.
        event_count: u64,
    },
    /// It was built anew from the log.
    Rebuilt {
        /// Events that were read.
        event_count: u64,
        /// Why.
        reason: IndexTrouble,
    },
    /// It can be neither opened nor built. Reads by stream and by time scan the log.
    Unavailable {
        /// Why.
        reason: IndexTrouble,
    },
}

/// Why an index could not be used as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexTrouble {
    /// There was none.
    Missing,
    /// Nothing: [`Options::rebuild_index`](crate::Options::rebuild_index) has asked for another.
    Asked,
    /// The last try to open it ended the process, so it was not tried again.
    OpeningDidNotEnd,
    /// It did not say how far it had come: it was never written, or was lost.
    NoCheckpoint,
    /// It is of another log: of another store, or of a copy that went another way.
    OtherLog,
    /// It is damaged, or its storage failed.
    Failed {
        /// What its storage said, for people.
        detail: String,
    },
    /// Not all of the log is known to be durable, as [`RecoveryReport::is_durable`] says, and what
    /// the index names must be. It was left as it is.
    LogNotDurable,
    /// The log could not be read as far as the index should know it. What there is of the index
    /// was left as it is.
    LogUnreadable {
        /// Where, for people.
        detail: String,
    },
}
