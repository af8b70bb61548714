//! The index: where the records of a stream stand, where it ends, and where a time is.
//!
//! Owns nothing that the log does not tell again. What was added last is in memory; checkpoints
//! move it to the tree, as runs, which are merged there. Knows no files and no records: the store
//! hands in what was published, and checks each answer against the record it points to.

mod budget;
mod cache;
mod chunk;
mod fault;
mod filter;
mod incoming;
mod keys;
mod lists;
mod lookup;
mod manifest;
mod mark_lists;
mod marks;
mod memory;
mod merge;
mod numbers;
mod parsed;
mod places;
mod postings;
mod reader;
mod run;
mod search;
mod sketch;
mod sled;
mod stored;
mod tail;
mod tree;
mod union;
mod values;
mod writing;

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

pub(crate) use self::fault::IndexFault;
use self::incoming::{Growing, Incoming};
pub(crate) use self::memory::MemoryTree;
pub(crate) use self::sled::open_sled;
use self::stored::Stored;
use self::tail::Tail;
pub(crate) use self::tree::Tree;
use self::writing::Writing;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock};
use crate::trace::tell;
use crate::types::{Address, Entries, LogEnd, Position, StoreId, Timestamp};

/// Bytes of log between two marks within a batch, if nothing else is said.
pub(crate) const MARK_INTERVAL_LEN: u64 = 16 << 10;
/// Bytes of streams in memory that make a checkpoint due for each event that would. New streams of
/// short names are worth almost two events each: they come as fast as checkpoints are written, so that
/// memory holds as much as it ever does. By default, and with names of 20 bytes, about as many as a table
/// of 65,536 places takes before it is doubled.
const STREAMS_LEN_PER_EVENT: u64 = 37;
/// How many events that were added are worth to be taken into the tail by who has time for that.
const INCOMING_COUNT_MIN: u64 = 4 << 10;
/// How many may wait for it, and a batch.
const INCOMING_COUNT_MAX: u64 = 32 << 10;

/// What the index takes, in memory and between checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexOptions {
    /// Events in memory that make a checkpoint due.
    pub(crate) checkpoint_event_count: u64,
    /// Bytes of log between two marks within a batch; where one ends, a quarter of that is enough.
    pub(crate) mark_interval_len: u64,
    /// The most bytes that are kept in memory of what is in the tree.
    pub(crate) cache_len_max: u64,
}

/// A place from which a scan of the log can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) address: Address,
}

/// What a mark must stand before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek {
    /// An event: the mark stands at it or before it.
    Position(Position),
    /// The first event of a time: the mark was recorded earlier.
    Time(Timestamp),
}

impl Seek {
    const fn is_after(self, mark: &Mark) -> bool {
        match self {
            Self::Position(position) => mark.position.get() <= position.get(),
            Self::Time(time) => mark.recorded_at.as_nanos() < time.as_nanos(),
        }
    }
}

/// The index of one store.
///
/// Shared by whoever appends, whoever reads, and whoever writes checkpoints. None of them waits for
/// the tree to be written.
pub(crate) struct Index {
    store: StoreId,
    options: IndexOptions,
    stored: Stored,
    incoming: Incoming,
    /// Locked after `frozen` by who needs both.
    tail: RwLock<Growing>,
    /// Events in the tail, bytes of their streams, and where the log ends after them, to be looked at
    /// without the lock.
    tail_count: AtomicU64,
    tail_streams_len: AtomicU64,
    tail_end: AtomicU64,
    /// What is being written to the tree.
    frozen: RwLock<Option<Arc<Tail>>>,
    /// How often a tail was frozen, or runs were replaced by others.
    moves: AtomicU64,
    /// Steps of tidying that should come before the next checkpoint.
    owed_step_count: AtomicU64,
    /// Held by the one who writes to the tree.
    writing: Mutex<Writing>,
    fault: OnceLock<IndexFault>,
}

impl Index {
    /// Opens the index over `tree`, and says how far it has come: whatever the log holds from
    /// there on must be added. `None` if the tree is empty: then it is everything.
    ///
    /// # Errors
    ///
    /// If the tree cannot be used for `store`. It must be moved aside, and another filled.
    pub(crate) fn open(
        tree: Box<dyn Tree>,
        store: StoreId,
        options: IndexOptions,
    ) -> Result<(Self, Option<LogEnd>), IndexFault> {
        let stored = Stored::new(tree, store, options.cache_len_max);
        let manifest = stored.read_manifest(store)?;
        let writing = Writing::new(&stored, store, manifest.as_ref())?;
        let end = manifest.map(|manifest| manifest.end);
        Ok((Self::over(stored, writing, end, store, options), end))
    }

