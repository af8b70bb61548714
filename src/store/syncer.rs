//! Syncing the log beside maintenance, which has an index to write meanwhile.
//!
//! Owns the thread that does it, which is there from when it is first needed. Knows nothing of what it is
//! needed for.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::log::Log;
use crate::sync::{AtomicBool, Begun, Ordering, Worker};

/// A thread that syncs, once there is something to sync.
#[derive(Default)]
pub(super) struct Syncer {
    worker: OnceLock<Option<Worker>>,
    /// Whether it syncs what was appended, or is about to.
    is_behind: Arc<AtomicBool>,
}

impl Syncer {
    /// Has `call` made by the thread; `None` if none can be had.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Begun<T>> {
        let start = || Worker::start("annals-syncer").ok();
        self.worker.get_or_init(start).as_ref()?.begin(call)
    }

    /// Has synced what was appended, and then calls `synced`, unless that is under way. A failure is kept
    /// with the log. If no thread can be had, it is synced here.
    pub(super) fn sync_behind(&self, log: &Arc<Log>, synced: impl FnOnce() + Send + 'static) {
        if self.is_behind.swap(true, Ordering::AcqRel) {
            return;
        }
        let (beside, is_behind) = (Arc::clone(log), Arc::clone(&self.is_behind));
        let sync = move || {
            let outcome = beside.sync_behind();
            is_behind.store(false, Ordering::Release);
            if outcome.is_ok() {
                synced();
            }
        };
        if self.begin(sync).is_none() {
            let _: Result<()> = log.sync_behind();
            self.is_behind.store(false, Ordering::Release);
        }
    }

    /// Waits until what was begun has ended.
    pub(super) fn stop(&self) {
        if let Some(worker) = self.worker.get().and_then(Option::as_ref) {
            let _ = worker.begin(|| ()).and_then(Begun::wait_for_ever);
        }
    }
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").finish_non_exhaustive()
    }
}
