//! Maintenance: what has to be done and what nobody who appends or reads should wait for.
//!
//! Owns when it is done, and by whom: syncing what was appended without, noting how far the log is
//! durable, taking into the index what it was handed, its checkpoints, sealing full segments, merging
//! runs of the index. A store on a disk has a thread for it. Where everything must happen in the same
//! order each time, or where no thread can be had, whoever has appended does it.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cursor::LaterIndex;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::log::Log;
use crate::store::catch_up::{Unwitnessed, bear_witness, write_frozen};
use crate::store::syncer::{Syncer, UNSYNCED_LEN_MAX};
use crate::store::timer::SyncTimer;
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering, RwLock};

/// How often it is noted how far the log is durable, while that moves.
const NOTE_INTERVAL: Duration = Duration::from_millis(10);
/// When that is tried again if it has failed.
const NOTE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What maintenance works on.
pub(super) struct Tasks {
    pub(super) log: Arc<Log>,
    pub(super) index: Arc<LaterIndex>,
    /// How long events that were appended without a sync may stay so.
    pub(super) sync_interval: Option<Duration>,
    /// Whether the log was found as a clean close leaves it.
    pub(super) was_closed: bool,
    /// Who syncs meanwhile, where there are threads.
    pub(super) syncer: Option<Syncer>,
}

impl Tasks {
    /// The index, which is open by the time there is something to do.
    fn index(&self) -> &Index {
        self.index.wait()
    }

    /// Whether there is something to do at once.
    fn are_due(&self) -> bool {
        self.index().is_intake_due()
            || self.index().is_checkpoint_due()
            || self.log.is_seal_due()
            || self.is_sync_due()
    }

    /// Whether so much was appended without a sync that it is time for one.
    fn is_much_unsynced(&self) -> bool {
        self.log.unsynced_len() >= UNSYNCED_LEN_MAX
    }

    /// Whether it is, and nobody else sees to it.
    fn is_sync_due(&self) -> bool {
        self.is_much_unsynced() && self.syncer.as_ref().is_none_or(Syncer::is_missing)
    }

    /// Does what is most urgent, and says whether there may be more to do. What fails is kept with
    /// what it has failed for: a log that cannot be synced takes no more appends, and an index that
    /// cannot be written answers nothing any more.
    fn step(&self) -> bool {
        self.index().take_in();
        let is_due = self.index().is_checkpoint_due();
        let is_held_back = is_due && self.index().owes_tidying();
        if is_due && !is_held_back && self.checkpoint().is_ok() {
            return true;
        }
        if self.is_sync_due() && self.log.sync_behind().is_ok() {
            return true;
        }
        if self.log.seal() {
            return true;
        }
        // What was held back is due then, if there is nothing more to tidy.
        self.index().tidy().is_ok_and(|has_more| has_more || is_held_back)
    }

    /// Hands to the index's tree what is in memory. The log is synced meanwhile, if there is someone to
    /// do it.
    ///
    /// # Errors
    ///
    /// If what it names cannot be made durable. A failure of the index is kept with it.
    pub(super) fn checkpoint(&self) -> Result<()> {
        let index = self.index();
        let Some(end) = index.freeze().map(|end| end.position) else { return Ok(()) };
        if !self.log.may_reach(end) {
            return Err(Error::Poisoned);
        }
        let log = Arc::clone(&self.log);
        let begun =
            self.syncer.as_ref().and_then(|syncer| syncer.begin(move || bear_witness(&log, end)));
        write_frozen(index, end, |end| match begun {
            Some(begun) => {
                begun.wait_for_ever().unwrap_or(Err(Unwitnessed::NotDurable(Error::Poisoned)))
            }
            None => bear_witness(&self.log, end),
        })
    }
}

/// What the thread is told, and tells.
#[derive(Default)]
struct Signals {
    /// Whether there is something to do.
    is_wanted: Mutex<bool>,
    wanted: Condvar,
    /// Told after each step.
    relieved: Condvar,
    is_stopping: AtomicBool,
    /// Whether the thread looks by itself, before long, how far the log is durable.
    is_noting: AtomicBool,
    /// Whether the thread has ended, and others must do what there is to do.
    has_ended: AtomicBool,
}

