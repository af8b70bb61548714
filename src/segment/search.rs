//! Looking for records behind bytes that are none.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Claim, Fault, RECORD_LEN_MIN, Record};
use crate::segment::{SegmentFile, Window, records_start, wide};
use crate::types::Position;

/// Bytes that are read at once.
const BLOCK_LEN: usize = 1 << 20;
/// Bytes to read for the first record of a segment.
const FIRST_LEN: usize = 4 << 10;
/// Records begin at multiples of this.
const STEP: u64 = 8;
/// How many bytes may be checksummed for each byte of a tail. Bytes that cost more were made to.
const EFFORT_PER_BYTE_MAX: u64 = 8;
/// How many bytes may be checksummed in any case: they take a fraction of a second.
const EFFORT_MIN: u64 = 1 << 30;

/// The highest durable end above `floor` that a record in `file` names, from `start` to the end
/// of the file. Whatever stands there may be anything; records need not follow from each other.
///
/// # Errors
///
/// [`Error::Corrupt`] if the bytes are made so that this cannot be told with an effort in
/// proportion to their number.
pub(crate) fn find_witness(
    file: &Arc<SegmentFile>,
    start: u64,
    floor: Position,
) -> Result<Option<Position>> {
    let mut search = Search::new(file, start, file.len()?);
    // No more records than this could have stood here, so no position is further away.
    let ceiling = floor.plus(search.len() / wide(RECORD_LEN_MIN));
    let mut highest = None;
    loop {
        // Only a record that would raise the witness is worth its checksum.
        let above = highest.unwrap_or(floor);
        let telling = |claim: &Claim| {
            (floor..=ceiling).contains(&claim.position) && claim.witness > Some(above)
        };
        match search.next(telling)? {
            Some((_, record)) => highest = highest.max(record.witness),
            None => return Ok(highest),
        }
    }
}

/// The first record at one of `positions` in `file`, from `start` on and before `limit`: its
/// offset and its position. It need not follow from anything.
///
/// # Errors
///
/// As those of [`find_witness`].
pub(crate) fn find_record(
    file: &Arc<SegmentFile>,
    start: u64,
    limit: u64,
    positions: &Range<Position>,
) -> Result<Option<(u64, Position)>> {
    Search::new(file, start, limit).next_at(positions)
}

/// Whether the first record of a segment is this one, byte for byte: recovery may have moved it
/// there from the end of the segment before.
pub(crate) fn begins_with(file: SegmentFile, record: &Record) -> Result<bool> {
    let limit = file.len()?;
    match Window::new(Arc::new(file), FIRST_LEN).record_at(records_start(), limit) {
        Ok(first) => Ok(first.checksum == record.checksum && first.len == record.len),
        Err(Error::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Goes through what may be records, wherever one could begin.
#[derive(Debug)]
pub(super) struct Search {
    window: Window,
    start: u64,
    offset: u64,
    end: u64,
    /// How many bytes may still be checksummed.
    effort: u64,
}

impl Search {
    pub(super) fn new(file: &Arc<SegmentFile>, start: u64, end: u64) -> Self {
        let window = Window::new(Arc::clone(file), BLOCK_LEN);
        let start = start.checked_next_multiple_of(STEP).unwrap_or(end);
        let effort = end.saturating_sub(start).saturating_mul(EFFORT_PER_BYTE_MAX);
        Self { window, start, offset: start, end, effort: effort.max(EFFORT_MIN) }
    }

    /// Goes to `start`, or to the next place behind it where a record may begin, to search up to
    /// `end`. What was spent on bytes before counts on.
    pub(super) fn go_to(&mut self, start: u64, end: u64) {
        self.start = start.checked_next_multiple_of(STEP).unwrap_or(end);
        (self.offset, self.end) = (self.start, end);
    }

    /// Reads so many bytes at once from now on.
    pub(super) fn read_at_once(&mut self, len: usize) {
        self.window = Window::new(Arc::clone(self.window.file()), len);
    }

    /// Goes back to the place that was looked at last.
    pub(super) fn step_back(&mut self) {
        self.offset = self.offset.saturating_sub(STEP).max(self.start);
    }

    /// Goes on behind the block of `len` bytes in which the place is that was looked at last, if that
    /// cannot be read; behind the place, if only a record that it claims cannot.
    pub(super) fn pass_unreadable(&mut self, len: usize) {
        let last = self.offset.saturating_sub(STEP);
        if self.window.claim_at(last, self.end).is_err() {
            let next = self.offset.checked_next_multiple_of(wide(len));
            self.offset = next.unwrap_or(self.end);
        }
    }

    /// The next record at one of `positions`: its offset and its position.
    pub(super) fn next_at(
        &mut self,
        positions: &Range<Position>,
    ) -> Result<Option<(u64, Position)>> {
        let found = self.next(|claim| positions.contains(&claim.position))?;
        Ok(found.map(|(offset, record)| (offset, record.parts.position)))
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The next record whose header alone is `telling`, and its offset.
    fn next(&mut self, telling: impl Fn(&Claim) -> bool) -> Result<Option<(u64, Record)>> {
        while self.offset < self.end {
            let offset = self.offset;
            self.offset += STEP;
            let claim = match self.window.claim_at(offset, self.end) {
                // The file has become shorter: it was prepared with zeroes, and is sealed now.
                Err(Error::Corrupt { .. }) => return Ok(None),
                claim => claim?.filter(&telling),
            };
            let Some(claim) = claim else { continue };
            self.effort = self.effort.checked_sub(claim.len).ok_or_else(|| {
                let fault = Fault("bytes that can be told to be a torn tail or damage");
                self.window.file().corrupt(self.start, fault)
            })?;
            match self.window.record_at(offset, self.end) {
                Ok(record) => return Ok(Some((offset, record))),
                Err(Error::Corrupt { .. }) => {}
                // What could not be read may have been one.
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
