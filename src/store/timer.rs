//! Syncing by the clock what was appended without a sync.
//!
//! Owns the thread that does it: maintenance may be at something that takes long when it is time to.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::sync::{Condvar, Mutex};

/// Syncs what was appended without, an interval after the first of it.
pub(super) struct SyncTimer {
    log: Arc<Log>,
    told: Arc<Told>,
    /// The thread, until it is stopped; none if whoever has appended syncs.
    thread: Mutex<Option<JoinHandle<()>>>,
    has_thread: bool,
}

/// What the thread is told.
#[derive(Default)]
struct Told {
    state: Mutex<State>,
    wanted: Condvar,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    /// When the first event was appended that may have no sync.
    wanted_since: Option<Instant>,
    is_stopping: bool,
}

impl SyncTimer {
    /// Syncs at once, by whoever has appended.
    pub(super) fn inline(log: Arc<Log>) -> Self {
        Self { log, told: Arc::default(), thread: Mutex::default(), has_thread: false }
    }

    /// Syncs an `interval` later, on a thread if one can be had, and calls `synced` then.
    pub(super) fn on_thread(
        log: Arc<Log>,
        interval: Duration,
        synced: impl Fn() + Send + 'static,
    ) -> Self {
        let timer = Self::inline(log);
        let (log, told) = (Arc::clone(&timer.log), Arc::clone(&timer.told));
        let work = move || {
            while told.wait(interval) {
                // A failure is kept with the log, and a panic is a bug that harms nobody here.
                let _ = catch_unwind(AssertUnwindSafe(|| log.sync_behind().map(|()| synced())));
            }
        };
        let thread = Builder::new().name("annals-sync".to_owned()).spawn(work).ok();
        let has_thread = thread.is_some();
        Self { thread: Mutex::new(thread), has_thread, ..timer }
    }

    /// Is called after an append.
    pub(super) fn after_append(&self) {
        if self.log.unsynced_len() == 0 {
            return;
        }
        if !self.has_thread {
            let _ = self.log.sync_behind();
            return;
        }
        let mut state = self.told.state.lock();
        if state.wanted_since.is_none() {
            state.wanted_since = Some(Instant::now());
            self.told.wanted.notify_one();
        }
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.told.state.lock().is_stopping = true;
        self.told.wanted.notify_one();
        self.told.stopped.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // Its panics were caught.
            let _ = thread.join();
        }
    }
}

impl Told {
    /// Waits until something was appended, and then for `interval`; `false` if it is to stop.
    fn wait(&self, interval: Duration) -> bool {
        let mut state = self.state.lock();
        while !state.is_stopping {
            let Some(since) = state.wanted_since else {
                self.wanted.wait(&mut state);
                continue;
            };
            let left = interval.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            // What is appended meanwhile wakes nobody.
            let _ = self.stopped.wait_for(&mut state, left);
        }
        state.wanted_since = None;
        !state.is_stopping
    }
}

impl fmt::Debug for SyncTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncTimer").field("has_thread", &self.has_thread).finish_non_exhaustive()
    }
}
