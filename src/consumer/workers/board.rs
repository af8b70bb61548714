//! Which event is handled next, and what is done.
//!
//! Owns the order: of each key one at a time, in the order of positions; and what may be committed.
//! Knows nothing of threads, files, or handlers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Instant;

use crate::consumer::parked::shortened;
use crate::consumer::place::Place;
use crate::event::Event;
use crate::format::ParkedEntry;
use crate::types::{Position, Timestamp};

/// What stands for a key.
pub(super) type Key = u64;

/// An event that is to be handled.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) event: Event,
    pub(super) key: Key,
    /// Which attempt comes next, from 1.
    pub(super) attempt: u32,
}

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Next {
    Handle(Job),
    /// Nothing to do before this time, unless something changes.
    WaitUntil(Instant),
    /// Nothing to do, unless something changes.
    Wait,
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    /// It is tried again, not before this time.
    RetryAt(Instant),
    /// It is put aside.
    Park {
        at: Timestamp,
        reason: String,
        holds: bool,
    },
    /// It stays as it is: the workers stop.
    Leave,
}

/// Events in flight: read, and not yet committed.
#[derive(Debug)]
pub(super) struct Board {
    in_flight_count_max: usize,
    /// Of each key, what is not done, in order. The first may be under way.
    queues: HashMap<Key, VecDeque<Job>>,
    /// Keys whose first event may be handled now.
    ready: VecDeque<Key>,
    /// Keys whose first event is to be tried again, and when.
    delayed: BinaryHeap<Reverse<(Instant, Key)>>,
    /// All that is not done.
    unfinished: BTreeSet<Position>,
    running: BTreeMap<Position, Key>,
    /// Everything before was read.
    fed_end: Position,
    /// How many events were done, or put aside, since a commit was last begun.
    finished_count: usize,
    /// How many the commit that is under way covers.
    committing_count: usize,
    /// What is to be put aside with the next commit.
    parked: Vec<ParkedEntry>,
    /// Keys whose events are put aside, all of them.
    held: HashSet<Key>,
    /// What is committed.
    committed: Place,
}

impl Board {
    /// A board of a consumer at `place`. Events of the keys in `held` are put aside.
    pub(super) fn new(in_flight_count_max: usize, place: Place, held: HashSet<Key>) -> Self {
        Self {
            in_flight_count_max,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            unfinished: place.pending.iter().copied().collect(),
            running: BTreeMap::new(),
            fed_end: place.end,
            finished_count: 0,
            committing_count: 0,
            parked: Vec::new(),
            held,
            committed: place,
        }
    }

    /// How many more events may be read.
    pub(super) fn room(&self) -> usize {
        self.in_flight_count_max.saturating_sub(self.in_flight_count())
    }

    pub(super) fn in_flight_count(&self) -> usize {
        self.unfinished.len() + self.finished_count + self.committing_count
    }

    /// Takes note that everything before `end` was read.
    pub(super) fn read_to(&mut self, end: Position) {
        self.fed_end = self.fed_end.max(end);
    }

    /// Adds an event to be handled, after all others of its key.
    pub(super) fn add(&mut self, job: Job, now: Timestamp) {
        let position = job.event.position();
        self.unfinished.insert(position);
        if self.held.contains(&job.key) {
            self.hold_back(&job, now);
            return;
        }
        let queue = self.queues.entry(job.key).or_default();
        if queue.is_empty() {
            self.ready.push_back(job.key);
        }
        queue.push_back(job);
    }

    /// Lets go of an event that was not done and needs not be: it is put aside already.
    pub(super) fn pass(&mut self, position: Position) {
        if self.unfinished.remove(&position) {
            self.finished_count += 1;
        }
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        while let Some(Reverse((at, key))) = self.delayed.peek().copied()
            && at <= now
        {
            self.delayed.pop();
            self.ready.push_back(key);
        }
        while let Some(key) = self.ready.pop_front() {
            let job = self.queues.get(&key).and_then(VecDeque::front);
            if let Some(job) = job.cloned() {
                self.running.insert(job.event.position(), key);
                return Next::Handle(job);
            }
        }
        self.delayed.peek().map_or(Next::Wait, |Reverse((at, _))| Next::WaitUntil(*at))
    }

    /// Takes note of what became of the attempt on the event at `position`, which was to be handled.
    pub(super) fn finish(&mut self, position: Position, outcome: Outcome) {
        let Some(key) = self.running.remove(&position) else { return };
        match outcome {
            Outcome::Leave => return,
            Outcome::RetryAt(at) => {
                if let Some(job) = self.queues.get_mut(&key).and_then(VecDeque::front_mut) {
                    job.attempt = job.attempt.saturating_add(1);
                }
                self.delayed.push(Reverse((at, key)));
                return;
            }
            Outcome::Done => _ = self.pop(key),
            Outcome::Park { at, reason, holds } => {
                if let Some(job) = self.pop(key) {
                    self.parked.push(ParkedEntry {
                        position,
                        key,
                        parked_at: at,
                        attempt_count: job.attempt,
                        holds,
                        reason: shortened(&reason),
                    });
                }
                if holds {
                    self.held.insert(key);
                    for job in self.queues.remove(&key).into_iter().flatten() {
                        self.hold_back(&job, at);
                    }
                }
            }
        }
        if self.queues.get(&key).is_some_and(VecDeque::is_empty) {
            self.queues.remove(&key);
        } else if self.queues.contains_key(&key) {
            self.ready.push_back(key);
        }
    }

    /// Lets go of the first event of a key.
    fn pop(&mut self, key: Key) -> Option<Job> {
        let job = self.queues.get_mut(&key)?.pop_front()?;
        self.unfinished.remove(&job.event.position());
        self.finished_count += 1;
        Some(job)
    }

    /// Puts an event aside because one before it is.
    fn hold_back(&mut self, job: &Job, at: Timestamp) {
        let position = job.event.position();
        self.unfinished.remove(&position);
        self.finished_count += 1;
        self.parked.push(ParkedEntry {
            position,
            key: job.key,
            parked_at: at,
            attempt_count: job.attempt.saturating_sub(1),
            holds: true,
            reason: "an earlier event of its key is put aside".to_owned(),
        });
    }

    /// Whether something was done that is not committed.
    pub(super) fn has_finished(&self) -> bool {
        self.finished_count > 0
    }

    /// Whether what is committed is not all that could be.
    pub(super) fn is_ahead(&self) -> bool {
        self.has_finished() || self.committed.end != self.fed_end
    }

    /// What can be committed now: the place, and what is put aside.
    pub(super) fn begin_commit(&mut self) -> (Place, Vec<ParkedEntry>) {
        self.committing_count = std::mem::take(&mut self.finished_count);
        let pending = self.unfinished.iter().copied().collect();
        (Place { end: self.fed_end, pending }, std::mem::take(&mut self.parked))
    }

    /// Takes note that this place is committed.
    pub(super) fn end_commit(&mut self, place: Place) {
        self.committing_count = 0;
        self.committed = place;
    }

    /// The events that are being handled.
    pub(super) fn running(&self) -> impl Iterator<Item = Position> {
        self.running.keys().copied()
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Before this, everything is committed.
    pub(super) fn committed(&self) -> Position {
        self.committed.watermark()
    }
}
