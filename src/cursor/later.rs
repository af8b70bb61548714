//! An index that may still be being opened, and those that have taken its place.
//!
//! Owns who waits for it, and who does not; and that one which takes the place of another lacks
//! nothing that was published meanwhile.

use std::iter::successors;
use std::sync::{Arc, OnceLock};

use crate::index::Index;
use crate::sync::Mutex;
use crate::types::{Entries, LogEnd, Position};

/// The most events that are kept for an index that is about to join.
const BACKLOG_COUNT_MAX: usize = 64 << 10;

/// What was published since an index was going to join.
#[derive(Debug, Default)]
struct Backlog {
    groups: Vec<(Entries, LogEnd)>,
    event_count: usize,
}

/// Where the index of a store will be, once it is open.
#[derive(Debug, Default)]
pub(crate) struct LaterIndex {
    /// The first that was opened. What it was is forgotten once it has failed.
    index: OnceLock<Arc<Index>>,
    /// What has taken its place.
    next: OnceLock<Box<Self>>,
    /// There while an index is about to join.
    backlog: Mutex<Option<Backlog>>,
}

impl LaterIndex {
    /// Puts the index here, for all who wait. Only the first one counts.
    pub(crate) fn fill(&self, index: Arc<Index>) {
        let _ = self.index.set(index);
    }

    /// The index, if it is open.
    pub(crate) fn look(&self) -> Option<&Arc<Index>> {
        self.last().index.get()
    }

    /// The index, once it is open.
    pub(crate) fn wait(&self) -> &Arc<Index> {
        self.last().index.wait()
    }

    fn last(&self) -> &Self {
        successors(Some(self), |later| later.next.get().map(|next| &**next)).last().unwrap_or(self)
    }

    /// Tells the index, once it is open, of what is published; and keeps it for one that is about to
    /// join.
    pub(crate) fn published(&self, entries: &Entries, end: LogEnd) {
        self.wait().add(entries, end);
        let mut kept = self.backlog.lock();
        if let Some(backlog) = &mut *kept {
            backlog.event_count += entries.len();
            backlog.groups.push((entries.clone(), end));
            if backlog.event_count > BACKLOG_COUNT_MAX {
                // More comes than can be waited for.
                *kept = None;
            }
        }
    }

    /// Keeps what is published from now on, for an index that is about to join.
    pub(crate) fn expect_another(&self) {
        *self.backlog.lock() = Some(Backlog::default());
    }

    /// Lets none join any more.
    pub(crate) fn expect_none(&self) {
        *self.backlog.lock() = None;
    }

    /// Puts `index`, which knows the log up to `end`, in the place of one that has failed, once it was
    /// told of what was published since one was [expected](Self::expect_another), and says whether it
    /// is there. Nothing may be published meanwhile. It is not if it fails at that, or if too much was
    /// published.
    pub(crate) fn join(&self, index: Arc<Index>, end: Position) -> bool {
        let Some(backlog) = self.backlog.lock().take() else { return false };
        for (entries, to) in backlog.groups {
            if to.position > end {
                index.add(&entries, to);
            }
        }
        // Who appends has forgotten where streams end, of all that is visible.
        index.take_in();
        !index.has_failed() && self.last().next.set(Box::new(Self::from(index))).is_ok()
    }
}

impl From<Arc<Index>> for LaterIndex {
    fn from(index: Arc<Index>) -> Self {
        Self { index: OnceLock::from(index), ..Self::default() }
    }
}
