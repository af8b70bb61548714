//! The log: every event in the order of its position, in segments that follow each other.
//!
//! Owns what is assigned, written, durable and visible, and group commit. Knows nothing of the
//! index: it tells whoever follows it what was published.

mod decide;
mod group;
mod recover;
mod segments;
mod writer;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::format::{CleanNote, FOOTER_LEN, ToRecord, encode_record};
use crate::log::group::{Ends, Failure, Group, Outcome};
use crate::log::writer::{WriteError, Writer, seal_all};
use crate::options::Durability;
use crate::segment::records_start;
use crate::types::{Address, Entry, LogEnd, Position, Revision};

pub(crate) use recover::{UnrecoveredLog, create};
pub(crate) use segments::Segments;

/// The note that a clean close leaves.
pub(crate) const CLEAN_NOTE: &str = "clean";
/// The folder of the consumers' places.
const CONSUMERS: &str = "consumers";
/// A group takes no more batches once it has this many bytes.
const GROUP_LEN_MAX: usize = 4 << 20;

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

#[derive(Debug)]
struct State {
    status: Status,
    /// End of what is written, which is the visible end.
    written: LogEnd,
    /// End of what is durable.
    durable: Position,
    /// The group that takes batches.
    forming: Group,
    /// Ends of streams in the group that is being written.
    in_flight: Ends,
    /// Whether a thread is writing a group.
    leading: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Open,
    Poisoned,
    Closed,
}

impl State {
    fn check(&self) -> Result<()> {
        match self.status {
            Status::Open => Ok(()),
            Status::Poisoned => Err(Error::Poisoned),
            Status::Closed => Err(Error::Closed),
        }
    }

    /// Drops what was to be written and tells those who wait for it.
    fn fail_forming(&mut self, end: LogEnd, failure: Failure) {
        let failed = std::mem::replace(&mut self.forming, Group::after(end));
        failed.outcome.set(Err(failure));
    }
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

    /// Waits until the forming group can take a batch of `len` bytes, and says whether that
    /// batch begins a new segment.
    fn make_room(&self, state: &mut MutexGuard<'_, State>, len: u64) -> Result<bool> {
        loop {
            state.check()?;
            let end = state.forming.end.address.offset;
            let fits = end.saturating_add(len) <= records_start() + self.batch_len_max();
            let rolls = !fits && end > records_start();
            let forming = &state.forming;
            if forming.is_empty() || (!rolls && forming.bytes.len() < GROUP_LEN_MAX) {
                return Ok(rolls);
            }
            self.advance(state);
        }
    }

    /// Waits until it is known what became of a group, leading it if no one else leads.
    fn wait(&self, state: &mut MutexGuard<'_, State>, outcome: &Outcome) -> Result<()> {
        loop {
            if let Some(outcome) = outcome.get() {
                return outcome;
            }
            self.advance(state);
        }
    }

    /// Writes the forming group, or waits for the thread that is writing the one before.
    fn advance(&self, state: &mut MutexGuard<'_, State>) {
        if state.leading {
            self.changed.wait(state);
        } else {
            self.lead(state);
        }
    }

    /// Writes the forming group while the next one forms. Whatever happens, even a panic, those
    /// who wait for the group are told.
    fn lead(&self, state: &mut MutexGuard<'_, State>) {
        let next = Group::after(state.forming.end);
        let mut group = std::mem::replace(&mut state.forming, next);
        state.in_flight = std::mem::take(&mut group.ends);
        state.leading = true;
        let unsynced = state.durable < group.start.position;
        let written = MutexGuard::unlocked(state, || {
            catch_unwind(AssertUnwindSafe(|| self.write_and_publish(&group, unsynced)))
        });
        state.leading = false;
        state.in_flight = Ends::new();
        match written {
            Ok(Ok(())) => {
                state.written = LogEnd { ..group.end };
                if group.syncs {
                    state.durable = group.end.position;
                } else if group.rolls {
                    state.durable = group.start.position;
                }
                group.outcome.set(Ok(()));
            }
            Ok(Err(WriteError::Undone { cause, end })) => {
                let failure = Failure::of(&cause);
                state.written = end;
                if group.rolls && end.address != group.start.address {
                    state.durable = group.start.position;
                }
                group.outcome.set(Err(failure.clone()));
                state.fail_forming(end, failure);
            }
            Ok(Err(WriteError::Unknown { cause })) => self.poison(state, &group, &cause),
            Err(panic) => {
                self.poison(state, &group, &Error::Poisoned);
                self.changed.notify_all();
                resume_unwind(panic);
            }
        }
        self.changed.notify_all();
    }

