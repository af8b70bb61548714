//! The log: every event in the order of its position, in segments that follow each other.
//!
//! Owns what is assigned, written, durable and visible, and group commit. Knows nothing of the
//! index: it tells whoever follows it what was published.

mod assign;
mod commit;
mod decide;
mod group;
mod meta;
mod recover;
mod segments;
mod writer;

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::format::{CleanNote, FOOTER_LEN};
pub(crate) use crate::log::assign::Assign;
use crate::log::commit::{State, Status};
use crate::log::writer::{Writer, seal_all};
use crate::options::Durability;
use crate::segment::records_start;
use crate::types::{Entry, LogEnd, Position};

pub(crate) use meta::{META, read_meta};
pub(crate) use recover::{UnrecoveredLog, create, refuse_segments};
pub(crate) use segments::{Segments, list_bases};

/// The note that a clean close leaves.
pub(crate) const CLEAN_NOTE: &str = "clean";
/// The folder of the consumers' places.
const CONSUMERS: &str = "consumers";

/// Follows the log: is told of events before readers see them.
pub(crate) trait Follow: Debug + Send + Sync {
    /// `entries` are about to become visible; `end` is the log's end after the last.
    fn published(&self, entries: &[Entry], end: LogEnd);
}

/// The log of an open store.
#[derive(Debug)]
pub(crate) struct Log {
    segments: Arc<Segments>,
    segment_len_max: u64,
    follower: Arc<dyn Follow>,
    state: Mutex<State>,
    /// Told whenever a group is done.
    changed: Condvar,
    writer: Mutex<Writer>,
}

impl Log {
    /// The most bytes that the records of one batch may have.
    pub(crate) fn batch_len_max(&self) -> u64 {
        let frame = records_start() + u64::try_from(FOOTER_LEN).unwrap_or(u64::MAX);
        self.segment_len_max.saturating_sub(frame)
    }

    /// Appends a batch whose records have `len` bytes, at most [`Log::batch_len_max`].
    ///
    /// `assign` gives the events their places. It runs under the log's lock: first it checks, and
    /// if it fails nothing has happened; then it adds every event.
    pub(crate) fn append<T>(
        &self,
        len: u64,
        durability: Durability,
        assign: impl FnOnce(&mut Assign<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        let rolls = self.make_room(&mut state, len)?;
        let mut assigning = Assign::new(&mut state, rolls);
        let assigned = assign(&mut assigning)?;
        assigning.finish();
        state.forming.syncs |= durability == Durability::Sync;
        let outcome = Arc::clone(&state.forming.outcome);
        self.wait(&mut state, &outcome)?;
        drop(state);
        self.seal_full();
        Ok(assigned)
    }

    /// Makes everything that is visible durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        if state.durable == state.written.position && state.forming.is_empty() && !state.leading {
            return Ok(());
        }
        state.forming.syncs = true;
        let outcome = Arc::clone(&state.forming.outcome);
        self.wait(&mut state, &outcome)
    }

    /// Makes everything before `position`, which must be visible, durable.
    pub(crate) fn sync_to(&self, position: Position) -> Result<()> {
        if self.state.lock().durable >= position { Ok(()) } else { self.sync() }
    }

    /// Seals segments that are full, while others go on appending. One that cannot be sealed
    /// now is tried again later, at the latest when the store is opened.
    fn seal_full(&self) {
        let mut writer = self.writer.lock();
        let full = writer.take_unsealed();
        drop(writer);
        if !full.is_empty() {
            let left = seal_all(full);
            let mut writer = self.writer.lock();
            for (file, end) in left {
                writer.put_unsealed(file, end);
            }
        }
    }

    /// Ends appending: finishes what is in flight, syncs, seals, and leaves the note of a clean
    /// close. Later calls do nothing.
    ///
    /// A poisoned log is closed without the note.
    pub(crate) fn close(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.leading || !state.forming.is_empty() {
            self.advance(&mut state);
        }
        if state.status == Status::Open && state.durable < state.written.position {
            state.forming.syncs = true;
            let outcome = Arc::clone(&state.forming.outcome);
            let synced = self.wait(&mut state, &outcome);
            if synced.is_err() {
                state.status = Status::Closed;
                return synced;
            }
        }
        let was = std::mem::replace(&mut state.status, Status::Closed);
        let end = state.written;
        drop(state);
        if was != Status::Open {
            return Ok(());
        }
        self.seal_full();
        self.leave_note(end)
    }

    fn leave_note(&self, end: LogEnd) -> Result<()> {
        if self.writer.lock().is_noted() {
            return Ok(());
        }
        let directory = self.segments.directory();
        let note = CleanNote { store: self.segments.store(), end };
        directory
            .replace(CLEAN_NOTE, &note.encode())
            .map_err(Error::io("write", &directory.path_of(CLEAN_NOTE)))
            .map(|_| ())
    }
}

/// What a log needs to begin.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) segments: Arc<Segments>,
    pub(crate) end: LogEnd,
    pub(crate) writer: Writer,
}

impl Begin {
    /// Opens the log for appends. `follower` is told of everything from the log's end on.
    pub(crate) fn start(self, segment_len_max: u64, follower: Arc<dyn Follow>) -> Log {
        let Self { segments, end, writer } = self;
        Log {
            segments,
            segment_len_max,
            follower,
            state: Mutex::new(State::new(end)),
            changed: Condvar::new(),
            writer: Mutex::new(writer),
        }
    }
}
