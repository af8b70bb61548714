//! Group commit: what waits to be written, and who writes it.
//!
//! Owns the log's state. Any thread that waits leads if no one else does: it writes and syncs the
//! group that has formed, while the next one forms. Before that it waits, if only for moments, for
//! those who were in the group before: they have just been told, and those who come back at once
//! share a sync rather than form every second group.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::log::Log;
use crate::log::group::{Failure, GROUP_LEN_MAX, Group, Outcome, Room};
use crate::log::writer::WriteError;
use crate::segment::{records_start, wide};
use crate::sync::MutexGuard;
use crate::trace::{span, tell};
use crate::types::{LogEnd, Position};

/// How long a group that will be synced waits for callers that may come back: less than a sync
/// takes, so that even those who wait in vain lose little.
const GATHER_TIME_MAX: Duration = Duration::from_micros(100);

/// What the log's lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) status: Status,
    /// End of what is written, which is the visible end.
    pub(super) written: LogEnd,
    /// End of what is durable.
    pub(super) durable: Position,
    /// The same with what a note says of it, offset of the last record included; `None` if that
    /// is not known.
    pub(super) durable_place: Option<(LogEnd, u64)>,
    /// Bytes that were written since the log was opened, and how many of them are durable.
    pub(super) written_len: u64,
    pub(super) durable_len: u64,
    /// Offset of the last record that is written; 0 if there is none in the last segment.
    pub(super) last_offset: u64,
    /// The group that takes batches.
    pub(super) forming: Group,
    /// Memory for the next group.
    pub(super) room: Room,
    /// How often places that had been given were taken back.
    pub(super) retractions: u64,
    /// The group that a thread is writing, or waits for to gather.
    pub(super) led: Option<Arc<Outcome>>,
    /// How many callers there were when the last group was done: in that group, and waiting for
    /// the next.
    pub(super) callers_seen: usize,
}

/// Whether the log takes appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    /// No more: a sync has failed, or it is not known whether all is on the medium.
    Poisoned,
    /// No more, but what is in flight is finished.
    Closing,
    Closed,
}

impl State {
    /// A log without anything to be written. If it is not all durable it is poisoned.
    pub(super) fn new(end: LogEnd, last_offset: u64, not_durable_from: Option<Position>) -> Self {
        Self {
            status: not_durable_from.map_or(Status::Open, |_| Status::Poisoned),
            written: end,
            durable: not_durable_from.unwrap_or(end.position),
            durable_place: not_durable_from.is_none().then_some((end, last_offset)),
            written_len: 0,
            durable_len: 0,
            last_offset,
            forming: Group::after(end),
            room: Room::default(),
            retractions: 0,
            led: None,
            callers_seen: 0,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.status {
            Status::Open => Ok(()),
            Status::Poisoned => Err(Error::Poisoned),
            Status::Closing | Status::Closed => Err(Error::Closed),
        }
    }

    /// Counts a caller that waits for the forming group, and says whether all that can be expected
    /// have come.
    pub(super) fn join(&mut self) -> bool {
        self.forming.caller_count += 1;
        self.forming.caller_count >= self.callers_seen
    }

    /// Whether it is worth a moment to wait for more.
    fn is_gathering(&self) -> bool {
        let forming = &self.forming;
        forming.syncs
            && forming.caller_count < self.callers_seen
            && forming.bytes.len() < GROUP_LEN_MAX
            && self.status == Status::Open
    }

    /// Takes note of what became of `group`, and returns what to tell those who wait for it.
    fn settle(&mut self, group: &Group, written: Result<(), WriteError>) -> Result<(), Failure> {
        match written {
            Ok(()) => {
                let (offset_before, len_before) = (self.last_offset, self.written_len);
                self.written = group.end;
                self.written_len = len_before.saturating_add(wide(group.bytes.len()));
                if let Some(last) = group.entries.last() {
                    self.last_offset = last.address.offset;
                }
                if group.syncs {
                    self.advance_durable(group.end, self.last_offset, self.written_len);
                } else if group.rolls {
                    self.advance_durable(group.start, offset_before, len_before);
                }
                Ok(())
            }
            Err(WriteError::Undone { cause, end }) => {
                let failure = Failure::undone(&cause);
                self.written = end;
                if end.address != group.start.address {
                    // The new segment is there, and all before it was synced.
                    self.last_offset = 0;
                    self.advance_durable(end, self.last_offset, self.written_len);
                }
                self.fail_forming(end, failure.clone());
                Err(failure)
            }
            Err(WriteError::Unknown { cause }) => {
                self.give_up();
                Err(Failure::unknown(&cause))
            }
        }
    }

    /// Takes note that everything before `end` is durable, the last record of which is at
    /// `last_offset` in its segment, and `len` bytes of what was written.
    pub(super) fn advance_durable(&mut self, end: LogEnd, last_offset: u64, len: u64) {
        if end.position >= self.durable {
            self.durable = end.position;
            self.durable_len = len;
            self.durable_place = Some((end, last_offset));
        }
    }

    /// Ends appending: it is not known what of all that is written is on the medium.
    pub(super) fn give_up(&mut self) {
        if self.status != Status::Closed {
            self.status = Status::Poisoned;
        }
        tell!(ERROR, durable_end = self.durable.get(), "takes no more appends until reopened");
        self.fail_forming(self.written, Failure::Poisoned);
    }

    /// Drops what was to be written and tells those who wait for it.
    fn fail_forming(&mut self, end: LogEnd, failure: Failure) {
        self.retractions += 1;
        let failed = std::mem::replace(&mut self.forming, Group::after(end));
        // Whoever waits for it to gather will write the group that comes in its place.
        if self.led.as_ref().is_some_and(|led| Arc::ptr_eq(led, &failed.outcome)) {
            self.led = Some(Arc::clone(&self.forming.outcome));
        }
        failed.outcome.set(Err(failure));
        failed.outcome.tell();
    }
}

impl Log {
    /// Waits until the forming group can take a batch of `len` bytes, and says whether that
    /// batch begins a new segment.
    pub(super) fn make_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        len: u64,
    ) -> Result<(MutexGuard<'a, State>, bool)> {
        loop {
            state.check()?;
            let end = state.forming.end.address.offset;
            let fits = end.saturating_add(len) <= records_start() + self.batch_len_max();
            let rolls = !fits && end > records_start();
            let forming = &state.forming;
            if forming.is_empty() || (!rolls && forming.bytes.len() < GROUP_LEN_MAX) {
                return Ok((state, rolls));
            }
            state = self.advance(state);
        }
    }

