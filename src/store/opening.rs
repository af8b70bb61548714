//! Opening the index beside whoever reads the log already.
//!
//! Owns when that is done by a thread of its own: where a note says how far the log was durable, so
//! that the index need not be asked. Whatever happens to the thread, those who wait for the index
//! get one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use crate::cursor::LaterIndex;
use crate::directory::Directory;
use crate::index::{Index, IndexFault};
use crate::log::{Log, Segments};
use crate::options::Options;
use crate::report::{IndexRecovery, IndexTrouble, RecoveryReport};
use crate::store::catch_up::{CatchUp, Workers};
use crate::store::open_index::{IndexPlace, Opened, trouble};
use crate::sync::{AtomicBool, Mutex};
use crate::types::{LogEnd, Position};

/// What is needed to open the index of a log that was recovered.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) options: Options,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) place: IndexPlace,
    pub(super) segments: Arc<Segments>,
    pub(super) log: Arc<Log>,
    /// Whether all of the log is durable.
    pub(super) is_durable: bool,
    /// Where the index goes.
    pub(super) index: Arc<LaterIndex>,
    /// Whether an index that is being built is not wanted any more.
    pub(super) is_cancelled: AtomicBool,
    /// Whether an index was made while the store is open, in the place of one that has failed.
    pub(super) was_made: AtomicBool,
    /// Whether an index that has failed was moved aside while the store is open, and what is in its
    /// place is sound, if not all there.
    pub(super) is_aside: AtomicBool,
}

/// An index that is being opened, or is open.
#[derive(Debug, Default)]
pub(super) struct OpeningIndex {
    /// What had to be done. There before the index is.
    found: Arc<OnceLock<IndexRecovery>>,
    /// The thread that opens it, until it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What was found of the log, and then of the index as well.
    report: OnceLock<RecoveryReport>,
}

impl Opening {
    /// Makes an index that was opened know the whole log.
    pub(super) fn finish(&self, opened: Opened) -> OpeningIndex {
        let opening = OpeningIndex::default();
        self.fill(opened, &opening.found);
        opening
    }

    /// Opens the index and makes it know the whole log, on a thread if one can be had.
    pub(super) fn begin(self: Arc<Self>) -> OpeningIndex {
        let opening = OpeningIndex::default();
        if !self.place.may_have_threads() {
            self.open(&opening.found);
            return opening;
        }
        let (work, found) = (Arc::clone(&self), Arc::clone(&opening.found));
        let builder = thread::Builder::new().name("annals-index".to_owned());
        match builder.spawn(move || work.open_guarded(&found)) {
            Ok(thread) => *opening.thread.lock() = Some(thread),
            Err(_) => self.open(&opening.found),
        }
        opening
    }

    /// Opens the index, and tells of a panic as of a failure to open it.
    fn open_guarded(&self, found: &OnceLock<IndexRecovery>) {
        if catch_unwind(AssertUnwindSafe(|| self.open(found))).is_err() {
            let reason = trouble(&IndexFault::Panicked);
            let _ = found.set(IndexRecovery::Unavailable { reason });
            self.index.fill(Arc::new(self.no_index()));
        }
    }

    fn open(&self, found: &OnceLock<IndexRecovery>) {
        let opened = if self.options.rebuilds_index {
            Opened::unusable(IndexTrouble::Asked)
        } else {
            self.options.open_index(&*self.directory, &self.place, self.segments.store())
        };
        self.fill(opened, found);
    }

    fn fill(&self, opened: Opened, found: &OnceLock<IndexRecovery>) {
        let (index, recovery) =
            if self.is_durable { self.bring_up(opened) } else { self.leave_alone(opened) };
        let _ = found.set(recovery);
        self.index.fill(Arc::new(index));
    }

    /// Makes an opened index know the whole log: adds what it lacks, or builds it anew.
    fn bring_up(&self, opened: Opened) -> (Index, IndexRecovery) {
        let Opened { index, checkpoint, mut reason } = opened;
        // An index without a checkpoint holds nothing, which is right for an empty log.
        let is_usable = checkpoint.is_some() || self.segments.visible().position == Position::START;
        if let Some(index) = index.filter(|_| is_usable) {
            match self.catch_up(&index, checkpoint.as_ref()) {
                Ok(0) => return (index, IndexRecovery::Current),
                Ok(event_count) => return (index, IndexRecovery::CaughtUp { event_count }),
                Err(reason @ IndexTrouble::LogUnreadable { .. }) => {
                    index.close();
                    return (self.no_index(), IndexRecovery::Unavailable { reason });
                }
                Err(why) => reason = why,
            }
            index.close();
        }
        match self.rebuild() {
            Ok((index, event_count)) => (index, IndexRecovery::Rebuilt { event_count, reason }),
            Err(reason) => (self.no_index(), IndexRecovery::Unavailable { reason }),
        }
    }

