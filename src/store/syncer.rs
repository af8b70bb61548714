//! Syncing the log beside maintenance, which has an index to write meanwhile.
//!
//! Owns the thread that does it, which is there from when it is first needed until it is stopped, and how
//! much may be appended without a sync. Knows nothing of the index.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::log::Log;
use crate::sync::{AtomicBool, Begun, Mutex, Ordering, Worker};

/// Bytes appended without a sync that make one due. They would be synced in any case, by the next
/// checkpoint; so the disk works while others append.
pub(super) const UNSYNCED_LEN_MAX: u64 = 16 << 20;

/// Whether there is a thread.
#[derive(Default)]
enum Thread {
    #[default]
    NotYet,
    There(Worker),
    Stopped,
}

/// A thread that syncs, once there is something to sync.
#[derive(Default)]
pub(super) struct Syncer {
    thread: Mutex<Thread>,
    /// Whether it syncs what was appended, or is about to.
    is_behind: Arc<AtomicBool>,
    /// Whether no thread could be had the last time, and others must sync.
    is_missing: AtomicBool,
}

impl Syncer {
    /// Has `call` made by the thread; `None` if none can be had now, or it was stopped.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Begun<T>> {
        let mut thread = self.thread.lock();
        if matches!(*thread, Thread::NotYet) {
            *thread = Thread::There(Worker::start("annals-syncer").ok()?);
        }
        let Thread::There(worker) = &*thread else { return None };
        worker.begin(call)
    }

    /// Whether it cannot sync what was appended.
    pub(super) fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Acquire)
    }

    /// Has synced what was appended, and then calls `synced`, unless that is under way. A failure is kept
    /// with the log. What is begun meanwhile comes before the next sync.
    pub(super) fn sync_behind(&self, log: Arc<Log>, synced: impl FnOnce() + Send + 'static) {
        if self.is_behind.swap(true, Ordering::SeqCst) {
            return;
        }
        let is_behind = Arc::clone(&self.is_behind);
        let sync = move || {
            // A panic is a bug that harms nobody here.
            let outcome = catch_unwind(AssertUnwindSafe(|| log.sync_behind()));
            is_behind.store(false, Ordering::SeqCst);
            if matches!(outcome, Ok(Ok(()))) {
                synced();
            }
        };
        let begun = self.begin(sync);
        if begun.is_none() {
            self.is_behind.store(false, Ordering::SeqCst);
        }
        self.is_missing.store(begun.is_none(), Ordering::Release);
    }

    /// Waits until what was begun has ended. Nothing is begun any more.
    pub(super) fn stop(&self) {
        let thread = std::mem::replace(&mut *self.thread.lock(), Thread::Stopped);
        if let Thread::There(worker) = thread {
            let _ = worker.begin(|| ()).and_then(Begun::wait_for_ever);
        }
    }
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::options::Options;
    use crate::{Durability, Expected, NewEvent};

    #[test]
    fn soon_after_a_load_little_is_unsynced_and_nobody_asks_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().durability(Durability::Buffered).open(dir.path()).unwrap();
        let event = || NewEvent::bytes("t", vec![7; 1 << 20]);
        (0..80).for_each(|_| _ = store.append("a", Expected::Any, [event()]).unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while store.inner.log.unsynced_len() >= UNSYNCED_LEN_MAX {
            assert!(Instant::now() < deadline, "{} are unsynced", store.inner.log.unsynced_len());
            thread::sleep(Duration::from_millis(1));
        }
        store.close().unwrap();
    }

    #[test]
    fn nothing_is_begun_once_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().durability(Durability::Buffered).open(dir.path()).unwrap();
        store.append("a", Expected::Any, [NewEvent::text("t", "x")]).unwrap();
        let (syncer, log) = (Syncer::default(), Arc::clone(&store.inner.log));
        assert_eq!(syncer.begin(|| 1).and_then(Begun::wait_for_ever), Some(1));
        let (told, word) = std::sync::mpsc::channel();
        syncer.sync_behind(Arc::clone(&log), move || _ = told.send(()));
        syncer.stop();
        assert!(word.recv().is_ok(), "it has waited for what was begun");
        assert_eq!(log.durable_end(), store.end());
        assert!(syncer.begin(|| 1).is_none());
        assert!(!syncer.is_missing());
        syncer.sync_behind(log, || unreachable!());
        assert!(syncer.is_missing());
    }
}
