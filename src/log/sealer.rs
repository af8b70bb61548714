//! Sealing full segments, off the path of those who append.
//!
//! Owns which segments wait to be sealed, and their order: no sealed segment follows one that is
//! not. A segment counts the same sealed or not; the seal is for those who check or copy it. Sealing reads
//! it, so only what is sealed may be let go of.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::directory::Directory;
use crate::log::recent::Recent;
use crate::segment::{SegmentFile, seal};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::trace::tell;
use crate::types::{LogEnd, Position, StoreKey};

/// Segments that are full and durable, and not sealed yet.
#[derive(Debug)]
pub(crate) struct Sealer {
    full: Mutex<VecDeque<(Arc<SegmentFile>, LogEnd)>>,
    /// Whether there is something to seal that has not just failed.
    is_due: AtomicBool,
    /// What was sealed last. Held by the thread that seals.
    sealed: Mutex<Recent>,
}

impl Sealer {
    pub(crate) fn new(directory: Arc<dyn Directory>, key: StoreKey) -> Self {
        Self {
            full: Mutex::default(),
            is_due: AtomicBool::new(false),
            sealed: Mutex::new(Recent::new(directory, key)),
        }
    }

    /// Leaves so many bytes of what was sealed last in the system's page cache, and the rest to the
    /// medium.
    pub(super) fn keep_in_memory(&self, bytes: u64) {
        self.sealed.lock().keep(bytes);
    }

    /// Takes a segment that is full: all of it is durable, and another follows it.
    pub(crate) fn add(&self, file: Arc<SegmentFile>, end: LogEnd) {
        self.full.lock().push_back((file, end));
        self.is_due.store(true, Ordering::Release);
    }

    /// Whether there is something to seal that has not just failed.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Acquire)
    }

    /// Seals what is due, unless another thread is at it. What cannot be sealed now is tried again
    /// after the next segment, at close, and when the store is opened.
    pub(crate) fn seal_if_due(&self) {
        if self.is_due()
            && let Some(mut sealed) = self.sealed.try_lock()
        {
            self.seal_all(&mut sealed);
        }
    }

    /// Seals everything, after whoever is at it. Nothing is written any more when this returns.
    pub(crate) fn finish(&self) {
        self.seal_all(&mut self.sealed.lock());
    }

    /// Whether nothing waits to be sealed.
    pub(crate) fn is_done(&self) -> bool {
        self.full.lock().is_empty()
    }

    /// Whether the segment that begins at `base` waits to be sealed, or is being sealed.
    pub(crate) fn holds(&self, base: Position) -> bool {
        self.full.lock().iter().any(|(file, _)| file.base() == base)
    }

    fn seal_all(&self, sealed: &mut Recent) {
        self.is_due.store(false, Ordering::Release);
        loop {
            let next = self.full.lock().front().cloned();
            let Some((file, end)) = next else { return };
            if seal(&file, &end).is_err() {
                tell!(WARN, segment = file.base().get(), "a segment could not be sealed");
                return;
            }
            tell!(DEBUG, segment = file.base().get(), end = end.position.get(), "sealed");
            self.full.lock().pop_front();
            sealed.add(file.base(), end.address.offset);
        }
    }
}