    fn poison(&self, state: &mut State, group: &Group, cause: &Error) {
        state.status = Status::Poisoned;
        group.outcome.set(Err(Failure::of(cause)));
        state.fail_forming(state.written, Failure::Poisoned);
    }

    fn write_and_publish(&self, group: &Group, unsynced: bool) -> Result<(), WriteError> {
        self.writer.lock().write(group, unsynced, &self.segments)?;
        if !group.is_empty() {
            self.follower.published(&group.entries, group.end);
            self.segments.set_visible(group.end);
        }
        Ok(())
    }

    /// Seals segments that are full, while others go on appending. One that cannot be sealed
    /// now is tried again later, at the latest when the store is opened.
    fn seal_full(&self) {
        let mut writer = self.writer.lock();
        let (full, store) = (writer.take_unsealed(), writer.store());
        drop(writer);
        if !full.is_empty() {
            let left = seal_all(full, store);
            let mut writer = self.writer.lock();
            left.into_iter().for_each(|(file, end)| writer.put_unsealed(file, end));
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

/// Gives the events of one batch their places.
#[derive(Debug)]
pub(crate) struct Assign<'a> {
    state: &'a mut State,
    /// The end of the log after the events added so far.
    end: LogEnd,
    rolls: bool,
    bytes_before: usize,
    entries_before: usize,
    finished: bool,
}

impl<'a> Assign<'a> {
    fn new(state: &'a mut State, rolls: bool) -> Self {
        let mut end = state.forming.end;
        if rolls {
            end.address = Address { segment: end.position, offset: records_start() };
        }
        let (bytes_before, entries_before) =
            (state.forming.bytes.len(), state.forming.entries.len());
        Self { state, end, rolls, bytes_before, entries_before, finished: false }
    }

    /// The end of the log, of all that has been assigned.
    pub(crate) fn end(&self) -> &LogEnd {
        &self.end
    }

    /// The durable end of the log, as it is known now.
    pub(crate) fn durable_end(&self) -> Position {
        self.state.durable
    }

    /// The end of a stream that has events which are not visible yet.
    pub(crate) fn stream_end(&self, stream: &str) -> Option<(Arc<str>, Revision)> {
        let forming = self.state.forming.ends.get_key_value(stream);
        let found = forming.or_else(|| self.state.in_flight.get_key_value(stream));
        found.map(|(stream, end)| (Arc::clone(stream), *end))
    }

    /// Adds the next event of the batch.
    pub(crate) fn push(&mut self, stream: &Arc<str>, record: &ToRecord<'_>) {
        let forming = &mut self.state.forming;
        let len_before = forming.bytes.len();
        self.end.checksum = encode_record(record, &mut forming.bytes);
        forming.entries.push(Entry {
            stream: Arc::clone(stream),
            revision: record.revision,
            position: record.position,
            recorded_at: record.recorded_at,
            address: self.end.address,
        });
        let len = forming.bytes.len() - len_before;
        self.end.address.offset += u64::try_from(len).unwrap_or(u64::MAX);
        self.end.position = record.position.next();
        self.end.recorded_at = record.recorded_at;
    }

    /// Makes the batch part of the group.
    fn finish(mut self) {
        self.finished = true;
        let forming = &mut self.state.forming;
        forming.rolls |= self.rolls;
        forming.end = self.end;
        for entry in forming.entries.iter().skip(self.entries_before) {
            forming.ends.insert(Arc::clone(&entry.stream), entry.revision.next());
        }
    }
}

impl Drop for Assign<'_> {
    /// Takes back what was added, if the batch was given up.
    fn drop(&mut self) {
        if !self.finished {
            self.state.forming.bytes.truncate(self.bytes_before);
            self.state.forming.entries.truncate(self.entries_before);
        }
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
        let state = State {
            status: Status::Open,
            written: end,
            durable: end.position,
            forming: Group::after(end),
            in_flight: Ends::new(),
            leading: false,
        };
        Log {
            segments,
            segment_len_max,
            follower,
            state: Mutex::new(state),
            changed: Condvar::new(),
            writer: Mutex::new(writer),
        }
    }
}