    /// An index that answers nothing, for a store whose index can be neither opened nor built.
    pub(crate) fn unavailable(store: StoreId, options: IndexOptions) -> Self {
        let stored = Stored::new(Box::new(MemoryTree::default()), store, 0);
        let index = Self::over(stored, Writing::empty(store), None, store, options);
        index.mark_broken(IndexFault::damaged("it can be neither opened nor built"));
        index
    }

    fn over(
        stored: Stored,
        writing: Writing,
        end: Option<LogEnd>,
        store: StoreId,
        options: IndexOptions,
    ) -> Self {
        Self {
            store,
            options,
            stored,
            incoming: Incoming::default(),
            tail: RwLock::new(Growing::from(Tail::from_end(end))),
            tail_count: AtomicU64::new(0),
            tail_streams_len: AtomicU64::new(0),
            tail_end: AtomicU64::new(end.map_or(0, |end| end.position.get())),
            frozen: RwLock::default(),
            moves: AtomicU64::new(0),
            owed_step_count: AtomicU64::new(0),
            writing: Mutex::new(writing),
            fault: OnceLock::new(),
        }
    }

    /// Adds what was published, in the order of positions; after it the log ends at `end`.
    ///
    /// Takes no I/O, and as good as no time: whoever asks for something finds it, but it is
    /// [taken in](Self::take_in) later. A broken or closed index forgets it.
    pub(crate) fn add(&self, entries: &Entries, end: LogEnd) {
        self.incoming.add(entries, end, || self.check_usable().is_ok());
    }

    /// Takes what was added to where it is found by stream and by time.
    pub(crate) fn take_in(&self) {
        if self.incoming.count() > 0 {
            let mut growing = self.tail.write();
            let taken = self.take_into(&mut growing);
            if let Err(fault) = &taken {
                // Before anyone takes in what follows what is missing now.
                let _ = self.fault.set(fault.clone());
            }
            drop(growing);
            if let Err(fault) = taken {
                self.mark_broken(fault);
            }
        }
    }

    fn take_into(&self, growing: &mut Growing) -> Result<(), IndexFault> {
        self.incoming.move_to(growing, self.options.mark_interval_len)?;
        self.tail_count.store(growing.tail.event_count(), Ordering::Release);
        self.tail_streams_len.store(growing.tail.streams_len(), Ordering::Release);
        if let Some(end) = growing.tail.end() {
            self.tail_end.store(end.position.get(), Ordering::Release);
        }
        Ok(())
    }

    /// How far what was added was taken in: what [`Self::ends_taken_in`] goes by.
    pub(crate) fn taken_end(&self) -> Position {
        Position::new(self.tail_end.load(Ordering::Acquire))
    }

    /// Whether so much was added that it is worth to take it in.
    pub(crate) fn is_intake_due(&self) -> bool {
        self.incoming.count() >= INCOMING_COUNT_MIN
    }

    /// Whether more was added than should wait: who appends should take it in.
    pub(crate) fn is_overfull(&self) -> bool {
        self.incoming.count() >= INCOMING_COUNT_MAX
    }

    /// The tail, with all that was added.
    fn tail(&self) -> impl Deref<Target = Growing> {
        self.take_in();
        self.tail.read()
    }

