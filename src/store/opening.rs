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
use crate::index::IndexFault;
use crate::log::Segments;
use crate::options::Options;
use crate::report::{IndexRecovery, RecoveryReport};
use crate::store::open_index::{IndexPlace, Opened, trouble};
use crate::sync::Mutex;

/// What is needed to open the index of a log that was recovered.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) options: Options,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) place: IndexPlace,
    pub(super) segments: Arc<Segments>,
    /// Whether all of the log is durable.
    pub(super) is_durable: bool,
}

/// An index that is being opened, or is open.
#[derive(Debug)]
pub(super) struct OpeningIndex {
    pub(super) index: Arc<LaterIndex>,
    /// What had to be done. There before the index is.
    found: Arc<OnceLock<IndexRecovery>>,
    /// The thread that opens it, until it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What was found of the log, and then of the index as well.
    report: OnceLock<RecoveryReport>,
}

impl Opening {
    /// Makes an index that knows the whole log of one that was opened.
    pub(super) fn finish(self, opened: Opened) -> OpeningIndex {
        let opening = OpeningIndex::new();
        self.open(opened, &opening.index, &opening.found);
        opening
    }

    /// Opens the index, on a thread if one can be had.
    pub(super) fn begin(self) -> OpeningIndex {
        let opening = OpeningIndex::new();
        if !self.place.may_have_threads() {
            self.open_guarded(&opening.index, &opening.found);
            return opening;
        }
        let this = Arc::new(self);
        let work = {
            let (this, index, found) =
                (Arc::clone(&this), Arc::clone(&opening.index), Arc::clone(&opening.found));
            move || this.open_guarded(&index, &found)
        };
        match thread::Builder::new().name("annals-index".to_owned()).spawn(work) {
            Ok(thread) => *opening.thread.lock() = Some(thread),
            Err(_) => this.open_guarded(&opening.index, &opening.found),
        }
        opening
    }

    /// Opens the index. One that panics meanwhile cannot be used.
    fn open_guarded(&self, index: &LaterIndex, found: &OnceLock<IndexRecovery>) {
        let open = || {
            let store = self.segments.store();
            let opened = self.options.open_index(&*self.directory, &self.place, store);
            self.open(opened, index, found);
        };
        if catch_unwind(AssertUnwindSafe(open)).is_err() {
            let reason = trouble(&IndexFault::Panicked);
            let _ = found.set(IndexRecovery::Unavailable { reason });
            index.fill(Arc::new(self.options.no_index(self.segments.store())));
        }
    }

    fn open(&self, opened: Opened, index: &LaterIndex, found: &OnceLock<IndexRecovery>) {
        let (opened, recovery) = if self.is_durable {
            self.options.bring_up(&*self.directory, &self.place, &self.segments, opened)
        } else {
            self.options.leave_alone(&self.segments, opened)
        };
        let _ = found.set(recovery);
        index.fill(Arc::new(opened));
    }
}

impl OpeningIndex {
    fn new() -> Self {
        Self {
            index: Arc::default(),
            found: Arc::default(),
            thread: Mutex::new(None),
            report: OnceLock::new(),
        }
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
