//! What can go wrong with the index.
//!
//! Owns the index's error. Whoever uses the index decides what a fault means for its own caller:
//! the log holds everything, so a fault costs time and never an event.

use std::io;
use std::sync::Arc;

/// Why the index gives no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum IndexFault {
    /// The tree belongs to another store, or was written by another version of this module.
    #[error("the index belongs to another store or version")]
    Foreign,
    /// What the tree or the caller gave contradicts itself.
    #[error("the index is damaged: {what}")]
    Damaged {
        /// What was found, or not found.
        what: &'static str,
    },
    /// The tree panicked.
    #[error("the storage of the index panicked")]
    Panicked,
    /// The tree could not be read or written.
    #[error("the storage of the index failed")]
    Failed {
        /// What the storage said.
        #[source]
        cause: Arc<io::Error>,
    },
    /// The tree has not answered for so long that it will not.
    #[error("the storage of the index does not answer")]
    NoAnswer,
    /// It could not be noted how far the log is durable, beyond which no index may know it.
    #[error("the note that must be ahead of the index could not be written")]
    NoNote,
    /// The index has let go of its tree. Nothing is wrong with it.
    #[error("the index is closed")]
    Closed,
}

impl IndexFault {
    pub(super) const fn damaged(what: &'static str) -> Self {
        Self::Damaged { what }
    }

    pub(super) fn failed(cause: io::Error) -> Self {
        Self::Failed { cause: Arc::new(cause) }
    }
}
