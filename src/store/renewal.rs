//! Building a new index while the store is open, in the place of one that has failed.
//!
//! Owns when that is tried: at the next append, for a store that is only read is left as it is, and
//! again after a while, for a full disk may still be full. Until it is done the log is read instead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::index::{Index, IndexFault};
use crate::report::{IndexRecovery, IndexTrouble};
use crate::store::open_index::trouble;
use crate::store::opening::Opening;
use crate::sync::{Mutex, Ordering};
use crate::trace::{span, tell};
use crate::types::LogEnd;

/// How long it takes until another is tried; twice as long each time, whatever has become of the one
/// before: one that fails now and then must not be built all the time.
const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How often it may not come about, one time after the other, before no more is tried: what sled does not
/// answer for stays behind each time.
const FAILED_COUNT_MAX: u32 = 8;
/// An index that lacks no more events than this may join.
const NEAR_COUNT: u64 = 16 << 10;
/// How often one that lacks more catches up before it joins all the same.
const CATCH_UP_COUNT_MAX: usize = 16;

/// Builds a new index if the one there is has failed.
#[derive(Debug)]
pub(super) struct Renewal {
    opening: Arc<Opening>,
    /// What was found when the store was opened.
    found: Arc<OnceLock<IndexRecovery>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The thread that builds the index, until it was waited for.
    thread: Option<JoinHandle<()>>,
    /// When the next may be tried; `None` if none will be.
    due_at: Option<Instant>,
    pause: Duration,
    failed_count: u32,
}

impl Renewal {
    pub(super) fn new(opening: Arc<Opening>, found: Arc<OnceLock<IndexRecovery>>) -> Arc<Self> {
        let state =
            State { thread: None, due_at: Some(Instant::now()), pause: PAUSE_MIN, failed_count: 0 };
        Arc::new(Self { opening, found, state: Mutex::new(state) })
    }

    /// Whether what is in the place of the index is of the one that has failed.
    pub(super) fn has_left_failed(&self) -> bool {
        let has_failed = self.opening.index.look().is_some_and(|index| index.has_failed());
        let is_ours = self.opening.was_made.load(Ordering::Relaxed) || !self.was_unavailable();
        has_failed && is_ours && !self.opening.is_aside.load(Ordering::Relaxed)
    }

    fn was_unavailable(&self) -> bool {
        matches!(self.found.get(), Some(IndexRecovery::Unavailable { .. }))
    }

    /// Is called after an append, and returns at once.
    pub(super) fn after_append(self: &Arc<Self>) {
        let has_failed = self.opening.index.look().is_some_and(|index| index.has_failed());
        if has_failed && self.opening.place.may_have_threads() {
            self.begin();
        }
    }

    /// Begins to build an index, on a thread, if it is time to.
    #[cold]
    fn begin(self: &Arc<Self>) {
        let Some(mut state) = self.state.try_lock() else { return };
        let is_working = state.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        let is_due = state.due_at.is_some_and(|at| at <= Instant::now());
        if is_working || !is_due || !self.can_help() {
            return;
        }
        state.due_at = Instant::now().checked_add(state.pause);
        state.pause = (2 * state.pause).min(PAUSE_MAX);
        let this = Arc::clone(self);
        let work = move || {
            let is_built = this.renew().is_ok();
            let mut state = this.state.lock();
            state.failed_count = if is_built { 0 } else { state.failed_count + 1 };
            if state.failed_count >= FAILED_COUNT_MAX {
                state.due_at = None;
            }
        };
        // If there is no thread to be had, there may be one the next time.
        state.thread = Builder::new().name("annals-index".to_owned()).spawn(work).ok();
    }

    /// Whether another index may be better than the one that has failed. Where the log cannot be read,
    /// what there is of that one was left as it is.
    fn can_help(&self) -> bool {
        let reason = match self.found.get() {
            Some(IndexRecovery::Unavailable { reason }) => Some(reason),
            _ => None,
        };
        !matches!(reason, Some(IndexTrouble::LogUnreadable { .. }))
            && self.opening.log.takes_appends()
    }

