//! What a backup tells.

use std::fmt;

use crate::error::Error;
use crate::types::Position;

/// Some segments, by count and length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentTally {
    /// How many segments.
    pub count: u64,
    /// The bytes of their files.
    pub len: u64,
}

impl SegmentTally {
    pub(super) fn add(&mut self, len: u64) {
        self.count += 1;
        self.len = self.len.saturating_add(len);
    }
}

/// What a backup has done. From [`Backup::to`](crate::transfer::Backup::to).
#[derive(Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The position after that of the last event that the copy has, if all was done.
    pub end: Position,
    /// Where the copy ended before; `None` if there was none.
    pub was: Option<Position>,
    /// Segments that are one file with those of the original.
    pub linked: SegmentTally,
    /// Segments that were copied.
    pub copied: SegmentTally,
    /// Segments that were in the copy already.
    pub kept: SegmentTally,
    /// Events after [`end`](Self::end) that were there and are not known to be durable, because a sync of
    /// the original has failed. They are not in the copy.
    pub left_out_count: u64,
    /// How many consumers the copy has.
    pub consumer_count: u64,
    /// Files of consumers that are damaged in the original: [`Error::CorruptFile`]. The copy keeps
    /// what it had of those consumers.
    pub damages: Vec<Error>,
    /// Whether all was done: `false` if whoever watched has ended it.
    pub is_complete: bool,
}

/// How far a backup has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Bytes of segments that are copied, linked, or there already.
    pub done_len: u64,
    /// Bytes of all segments, as they were when the backup began.
    pub total_len: u64,
}

impl BackupReport {
    pub(super) fn nothing(end: Position, was: Option<Position>) -> Self {
        Self {
            end,
            was,
            linked: SegmentTally::default(),
            copied: SegmentTally::default(),
            kept: SegmentTally::default(),
            left_out_count: 0,
            consumer_count: 0,
            damages: Vec::new(),
            is_complete: true,
        }
    }

    /// The report as one line of JSON, without a line feed, with the fields `v`, which is 1,
    /// `end_position`, `was_position` (`null` if there was no copy), `linked_count`, `linked_len`,
    /// `copied_count`, `copied_len`, `kept_count`, `kept_len`, `left_out_count`, `consumer_count`,
    /// `damage_count` and `is_complete`.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn json_line(&self) -> String {
        let line = Line {
            v: 1,
            end_position: self.end.get(),
            was_position: self.was.map(Position::get),
            linked_count: self.linked.count,
            linked_len: self.linked.len,
            copied_count: self.copied.count,
            copied_len: self.copied.len,
            kept_count: self.kept.count,
            kept_len: self.kept.len,
            left_out_count: self.left_out_count,
            consumer_count: self.consumer_count,
            damage_count: self.damages.len(),
            is_complete: self.is_complete,
        };
        // Numbers always have a form in JSON.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The fields of the report, in their order.
#[cfg(feature = "json")]
#[derive(serde::Serialize)]
struct Line {
    v: u32,
    end_position: u64,
    was_position: Option<u64>,
    linked_count: u64,
    linked_len: u64,
    copied_count: u64,
    copied_len: u64,
    kept_count: u64,
    kept_len: u64,
    left_out_count: u64,
    consumer_count: u64,
    damage_count: usize,
    is_complete: bool,
}

impl fmt::Display for BackupReport {
    /// Some lines for people, each with a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.was {
            Some(was) => writeln!(f, "end: {}, was {was}", self.end)?,
            None => writeln!(f, "end: {}", self.end)?,
        }
        let tallies = [("linked", self.linked), ("copied", self.copied), ("kept", self.kept)];
        for (what, SegmentTally { count, len }) in tallies {
            let noun = if count == 1 { "segment" } else { "segments" };
            writeln!(f, "{what}: {count} {noun}, {len} bytes")?;
        }
        if self.left_out_count > 0 {
            writeln!(f, "left out, not known to be durable: {} events", self.left_out_count)?;
        }
        writeln!(f, "consumers: {}", self.consumer_count)
    }
}
