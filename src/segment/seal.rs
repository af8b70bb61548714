//! Sealing: what makes a full segment immutable.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{FOOTER_LEN, Footer, SEGMENT_HEADER_LEN};
use crate::segment::file::wide;
use crate::segment::{SegmentFile, Window, digest_of};
use crate::types::LogEnd;

/// Ends a segment, of which every record is durable and the last one ends at `end`, with its
/// footer.
///
/// Until this returns `Ok` the segment counts as not sealed, and sealing may be tried again.
pub(crate) fn seal(file: &Arc<SegmentFile>, end: &LogEnd) -> Result<()> {
    write_footer(file, end)?;
    file.sync()
}

/// The same without the sync.
pub(crate) fn write_footer(file: &Arc<SegmentFile>, end: &LogEnd) -> Result<()> {
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
    file.set_len(offset + wide(FOOTER_LEN))
}