    /// Builds an index and puts it in the place of the one that has failed.
    fn renew(&self) -> Result<(), IndexTrouble> {
        span!(INFO, "renew", end = self.opening.segments.visible().position.get());
        // What is told of the progress is told to others, who may panic.
        let built = catch_unwind(AssertUnwindSafe(|| self.opening.renew()));
        self.opening.index.expect_none();
        let built = built.unwrap_or_else(|_| Err(trouble(&IndexFault::Panicked)));
        tell!(INFO, is_built = built.is_ok(), reason = ?built.as_ref().err(), "renewed the index");
        built
    }

    /// Ends it, and lets none be begun.
    pub(super) fn stop(&self) {
        self.opening.is_cancelled.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.due_at = None;
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            // Its panics were caught.
            let _ = thread.join();
        }
    }
}

impl Opening {
    /// Builds an index from the log while others append and read, and puts it in the place of the one
    /// that has failed.
    fn renew(&self) -> Result<(), IndexTrouble> {
        if let Some(failed) = self.index.look() {
            failed.close();
        }
        let index = Arc::new(self.create()?);
        self.was_made.store(true, Ordering::Relaxed);
        self.is_aside.store(true, Ordering::Relaxed);
        let joined = self.join(&index);
        if joined.is_ok() || index.has_failed() {
            // What is there now is of the index that is used, or has failed itself.
            self.is_aside.store(false, Ordering::Relaxed);
        }
        joined.inspect_err(|_| index.close())
    }

    fn join(&self, index: &Arc<Index>) -> Result<(), IndexTrouble> {
        let mut end = None;
        for _ in 0..CATCH_UP_COUNT_MAX {
            if self.catch_up_from(index, &mut end)? < NEAR_COUNT {
                break;
            }
        }
        self.segments.hold(|_| self.index.expect_another());
        self.catch_up_from(index, &mut end)?;
        let known_end = end.map(|end| end.position).unwrap_or_default();
        if self.segments.hold(|_| self.index.join(Arc::clone(index), known_end)) {
            return Ok(());
        }
        let fault = index.fault().map(|fault| fault.to_string());
        let detail = fault.unwrap_or_else(|| "more is appended than it can take in".to_owned());
        Err(IndexTrouble::Failed { detail })
    }

