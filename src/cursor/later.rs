//! An index that may still be being opened.
//!
//! Owns who waits for it, and who does not.

use std::sync::{Arc, OnceLock};

use crate::index::Index;

/// Where the index of a store will be, once it is open.
#[derive(Debug, Default)]
pub(crate) struct LaterIndex(OnceLock<Arc<Index>>);

impl LaterIndex {
    /// Puts the index here, for all who wait. Only the first one counts.
    pub(crate) fn fill(&self, index: Arc<Index>) {
        let _ = self.0.set(index);
    }

    /// The index, if it is open.
    pub(crate) fn look(&self) -> Option<&Arc<Index>> {
        self.0.get()
    }

    /// The index, once it is open.
    pub(crate) fn wait(&self) -> &Arc<Index> {
        self.0.wait()
    }
}

impl From<Arc<Index>> for LaterIndex {
    fn from(index: Arc<Index>) -> Self {
        Self(OnceLock::from(index))
    }
}