    /// Uses no index, because what it would name may not be durable.
    fn leave_alone(&self, opened: Opened) -> (Index, IndexRecovery) {
        if let Some(index) = opened.index {
            index.close();
        }
        let reason = IndexTrouble::LogNotDurable;
        (self.no_index(), IndexRecovery::Unavailable { reason })
    }

    /// Moves the old index aside and builds a new one from the log.
    fn rebuild(&self) -> Result<(Index, u64), IndexTrouble> {
        let index = self.create()?;
        let event_count = self.catch_up(&index, None)?;
        Ok((index, event_count))
    }

    /// Moves the old index aside and makes an empty one.
    pub(super) fn create(&self) -> Result<Index, IndexTrouble> {
        let (directory, options) = (&*self.directory, &self.options);
        self.place.move_aside(directory)?;
        let tree = options.open_tree(directory, &self.place).map_err(|fault| trouble(&fault))?;
        let opened = options.index_on(tree, self.segments.store());
        Ok(opened.map_err(|fault| trouble(&fault))?.0)
    }

    /// Adds to an index what the log has from `checkpoint` on, or all there is, and says how much that
    /// was.
    pub(super) fn catch_up(
        &self,
        index: &Index,
        checkpoint: Option<&LogEnd>,
    ) -> Result<u64, IndexTrouble> {
        let workers =
            if self.place.may_have_threads() { Workers::Threads } else { Workers::Caller };
        let (log, segments) = (&*self.log, &*self.segments);
        let progress = self.options.progress.as_ref();
        let is_cancelled = &self.is_cancelled;
        CatchUp { index, log, segments, progress, workers, is_cancelled }.run(checkpoint)
    }

    fn no_index(&self) -> Index {
        self.options.no_index(self.segments.store())
    }
}

impl OpeningIndex {
    /// Where it will be said what had to be done about the index.
    pub(super) fn later_found(&self) -> Arc<OnceLock<IndexRecovery>> {
        Arc::clone(&self.found)
    }

    /// What had to be done about the index, once it is open.
    pub(super) fn found(&self) -> &IndexRecovery {
        self.found.wait()
    }

    /// What was found of the log, and of the index once it is open.
    pub(super) fn report(&self, of_log: &RecoveryReport) -> &RecoveryReport {
        self.report.get_or_init(|| RecoveryReport { index: self.found().clone(), ..of_log.clone() })
    }

    /// Waits until no thread is opening it any more.
    pub(super) fn join(&self) {
        if let Some(thread) = self.thread.lock().take() {
            // Its panics were caught.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::SimulatedDirectory;
    use crate::event::{Expected, NewEvent};
    use crate::index::MemoryTree;
    use crate::log::{UnrecoveredLog, read_meta};
    use crate::options::Durability;

    fn options() -> Options {
        Options::new().segment_len_max(4 << 10).checkpoint_event_count(5)
    }

    /// Appends until a call fails, with checkpoints of the index and openings on the way.
    fn append(directory: &SimulatedDirectory, tree: &MemoryTree) {
        for (n, durability) in [(12, Durability::Sync), (9, Durability::Buffered)] {
            let place = IndexPlace::Memory(tree.clone());
            let opened =
                options().durability(durability).open_in(Arc::new(directory.clone()), &place);
            let Ok(store) = opened else { return };
            for _ in 0..n {
                let event = NewEvent::bytes("t", [7; 200]);
                if store.append("s", Expected::Any, [event]).is_err() {
                    return;
                }
            }
            drop(store);
        }
    }

    /// How far a note says that the log was durable, and how far the index knows it.
    fn noted_and_indexed(
        directory: SimulatedDirectory,
        tree: &MemoryTree,
    ) -> Option<(Option<Position>, Option<Position>)> {
        let key = read_meta(&directory).unwrap()?.key;
        let opened =
            options().open_index(&directory, &IndexPlace::Memory(tree.copy()), key.id).checkpoint;
        let scanned = UnrecoveredLog::scan(Arc::new(directory), key).unwrap();
        Some((scanned.noted_end(), opened.map(|checkpoint| checkpoint.position)))
    }

    #[test]
    fn no_crash_leaves_a_note_that_is_behind_the_index() {
        let mut indexed_count = 0;
        for calls in 0..200 {
            let (directory, tree) = (SimulatedDirectory::new(), MemoryTree::default());
            directory.die_after(calls);
            append(&directory, &tree);
            for seed in 0..8 {
                let left = noted_and_indexed(directory.crashed(seed), &tree);
                let Some((Some(noted), Some(indexed))) = left else { continue };
                assert!(noted >= indexed, "{calls}, {seed}: {noted:?} is behind {indexed:?}");
                indexed_count += 1;
            }
        }
        assert!(indexed_count > 100);
    }
}
