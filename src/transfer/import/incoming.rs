//! An event on its way into a store.

use crate::error::{Cause, Error};
use crate::event::NewEvent;
use crate::types::{EventId, Position, Revision, Timestamp};

/// An event as a line tells of it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) stream: String,
    pub(super) id: EventId,
    pub(super) event: NewEvent,
    /// When it was recorded, or happened; `None` if the line does not say.
    pub(super) time: Option<Timestamp>,
    /// Where it was in the store that it comes from, if it comes from one.
    pub(super) place: Option<Place>,
}

/// Where an event was in a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) revision: Revision,
    pub(super) ends_batch: bool,
}

/// What is wrong with a line.
#[derive(Debug)]
pub(super) struct LineFault {
    reason: &'static str,
    source: Option<Cause>,
}

impl LineFault {
    pub(super) fn new(reason: &'static str) -> Self {
        Self { reason, source: None }
    }

    /// A fault that a parser, or the store, has found.
    pub(super) fn because(reason: &'static str, source: impl Into<Cause>) -> Self {
        Self { reason, source: Some(source.into()) }
    }

    /// A fault that the parser has found in a line, which is the first and only one that it has seen.
    pub(super) fn of_json(reason: &'static str, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        Self::because(reason, format!("{what}, at column {}", error.column()))
    }

    /// The error of the line with this number.
    pub(super) fn in_line(self, line: u64) -> Error {
        Error::InvalidLine { line, reason: self.reason, source: self.source }
    }
}