    /// Waits until it is known what became of a group, leading it if no one else leads. Whoever is
    /// told needs no lock to go on.
    pub(super) fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        outcome: &Outcome,
    ) -> Result<()> {
        loop {
            if let Some(outcome) = outcome.get() {
                return outcome;
            }
            if state.led.is_none() {
                self.lead(state);
            } else {
                drop(state);
                outcome.wait();
            }
            if let Some(outcome) = outcome.get() {
                return outcome;
            }
            state = self.state.lock();
        }
    }

    /// Writes the forming group, or waits for the thread that leads one.
    pub(super) fn advance<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match state.led.clone() {
            None => self.lead(state),
            Some(led) => {
                drop(state);
                led.wait();
            }
        }
        self.state.lock()
    }

    /// Writes the forming group while the next one forms. Whatever happens, even a panic, those
    /// who wait for the group are told, and then those who wait for events are woken.
    fn lead(&self, mut state: MutexGuard<'_, State>) {
        state.led = Some(Arc::clone(&state.forming.outcome));
        self.gather(&mut state);
        let room = std::mem::take(&mut state.room);
        let next = Group::in_room(state.forming.end, room);
        let group = std::mem::replace(&mut state.forming, next);
        let unsynced = state.durable < group.start.position;
        let written = MutexGuard::unlocked(&mut state, || {
            catch_unwind(AssertUnwindSafe(|| self.write_and_show(&group, unsynced)))
        });
        state.led = None;
        state.callers_seen = group.caller_count + state.forming.caller_count;
        let (outcome, is_empty) = (Arc::clone(&group.outcome), group.is_empty());
        let (settled, panic) = match written {
            Ok(written) => (state.settle(&group, written), None),
            Err(panic) => {
                state.give_up();
                (Err(Failure::Panicked), Some(panic))
            }
        };
        // Whoever is told goes on without the lock.
        self.tell_durable(&state);
        outcome.set(settled);
        state.room = group.into_room();
        // Someone in the next group must lead it, if anyone is there already.
        let next = (state.forming.caller_count > 0).then(|| Arc::clone(&state.forming.outcome));
        drop(state);
        if let Some(next) = next {
            next.call_leader();
        }
        outcome.tell();
        // Code of others: a task may be polled at once, and append, for which nothing must be led.
        if !is_empty {
            self.segments.wake();
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Waits for those who are expected to come back, as long as that is worth it.
    fn gather(&self, state: &mut MutexGuard<'_, State>) {
        if !state.is_gathering() {
            return;
        }
        let deadline = Instant::now() + GATHER_TIME_MAX;
        while state.is_gathering() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.gathered.wait_for(state, left).timed_out() {
                return;
            }
        }
    }

    fn write_and_show(&self, group: &Group, unsynced: bool) -> Result<(), WriteError> {
        span!(TRACE, "group", events = group.entries.len(), syncs = group.syncs);
        self.writer.lock().write(group, unsynced, &self.segments)?;
        self.counts.count(group);
        if !group.is_empty() {
            self.segments.show(group.end, || self.follower.published(&group.entries, group.end));
        }
        Ok(())
    }
}
