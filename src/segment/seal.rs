//! Sealing: what makes a full segment immutable.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::format::{FOOTER_LEN, Fault, Footer, SEGMENT_HEADER_LEN};
use crate::segment::file::wide;
use crate::segment::{SegmentFile, Window};
use crate::types::LogEnd;

/// Bytes that are digested at once.
const BLOCK_LEN: usize = 256 << 10;

/// The digest of the first `len` bytes of a segment.
pub(crate) fn digest_of(file: &SegmentFile, len: u64) -> Result<u128> {
    let mut digest = Xxh3::new();
    let mut block = vec![0; BLOCK_LEN];
    let mut offset = 0;
    while offset < len {
        let read = file.read_at(&mut block, offset)?;
        let left = usize::try_from(len - offset).unwrap_or(usize::MAX);
        let Some(bytes) = block.get(..read.min(left)).filter(|bytes| !bytes.is_empty()) else {
            return Err(file.corrupt(offset, Fault("the rest of the segment")));
        };
        digest.update(bytes);
        offset += wide(bytes.len());
    }
    Ok(digest.digest128())
}

/// Ends a segment, of which every record is durable and the last one ends at `end`, with its
/// footer.
///
/// Until this returns `Ok` the segment counts as not sealed, and sealing may be tried again.
pub(crate) fn seal(file: &Arc<SegmentFile>, end: &LogEnd) -> Result<()> {
    let offset = end.address.offset;
    let mut window = Window::new(Arc::clone(file), 4 << 10);
    let first = window.record_at(wide(SEGMENT_HEADER_LEN), offset)?;
    let footer = Footer {
        store: file.key().id,
        base: file.base(),
        record_count: end.position.since(file.base()),
        first_recorded_at: first.parts.recorded_at,
        last_recorded_at: end.recorded_at,
        offset,
        checksum: end.checksum,
        digest: digest_of(file, offset)?,
    };
    file.write_all_at(&footer.encode(), offset)?;
    file.set_len(offset + wide(FOOTER_LEN))?;
    file.sync()
}
