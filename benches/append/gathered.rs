//! The bare side of many threads: group commit without a store.
//!
//! One of those who wait writes and syncs for all. Before that it waits a moment for those who
//! were in the group before, and while it writes the next group forms.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::bare::BareFile;
use crate::common::{Encoder, Result, Sample};

/// How long a leader waits for those who may come back, as in annals.
const GATHER_TIME_MAX: Duration = Duration::from_micros(100);

#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    file: &'a BareFile,
    state: Mutex<State>,
    /// Told when all that the leader waits for have come.
    complete: Condvar,
    /// Told when a group is done: one for groups with even numbers and one for those with odd
    /// ones, so that those in the next group sleep on.
    done: [Condvar; 2],
}

#[derive(Debug)]
struct State {
    encoder: Encoder,
    /// Records of the group that forms.
    forming: Vec<u8>,
    /// Room for the group after that.
    spare: Vec<u8>,
    /// How many wait for the group that forms.
    waiting_count: usize,
    /// How many there were when the last group was done: in it, and waiting for the next.
    seen_count: usize,
    /// How many groups have been taken to be written, which is the number of the one that forms.
    taken: u64,
    /// How many groups are durable.
    durable: u64,
    leading: bool,
    /// A write or a sync has failed, so that no append can be relied on.
    failed: bool,
    /// Where the last group ends.
    end: u64,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(file: &'a BareFile) -> Self {
        let state = State {
            encoder: Encoder::new(),
            forming: Vec::new(),
            spare: Vec::new(),
            waiting_count: 0,
            seen_count: 0,
            taken: 0,
            durable: 0,
            leading: false,
            failed: false,
            end: 0,
        };
        Self {
            file,
            state: Mutex::new(state),
            complete: Condvar::new(),
            done: [Condvar::new(), Condvar::new()],
        }
    }

    /// Returns when these events are durable.
    pub(crate) fn append(&self, samples: &[Sample]) -> Result<()> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.encoder.encode(samples, &mut state.forming);
        state.waiting_count += 1;
        if state.waiting_count >= state.seen_count {
            self.complete.notify_one();
        }
        let group = state.taken;
        while guard.durable <= group && !guard.failed {
            if guard.leading {
                self.done(group).wait(&mut guard);
            } else {
                self.lead(&mut guard)?;
            }
        }
        if guard.failed { Err("another thread could not write the group".into()) } else { Ok(()) }
    }

    fn done(&self, group: u64) -> &Condvar {
        let [even, odd] = &self.done;
        if group.is_multiple_of(2) { even } else { odd }
    }

    /// Writes and syncs the group that has formed, while the next one forms.
    fn lead(&self, state: &mut MutexGuard<'_, State>) -> Result<()> {
        state.leading = true;
        self.gather(state);
        let group = state.taken;
        let in_group = std::mem::take(&mut state.waiting_count);
        state.taken += 1;
        let spare = std::mem::take(&mut state.spare);
        let mut bytes = std::mem::replace(&mut state.forming, spare);
        let start = state.end;
        let written = MutexGuard::unlocked(state, || {
            self.file.write(&bytes, start).and_then(|end| self.file.sync().map(|()| end))
        });
        bytes.clear();
        state.spare = bytes;
        state.leading = false;
        state.seen_count = in_group + state.waiting_count;
        state.durable += 1;
        state.failed |= written.is_err();
        self.done(group).notify_all();
        // Someone in the next group must lead it, if anyone is there already.
        if state.failed {
            self.done(state.taken).notify_all();
        } else {
            self.done(state.taken).notify_one();
        }
        state.end = written?;
        Ok(())
    }

    fn gather(&self, state: &mut MutexGuard<'_, State>) {
        let deadline = Instant::now() + GATHER_TIME_MAX;
        while state.waiting_count < state.seen_count {
            if self.complete.wait_until(state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Checks that the file holds the events that were appended, and returns how many there were.
    pub(crate) fn check(&self) -> Result<u64> {
        let state = self.state.lock();
        let event_count = state.encoder.event_count();
        self.file.check(state.end, event_count)?;
        Ok(event_count)
    }
}
