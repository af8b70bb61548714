//! What was added to the index and is not in its tail yet.
//!
//! Owns how it is handed on: whoever appends puts it here, which is a copy, and whoever asks for
//! something, or has nothing to wait for, takes it into the tail.

use std::mem;

use super::IndexFault;
use super::tail::Tail;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::types::{Entries, LogEnd};

/// Memory of more entries than this is given back.
const ROOM_COUNT_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
struct Waiting {
    entries: Entries,
    /// The end of the log after them.
    end: Option<LogEnd>,
}

/// Entries that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    waiting: Mutex<Waiting>,
    /// How many there are, to be looked at without the lock.
    count: AtomicU64,
}

/// The tail that takes them, and memory for those that are being taken.
#[derive(Debug, Default)]
pub(super) struct Growing {
    pub(super) tail: Tail,
    room: Entries,
}

impl Growing {
    pub(super) fn from(tail: Tail) -> Self {
        Self { tail, room: Entries::default() }
    }
}

impl Incoming {
    /// Adds `entries`, after which the log ends at `end`, if `is_wanted` says so.
    pub(super) fn add(&self, entries: &Entries, end: LogEnd, is_wanted: impl FnOnce() -> bool) {
        let mut waiting = self.waiting.lock();
        if is_wanted() {
            waiting.entries.append(entries);
            waiting.end = Some(end);
            self.count.store(count_of(&waiting.entries), Ordering::Release);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Moves all that waits into a tail.
    pub(super) fn move_to(
        &self,
        growing: &mut Growing,
        mark_interval_len: u64,
    ) -> Result<(), IndexFault> {
        let mut waiting = self.waiting.lock();
        let Some(end) = waiting.end.take() else { return Ok(()) };
        mem::swap(&mut waiting.entries, &mut growing.room);
        self.count.store(0, Ordering::Release);
        drop(waiting);
        let added = growing.tail.add(&growing.room, end, mark_interval_len);
        if growing.room.len() > ROOM_COUNT_MAX {
            growing.room = Entries::default();
        }
        growing.room.clear();
        added
    }

    pub(super) fn clear(&self) {
        let mut waiting = self.waiting.lock();
        *waiting = Waiting::default();
        self.count.store(0, Ordering::Release);
    }
}

fn count_of(entries: &Entries) -> u64 {
    u64::try_from(entries.len()).unwrap_or(u64::MAX)
}
