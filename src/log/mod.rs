//! The log: every event in the order of its position, in segments that follow each other.
//!
//! Owns what is assigned, written, durable and visible, and group commit. Knows nothing of the
//! index: it tells whoever follows it what was published.

mod assign;
mod commit;
mod consumers;
mod counts;
mod decide;
mod gate;
mod group;
mod meta;
mod missing;
mod noter;
mod recent;
mod recover;
mod sealer;
mod segments;
#[cfg(test)]
pub(crate) mod tests;
mod track;
#[cfg(feature = "async")]
mod wakers;
mod writer;

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{CleanNote, DurableNote, FOOTER_LEN};
pub(crate) use crate::log::assign::Assign;
use crate::log::commit::{State, Status};
use crate::log::counts::Counts;
use crate::log::gate::SyncGate;
use crate::log::group::Outcome;
use crate::log::noter::Noter;
use crate::log::sealer::Sealer;
use crate::log::writer::Writer;
use crate::options::{Durability, Options};
use crate::segment::records_start;
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering};
use crate::types::{Entries, LogEnd, Position};

pub(crate) use consumers::{CONSUMERS, list_consumers, read_parked, read_slot};
pub(crate) use meta::{META, read_meta};
pub(crate) use noter::DURABLE_NOTE;
pub(crate) use recover::{UnrecoveredLog, create, refuse_segments, witnessed_end};
pub(crate) use segments::{Segments, list_bases};
pub(crate) use track::Tracker;
#[cfg(feature = "async")]
pub(crate) use wakers::WakerId;

/// The note that a clean close leaves.
pub(crate) const CLEAN_NOTE: &str = "clean";
/// How often a sync is tried that fails because of what others append.
const SYNC_TRIES: usize = 16;
/// The file that the writer holds a lock on. It is empty, or has one byte once a sync has failed:
/// that takes no room, and is seen by who opens the store before the system is restarted.
pub(crate) const LOCK: &str = "LOCK";
/// The folder of bytes that were cut.
pub(crate) const QUARANTINE: &str = "quarantine";
/// There while a first backup to this directory is not finished, and no store exists here yet.
pub(crate) const COPYING: &str = "copying";

/// Follows the log: is told of events before readers see them.
pub(crate) trait Follow: Debug + Send + Sync {
    /// `entries` are about to become visible; `end` is the log's end after the last.
    fn published(&self, entries: &Entries, end: LogEnd);
}

