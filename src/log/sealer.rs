//! Sealing full segments, off the path of those who append.
//!
//! Owns which segments wait to be sealed, and their order: no sealed segment follows one that is not,
//! but for those that could not be sealed however often that was tried. A segment counts the same sealed
//! or not; the seal is for those who check or copy it. Sealing reads it, so only what is sealed may be
//! let go of.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::log::recent::Recent;
use crate::log::recover::{end_of_full, has_no_room};
use crate::segment::{SegmentFile, write_footer};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::trace::tell;
use crate::types::{LogEnd, Position, StoreKey};

/// How often sealing a segment may fail before others are sealed without it.
const TRIES_MAX: u32 = 3;

/// A segment that is full and durable, and not known to be sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full {
    base: Position,
    /// The first position of the segment after it.
    next: Position,
    /// Where its records end; `None` if they could not be read to their end.
    end: Option<LogEnd>,
    failed_count: u32,
    /// Whether a sync of its footer has failed: no later one tells what becomes of the same places.
    is_doubtful: bool,
}

impl Full {
    /// A segment that ends at `end`.
    pub(crate) fn ending(end: LogEnd) -> Self {
        Self::between(end.address.segment, end.position, Some(end))
    }

    /// A segment of which some bytes cannot be read, and that is followed by the one at `next`.
    pub(super) fn unreadable(base: Position, next: Position) -> Self {
        Self::between(base, next, None)
    }

    fn between(base: Position, next: Position, end: Option<LogEnd>) -> Self {
        Self { base, next, end, failed_count: 0, is_doubtful: false }
    }

    /// Takes note that sealing it has failed. A lack of room is not for any one segment, but for one that
    /// must be copied.
    fn failed(&mut self, error: &Error) {
        let waits = matches!(error, Error::Io { source, .. } if has_no_room(source));
        self.failed_count += u32::from(!waits || self.is_doubtful);
    }
}

#[derive(Debug, Default)]
struct Waiting {
    /// The oldest first.
    full: VecDeque<Full>,
    /// Those that others were not to wait for any longer.
    left: Vec<Full>,
    /// The last one that was sealed.
    sealed: Option<Position>,
}

/// Segments that are full and durable, and not sealed yet. It holds none of their files open.
#[derive(Debug)]
pub(crate) struct Sealer {
    directory: Arc<dyn Directory>,
    key: StoreKey,
    waiting: Mutex<Waiting>,
    /// Whether there is something to seal that has not just failed.
    is_due: AtomicBool,
    /// What was sealed last. Held by the thread that seals.
    sealed: Mutex<Recent>,
}

impl Sealer {
    pub(crate) fn new(directory: Arc<dyn Directory>, key: StoreKey) -> Self {
        Self {
            directory: Arc::clone(&directory),
            key,
            waiting: Mutex::default(),
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
    pub(crate) fn add(&self, full: Full) {
        let mut waiting = self.waiting.lock();
        if full.end.is_none() {
            return waiting.left.push(full);
        }
        waiting.full.push_back(full);
        self.is_due.store(true, Ordering::Release);
    }

    /// Whether there is something to seal that has not just failed.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Acquire)
    }

    /// Seals what is due, and says whether it has tried: not if another thread is at it. What cannot be
    /// sealed now is tried again after the next segment, some times, and at close; what others did not
    /// pass, when the store is opened as well.
    pub(crate) fn seal_if_due(&self) -> bool {
        let sealed = if self.is_due() { self.sealed.try_lock() } else { None };
        let Some(mut sealed) = sealed else { return false };
        self.seal_all(&mut sealed);
        true
    }

    /// Seals what waits, after whoever is at it, and says how many segments that were.
    pub(super) fn seal(&self) -> u64 {
        self.seal_all(&mut self.sealed.lock())
    }

    /// The same, and tries once more what was given up. Nothing is written any more when this returns.
    pub(crate) fn finish(&self) {
        let mut sealed = self.sealed.lock();
        self.seal_all(&mut sealed);
        let left = self.waiting.lock().left.clone();
        for mut full in left {
            if self.try_to_seal(&mut full).is_ok() {
                let mut waiting = self.waiting.lock();
                waiting.left.retain(|other| other.base != full.base);
                waiting.sealed = waiting.sealed.max(Some(full.base));
            }
        }
    }

    /// Whether nothing is left that opening the store would find and seal: it looks back to the last
    /// segment that is sealed.
    pub(crate) fn is_done(&self) -> bool {
        let Waiting { full, left, sealed } = &*self.waiting.lock();
        full.is_empty() && left.iter().all(|full| Some(full.base) < *sealed)
    }

    /// Whether the segment that begins at `base` waits to be sealed, is being sealed, or was given up.
    pub(crate) fn holds(&self, base: Position) -> bool {
        let waiting = self.waiting.lock();
        waiting.full.iter().chain(&waiting.left).any(|full| full.base == base)
    }

    fn seal_all(&self, sealed: &mut Recent) -> u64 {
        self.is_due.store(false, Ordering::Release);
        let mut count = 0;
        loop {
            let next = self.waiting.lock().full.front().copied();
            let Some(mut full) = next else { return count };
            let tried = self.try_to_seal(&mut full);
            let mut waiting = self.waiting.lock();
            waiting.full.pop_front();
            match tried {
                Ok(end) => {
                    count += 1;
                    waiting.sealed = Some(full.base);
                    sealed.add(full.base, end.address.offset);
                }
                Err(_) if full.failed_count >= TRIES_MAX => waiting.left.push(full),
                Err(_) => {
                    waiting.full.push_front(full);
                    return count;
                }
            }
        }
    }

    fn try_to_seal(&self, full: &mut Full) -> Result<LogEnd> {
        let sealed = self.seal_one(full);
        if let Err(error) = &sealed {
            tell!(WARN, segment = full.base.get(), "a segment could not be sealed");
            full.failed(error);
        }
        sealed
    }

    fn seal_one(&self, full: &mut Full) -> Result<LogEnd> {
        let (directory, key, base) = (&*self.directory, self.key, full.base);
        let end = match full.end {
            Some(end) => end,
            None => end_of_full(directory, key, base, full.next)?,
        };
        let write = |file: Result<SegmentFile>| {
            let file = Arc::new(file?);
            write_footer(&file, &end).map(|()| file)
        };
        if !full.is_doubtful {
            let file = write(SegmentFile::open_to_write(directory, key, base))?;
            full.is_doubtful = file.sync().is_err();
        }
        if full.is_doubtful {
            let len = end.address.offset;
            write(SegmentFile::renewed(directory, key, base, len))?.sync()?;
        }
        tell!(DEBUG, segment = base.get(), end = end.position.get(), "sealed");
        Ok(end)
    }
}
