//! Looking for records behind bytes that are none.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Claim, Fault, RECORD_LEN_MIN};
use crate::segment::{SegmentFile, Window, wide};
use crate::types::Position;

/// Bytes that are read at once.
const BLOCK_LEN: usize = 1 << 20;
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
/// [`Error::Corrupt`](crate::Error::Corrupt) if the bytes are made so that this cannot be told
/// with an effort in proportion to their number.
pub(crate) fn find_witness(
    file: &Arc<SegmentFile>,
    start: u64,
    floor: Position,
) -> Result<Option<Position>> {
    let end = file.len()?;
    let len = end.saturating_sub(start);
    // No more records than this could have stood here, so no position is further away.
    let ceiling = floor.plus(len / wide(RECORD_LEN_MIN));
    let mut effort = len.saturating_mul(EFFORT_PER_BYTE_MAX).max(EFFORT_MIN);
    let mut window = Window::new(Arc::clone(file), BLOCK_LEN);
    let mut highest = None;
    let mut offset = start;
    while offset < end {
        // Only a record that would raise the witness is worth its checksum.
        let above = highest.unwrap_or(floor);
        let telling =
            |claim: &Claim| (floor..=ceiling).contains(&claim.position) && claim.witness > above;
        if let Some(claim) = window.claim_at(offset, end)?.filter(telling) {
            effort = effort.checked_sub(claim.len).ok_or_else(|| {
                file.corrupt(start, Fault("bytes that can be told to be a torn tail or damage"))
            })?;
            match window.record_at(offset, end) {
                Ok(record) => highest = highest.max(record.witness),
                Err(Error::Corrupt { .. }) => {}
                // What could not be read may have been a witness.
                Err(error) => return Err(error),
            }
        }
        offset += STEP;
    }
    Ok(highest)
}
