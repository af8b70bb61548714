//! Looking for records behind bytes that are none.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{Claim, Fault};
use crate::segment::{SegmentFile, Window};
use crate::types::Position;

/// Bytes that are read at once.
const BLOCK_LEN: usize = 1 << 20;
/// Records begin at multiples of this.
const STEP: u64 = 8;
/// How many times its own length a tail may cost to checksum. Bytes that cost more were made to.
const EFFORT_MAX: u64 = 8;

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
    let ceiling = floor.plus(len);
    let mut effort = len.saturating_mul(EFFORT_MAX);
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
            if let Ok(record) = window.record_at(offset, end) {
                highest = highest.max(record.witness);
            }
        }
        offset += STEP;
    }
    Ok(highest)
}