    /// Whether memory holds as much as it should between checkpoints.
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        self.holds_checkpoints(1)
    }

    /// Whether memory holds as much as it should between so many checkpoints.
    pub(crate) fn holds_checkpoints(&self, count: u64) -> bool {
        let event_count_max = self.options.checkpoint_event_count.saturating_mul(count);
        let event_count = self.tail_count.load(Ordering::Acquire) + self.incoming.count();
        let streams_len = self.tail_streams_len.load(Ordering::Acquire);
        event_count >= event_count_max || streams_len / STREAMS_LEN_PER_EVENT >= event_count_max
    }

    /// Whether a checkpoint is due and cannot be made yet: the one before it is still being written, or
    /// [tidying](Self::owes_tidying) comes first. Who appends should wait, for memory would grow.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_checkpoint_due() && (self.owes_tidying() || self.frozen.read().is_some())
    }

    /// Whether merging has fallen so far behind that the next checkpoint should wait for some of it.
    /// Else a load of new streams would leave ever more runs, each of which is asked for old ones.
    pub(crate) fn owes_tidying(&self) -> bool {
        // What has failed is not tidied, whatever is left of it.
        self.owed_step_count.load(Ordering::Acquire) > 0 && !self.has_failed()
    }

    /// Moves what was added aside, to be written, and returns its end, which must be durable
    /// before [`Self::write_frozen`] may end. What was moved aside before and is still there comes
    /// first: then its end is returned. `None` if there is nothing.
    pub(crate) fn freeze(&self) -> Option<LogEnd> {
        self.take_in();
        let mut frozen = self.frozen.write();
        let mut growing = self.tail.write();
        if let Some(waiting) = &*frozen {
            return waiting.end();
        }
        let tail = &mut growing.tail;
        if tail.event_count() == 0 {
            return None;
        }
        let end = tail.end()?;
        let next = tail.successor();
        self.count_move();
        *frozen = Some(Arc::new(mem::replace(tail, next)));
        self.tail_count.store(0, Ordering::Release);
        self.tail_streams_len.store(0, Ordering::Release);
        Some(end)
    }

    /// Writes what was frozen to the tree, and then that the tree has come so far, then lets go of
    /// it. Does nothing if nothing is frozen. Between the two it asks `is_durable`, which may wait, whether
    /// what was frozen is: if not, it stays so, and nothing of it counts.
    ///
    /// # Errors
    ///
    /// If the tree fails, or `is_durable` does, after which the index is broken, or if it is closed.
    pub(crate) fn write_frozen(
        &self,
        is_durable: impl FnOnce() -> Result<bool, IndexFault>,
    ) -> Result<(), IndexFault> {
        self.writing(|writing| {
            let Some(frozen) = self.frozen() else { return Ok(()) };
            let Some(step_count) = writing.write(&frozen, &self.stored, is_durable)? else {
                return Ok(());
            };
            self.owed_step_count.store(step_count, Ordering::Release);
            *self.frozen.write() = None;
            Ok(())
        })
    }

    /// Does a part of what there is to do in the tree besides checkpoints: merges runs, so that
    /// there are few to ask, and removes those that were merged. Takes milliseconds, and says
    /// whether there may be more.
    ///
    /// # Errors
    ///
    /// As for [`Self::write_frozen`].
    pub(crate) fn tidy(&self) -> Result<bool, IndexFault> {
        self.writing(|writing| {
            let has_more = writing.tidy(&self.stored, || self.count_move())?;
            let left = self.owed_step_count.load(Ordering::Acquire).saturating_sub(1);
            self.owed_step_count.store(if has_more { left } else { 0 }, Ordering::Release);
            Ok(has_more)
        })
    }

    fn writing<T>(
        &self,
        write: impl FnOnce(&mut Writing) -> Result<T, IndexFault>,
    ) -> Result<T, IndexFault> {
        let mut writing = self.writing.lock();
        self.check_usable()?;
        let written = write(&mut writing).inspect_err(|fault| self.mark_broken(fault.clone()));
        drop(writing);
        if self.check_usable().is_err() {
            // Whoever broke or closed it meanwhile has left this to the one who was writing.
            self.forget_stored();
        }
        written
    }

    fn count_move(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// The end of what was added, or of what the tree holds if nothing was. `None` if there is
    /// nothing, or if the index is broken or closed.
    pub(crate) fn indexed_end(&self) -> Option<LogEnd> {
        self.check_usable().ok()?;
        self.tail().tail.end()
    }

    /// What broke the index, if anything did. Then it answers nothing more, and holds nothing.
    pub(crate) fn fault(&self) -> Option<IndexFault> {
        self.fault.get().cloned()
    }

    /// Whether anything has broken the index.
    pub(crate) fn has_failed(&self) -> bool {
        self.fault.get().is_some()
    }

    /// Breaks the index, for it gave a wrong answer. The first fault stays.
    pub(crate) fn mark_broken(&self, fault: IndexFault) {
        if matches!(fault, IndexFault::Closed) {
            return;
        }
        tell!(WARN, fault = %fault, "the index answers nothing more");
        // Set before memory is cleared: who adds looks at it with what waits locked.
        let _ = self.fault.set(fault);
        self.forget();
    }

    /// Lets go of the tree, once those who use it now are done. What was not written is
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
        self.incoming.clear();
        *self.tail.write() = Growing::default();
        self.tail_count.store(0, Ordering::Release);
        self.tail_streams_len.store(0, Ordering::Release);
        *self.frozen.write() = None;
        self.forget_stored();
    }

    /// Lets go of what is in memory of the tree. Runs stay while someone writes, who would take
    /// them for all there are.
    fn forget_stored(&self) {
        self.stored.forget();
        if let Some(mut writing) = self.writing.try_lock() {
            *writing = Writing::empty(self.store);
            self.stored.set_runs(Vec::new());
        }
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
