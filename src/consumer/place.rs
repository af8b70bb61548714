//! How far a consumer is.

use crate::types::Position;

/// What a consumer has done: every event before `end`, but for those that are pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) end: Position,
    /// Ascending, and before `end`.
    pub(super) pending: Vec<Position>,
}

impl Place {
    /// The place of who has done every event before `end`.
    pub(super) fn at(end: Position) -> Self {
        Self { end, pending: Vec::new() }
    }

    /// Before this, everything is done.
    pub(super) fn watermark(&self) -> Position {
        self.pending.first().copied().unwrap_or(self.end)
    }
}