/// The log of an open store.
#[derive(Debug)]
pub(crate) struct Log {
    segments: Arc<Segments>,
    segment_len_max: u64,
    follower: Arc<dyn Follow>,
    state: Mutex<State>,
    /// Told when a group that gathers has all callers that it may expect.
    gathered: Condvar,
    writer: Mutex<Writer>,
    sealer: Arc<Sealer>,
    gate: Arc<SyncGate>,
    /// Bytes after the durable end, to be looked at without the lock.
    unsynced_len: AtomicU64,
    noter: Noter,
    /// The durable end, to be looked at without the lock.
    durable_end: AtomicU64,
    counts: Counts,
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
        let (mut state, assigned, outcome) = self.place(len, durability, assign)?;
        if state.join() {
            self.gathered.notify_one();
        }
        self.wait(state, &outcome)?;
        Ok(assigned)
    }

    /// Makes a batch part of the forming group, and keeps the lock.
    fn place<T>(
        &self,
        len: u64,
        durability: Durability,
        assign: impl FnOnce(&mut Assign<'_>) -> Result<T>,
    ) -> Result<(MutexGuard<'_, State>, T, Arc<Outcome>)> {
        let (mut state, rolls) = self.make_room(self.state.lock(), len)?;
        let mut assigning = Assign::new(&mut state, rolls);
        let assigned = assign(&mut assigning)?;
        assigning.finish();
        state.forming.syncs |= durability == Durability::Sync;
        let outcome = Arc::clone(&state.forming.outcome);
        Ok((state, assigned, outcome))
    }

    /// As [`Log::append`], but returns when the batch has its place. It is not written before someone
    /// leads its group: whoever calls this must [settle](Log::settle) it.
    #[cfg(feature = "async")]
    pub(crate) fn append_later<T>(
        &self,
        len: u64,
        durability: Durability,
        assign: impl FnOnce(&mut Assign<'_>) -> Result<T>,
    ) -> Result<(T, Written)> {
        let (_, assigned, outcome) = self.place(len, durability, assign)?;
        Ok((assigned, Written(outcome)))
    }

    /// Waits until a batch is written, as its durability says.
    #[cfg(feature = "async")]
    pub(crate) fn settle(&self, Written(outcome): &Written) -> Result<()> {
        let mut state = self.state.lock();
        if outcome.get().is_none() && state.join() {
            self.gathered.notify_one();
        }
        self.wait(state, outcome)
    }

    /// Makes everything that is visible durable.
    pub(crate) fn sync(&self) -> Result<()> {
        for _ in 1..SYNC_TRIES {
            match self.sync_once() {
                // A batch of another thread could not be written, and this sync was undone with
                // it, though it has nothing to write.
                Err(Error::Io { .. }) => {}
                other => return other,
            }
        }
        self.sync_once()
    }

    fn sync_once(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        if state.durable == state.written.position
            && state.forming.is_empty()
            && state.led.is_none()
        {
            return Ok(());
        }
        state.forming.syncs = true;
        let outcome = Arc::clone(&state.forming.outcome);
        if state.join() {
            self.gathered.notify_one();
        }
        self.wait(state, &outcome)
    }

    /// Makes everything before `position`, which must be visible, durable, while others go on
    /// appending.
    pub(crate) fn sync_to(&self, position: Position) -> Result<()> {
        let mut state = self.state.lock();
        // What is visible already may not be taken note of yet, by who leads.
        while state.written.position < position && state.led.is_some() {
            state = self.advance(state);
        }
        if state.durable >= position {
            return Ok(());
        }
        if matches!(state.status, Status::Poisoned) {
            return Err(Error::Poisoned);
        }
        let (end, last_offset, len) = (state.written, state.last_offset, state.written_len);
        drop(state);
        let file = self.gate.active();
        // If there is another segment by now, all before it was synced before it was begun.
        let is_last = file.base() == end.address.segment;
        let synced = if is_last { self.gate.sync(&file) } else { Ok(()) };
        let mut state = self.state.lock();
        match synced {
            Ok(()) => {
                state.advance_durable(end, last_offset, len);
                self.tell_durable(&state);
            }
            Err(cause) => {
                state.give_up();
                return Err(Error::OutcomeUnknown { source: Box::new(cause) });
            }
        }
        Ok(())
    }

    /// Makes everything that is visible durable, while others go on appending.
    pub(crate) fn sync_behind(&self) -> Result<()> {
        let written = self.state.lock().written.position;
        self.sync_to(written)
    }

    /// Lets the durable end, and how much is after it, be seen by who does not hold the lock.
    fn tell_durable(&self, state: &State) {
        // In one order with whether someone is about to note it, as is the look below.
        self.durable_end.store(state.durable.get(), Ordering::SeqCst);
        let unsynced_len = state.written_len.saturating_sub(state.durable_len);
        self.unsynced_len.store(unsynced_len, Ordering::SeqCst);
    }

    /// How much was appended.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The durable end, as it was last told.
    pub(crate) fn durable_end(&self) -> Position {
        Position::new(self.durable_end.load(Ordering::Acquire))
    }

    /// Whether what is before `end` is durable, or can still be made so.
    pub(crate) fn may_reach(&self, end: Position) -> bool {
        let state = self.state.lock();
        state.durable >= end || matches!(state.status, Status::Open | Status::Closing)
    }

    /// Whether the log takes appends.
    pub(crate) fn takes_appends(&self) -> bool {
        self.state.lock().check().is_ok()
    }

    /// Whether more is durable than was noted.
    pub(crate) fn is_note_due(&self) -> bool {
        self.durable_end.load(Ordering::SeqCst) > self.noter.noted_end().get()
    }

    /// Notes how far the log is durable. The note itself may be lost to a crash of the system.
    pub(crate) fn note(&self) -> Result<()> {
        let place = self.state.lock().durable_place;
        place.map_or(Ok(()), |(end, offset)| self.noter.note(self.note_of(&end, offset)))
    }

    /// Makes sure that a note that opening finds does not fall behind `end`, which must be durable:
    /// notes it durably, or else sees to it that there is no note.
    pub(crate) fn note_to(&self, end: Position) -> Result<()> {
        let place = self.state.lock().durable_place.filter(|(known, _)| known.position >= end);
        let noted = place.ok_or(Error::Poisoned).and_then(|(end, last_offset)| {
            self.noter.note_durably(self.note_of(&end, last_offset))
        });
        noted.or_else(|_| self.noter.remove())
    }

    fn note_of(&self, end: &LogEnd, last_offset: u64) -> CleanNote {
        CleanNote {
            store: self.segments.store(),
            end: end.position,
            address: end.address,
            last_offset,
            checksum: end.checksum,
        }
    }

    /// Bytes that were written and are not known to be durable.
    pub(crate) fn unsynced_len(&self) -> u64 {
        self.unsynced_len.load(Ordering::SeqCst)
    }

    /// Whether a full segment waits to be sealed.
    pub(crate) fn is_seal_due(&self) -> bool {
        self.sealer.is_due()
    }

    /// Seals the segments that are full, and says whether it has tried: not if another thread is at it.
    pub(crate) fn seal(&self) -> bool {
        self.sealer.seal_if_due()
    }

    /// Whether the segment that begins at `base` is full and not sealed yet.
    pub(crate) fn is_unsealed(&self, base: Position) -> bool {
        self.sealer.holds(base)
    }

    /// Ends appending: finishes what is in flight, syncs, seals, and leaves the note of a clean
    /// close. Later calls do nothing.
    ///
    /// A poisoned log is closed without the note.
    pub(crate) fn close(&self) -> Result<()> {
        let mut state = self.state.lock();
        match state.status {
            Status::Open => state.status = Status::Closing,
            Status::Poisoned => {}
            Status::Closing | Status::Closed => return Ok(()),
        }
        // No batch is taken any more, so this ends. Who has none, and waits for a sync, is there as well.
        while state.led.is_some() || !state.forming.is_empty() || state.forming.caller_count > 0 {
            state = self.advance(state);
        }
        let mut closed = Ok(());
        if state.durable < state.written.position {
            closed = if state.status == Status::Poisoned {
                Err(Error::Poisoned)
            } else {
                state.forming.syncs = true;
                let outcome = Arc::clone(&state.forming.outcome);
                let synced = self.wait(state, &outcome);
                state = self.state.lock();
                synced
            };
        }
        let was = std::mem::replace(&mut state.status, Status::Closed);
        let (end, last_offset) = (state.written, state.last_offset);
        drop(state);
        self.sealer.finish();
        if was == Status::Poisoned || closed.is_err() {
            return closed;
        }
        self.writer.lock().trim(end.address.offset)?;
        // What opening would still seal it finds as after a crash.
        if self.sealer.is_done() { self.leave_note(&end, last_offset) } else { Ok(()) }
    }

    fn leave_note(&self, end: &LogEnd, last_offset: u64) -> Result<()> {
        if self.writer.lock().is_noted() {
            return Ok(());
        }
        let directory = self.segments.directory();
        directory
            .replace(CLEAN_NOTE, &self.note_of(end, last_offset).encode())
            .map_err(Error::io("write", &directory.path_of(CLEAN_NOTE)))
            .map(|_| ())
    }
}

/// A batch that has its place, and will be written.
#[cfg(feature = "async")]
#[derive(Debug)]
pub(crate) struct Written(Arc<Outcome>);

/// What a log needs to begin.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) segments: Arc<Segments>,
    pub(crate) end: LogEnd,
    /// Offset of the last record; 0 if there is none in the last segment.
    pub(crate) last_offset: u64,
    /// From where on events may not be on the medium, if that is so: no append is taken then.
    pub(crate) not_durable_from: Option<Position>,
    pub(crate) writer: Writer,
    pub(crate) sealer: Arc<Sealer>,
    /// How far the log was durable, as it was found noted.
    pub(crate) durable_note: Option<DurableNote>,
}

impl Begin {
    /// Opens the log for appends. `follower` is told of everything from the log's end on.
    pub(crate) fn start(self, options: &Options, follower: Arc<dyn Follow>) -> Log {
        let segment_len_max = options.segment_len_max;
        self.sealer.keep_in_memory(options.page_cache_len);
        let mut writer = self.writer;
        writer.prepare_up_to(segment_len_max);
        let state = State::new(self.end, self.last_offset, self.not_durable_from);
        let directory = Arc::clone(self.segments.directory());
        Log {
            segments: self.segments,
            segment_len_max,
            follower,
            noter: Noter::after(directory, self.durable_note),
            durable_end: AtomicU64::new(state.durable.get()),
            state: Mutex::new(state),
            gathered: Condvar::new(),
            gate: writer.gate(),
            writer: Mutex::new(writer),
            sealer: self.sealer,
            unsynced_len: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }
}