impl Signals {
    fn wake(&self) {
        let mut is_wanted = self.is_wanted.lock();
        if !*is_wanted {
            *is_wanted = true;
            self.wanted.notify_one();
        }
    }

    /// Waits until there is something to do, or for as long as `time` is.
    fn wait(&self, time: Option<Duration>) {
        let mut is_wanted = self.is_wanted.lock();
        if !*is_wanted {
            match time {
                Some(time) => _ = self.wanted.wait_for(&mut is_wanted, time),
                None => self.wanted.wait(&mut is_wanted),
            }
        }
        *is_wanted = false;
    }

    /// Tells those who wait for a step that one is done.
    fn relieve(&self) {
        // Who waits has looked under this lock, so that no word is missed.
        let _is_wanted = self.is_wanted.lock();
        self.relieved.notify_all();
    }

    /// Waits, step by step, for as long as `is_behind` says and the thread is there.
    fn wait_while(&self, is_behind: impl Fn() -> bool) {
        let mut is_wanted = self.is_wanted.lock();
        while is_behind() && !self.has_ended.load(Ordering::Acquire) {
            self.relieved.wait(&mut is_wanted);
        }
    }
}

/// Does what there is to do, on a thread or on those of others.
pub(super) struct Maintenance {
    tasks: Arc<Tasks>,
    signals: Arc<Signals>,
    /// Where events that were appended without a sync may stay so for some time only.
    timer: Option<SyncTimer>,
    /// The thread, until it is stopped.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held by the one who does it, where there is no thread.
    working: Mutex<()>,
    /// Whether there is nothing to do any more, and the directory may be another's. Held for reading while
    /// something is done for one who has appended or synced: also by one within the other, for what is told
    /// of it is told to code of others.
    has_finished: RwLock<bool>,
}

impl Maintenance {
    /// Maintenance by whoever has appended.
    pub(super) fn inline(tasks: Tasks) -> Self {
        let signals = Signals { has_ended: AtomicBool::new(true), ..Signals::default() };
        let timer = tasks.sync_interval.map(|_| SyncTimer::inline(Arc::clone(&tasks.log)));
        Self {
            tasks: Arc::new(tasks),
            signals: Arc::new(signals),
            timer,
            thread: Mutex::new(None),
            working: Mutex::new(()),
            has_finished: RwLock::new(false),
        }
    }

    /// Maintenance by a thread of its own.
    pub(super) fn on_thread(tasks: Tasks) -> Self {
        let mut maintenance = Self::inline(Tasks { syncer: Some(Syncer::default()), ..tasks });
        if let Some(interval) = maintenance.tasks.sync_interval {
            let (tasks, signals) =
                (Arc::clone(&maintenance.tasks), Arc::clone(&maintenance.signals));
            let log = Arc::clone(&tasks.log);
            let synced = move || after_sync(&tasks, &signals);
            maintenance.timer = Some(SyncTimer::on_thread(log, interval, synced));
        }
        // It can be done without, only not as well.
        if let Ok(thread) = maintenance.start() {
            *maintenance.thread.lock() = Some(thread);
            // What recovery has left to be sealed costs a scan until it is, and what it has made durable
            // other processes do not see before it is noted.
            let Tasks { log, was_closed, .. } = &*maintenance.tasks;
            if log.is_seal_due() || (!was_closed && log.is_note_due()) {
                maintenance.signals.wake();
            }
        }
        maintenance
    }

    fn start(&self) -> io::Result<JoinHandle<()>> {
        let (tasks, signals) = (Arc::clone(&self.tasks), Arc::clone(&self.signals));
        signals.has_ended.store(false, Ordering::Release);
        let work = move || {
            // After a panic others do it: it is a bug, and may be of one task alone.
            let _ = catch_unwind(AssertUnwindSafe(|| run(&tasks, &signals)));
            signals.is_noting.store(false, Ordering::Release);
            signals.has_ended.store(true, Ordering::Release);
            signals.relieve();
        };
        let started = thread::Builder::new().name("annals-maintenance".to_owned()).spawn(work);
        started.inspect_err(|_| self.signals.has_ended.store(true, Ordering::Release))
    }

    /// Is called after a sync, and returns at once.
    pub(super) fn after_sync(&self) {
        let has_finished = self.has_finished.read_recursive();
        if !*has_finished {
            after_sync(&self.tasks, &self.signals);
        }
    }

