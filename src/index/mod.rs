//! The index: where the records of a stream stand, where it ends, and where a time is.
//!
//! Owns nothing that the log does not tell again. What was added last is in memory; checkpoints
//! move it to the trees. Knows no files and no records: the store hands in what was published,
//! and checks each answer against the record it points to.

mod cache;
mod checkpoint;
mod fault;
mod keys;
mod lookup;
mod memory;
mod postings;
mod sled;
mod stored;
mod tail;
mod trees;
mod values;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};

use self::cache::EndsCache;
pub(crate) use self::fault::IndexFault;
pub(crate) use self::memory::MemoryTrees;
pub(crate) use self::sled::open_sled;
use self::stored::Stored;
use self::tail::Tail;
pub(crate) use self::tail::{Mark, Seek};
pub(crate) use self::trees::Trees;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock};
use crate::types::{Entry, LogEnd, StoreId};

/// Bytes of log between two marks, if nothing else is said.
pub(crate) const MARK_INTERVAL_LEN: u64 = 16 << 10;
/// Streams whose ends are kept in memory, if nothing else is said.
pub(crate) const ENDS_CACHE_COUNT_MAX: usize = 64 << 10;

/// What the index takes, in memory and between checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexOptions {
    /// Events in memory that make a checkpoint due.
    pub(crate) checkpoint_event_count: u64,
    /// Bytes of log between two marks.
    pub(crate) mark_interval_len: u64,
    /// The most streams whose ends are kept in memory once they are in the trees.
    pub(crate) ends_cache_count_max: usize,
}

/// The index of one store.
///
/// Shared by whoever appends, whoever reads, and whoever writes checkpoints. None of them waits for
/// the trees to be written.
pub(crate) struct Index {
    store: StoreId,
    options: IndexOptions,
    stored: Stored,
    /// Locked after `frozen` by who needs both.
    tail: RwLock<Tail>,
    /// What is being written to the trees.
    frozen: RwLock<Option<Arc<Tail>>>,
    /// How often a tail was frozen.
    freezes: AtomicU64,
    /// Held by the one who writes what is frozen.
    writing: Mutex<()>,
    cache: EndsCache,
    fault: OnceLock<IndexFault>,
}

impl Index {
    /// Opens the index over `trees`, and says how far they have come: whatever the log holds from
    /// there on must be added. `None` if the trees are empty: then it is everything.
    ///
    /// # Errors
    ///
    /// If the trees cannot be used for `store`. They must be moved aside, and others filled.
    pub(crate) fn open(
        trees: Box<dyn Trees>,
        store: StoreId,
        options: IndexOptions,
    ) -> Result<(Self, Option<LogEnd>), IndexFault> {
        let stored = Stored::new(trees);
        let end = checkpoint::read(&stored, store)?;
        Ok((Self::over(stored, end, store, options), end))
    }

    /// An index that answers nothing, for a store whose index can be neither opened nor built.
    pub(crate) fn unavailable(store: StoreId, options: IndexOptions) -> Self {
        let stored = Stored::new(Box::new(MemoryTrees::default()));
        let index = Self::over(stored, None, store, options);
        index.mark_broken(IndexFault::damaged("it can be neither opened nor built"));
        index
    }

    fn over(stored: Stored, end: Option<LogEnd>, store: StoreId, options: IndexOptions) -> Self {
        Self {
            store,
            options,
            stored,
            tail: RwLock::new(Tail::from_end(end)),
            frozen: RwLock::default(),
            freezes: AtomicU64::new(0),
            writing: Mutex::default(),
            cache: EndsCache::new(options.ends_cache_count_max),
            fault: OnceLock::new(),
        }
    }

    /// Adds what was published, in the order of positions; after it the log ends at `end`.
    ///
    /// Takes no I/O. A broken or closed index forgets it.
    pub(crate) fn add(&self, entries: &[Entry], end: LogEnd) {
        let mut tail = self.tail.write();
        if self.check_usable().is_err() {
            return;
        }
        let added = tail.add(entries, end, self.options.mark_interval_len);
        drop(tail);
        if let Err(fault) = added {
            self.mark_broken(fault);
        }
    }

    /// Whether memory holds as many events as it should between checkpoints.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        self.tail.read().event_count() >= self.options.checkpoint_event_count
    }

    /// Whether a checkpoint is due and the one before it is still being written. Who appends
    /// should wait, for memory would grow.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_checkpoint_due() && self.frozen.read().is_some()
    }

    /// Moves what was added aside, to be written, and returns its end, which the caller must make
    /// durable before [`Self::write_frozen`]. What was moved aside before and is still there comes
    /// first: then its end is returned. `None` if there is nothing.
    pub(crate) fn freeze(&self) -> Option<LogEnd> {
        let mut frozen = self.frozen.write();
        let mut tail = self.tail.write();
        if let Some(waiting) = &*frozen {
            return waiting.end();
        }
        if tail.event_count() == 0 {
            return None;
        }
        let end = tail.end()?;
        let next = tail.successor();
        self.freezes.fetch_add(1, Ordering::AcqRel);
        *frozen = Some(Arc::new(mem::replace(&mut *tail, next)));
        Some(end)
    }

    /// Writes what was frozen to the trees, the checkpoint last, then lets go of it. Does nothing
    /// if nothing is frozen.
    ///
    /// # Errors
    ///
    /// If the trees fail, after which the index is broken, or if it is closed.
    pub(crate) fn write_frozen(&self) -> Result<(), IndexFault> {
        let _writing = self.writing.lock();
        self.check_usable()?;
        let Some(frozen) = self.frozen() else { return Ok(()) };
        checkpoint::write(&self.stored, self.store, &frozen)
            .inspect_err(|fault| self.mark_broken(fault.clone()))?;
        for (name, run) in frozen.runs() {
            self.cache.put(Arc::clone(name), run.end());
        }
        *self.frozen.write() = None;
        Ok(())
    }

    /// The end of what was added, or of what the trees hold if nothing was. `None` if there is
    /// nothing, or if the index is broken or closed.
    #[cfg(test)]
    pub(crate) fn indexed_end(&self) -> Option<LogEnd> {
        self.check_usable().ok()?;
        self.tail.read().end()
    }

    /// What broke the index, if anything did. Then it answers nothing more, and holds nothing.
    pub(crate) fn fault(&self) -> Option<IndexFault> {
        self.fault.get().cloned()
    }

    /// Breaks the index, for it gave a wrong answer. The first fault stays.
    pub(crate) fn mark_broken(&self, fault: IndexFault) {
        if matches!(fault, IndexFault::Closed) {
            return;
        }
        // Set before memory is cleared: who adds looks at it with the tail locked.
        let _ = self.fault.set(fault);
        self.forget();
    }

    /// Lets go of the trees, once those who use them now are done. What was not written is
    /// forgotten. May take long.
    pub(crate) fn close(&self) {
        self.stored.close();
        self.forget();
    }

    fn check_usable(&self) -> Result<(), IndexFault> {
        self.fault().map_or_else(|| self.stored.check_open(), Err)
    }

    fn frozen(&self) -> Option<Arc<Tail>> {
        self.frozen.read().clone()
    }

    fn forget(&self) {
        *self.tail.write() = Tail::default();
        *self.frozen.write() = None;
        self.cache.clear();
    }
}

impl fmt::Debug for Index {
    /// Not what it holds, which may be much.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("store", &self.store)
            .field("options", &self.options)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
