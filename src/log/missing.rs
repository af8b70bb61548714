//! Whether the log lacks what something else names.

use crate::error::Result;
use crate::log::Segments;
use crate::types::Position;

impl Segments {
    /// Reads on to `position` from the start of the segment that holds it, or would. What is not
    /// visible yet is not missing.
    ///
    /// # Errors
    ///
    /// What every reader is told that comes there, if the log lacks what is visible at `position`.
    pub(crate) fn reach(&self, position: Position) -> Result<()> {
        if position >= self.visible().position {
            return Ok(());
        }
        let mut scanner = self.scan(self.holding(position))?;
        let limit = self.limit(scanner.file())?;
        while scanner.position() < position {
            scanner.advance(limit)?;
        }
        scanner.peek(limit).map(|_| ())
    }
}