    /// Whether the thread must be told that there is something to note.
    fn is_note_due(&self) -> bool {
        is_note_due(&self.tasks, &self.signals)
    }

    /// Is called after an append, and returns at once unless memory would grow. Who comes so late that the
    /// store was closed meanwhile does nothing.
    pub(super) fn after_append(&self) {
        let has_finished = self.has_finished.read_recursive();
        if *has_finished {
            return;
        }
        if let Some(timer) = &self.timer {
            timer.after_append();
        }
        if self.tasks.is_much_unsynced() {
            sync_beside(&self.tasks, &self.signals);
        }
        if !self.is_note_due() && !self.tasks.are_due() {
            return;
        }
        if self.tasks.index().is_overfull() {
            self.tasks.index().take_in();
        }
        if self.signals.has_ended.load(Ordering::Acquire) {
            self.work();
            return;
        }
        self.signals.wake();
        if self.tasks.index().is_behind() {
            // After a sync that failed there are no more checkpoints, and no more appends either.
            let is_behind = || self.tasks.index().is_behind() && self.tasks.log.takes_appends();
            self.signals.wait_while(is_behind);
        }
    }

    /// Does what there is to do, unless someone is at it and memory does not grow meanwhile.
    fn work(&self) {
        let _working = match self.working.try_lock() {
            Some(working) => working,
            None if self.tasks.index().is_behind() => self.working.lock(),
            None => return,
        };
        // A panic is nothing to who has appended: its events are where they should be. It is tried again
        // after the next append, as the thread leaves it to others.
        let goes_on = || !self.signals.is_stopping.load(Ordering::Acquire) && self.tasks.step();
        let _ = catch_unwind(AssertUnwindSafe(|| while goes_on() {}));
        after_sync(&self.tasks, &self.signals);
    }

    /// Ends it, after the step that is being done.
    pub(super) fn stop(&self) {
        self.signals.is_stopping.store(true, Ordering::Release);
        self.signals.wake();
        if let Some(thread) = self.thread.lock().take() {
            // Its panics were caught.
            let _ = thread.join();
        }
        // The last to go: that step may have been a long one.
        if let Some(timer) = &self.timer {
            timer.stop();
        }
        if let Some(syncer) = &self.tasks.syncer {
            syncer.stop();
        }
    }

    /// Writes the last checkpoint, after what is still being done for those who have appended; for others
    /// nothing is done any more.
    pub(super) fn finish(&self) {
        // Who comes from now on has nothing to wait for.
        *self.has_finished.write() = true;
        // What is not written here is indexed again when the store is next opened.
        let _ = self.tasks.checkpoint();
    }
}

impl fmt::Debug for Maintenance {
    /// Not what it works on, which says of itself what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maintenance").finish_non_exhaustive()
    }
}

/// When the thread notes how far the log is durable: at once if that begins to move, and then now
/// and then until it moves no more.
#[derive(Default)]
struct Noting {
    /// When to look again; `None` if whoever appends will say.
    due_at: Option<Instant>,
}

impl Noting {
    /// Notes how far the log is durable if it is time to, and returns after what time it is again.
    fn step(&mut self, log: &Log, signals: &Signals) -> Option<Duration> {
        let now = Instant::now();
        let left = self.due_at.map(|at| at.saturating_duration_since(now));
        if left.is_some_and(|left| !left.is_zero()) {
            return left;
        }
        let next = log.is_note_due().then(|| match log.note() {
            Ok(()) => NOTE_INTERVAL,
            Err(_) => NOTE_RETRY_INTERVAL,
        });
        self.due_at = next.map(|time| now + time);
        signals.is_noting.store(next.is_some(), Ordering::SeqCst);
        // Who appended just before that has not said so.
        next.or_else(|| log.is_note_due().then_some(Duration::ZERO))
    }
}

/// Whether the thread must be told that there is something to note.
fn is_note_due(tasks: &Tasks, signals: &Signals) -> bool {
    tasks.log.is_note_due() && !signals.is_noting.load(Ordering::SeqCst)
}

/// Sees to it that it is noted how far the log is durable.
fn after_sync(tasks: &Tasks, signals: &Signals) {
    if !is_note_due(tasks, signals) {
        return;
    }
    if signals.has_ended.load(Ordering::Acquire) {
        // It is tried again after the next append, whose caller a panic is nothing to, either.
        let _ = catch_unwind(AssertUnwindSafe(|| tasks.log.note()));
    } else {
        signals.wake();
    }
}

