//! What can go wrong, as one type.
//!
//! Owns the public error. Holds no type of another crate: causes are behind
//! [`std::error::Error::source`].

use std::io;
use std::path::{Path, PathBuf};

use crate::event::{ContentType, Expected};
use crate::types::{NameFault, NameKind, Position, Revision, Timestamp};

/// The result of what can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error that another crate has found.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, and where.
///
/// Each variant says what state it leaves. Unless it says otherwise the store is as it was before
/// the call, and can be used on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file.
    ///
    /// From an append (a full disk, say) it leaves the store as it was: nothing of the batch is
    /// there, now or after a restart, and it may be tried again.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// Bytes on disk are not what the store wrote there.
    ///
    /// The files stay as they are.
    #[error("segment {segment} is corrupt at byte {offset}: expected {expected}")]
    Corrupt {
        /// The first position of the segment, which names its file.
        segment: Position,
        /// Byte offset in that file.
        offset: u64,
        /// What should stand there.
        expected: &'static str,
    },

    /// A file of the store other than a segment is not what the store wrote there.
    #[error("{} is corrupt: expected {expected}", path.display())]
    CorruptFile {
        /// The file.
        path: PathBuf,
        /// What should stand there.
        expected: &'static str,
    },

    /// There is no store at this path, and none was to be created, or something else is there.
    #[error("{} is not an annals store", path.display())]
    NotAStore {
        /// The path that was to be opened.
        path: PathBuf,
    },

    /// The store was written in a format that this release does not know.
    #[error("{} has format version {found}, this release reads up to {supported}", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version that this release reads.
        supported: u32,
    },

    /// Another process, or another [`Store`](crate::Store) in this one, has the store open.
    #[error("{} is in use by another writer", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },

    /// A repair of the store was begun and not finished, perhaps because the process ended.
    ///
    /// Another [`RepairPlan`](crate::RepairPlan) finishes it.
    #[error("{} is being repaired: finish that first", path.display())]
    RepairUnfinished {
        /// The store.
        path: PathBuf,
    },

    /// A backup cannot go where it was to go. Nothing was changed there.
    #[error("{} cannot take the backup: {reason}", path.display())]
    BackupRefused {
        /// Where the backup was to go.
        path: PathBuf,
        /// What stands in the way.
        reason: &'static str,
        /// What is wrong with what is there, if that is the reason.
        source: Option<Cause>,
    },

    /// A stream does not hold what an append expected of it. Nothing was appended.
    #[error("expected {expected} in stream {stream:?}, which has {actual}")]
    Conflict {
        /// The stream.
        stream: String,
        /// What the append expected.
        expected: Expected,
        /// The end of the stream, which is the number of its events.
        actual: Revision,
    },

    /// A name is empty, too long, or has control characters.
    #[error("{kind} {fault}")]
    InvalidName {
        /// What it is the name of.
        kind: NameKind,
        /// What is wrong with it.
        fault: NameFault,
    },

    /// A content type is one that a later release may name.
    #[error("content type {code} is kept for later releases: an application's begin at 128")]
    ReservedContentType {
        /// Its code.
        code: u8,
    },

    /// A part of an event, or a whole batch, is larger than it may be.
    #[error("{what} has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its length in bytes; for a batch, with the framing of its records.
        len: u64,
        /// The most bytes it may have.
        max: u64,
    },

    /// A batch has no events.
    #[error("the batch has no events")]
    EmptyBatch,

    /// A recorded time that was given is not after that of the last event.
    #[error("recorded time {given} is not after {last}, that of the last event")]
    TimeWentBack {
        /// The time that was given.
        given: Timestamp,
        /// The recorded time of the last event.
        last: Timestamp,
    },

    /// An option has a value that cannot be used.
    #[error("option {option} {reason}")]
    InvalidOption {
        /// The name of the option.
        option: &'static str,
        /// What is wrong with its value.
        reason: &'static str,
    },

    /// A text is no time in RFC 3339, or a time before 1677 or after 2262.
    #[error("{text:?} is not a time in RFC 3339 between 1677 and 2262")]
    InvalidTime {
        /// The text.
        text: String,
    },

    /// A text is not an event id, which is written as a UUID is.
    #[error("{text:?} is not an event id")]
    InvalidId {
        /// The text.
        text: String,
    },

    /// A line that was to be imported is no event, or does not fit into the store. What was before it
    /// has been imported, in whole batches.
    #[error("line {line} cannot be imported: {reason}")]
    InvalidLine {
        /// The number of the line in the input, from 1 on.
        line: u64,
        /// What is wrong with it, or what follows from that.
        reason: &'static str,
        /// What the parser or the store said, if one of them did.
        source: Option<Cause>,
    },

    /// A value could not be made into a payload.
    #[error("cannot encode a payload as {content_type}")]
    Encode {
        /// The encoding.
        content_type: ContentType,
        /// What the encoder said.
        source: Cause,
    },

    /// A payload could not be made into a value of the type that was asked for.
    #[error("cannot decode the {content_type} payload of the event at position {position}")]
    Decode {
        /// The event.
        position: Position,
        /// The encoding that the event was appended with.
        content_type: ContentType,
        /// What the decoder said.
        source: Cause,
    },

    /// A sync failed, or a failed write could not be undone: it is not known whether the events
    /// will be there once the store is reopened. They are not visible before.
    ///
    /// Until then every append fails with [`Error::Poisoned`], and reads go on.
    #[error("it is not known what was appended: reopen the store to find out")]
    OutcomeUnknown {
        /// What went wrong.
        source: Cause,
    },

    /// An earlier append or sync ended in [`Error::OutcomeUnknown`], or would have: a checkpoint of
    /// the index syncs as well, and has nobody to tell. Or opening the store has found no room to
    /// make durable what is there ([`RecoveryReport::is_durable`](crate::RecoveryReport)). Nothing
    /// was appended. Reads go on.
    ///
    /// Reopening the store finds out what reached the medium.
    #[error("the store takes no more appends until it is reopened: an earlier one failed")]
    Poisoned,

    /// The consumer was opened again, or deleted: what was opened before cannot move it any more.
    /// Nothing was changed.
    #[error("consumer {consumer:?} was opened again or deleted since")]
    TakenOver {
        /// The consumer.
        consumer: String,
    },

    /// The consumer is one of another store. Nothing was changed.
    #[error("consumer {consumer:?} is one of another store")]
    ForeignConsumer {
        /// The consumer.
        consumer: String,
    },

    /// A commit that goes back, or passes events that were not given. Nothing was changed.
    ///
    /// [`Consumer::reset_to`](crate::Consumer::reset_to) goes anywhere.
    #[error(
        "consumer {consumer:?} cannot commit {position}: it has committed {committed}, and was \
         given what is before {delivered}"
    )]
    CommitRefused {
        /// The consumer.
        consumer: String,
        /// The position that was to be committed.
        position: Position,
        /// What is committed.
        committed: Position,
        /// The position after the last event that was given.
        delivered: Position,
    },

    /// A position that should be one of the log is after its end. Nothing was changed.
    #[error("position {position} is after the end of the log, {end}")]
    BeyondEnd {
        /// The position.
        position: Position,
        /// The position after that of the last visible event.
        end: Position,
    },

    /// The handler of a consumer has failed on an event, as often as it was to be tried. Its workers
    /// have stopped before it: the event, and others that were being handled, are given again.
    #[error("consumer {consumer:?} failed on the event at position {position}, attempt {attempt}")]
    HandlerFailed {
        /// The consumer.
        consumer: String,
        /// The event.
        position: Position,
        /// How often it was tried.
        attempt: u32,
        /// What the handler said, or panicked with.
        source: Cause,
    },

    /// Handlers did not return in the time that was given to stop. They go on, but what they do is not
    /// committed; their events are given again.
    #[error("consumer {consumer:?} was stopped while {} handlers were running", positions.len())]
    HandlersStillRunning {
        /// The consumer.
        consumer: String,
        /// The events that they handle.
        positions: Vec<Position>,
    },

    /// A consumer has put aside as many events as it may. Workers stop then, as if none could be put
    /// aside.
    #[error("consumer {consumer:?} has parked {max} events, and no more can be")]
    TooManyParked {
        /// The consumer.
        consumer: String,
        /// How many events it may put aside.
        max: usize,
    },

    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Makes a function that says of an I/O error what was tried on which file.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// Whether it says that a file is not there.
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
