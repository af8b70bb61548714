//! The digest of a segment: what tells that it is the one that was sealed.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::format::Fault;
use crate::segment::SegmentFile;
use crate::segment::file::wide;
use crate::sync::{AtomicBool, Ordering};

/// Bytes that are digested at once.
const BLOCK_LEN: usize = 256 << 10;
/// Fewer bytes than this are not worth a thread.
const SHARED_LEN_MIN: u64 = 4 << 20;

/// The digest of the first `len` bytes of a segment.
pub(crate) fn digest_of(file: &SegmentFile, len: u64) -> Result<u128> {
    digest_until(file, len, &AtomicBool::new(false))
}

/// The same, or that of fewer bytes once it is to stop.
fn digest_until(file: &SegmentFile, len: u64, stops: &AtomicBool) -> Result<u128> {
    let mut digest = Xxh3::new();
    let mut block = vec![0; BLOCK_LEN];
    let mut offset = 0;
    while offset < len && !stops.load(Ordering::Relaxed) {
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

/// A digest that is computed while its segment is read for something else.
#[derive(Debug)]
pub(crate) struct Digesting {
    file: Arc<SegmentFile>,
    len: u64,
    /// Whether nobody waits for it any more.
    stops: Arc<AtomicBool>,
    /// None if it is not worth one, or none could be had.
    thread: Option<JoinHandle<Result<u128>>>,
}

impl Digesting {
    /// Begins with the digest of the first `len` bytes of a segment.
    pub(crate) fn begin(file: &Arc<SegmentFile>, len: u64) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let (held, until) = (Arc::clone(file), Arc::clone(&stops));
        let digest = move || digest_until(&held, len, &until);
        let builder = Builder::new().name("annals-digest".to_owned());
        let thread = (len >= SHARED_LEN_MIN).then(|| builder.spawn(digest).ok()).flatten();
        Self { file: Arc::clone(file), len, stops, thread }
    }

    /// The digest.
    pub(crate) fn finish(mut self) -> Result<u128> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(digest)) => digest,
            None | Some(Err(_)) => digest_of(&self.file, self.len),
        }
    }
}

impl Drop for Digesting {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}