    /// Adds to an index what is visible behind `end`, which becomes the end of what it knows.
    fn catch_up_from(&self, index: &Index, end: &mut Option<LogEnd>) -> Result<u64, IndexTrouble> {
        let count = self.catch_up(index, end.as_ref())?;
        *end = index.indexed_end();
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::thread;

    use super::*;
    use crate::directory::{Call, Directory, Fault, SimulatedDirectory};
    use crate::event::{Batch, Expected, NewEvent};
    use crate::index::MemoryTree;
    use crate::options::{Durability, Options};
    use crate::store::ends::StreamEnds;
    use crate::store::{IndexPlace, Store};
    use crate::types::Position;

    const LONG: Duration = Duration::from_secs(120);

    fn fail_index(store: &Store) {
        store.inner.source.index().mark_broken(IndexFault::Damaged { what: "as a test says" });
        assert!(!store.stats().is_index_usable);
    }

    /// Appends an event to each of `streams`, which must have so many before.
    fn append(store: &Store, streams: impl Iterator<Item = u64>, count: u64) {
        let batch = streams.fold(Batch::new().durability(Durability::Buffered), |batch, n| {
            let event = NewEvent::text("t", "x");
            batch.append(format!("s-{n}"), Expected::Exact(count), [event])
        });
        store.append_batch(batch).unwrap();
    }

    /// Fails the index of `store`, and returns another that is about to join, and what it knows.
    fn replace_failed(store: &Store) -> (Arc<Index>, Option<LogEnd>) {
        fail_index(store);
        let opening = &store.inner.renewal.opening;
        let (index, mut end) = (Arc::new(opening.create().unwrap()), None);
        opening.catch_up_from(&index, &mut end).unwrap();
        opening.segments.hold(|_| opening.index.expect_another());
        (index, end)
    }

    fn wait_for_index(store: &Store) {
        let deadline = Instant::now() + LONG;
        while !store.stats().is_index_usable {
            assert!(Instant::now() < deadline, "there is none");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// It was gone until the store was opened again, and each new stream cost a scan of the whole log.
    #[test]
    fn an_index_that_fails_while_a_store_is_open_is_built_anew_beside_those_who_append() {
        const COUNT: u64 = 1_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let options = Options::new().checkpoint_event_count(5_000);
        let store = options.open(&path).unwrap();
        // Nearly all streams are forgotten, so that the index must be asked, and be right.
        *store.inner.ends.lock() = StreamEnds::of(16);
        for count in 0..4 {
            append(&store, 0..2 * COUNT, count);
        }
        fail_index(&store);
        thread::scope(|scope| {
            for writer in 0..2 {
                let store = &store;
                scope.spawn(move || {
                    for count in 4..12 {
                        for first in (writer * COUNT..(writer + 1) * COUNT).step_by(50) {
                            append(store, first..first + 50, count);
                        }
                    }
                });
            }
        });
        wait_for_index(&store);
        assert!(store.inner.renewal.opening.was_made.load(Ordering::Relaxed));
        append(&store, 0..2 * COUNT, 12);
        assert_eq!(store.read_stream("s-7").map(Result::unwrap).count(), 13);
        assert!(store.verify().unwrap().is_sound());
        store.close().unwrap();
        let store = options.open(&path).unwrap();
        assert_eq!(store.recovery().index, IndexRecovery::Current);
    }

    #[test]
    fn an_index_that_joins_lacks_nothing_that_was_published_meanwhile() {
        for is_caught_up in [true, false] {
            let place = IndexPlace::Memory(MemoryTree::default());
            let directory: Arc<dyn Directory> = Arc::new(SimulatedDirectory::new());
            let store = Options::new().open_in(directory, &place).unwrap();
            append(&store, 0..10, 0);
            let (index, mut end) = replace_failed(&store);
            let opening = &store.inner.renewal.opening;
            append(&store, 10..15, 0);
            append(&store, 5..15, 1);
            if is_caught_up {
                opening.catch_up_from(&index, &mut end).unwrap();
            }
            append(&store, 5..15, 2);
            append(&store, 15..20, 0);
            opening.segments.hold(|_| opening.index.join(index, end.unwrap().position));
            assert!(store.stats().is_index_usable);
            // Where streams end may be forgotten, of all that was visible.
            assert_eq!(store.inner.source.index().taken_end(), store.end());
            append(&store, 5..15, 3);
            append(&store, 15..20, 1);
            assert_eq!(store.read_stream("s-14").map(Result::unwrap).count(), 4);
            assert!(store.verify().unwrap().is_sound());
        }
    }
    /// What there is of an index was left as it is because the log cannot be read: another would be no
    /// better. And a store that is closed is not kept waiting.
    #[test]
    fn no_index_is_built_that_is_no_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Options::new().open(&path).unwrap();
        append(&store, 0..10, 0);
        let (opening, reason) = (&store.inner.renewal.opening, String::new());
        let reason = IndexTrouble::LogUnreadable { detail: reason };
        let found = OnceLock::from(IndexRecovery::Unavailable { reason });
        let renewal = Renewal::new(Arc::clone(opening), Arc::new(found));
        fail_index(&store);
        renewal.after_append();
        assert!(renewal.state.lock().thread.is_none());
        store.inner.renewal.stop();
        store.inner.renewal.after_append();
        assert!(store.inner.renewal.state.lock().thread.is_none());
        assert!(!path.join("index.broken").exists());
        store.inner.renewal.renew().unwrap_err();
        assert!(!store.stats().is_index_usable && path.join("index.broken").exists());
    }

    /// It went on, and all that was read stayed in memory.
    #[test]
    fn no_index_goes_on_being_built_of_a_log_that_cannot_be_synced() {
        let simulated = Arc::new(SimulatedDirectory::new());
        let options = Options::new().checkpoint_event_count(5);
        let place = IndexPlace::Memory(MemoryTree::default());
        let store = options.open_in(simulated.clone(), &place).unwrap();
        fail_index(&store);
        (0..20).for_each(|count| append(&store, 0..1_000, count));
        let opening = &store.inner.renewal.opening;
        let index = opening.create().unwrap();
        simulated.inject(Fault::next(Call::Sync, ErrorKind::Other).forever());
        let caught_up = opening.catch_up(&index, None);
        assert!(matches!(caught_up, Err(IndexTrouble::LogNotDurable)), "{caught_up:?}");
        assert!(index.indexed_end().unwrap().position.get() < 10_000);
    }
    /// A cursor asked the one that has failed, waited for the visible end, and took the silence of that
    /// one for the word of the other that there was no more.
    #[test]
    fn a_cursor_that_has_asked_an_index_does_not_go_by_the_word_of_another() {
        let place = IndexPlace::Memory(MemoryTree::default());
        let store = Options::new().open_in(Arc::new(SimulatedDirectory::new()), &place).unwrap();
        (0..20).for_each(|count| append(&store, 1..2, count));
        let mut cursor = store.read_stream("s-1").backwards();
        assert_eq!(cursor.by_ref().take(4).count(), 4);
        let (index, _) = replace_failed(&store);
        let opening = &store.inner.renewal.opening;
        let read = opening.segments.hold(|end| {
            let read = thread::spawn(move || cursor.next());
            thread::sleep(Duration::from_millis(50));
            assert!(opening.index.join(index, end.position));
            read
        });
        let event = read.join().unwrap().unwrap().unwrap();
        assert_eq!(event.revision().get(), 15);
    }

    #[test]
    fn what_is_kept_for_an_index_has_a_bound_and_it_does_not_join_without() {
        let place = IndexPlace::Memory(MemoryTree::default());
        let store = Options::new().open_in(Arc::new(SimulatedDirectory::new()), &place).unwrap();
        let (index, _) = replace_failed(&store);
        let opening = &store.inner.renewal.opening;
        (0..70).for_each(|count| append(&store, 0..1_000, count));
        let joined = |index| opening.segments.hold(|_| opening.index.join(index, Position::START));
        assert!(!joined(index) && !store.stats().is_index_usable);
        opening.renew().unwrap();
        assert!(store.stats().is_index_usable && store.verify().unwrap().is_sound());
    }

    #[test]
    fn what_was_built_of_an_index_when_a_store_is_closed_is_gone_on_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let cancelled: Arc<OnceLock<Arc<Opening>>> = Arc::default();
        let to_cancel = Arc::clone(&cancelled);
        let options =
            Options::new().checkpoint_event_count(2_000).on_index_progress(move |done, _| {
                let opening = to_cancel.get().filter(|_| done > 20_000);
                opening.inspect(|opening| opening.is_cancelled.store(true, Ordering::Relaxed));
            });
        let store = options.open(&path).unwrap();
        append(&store, 0..10, 0);
        let _ = cancelled.set(Arc::clone(&store.inner.renewal.opening));
        fail_index(&store);
        // None is begun by an append, but by hand.
        store.inner.renewal.state.lock().due_at = None;
        (0..30).for_each(|count| append(&store, 10..1_010, count));
        store.inner.renewal.renew().unwrap_err();
        store.close().unwrap();
        let found = options.open(&path).unwrap().recovery().index.clone();
        assert!(matches!(found, IndexRecovery::CaughtUp { .. }), "{found:?}");
    }

    #[test]
    fn an_index_that_cannot_be_built_over_and_over_is_built_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().open(dir.path().join("s")).unwrap();
        fail_index(&store);
        let renewal = &store.inner.renewal;
        renewal.opening.is_cancelled.store(true, Ordering::Relaxed);
        for n in 0..FAILED_COUNT_MAX {
            assert!(renewal.state.lock().due_at.is_some(), "after {n}");
            renewal.state.lock().due_at = Some(Instant::now());
            renewal.after_append();
            let thread = renewal.state.lock().thread.take();
            thread.unwrap().join().unwrap();
        }
        assert!(renewal.state.lock().due_at.is_none());
    }
}
