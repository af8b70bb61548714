//! Writing a group into the active segment, and beginning the next segment.
//!
//! Owns the active segment's file, from its first write until it is full. Only one thread at a time
//! writes: the leader of a group.

use std::sync::Arc;

use crate::directory::{Directory, RandomFile};
use crate::error::{Error, Result};
use crate::format::SegmentHeader;
use crate::log::gate::SyncGate;
use crate::log::group::Group;
use crate::log::sealer::{Full, Sealer};
use crate::log::{CLEAN_NOTE, Segments};
use crate::segment::{SegmentFile, records_start, wide};
use crate::trace::tell;
use crate::types::{Address, LogEnd};

/// A group with more bytes than this gains nothing by zeroes that are written ahead in the same
/// sync: they cost what the syncs after it save (`docs/performance.md`).
const PREPARING_GROUP_LEN_MAX: u64 = 32 << 10;
/// The fewest and the most zeroes that are written ahead at once.
const PREPARED_LEN_MIN: u64 = 32 << 10;
const PREPARED_LEN_MAX: u64 = 1 << 20;
/// What file systems allocate.
const BLOCK_LEN: u64 = 4 << 10;

/// What a failed write has left.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The group is gone without a trace, and the log goes on from `end`.
    Undone { cause: Error, end: LogEnd },
    /// What is on the medium is not known.
    Unknown { cause: Error },
}

/// The end of the log on disk, and the file there.
#[derive(Debug)]
pub(crate) struct Writer {
    directory: Arc<dyn Directory>,
    gate: Arc<SyncGate>,
    active: Arc<SegmentFile>,
    /// How far zeroes are written in the active segment, or tried to be.
    prepared_end: u64,
    /// The most bytes of a segment, without its footer.
    segment_end_max: u64,
    /// Whether the note of a clean close is there, and must go before anything is written.
    noted: bool,
    /// Takes segments that are full.
    sealer: Arc<Sealer>,
}

impl Writer {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        lock: Arc<dyn RandomFile>,
        active: Arc<SegmentFile>,
        noted: bool,
        sealer: Arc<Sealer>,
    ) -> Self {
        let gate = Arc::new(SyncGate::new(lock, Arc::clone(&active)));
        Self { directory, gate, active, prepared_end: 0, segment_end_max: 0, noted, sealer }
    }

    /// What syncs of the active segment pass through.
    pub(super) fn gate(&self) -> Arc<SyncGate> {
        Arc::clone(&self.gate)
    }

    /// Lets segments be prepared, up to this length.
    pub(super) fn prepare_up_to(&mut self, segment_end_max: u64) {
        self.segment_end_max = segment_end_max;
    }

    /// Whether the note of a clean close still tells the truth.
    pub(crate) fn is_noted(&self) -> bool {
        self.noted
    }

    /// Writes `group`, and syncs it if someone waits for that. `unsynced` says whether the
    /// active segment holds bytes that no sync has covered.
    pub(crate) fn write(
        &mut self,
        group: &Group,
        unsynced: bool,
        segments: &Segments,
    ) -> Result<(), WriteError> {
        let undone = |cause| WriteError::Undone { cause, end: group.start };
        self.remove_note().map_err(undone)?;
        let mut start = group.start;
        let is_small = (1..=PREPARING_GROUP_LEN_MAX).contains(&wide(group.bytes.len()));
        if group.rolls {
            self.roll(&mut start, unsynced, segments)?;
        }
        if !group.bytes.is_empty() {
            let offset = start.address.offset;
            if let Err(cause) = self.active.write_all_at(&group.bytes, offset) {
                return Err(self.undo(cause, start));
            }
        }
        if group.syncs {
            if is_small {
                self.prepare(group.end.address.offset);
            }
            self.sync()?;
        }
        Ok(())
    }

    /// Writes zeroes after `end`, if the file must grow for it anyway. What is written over them
    /// later leaves the file's length and its blocks as they are, so that its syncs need no more
    /// than the bytes themselves.
    fn prepare(&mut self, end: u64) {
        if end <= self.prepared_end {
            return;
        }
        // As much again as there is: a store of ten events must not take up a megabyte.
        let len = end.clamp(PREPARED_LEN_MIN, PREPARED_LEN_MAX);
        let prepared_end = (end + len).next_multiple_of(BLOCK_LEN).min(self.segment_end_max);
        self.prepared_end = prepared_end.max(end);
        if let Ok(len) = usize::try_from(self.prepared_end - end) {
            // A disk that has no room for them may still have some for events. They are tried
            // again once the file has grown beyond where they were to end.
            let _ = self.active.write_all_at(&vec![0; len], end);
        }
    }

    /// Cuts off the zeroes after `end`, where nothing more will be written.
    pub(crate) fn trim(&mut self, end: u64) -> Result<()> {
        if self.prepared_end > end {
            self.prepared_end = 0;
            self.active.set_len(end)?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), WriteError> {
        self.gate.sync(&self.active).map_err(|cause| WriteError::Unknown { cause })
    }

    fn remove_note(&mut self) -> Result<()> {
        if self.noted {
            let path = self.directory.path_of(CLEAN_NOTE);
            self.directory.remove(CLEAN_NOTE).map_err(Error::io("remove", &path))?;
            self.noted = false;
        }
        Ok(())
    }

    /// Cuts off what a failed write has left. It must not come back after a crash either, so
    /// the cut is synced before anyone is told.
    fn undo(&mut self, cause: Error, end: LogEnd) -> WriteError {
        self.prepared_end = 0;
        let cut = self.active.set_len(end.address.offset);
        if cut.and_then(|()| self.gate.sync(&self.active)).is_ok() {
            return WriteError::Undone { cause, end };
        }
        self.gate.leave_word();
        WriteError::Unknown { cause }
    }

    /// Begins the next segment at `start`, and makes `start` say so.
    ///
    /// Everything before it must be durable first, because the new segment's header bears
    /// witness to that.
    fn roll(
        &mut self,
        start: &mut LogEnd,
        unsynced: bool,
        segments: &Segments,
    ) -> Result<(), WriteError> {
        if unsynced {
            self.sync()?;
        }
        let header = SegmentHeader {
            store: self.active.key().id,
            base: start.position,
            recorded_before: start.recorded_at,
            chain: start.checksum,
        };
        let file = match SegmentFile::create(&*self.directory, self.active.key(), &header) {
            Ok(file) => Arc::new(file),
            Err(cause) => return Err(self.undo_roll(cause, *start)),
        };
        self.prepared_end = 0;
        self.active = Arc::clone(&file);
        self.gate.roll(Arc::clone(&file));
        self.sealer.add(Full::ending(*start));
        segments.add(file);
        start.address = Address { segment: start.position, offset: records_start() };
        tell!(DEBUG, segment = start.position.get(), "began a segment");
        Ok(())
    }

    /// Makes sure that a segment that could not be created is not there: the log goes on in the
    /// old one, which must stay the last.
    fn undo_roll(&self, cause: Error, end: LogEnd) -> WriteError {
        match SegmentFile::remove(&*self.directory, end.position) {
            Ok(()) => WriteError::Undone { cause, end },
            Err(_) => WriteError::Unknown { cause },
        }
    }
}
