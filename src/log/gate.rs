//! Syncing the segment that is appended to.
//!
//! Owns that no sync is believed after one has failed: the system tells of an error once for each
//! open file, and whoever syncs next is told that all is well.

use std::io;
use std::sync::Arc;

use crate::directory::RandomFile;
use crate::error::{Error, Result};
use crate::segment::SegmentFile;
use crate::sync::Mutex;

/// What every sync of a segment passes through, one at a time.
#[derive(Debug)]
pub(super) struct SyncGate {
    /// The file of the lock, which tells that a sync has failed.
    lock: Arc<dyn RandomFile>,
    /// Whether one has.
    has_failed: Mutex<bool>,
    /// The segment that is appended to: one handle from its first write until it is full.
    active: Mutex<Arc<SegmentFile>>,
}

impl SyncGate {
    pub(super) fn new(lock: Arc<dyn RandomFile>, active: Arc<SegmentFile>) -> Self {
        Self { lock, has_failed: Mutex::new(false), active: Mutex::new(active) }
    }

    /// The segment that is appended to.
    pub(super) fn active(&self) -> Arc<SegmentFile> {
        Arc::clone(&self.active.lock())
    }

    /// Says that another segment is appended to from now on. Everything before it is durable.
    pub(super) fn roll(&self, active: Arc<SegmentFile>) {
        *self.active.lock() = active;
    }

    /// Makes what is written to `file` durable.
    pub(super) fn sync(&self, file: &SegmentFile) -> Result<()> {
        let mut has_failed = self.has_failed.lock();
        if *has_failed {
            let source = io::Error::other("an earlier sync has failed");
            return Err(Error::io("sync", file.path())(source));
        }
        file.sync().inspect_err(|_| {
            *has_failed = true;
            self.leave_word();
        })
    }

    /// Leaves word, for whoever opens the store next, that a sync has failed. What it was to write
    /// may be lost to the medium for good, whatever later syncs of the same places say.
    pub(super) fn leave_word(&self) {
        // If neither can be done, opening the store may still hear of the failure itself.
        let _ = self.lock.set_len(1).or_else(|_| self.lock.write_all_at(b"!", 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Call, Directory, Fault, SimulatedDirectory};
    use crate::format::SegmentHeader;
    use crate::log::LOCK;
    use crate::segment::FOLDER;
    use crate::types::{StoreId, StoreKey};

    /// Linux says of an error once that a sync has failed, and then that all is well: to whoever
    /// asks next, though it be for bytes of another thread.
    #[test]
    fn no_sync_is_believed_after_one_that_has_failed() {
        let directory = SimulatedDirectory::new();
        directory.create_folder(FOLDER).unwrap();
        let lock = directory.replace(LOCK, b"").unwrap();
        let key = StoreKey { id: StoreId::from_bytes([7; 16]), seed: 7 };
        let file = SegmentFile::create(&directory, key, &SegmentHeader::first(key)).unwrap();
        let gate = SyncGate::new(Arc::clone(&lock), Arc::new(file));
        gate.sync(&gate.active()).unwrap();
        assert_eq!(lock.len().unwrap(), 0);
        directory.inject(Fault::next(Call::Sync, io::ErrorKind::Other));
        gate.sync(&gate.active()).unwrap_err();
        assert_eq!(lock.len().unwrap(), 1, "whoever opens the store next is told");
        gate.active().sync().unwrap();
        gate.sync(&gate.active()).unwrap_err();
    }
}
