//! The digest of a segment: what tells that it is the one that was sealed.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::format::{Fault, SEGMENT_HEADER_LEN};
use crate::segment::SegmentFile;
use crate::segment::file::wide;

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

/// The digest of a segment whose records are read in their order, from the first one on: so that its
/// bytes are read once for both.
pub(super) struct RunningDigest {
    digest: Xxh3,
    /// Offset of the first byte that it lacks.
    end: u64,
}

impl RunningDigest {
    /// Begins with what is before the first record.
    pub(super) fn begin(file: &SegmentFile) -> Result<Self> {
        let mut header = [0; SEGMENT_HEADER_LEN];
        let len = file.read_at(&mut header, 0)?;
        let mut digest = Xxh3::new();
        digest.update(header.get(..len).unwrap_or_default());
        Ok(Self { digest, end: wide(SEGMENT_HEADER_LEN) })
    }

    /// Adds what it lacks up to `end`, if that is in `block`, which begins at `start` in the file.
    pub(super) fn add(&mut self, block: &[u8], start: u64, end: u64) {
        let place = |offset: u64| usize::try_from(offset.checked_sub(start)?).ok();
        let bytes = place(self.end).zip(place(end)).and_then(|(from, to)| block.get(from..to));
        if let Some(bytes) = bytes {
            self.digest.update(bytes);
            self.end = end;
        }
    }

    /// The digest of everything before `end`; `None` if it lacks some of that, because bytes were passed
    /// over.
    pub(super) fn finish(self, end: u64) -> Option<u128> {
        (self.end == end).then(|| self.digest.digest128())
    }
}

impl fmt::Debug for RunningDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningDigest").field("end", &self.end).finish_non_exhaustive()
    }
}
