//! What a repair tells.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::types::Position;
use crate::verify::Damage;

/// What a repair does, or would do. From [`RepairPlan`](crate::RepairPlan).
///
/// Shown as text it is some lines for people.
#[derive(Debug)]
#[non_exhaustive]
pub struct RepairReport {
    /// The end of the log after the repair.
    pub end: Position,
    /// The events that are not in the store any more: all from `end` on, as far as it is known
    /// that there were any.
    pub removed: Range<Position>,
    /// Which of those cannot be read any more, by anyone. The others are in the files that were
    /// kept. At most 1,000 ranges are told.
    pub unreadable: Vec<Range<Position>>,
    /// What was found to be damaged, at most 1,000 places.
    pub damages: Vec<Damage>,
    /// The folder with the original files, which
    /// [`Inspection::open`](crate::inspect::Inspection::open) takes; `None` before the repair, and
    /// if there was nothing to do.
    pub kept_in: Option<PathBuf>,
    /// The segments, by first position, that get another footer.
    pub sealed: Vec<Position>,
    /// The consumers, by the names of their files, whose place was after the end and is there
    /// now; or could not be read, so that they begin again from the start.
    pub consumers: Vec<String>,
    /// Whether `store.meta` was written anew. The time of creation is that of the first event
    /// then.
    pub is_meta_rebuilt: bool,
}

impl RepairReport {
    pub(super) fn nothing(end: Position) -> Self {
        Self {
            end,
            removed: end..end,
            unreadable: Vec::new(),
            damages: Vec::new(),
            kept_in: None,
            sealed: Vec::new(),
            consumers: Vec::new(),
            is_meta_rebuilt: false,
        }
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for damage in &self.damages {
            writeln!(f, "damage: {}", damage.error)?;
        }
        if self.is_meta_rebuilt {
            writeln!(f, "store.meta: written anew from the first segment")?;
        }
        for first in &self.sealed {
            writeln!(f, "segment {first}: sealed again")?;
        }
        for name in &self.consumers {
            writeln!(f, "consumer {name}: put back")?;
        }
        if !self.removed.is_empty() {
            let Range { start, end } = &self.removed;
            writeln!(f, "removed: positions {start} to {end}, the end excluded")?;
            for Range { start, end } in &self.unreadable {
                writeln!(f, "unreadable: positions {start} to {end}, the end excluded")?;
            }
        }
        if let Some(kept_in) = &self.kept_in {
            writeln!(f, "kept in: {}", kept_in.display())?;
        }
        writeln!(f, "end: {}", self.end)
    }
}
