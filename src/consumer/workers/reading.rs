//! Reading what workers are to handle.
//!
//! Owns how far is read ahead. What is there and what comes later is read by the same loop.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::consumer::Consumer;
use crate::consumer::feed::Read;
use crate::consumer::workers::board::Job;
use crate::consumer::workers::shared::{Shared, said};
use crate::error::Result;
use crate::event::Event;
use crate::types::Position;

/// How many events are looked at before those among them that are to be handled are handed on.
const LOOKED_AT_COUNT_MAX: usize = 4_096;
/// How many events are handed on at once.
const HANDED_ON_COUNT_MAX: usize = 64;

/// How often who waits for the last events to be handled looks whether the store was closed.
const CLOSED_LOOK_INTERVAL: Duration = Duration::from_millis(100);

impl Shared {
    /// Reads, and hands on what is to be handled, until it is to stop.
    pub(super) fn read(&self, consumer: &Consumer) -> Result<()> {
        let place = consumer.place();
        // A crash may have come between what was put aside and the place.
        let parked = self.entry.look().parked.entries().map(|entry| entry.position).collect();
        self.read_pending(consumer, &place.pending, &parked)?;
        let mut feed = consumer.feed.anew(place.end);
        while let Some(room) = self.wait_for_room() {
            let Read { events, is_all } = feed.read(room, LOOKED_AT_COUNT_MAX)?;
            let end = feed.next_position();
            let events = events.into_iter().filter(|event| !parked.contains(&event.position()));
            self.hand_on_all(events, end)?;
            if is_all {
                self.consumers.source.wait_for_unless(end, || self.is_stopping())?;
            }
        }
        Ok(())
    }

    /// Hands on `events`, before which and between which nothing is to be handled up to `end`; up to the
    /// first one whose key cannot be told.
    fn hand_on_all(&self, events: impl Iterator<Item = Event>, end: Position) -> Result<()> {
        let mut jobs = Vec::new();
        for event in events {
            let position = event.position();
            match self.job(event) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    self.hand_on(jobs, position);
                    return Err(error);
                }
            }
        }
        self.hand_on(jobs, end);
        Ok(())
    }

    /// Waits until all that was handed on is handled, or until it is to stop.
    pub(super) fn wait_until_handled(&self) {
        let mut progress = self.board.lock();
        let is_open = || self.consumers.source.check_open().is_ok();
        while progress.board.has_queued() && !self.is_stopping() && is_open() {
            // What is handled is committed, and then there is room. Nobody tells of a close here.
            let _ = self.room.wait_for(&mut progress, CLOSED_LOOK_INTERVAL);
        }
    }

    /// Hands on what was not done when later events were, but what is put aside.
    fn read_pending(
        &self,
        consumer: &Consumer,
        pending: &[Position],
        parked: &HashSet<Position>,
    ) -> Result<()> {
        for position in pending {
            if parked.contains(position) {
                self.board.lock().board.pass(*position);
                continue;
            }
            let event = consumer.feed.everything_from(*position).next()?;
            let job = event.map(|event| self.job(event)).transpose()?;
            self.hand_on(job.into_iter().collect(), position.next());
        }
        Ok(())
    }

    fn job(&self, event: Event) -> Result<Job> {
        let key = catch_unwind(AssertUnwindSafe(|| (self.workers.key)(&event)));
        match key {
            Ok(key) => Ok(Job { event, key, attempt: 1 }),
            Err(panic) => Err(self.failed(event.position(), 0, said(&*panic))),
        }
    }

    fn hand_on(&self, jobs: Vec<Job>, end: Position) {
        let count = jobs.len();
        let now = self.consumers.now();
        let mut progress = self.board.lock();
        for job in jobs {
            progress.board.add(job, now);
        }
        progress.board.read_to(end);
        let is_done = count == 0 || progress.board.has_finished();
        drop(progress);
        if count > 0 {
            // Who takes one wakes the next.
            self.work.notify_one();
        }
        if is_done {
            // What was passed or put aside is to be committed, too.
            self.done.notify_one();
        }
    }

    /// Waits until there is room for more events, and says for how many; `None` if it is to stop.
    fn wait_for_room(&self) -> Option<usize> {
        let mut progress = self.board.lock();
        loop {
            if self.is_stopping() {
                return None;
            }
            let room = progress.board.room();
            if room > 0 {
                return Some(room.min(HANDED_ON_COUNT_MAX));
            }
            self.room.wait(&mut progress);
        }
    }
}
