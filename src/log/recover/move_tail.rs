//! Writing again what may not be durable, as the beginning of a new segment.
//!
//! Owns when that is done rather than to copy the segment, whose length it would cost.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::SegmentHeader;
use crate::log::recover::UnrecoveredLog;
use crate::log::recover::act::{copy_range, has_no_room};
use crate::segment::{Link, Scanner, SegmentFile, name_of, records_start};
use crate::types::{Address, LogEnd, Position};

/// A segment whose durable part is smaller than this part of a full one is copied: there are not
/// many more segments for it, however often the process is killed.
const COPIED_PART: u64 = 64;
/// The most bytes that are held in memory to be moved.
const MOVED_LEN_MAX: u64 = 16 << 20;

impl UnrecoveredLog {
    /// Puts what is valid and not proved durable into a new segment, durably, and returns its file
    /// and where the segment before it ends now; `None` if the segment should be copied.
    ///
    /// A crash after that leaves the same records in both: the one before is read to where the new
    /// one begins.
    pub(super) fn move_tail(
        &mut self,
        segment_len_max: u64,
    ) -> Result<Option<(SegmentFile, LogEnd)>> {
        let (start, end) = (self.unproven_offset, self.valid_end.address.offset);
        let proven_len = start.saturating_sub(records_start());
        let len = end.saturating_sub(start);
        // Without a note the index may know places that are about to move.
        let is_worth_it = proven_len > segment_len_max / COPIED_PART && len <= MOVED_LEN_MAX;
        if !is_worth_it || self.noted_end().is_none() {
            return Ok(None);
        }
        let Some(proven) = self.proven_end()? else { return Ok(None) };
        let mut records = Vec::new();
        copy_range(&self.active, start, end, |bytes, _| {
            records.extend_from_slice(bytes);
            Ok(())
        })?;
        let header = SegmentHeader {
            store: self.key.id,
            base: proven.position,
            recorded_before: proven.recorded_at,
            chain: proven.checksum,
        };
        match SegmentFile::create_with(&*self.directory, self.key, &header, &records) {
            Err(Error::Io { source, .. }) if has_no_room(&source) => {
                // It may have its name all the same. The next opening would take it for the last one.
                let path = self.directory.path_of(&name_of(header.base));
                SegmentFile::remove(&*self.directory, header.base)
                    .map_err(Error::io("remove", &path))?;
                Ok(None)
            }
            created => {
                let file = created?;
                self.go_on_in(header.base, start);
                Ok(Some((file, proven)))
            }
        }
    }

    /// The end of the log before what is not proved durable, if a batch ends there.
    fn proven_end(&self) -> Result<Option<LogEnd>> {
        let begin = &self.scanned_from;
        let mut scanner =
            Scanner::new(Arc::clone(&self.active), begin.address.offset, Link::from_end(begin));
        while scanner.offset() < self.unproven_offset {
            scanner.read(self.unproven_offset)?;
        }
        Ok(scanner.end())
    }

    /// Lets the log end in the segment that begins at `base` with what was at `start` before.
    fn go_on_in(&mut self, base: Position, start: u64) {
        let moved = |offset: u64| offset.saturating_sub(start).saturating_add(records_start());
        self.bases.push(base);
        self.last_offset = moved(self.last_offset);
        let offset = moved(self.valid_end.address.offset);
        self.valid_end.address = Address { segment: base, offset };
    }
}
