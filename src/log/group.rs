//! A group: batches that are written, and synced, at once.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::sync::Bell;
use crate::types::{Entries, LogEnd};

/// A group takes no more batches once it has this many bytes.
pub(super) const GROUP_LEN_MAX: usize = 4 << 20;
/// Memory of a group that has more bytes than this is given back.
const ROOM_LEN_MAX: usize = 2 * GROUP_LEN_MAX;

/// Batches that have their places and are encoded, and wait to be written.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Entries,
    /// How many batches it has, and requests to sync.
    pub(crate) caller_count: usize,
    /// Whether it goes into a new segment.
    pub(crate) rolls: bool,
    /// Whether someone waits for it to be durable.
    pub(crate) syncs: bool,
    /// The end of the log before it.
    pub(crate) start: LogEnd,
    /// The end of the log after it.
    pub(crate) end: LogEnd,
    pub(crate) outcome: Arc<Outcome>,
}

impl Group {
    /// An empty group after `end`.
    pub(crate) fn after(end: LogEnd) -> Self {
        Self::in_room(end, Room::default())
    }

    /// The same, in memory that another group has used.
    pub(crate) fn in_room(end: LogEnd, Room { bytes, entries }: Room) -> Self {
        Self {
            bytes,
            entries,
            caller_count: 0,
            rolls: false,
            syncs: false,
            start: end,
            end,
            outcome: Arc::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its memory, for another group, unless that will hardly need so much. Entries take about as much
    /// as their records, or less.
    pub(crate) fn into_room(mut self) -> Room {
        if self.bytes.capacity() > ROOM_LEN_MAX {
            return Room::default();
        }
        self.bytes.clear();
        self.entries.clear();
        Room { bytes: self.bytes, entries: self.entries }
    }
}

/// Memory of a group that is done: large pieces of it are dear to get from the system again and
/// again.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    entries: Entries,
}

/// What became of a group, once it is known, and where those sleep who wait for that: each group
/// has its own place, so that nobody is woken for another one.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    known: OnceLock<Result<(), Failure>>,
    bell: Bell,
}

impl Outcome {
    /// Says what became of the group. Only the first word counts. Those who sleep must be
    /// [told](Self::tell).
    pub(crate) fn set(&self, outcome: Result<(), Failure>) {
        let _ = self.known.set(outcome);
    }

    /// Wakes those who wait, once the outcome is set.
    pub(super) fn tell(&self) {
        self.bell.ring();
    }

    pub(crate) fn get(&self) -> Option<Result<()>> {
        self.known.get().map(|outcome| outcome.as_ref().map_err(Failure::to_error).copied())
    }

    /// Waits until the group is done, or its turn to be written has come.
    pub(super) fn wait(&self) {
        self.bell.sleep();
    }

    /// Wakes one of those who wait, to write the group.
    pub(super) fn call_leader(&self) {
        self.bell.call_one();
    }
}

/// Why a group failed, to be told to each who waits for it.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It could not be written, and nothing of it is left.
    Undone(IoFailure),
    /// It is not known what of it is on the medium.
    Unknown(IoFailure),
    /// The same, because the thread that wrote it panicked.
    Panicked,
    /// It was never written, because the log was poisoned before.
    Poisoned,
}

/// An I/O error that can be told more than once.
#[derive(Clone, Debug)]
pub(crate) struct IoFailure {
    operation: &'static str,
    path: PathBuf,
    kind: io::ErrorKind,
    code: Option<i32>,
}

impl IoFailure {
    /// Errors of other kinds do not come from writing.
    fn of(error: &Error) -> Self {
        match error {
            Error::Io { operation, path, source } => Self {
                operation,
                path: path.clone(),
                kind: source.kind(),
                code: source.raw_os_error(),
            },
            _ => Self {
                operation: "write",
                path: PathBuf::new(),
                kind: io::ErrorKind::Other,
                code: None,
            },
        }
    }

    fn to_error(&self) -> Error {
        let source = self.code.map_or_else(|| self.kind.into(), io::Error::from_raw_os_error);
        Error::Io { operation: self.operation, path: self.path.clone(), source }
    }
}

impl Failure {
    pub(crate) fn undone(cause: &Error) -> Self {
        Self::Undone(IoFailure::of(cause))
    }

    pub(crate) fn unknown(cause: &Error) -> Self {
        Self::Unknown(IoFailure::of(cause))
    }

    pub(crate) fn to_error(&self) -> Error {
        match self {
            Self::Undone(failure) => failure.to_error(),
            Self::Unknown(failure) => {
                Error::OutcomeUnknown { source: Box::new(failure.to_error()) }
            }
            Self::Panicked => {
                Error::OutcomeUnknown { source: "the thread that wrote it panicked".into() }
            }
            Self::Poisoned => Error::Poisoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory that is left of a group with so many bytes.
    fn room_len(len: usize) -> usize {
        let mut group = Group::after(LogEnd::start(0, 64));
        group.bytes = Vec::with_capacity(len);
        group.into_room().bytes.capacity()
    }

    /// A store that had once taken a batch of 128 MiB kept as much memory for two groups for its life.
    #[test]
    fn memory_of_a_group_is_used_again_unless_it_was_one_of_large_batches() {
        for len in [0, 1 << 10, GROUP_LEN_MAX, 2 * GROUP_LEN_MAX] {
            assert_eq!(room_len(len), len);
        }
        assert_eq!(room_len(2 * GROUP_LEN_MAX + 1), 0);
        assert_eq!(room_len(128 << 20), 0);
    }
}
