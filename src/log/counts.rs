//! How much was appended.

use crate::log::group::Group;
use crate::sync::{AtomicU64, Ordering};

/// What was written since the log was opened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: AtomicU64,
    /// Bytes of their records.
    pub(crate) len: AtomicU64,
    pub(crate) groups: AtomicU64,
    /// Groups that were synced.
    pub(crate) syncs: AtomicU64,
}

impl Counts {
    /// Counts a group that was written.
    pub(super) fn count(&self, group: &Group) {
        let wide = |len| u64::try_from(len).unwrap_or(u64::MAX);
        let add = |count: &AtomicU64, n| _ = count.fetch_add(n, Ordering::Relaxed);
        add(&self.events, wide(group.entries.len()));
        add(&self.len, wide(group.bytes.len()));
        add(&self.groups, 1);
        add(&self.syncs, u64::from(group.syncs));
    }
}
