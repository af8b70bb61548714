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

    /// Whether anything is to be handled, or is being handled.
    pub(super) fn has_queued(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Whether another worker would find something to do, or to wait for.
    pub(super) fn has_more(&self) -> bool {
        !self.ready.is_empty() || !self.delayed.is_empty()
    }

    /// Whether a commit should not wait for more to be done: half the room there is beside what is
    /// under way is taken by what is done, or nothing is under way.
    pub(super) fn is_commit_due(&self) -> bool {
        let is_idle = self.running.is_empty() && self.ready.is_empty();
        let room = self.in_flight_count_max.saturating_sub(self.running.len());
        self.finished_count > 0 && (is_idle || self.finished_count * 2 >= room)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::event::{Block, EventParts};

    fn job(position: u64, key: Key) -> Job {
        let parts = EventParts { position: Position::new(position), ..EventParts::none() };
        let event = Event::new(parts, Arc::new(Block::from(Vec::new())));
        Job { event, key, attempt: 1 }
    }

    fn positions(place: &Place) -> (u64, Vec<u64>) {
        (place.end.get(), place.pending.iter().map(|position| position.get()).collect())
    }

    /// What the board gives to be handled now.
    fn take(board: &mut Board, now: Instant) -> Option<(u64, Key, u32)> {
        match board.next(now) {
            Next::Handle(job) => Some((job.event.position().get(), job.key, job.attempt)),
            Next::Wait | Next::WaitUntil(_) => None,
        }
    }

    fn at(place: u64) -> Place {
        Place::at(Position::new(place))
    }

    #[test]
    fn what_is_pending_is_kept_with_a_place_until_it_is_done() {
        let now = Instant::now();
        let place = Place { pending: vec![Position::new(2)], ..at(5) };
        let mut board = Board::new(10, place, HashSet::new());
        assert!(!board.is_ahead());
        board.add(job(5, 1), Timestamp::MIN);
        board.read_to(Position::new(8));
        // Nobody has read the event at 2 again yet.
        assert_eq!(take(&mut board, now), Some((5, 1, 1)));
        board.finish(Position::new(5), Outcome::Done);
        let (place, parked) = board.begin_commit();
        assert_eq!((positions(&place), parked.len()), ((8, vec![2]), 0));
        assert_eq!(board.in_flight_count(), 2, "what is being committed counts until it is");
        board.end_commit(place);
        assert_eq!(board.in_flight_count(), 1);
        board.add(job(2, 1), Timestamp::MIN);
        assert_eq!(take(&mut board, now), Some((2, 1, 1)));
        board.finish(Position::new(2), Outcome::Done);
        assert_eq!(positions(&board.begin_commit().0), (8, vec![]));
    }

    #[test]
    fn an_event_that_is_tried_again_waits_and_none_of_its_key_overtakes_it() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut board = Board::new(10, at(0), HashSet::new());
        (0..4).for_each(|n| board.add(job(n, n % 2), Timestamp::MIN));
        board.read_to(Position::new(4));
        assert_eq!(take(&mut board, now), Some((0, 0, 1)));
        board.finish(Position::START, Outcome::RetryAt(later));
        assert_eq!(take(&mut board, now), Some((1, 1, 1)));
        board.finish(Position::new(1), Outcome::Done);
        assert_eq!(take(&mut board, now), Some((3, 1, 1)));
        assert!(matches!(board.next(now), Next::WaitUntil(at) if at == later));
        assert_eq!(positions(&board.begin_commit().0), (4, vec![0, 2, 3]));
        assert_eq!(take(&mut board, later), Some((0, 0, 2)));
        board.finish(Position::START, Outcome::Done);
        assert_eq!(take(&mut board, later), Some((2, 0, 1)));
    }

    /// Random outcomes, in every order of keys: each event is done or put aside once, those of a key
    /// in order and one at a time, and what could be committed at any moment names all that is not.
    #[test]
    fn whatever_happens_nothing_is_skipped_and_nothing_is_done_twice() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (count, key_count) = (random.u64(1..60), random.u64(1..6));
            let (mut now, mut board) = (Instant::now(), Board::new(8, at(0), HashSet::new()));
            let mut running: Vec<(u64, Key)> = Vec::new();
            let (mut fed, mut done) = (0, BTreeSet::new());
            let mut last = HashMap::new();
            let mut is_held = HashSet::new();
            while done.len() < usize::try_from(count).unwrap() {
                if fed < count && board.room() > 0 && random.bool() {
                    board.add(job(fed, fed % key_count), Timestamp::MIN);
                    fed += 1;
                    board.read_to(Position::new(fed));
                }
                if let Some((position, key, _)) = take(&mut board, now) {
                    assert!(
                        running.iter().all(|(_, other)| *other != key),
                        "{seed}: one at a time"
                    );
                    assert!(last.insert(key, position).is_none_or(|last| last <= position));
                    assert!(!is_held.contains(&key));
                    running.push((position, key));
                }
                if !running.is_empty() && random.bool() {
                    let (position, key) = running.swap_remove(random.usize(..running.len()));
                    let outcome = match random.u8(..8) {
                        0 => Outcome::RetryAt(now + Duration::from_millis(random.u64(..9))),
                        1 => {
                            let holds = random.bool();
                            is_held.extend(holds.then_some(key));
                            Outcome::Park { at: Timestamp::MIN, reason: "no".to_owned(), holds }
                        }
                        _ => Outcome::Done,
                    };
                    if matches!(outcome, Outcome::Done) {
                        assert!(done.insert(position), "{seed}: {position} twice");
                    }
                    board.finish(Position::new(position), outcome);
                }
                if random.u8(..4) == 0 {
                    let (place, parked) = board.begin_commit();
                    for entry in parked {
                        assert!(done.insert(entry.position.get()), "{seed}: put aside twice");
                    }
                    let (end, pending) = positions(&place);
                    let not_done = (0..end).filter(|n| !done.contains(n));
                    assert!(not_done.eq(pending), "{seed}: {place:?}");
                    assert_eq!(end, fed);
                    board.end_commit(place);
                }
                now += Duration::from_millis(1);
                assert!(board.in_flight_count() <= 8);
            }
        }
    }
}