/// Has synced what was appended, by the one who does that beside maintenance, until little is not.
fn sync_beside(tasks: &Arc<Tasks>, signals: &Arc<Signals>) {
    let Some(syncer) = &tasks.syncer else { return };
    let (beside, signals) = (Arc::clone(tasks), Arc::clone(signals));
    syncer.sync_behind(Arc::clone(&tasks.log), move || {
        after_sync(&beside, &signals);
        // Who has appended meanwhile was told that it is being done.
        if beside.is_much_unsynced() {
            sync_beside(&beside, &signals);
        }
    });
}

fn run(tasks: &Tasks, signals: &Signals) {
    // A store that is only read is left as it is.
    signals.wait(None);
    let mut noting = Noting::default();
    while !signals.is_stopping.load(Ordering::Acquire) {
        let has_more = tasks.step();
        let until_note = noting.step(&tasks.log, signals);
        signals.relieve();
        if !has_more {
            signals.wait(until_note);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::directory::{Directory, SimulatedDirectory};
    use crate::index::{IndexFault, IndexOptions, MemoryTree};
    use crate::options::Options;
    use crate::simulation::{Call, Fault};
    use crate::store::{IndexPlace, Store};
    use crate::types::{
        Address, Entries, Entry, LogEnd, NameHasher, Position, Revision, Timestamp,
    };

    #[test]
    fn what_was_sealed_long_ago_is_let_go_of_and_read_all_the_same() {
        let disk = Arc::new(SimulatedDirectory::new());
        let options = Options::new().segment_len_max(4 << 10).page_cache_len(8 << 10);
        let directory: Arc<dyn Directory> = disk.clone();
        let store = options.open_in(directory, &IndexPlace::Memory(MemoryTree::default())).unwrap();
        let payload = "x".repeat(1_000);
        for n in 0..30 {
            let event = crate::NewEvent::text("t", format!("{n} {payload}"));
            store.append("a", crate::Expected::Exact(n), [event]).unwrap();
        }
        let all = disk.list("log").unwrap().len();
        let let_go = disk.names_let_go();
        // The one that is filled, and two that are full, but for what each lacks of its most.
        assert!(let_go.len() + 4 >= all && let_go.len() + 3 <= all, "{} of {all}", let_go.len());
        let texts = store.read_all().map(|event| event.unwrap().payload().to_vec());
        let texts: Vec<_> = texts.map(|text| String::from_utf8(text).unwrap()).collect();
        let expected: Vec<_> = (0..30).map(|n| format!("{n} {payload}")).collect();
        assert_eq!(texts, expected);
        store.verify().unwrap();
    }

    /// What there is to index of event `n` of a stream that has all of them.
    fn entry(store: &Store, n: u64) -> Entry {
        Entry {
            hash: NameHasher::of(store.id()).hash("a"),
            revision: Revision::new(n),
            position: Position::new(n),
            recorded_at: Timestamp::from_nanos(7),
            address: Address { segment: Position::START, offset: 64 + 80 * n },
        }
    }

    /// They were told only when the store was closed, though their events were written.
    #[test]
    fn nobody_waits_for_a_checkpoint_that_a_failed_sync_has_ended() {
        let disk = Arc::new(SimulatedDirectory::new());
        let options = Options::new().checkpoint_event_count(4);
        let place = IndexPlace::Memory(MemoryTree::default());
        let directory: Arc<dyn Directory> = disk.clone();
        let store = options.open_in(directory, &place).unwrap();
        let index = Arc::clone(store.inner.source.index());
        let add = |from: u64| {
            let mut entries = Entries::default();
            for n in from..from + 4 {
                entries.push("a", entry(&store, n));
            }
            let end = LogEnd { position: Position::new(from + 4), ..LogEnd::start(0, 64) };
            index.add(&entries, end);
        };
        add(0);
        index.freeze().unwrap();
        add(4);
        assert!(index.is_behind());
        disk.inject(Fault::next(Call::Sync, ErrorKind::Other).forever());
        let event = crate::NewEvent::text("t", "x");
        store.append("a", crate::Expected::Any, [event]).unwrap_err();
        let (log, later) = (Arc::clone(&store.inner.log), Arc::new(LaterIndex::from(index)));
        let tasks =
            Tasks { log, index: later, sync_interval: None, was_closed: true, syncer: None };
        let maintenance = Arc::new(Maintenance::on_thread(tasks));
        let (done, returned) = channel();
        let waiting = Arc::clone(&maintenance);
        thread::spawn(move || {
            waiting.after_append();
            let _ = done.send(());
        });
        returned.recv_timeout(Duration::from_secs(30)).expect("it waits for ever");
        maintenance.stop();
    }

    const INDEX_OPTIONS: IndexOptions = IndexOptions {
        checkpoint_event_count: 40,
        mark_interval_len: 4_096,
        cache_len_max: 1 << 20,
    };

    /// A store, and what there is to do for its log and an index of which a checkpoint is due and must
    /// wait for merges.
    fn crowded() -> (Store, Tasks) {
        let place = IndexPlace::Memory(MemoryTree::default());
        let options = Options::new().durability(crate::Durability::Buffered);
        let store = options.open_in(Arc::new(SimulatedDirectory::new()), &place).unwrap();
        let tree = Box::new(MemoryTree::default());
        let (index, _) = Index::open(tree, store.id(), INDEX_OPTIONS).unwrap();
        for n in 0..64 + 40 {
            let event = crate::NewEvent::text("t", "x");
            store.append("a", crate::Expected::Any, [event]).unwrap();
            let mut entries = Entries::default();
            entries.push("a", entry(&store, n));
            index.add(&entries, LogEnd { position: Position::new(n + 1), ..LogEnd::start(0, 64) });
            if n < 64 {
                index.freeze().unwrap();
                index.write_frozen(|| Ok(true)).unwrap();
            }
        }
        index.take_in();
        assert!(index.is_behind());
        let (log, index) = (Arc::clone(&store.inner.log), LaterIndex::from(Arc::new(index)));
        let index = Arc::new(index);
        (store, Tasks { log, index, sync_interval: None, was_closed: true, syncer: None })
    }

    /// Whoever syncs, and whenever that is done.
    #[test]
    fn no_checkpoint_counts_of_what_could_not_be_made_durable() {
        for (has_syncer, fails) in [(false, false), (true, false), (false, true), (true, true)] {
            let disk = Arc::new(SimulatedDirectory::new());
            let options = Options::new().durability(crate::Durability::Buffered);
            let directory: Arc<dyn Directory> = disk.clone();
            let place = IndexPlace::Memory(MemoryTree::default());
            let store = options.open_in(directory, &place).unwrap();
            let tree = MemoryTree::default();
            let open = || Index::open(Box::new(tree.clone()), store.id(), INDEX_OPTIONS).unwrap();
            let index = Arc::new(LaterIndex::from(Arc::new(open().0)));
            let syncer = has_syncer.then(Syncer::default);
            let log = Arc::clone(&store.inner.log);
            let tasks = Tasks { log, index, sync_interval: None, was_closed: true, syncer };
            let ends =
                [1, 2].map(|n| LogEnd { position: Position::new(n), ..LogEnd::start(0, 64) });
            for (n, end) in (0..).zip(ends) {
                let event = crate::NewEvent::text("t", "x");
                store.append("a", crate::Expected::Any, [event]).unwrap();
                let mut entries = Entries::default();
                entries.push("a", entry(&store, n));
                tasks.index().add(&entries, end);
                if n == 1 && fails {
                    disk.inject(Fault::next(Call::Sync, ErrorKind::Other).forever());
                }
                for _ in 0..2 {
                    assert_eq!(tasks.checkpoint().is_err(), n == 1 && fails);
                }
            }
            assert_eq!(tasks.log.durable_end() < ends[1].position, fails);
            assert_eq!(open().1, Some(if fails { ends[0] } else { ends[1] }));
            // What is in memory answers on.
            assert_eq!(tasks.index().stream_end("a").unwrap(), Revision::new(2));
        }
    }

    /// Who had appended, and was held up, noted how far the log is durable in a directory that another process
    /// may have opened by then.
    #[test]
    fn who_comes_late_leaves_a_closed_store_as_it_is() {
        let disk = Arc::new(SimulatedDirectory::new());
        let directory: Arc<dyn Directory> = disk.clone();
        let place = IndexPlace::Memory(MemoryTree::default());
        let store = Options::new().open_in(directory, &place).unwrap();
        let inner = &store.inner;
        let event = || crate::NewEvent::text("t", "x");
        store.append("a", crate::Expected::Any, [event()]).unwrap();
        let batch = crate::Batch::new().append("a", crate::Expected::Any, [event()]);
        let len = inner.check(&batch, None).unwrap();
        let sync = crate::Durability::Sync;
        inner.log.append(len, sync, |assign| inner.assign(&batch, None, assign)).unwrap();
        // One that works would have the last checkpoint note it, and leave nothing to note.
        inner.source.index().mark_broken(IndexFault::Damaged { what: "as a test says" });
        store.close().unwrap();
        assert!(inner.log.is_note_due());
        let calls = disk.call_count();
        inner.maintenance.after_append();
        inner.maintenance.after_sync();
        assert_eq!(disk.call_count(), calls);
    }

    #[test]
    fn a_store_is_closed_after_what_is_done_for_who_has_appended() {
        let (_store, tasks) = crowded();
        let maintenance = Maintenance::inline(tasks);
        let (done, finished) = channel();
        thread::scope(|scope| {
            // One who has appended waits for another who does the same.
            let working = maintenance.working.lock();
            let late = scope.spawn(|| maintenance.after_append());
            let deadline = Instant::now() + Duration::from_secs(30);
            while maintenance.has_finished.try_write().is_some() {
                assert!(Instant::now() < deadline, "nobody waits for it");
                thread::yield_now();
            }
            let maintenance = &maintenance;
            scope.spawn(move || {
                maintenance.finish();
                let _ = done.send(());
            });
            assert!(finished.recv_timeout(Duration::from_millis(50)).is_err());
            drop(working);
            late.join().unwrap();
            finished.recv_timeout(Duration::from_secs(30)).expect("it waits for ever");
        });
    }

    /// It did all that there was to do before the store was closed: merges of very many streams, for seconds.
    #[test]
    fn who_has_appended_does_no_more_once_maintenance_is_stopped() {
        let (_store, tasks) = crowded();
        let maintenance = Maintenance::inline(tasks);
        maintenance.stop();
        maintenance.after_append();
        assert!(maintenance.tasks.index().is_checkpoint_due());
    }

    #[test]
    fn a_checkpoint_is_made_after_the_merges_that_it_waits_for() {
        let (_store, tasks) = crowded();
        for _ in 0..10 {
            assert!(tasks.step());
            assert!(tasks.index().is_checkpoint_due());
        }
        while tasks.step() {}
        assert!(!tasks.index().is_checkpoint_due() && !tasks.index().owes_tidying());
    }

    #[test]
    fn who_waits_for_merges_is_told() {
        let (_store, tasks) = crowded();
        let maintenance = Maintenance::on_thread(tasks);
        maintenance.after_append();
        assert!(!maintenance.tasks.index().is_behind());
        maintenance.stop();
    }

    /// It waited for whatever maintenance was at: the index, for seconds.
    #[test]
    fn a_sync_by_the_clock_waits_for_nothing_that_maintenance_is_at() {
        let place = IndexPlace::Memory(MemoryTree::default());
        let options = Options::new().durability(crate::Durability::Buffered);
        let store = options.open_in(Arc::new(SimulatedDirectory::new()), &place).unwrap();
        let event = crate::NewEvent::text("t", "x");
        store.append("a", crate::Expected::Any, [event]).unwrap();
        let (log, index) = (Arc::clone(&store.inner.log), Arc::new(LaterIndex::default()));
        let sync_interval = Some(Duration::from_millis(5));
        let tasks = Tasks {
            log: Arc::clone(&log),
            index: Arc::clone(&index),
            sync_interval,
            was_closed: true,
            syncer: None,
        };
        let maintenance = Maintenance::on_thread(tasks);
        thread::scope(|scope| {
            // Waits for the index, as the thread does.
            scope.spawn(|| maintenance.after_append());
            let deadline = Instant::now() + Duration::from_secs(30);
            while log.durable_end() != store.end() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            let durable_end = log.durable_end();
            index.fill(Arc::clone(store.inner.source.index()));
            assert_eq!(durable_end, store.end());
        });
        maintenance.stop();
    }
}
