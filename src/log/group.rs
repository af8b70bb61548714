//! A group: batches that are written, and synced, at once.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::types::{Entry, LogEnd, Revision};

/// Ends of streams that have events which are not visible yet.
pub(crate) type Ends = HashMap<Arc<str>, Revision>;

/// Batches that have their places and are encoded, and wait to be written.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) ends: Ends,
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
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            ends: Ends::new(),
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
}

/// What became of a group, once it is known.
#[derive(Debug, Default)]
pub(crate) struct Outcome(OnceLock<Result<(), Failure>>);

impl Outcome {
    /// Says what became of the group. Only the first word counts.
    pub(crate) fn set(&self, outcome: Result<(), Failure>) {
        let _ = self.0.set(outcome);
    }

    pub(crate) fn get(&self) -> Option<Result<()>> {
        self.0.get().map(|outcome| outcome.as_ref().map_err(Failure::to_error).copied())
    }
}

/// Why a group failed, to be told to each who waits for it.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// An I/O error.
    Io { operation: &'static str, path: PathBuf, kind: io::ErrorKind, code: Option<i32> },
    /// The log was poisoned.
    Poisoned,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Io { operation, path, source } => Self::Io {
                operation,
                path: path.clone(),
                kind: source.kind(),
                code: source.raw_os_error(),
            },
            _ => Self::Poisoned,
        }
    }

    pub(crate) fn to_error(&self) -> Error {
        match self {
            Self::Io { operation, path, kind, code } => {
                let source = code.map_or_else(|| (*kind).into(), io::Error::from_raw_os_error);
                Error::Io { operation, path: path.clone(), source }
            }
            Self::Poisoned => Error::Poisoned,
        }
    }
}
