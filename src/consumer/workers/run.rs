//! The threads of a group of workers: one reads, one commits, the others handle.
//!
//! Owns how they wait for each other, and how they end.

use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consumer::entry::Entry;
use crate::consumer::feed::Read;
use crate::consumer::workers::board::{Board, Job, Next, Outcome};
use crate::consumer::workers::{Handler, OnFailure, Workers};
use crate::consumer::{Consumer, Consumers, Delivery, HandlerError};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};
use crate::trace::{span, tell};
use crate::types::Position;

/// How many events are looked at before those among them that are to be handled are handed on.
const LOOKED_AT_COUNT_MAX: usize = 4_096;
/// How many events are handed on at once.
const HANDED_ON_COUNT_MAX: usize = 64;
/// No pause before a handler is tried again is longer: a year.
const PAUSE_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long a commit waits for more to be done, so that it covers many.
const COMMIT_DELAY: Duration = Duration::from_millis(5);
/// How long it may take until it is committed that events were passed which are not to be handled.
const PASSED_COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What the threads of a group share.
pub(super) struct Shared {
    consumers: Arc<Consumers>,
    entry: Arc<Entry>,
    owner: u64,
    workers: Workers,
    handler: Arc<Handler>,
    replay_end: Position,
    board: Mutex<Progress>,
    /// Told when there may be something to handle.
    work: Condvar,
    /// Told when there may be something to commit.
    done: Condvar,
    /// Told when there may be room for more.
    room: Condvar,
    /// Told when a thread has ended.
    ended: Condvar,
    /// Whether no more is to be begun.
    is_stopping: AtomicBool,
    pub(super) handled_count: AtomicU64,
    pub(super) failed_count: AtomicU64,
}

/// What the lock guards.
pub(super) struct Progress {
    pub(super) board: Board,
    /// Why it ended, if not because it was told to.
    failure: Option<Error>,
    /// Threads that have not ended.
    thread_count: usize,
    /// Handlers that nobody waits for any more.
    is_abandoned: bool,
}

/// What one of the threads does that are no workers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Reader,
    Committer,
}

/// Says that a thread has ended, whatever has ended it.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A bug, for what others have written is caught.
            let source = "a thread of the workers panicked".into();
            let consumer = self.0.name().to_owned();
            let (position, attempt) = (Position::START, 0);
            self.0.fail(Error::HandlerFailed { consumer, position, attempt, source });
        }
        self.0.board.lock().thread_count -= 1;
        self.0.tell_all();
    }
}

impl Shared {
    pub(super) fn new(consumer: &Consumer, workers: Workers, handler: Arc<Handler>) -> Self {
        let state = consumer.entry.look();
        let held = state.parked.entries().filter(|entry| entry.holds);
        let held = held.map(|entry| entry.key).collect();
        drop(state);
        let board = Board::new(workers.in_flight_count_max, consumer.place(), held);
        Self {
            consumers: Arc::clone(&consumer.consumers),
            entry: Arc::clone(&consumer.entry),
            owner: consumer.owner,
            workers,
            handler,
            replay_end: consumer.replay_end(),
            board: Mutex::new(Progress {
                board,
                failure: None,
                thread_count: 0,
                is_abandoned: false,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            room: Condvar::new(),
            ended: Condvar::new(),
            is_stopping: AtomicBool::new(false),
            handled_count: AtomicU64::new(0),
            failed_count: AtomicU64::new(0),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.entry.name()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Lets no more be begun.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        // Who has looked before is waiting once this lock is free.
        drop(self.board.lock());
        self.tell_all();
    }

    /// Ends it because of an error, of which the first one counts.
    fn fail(&self, error: Error) {
        tell!(ERROR, consumer = self.name(), error = %error, "workers stop");
        let mut progress = self.board.lock();
        progress.failure.get_or_insert(error);
        self.is_stopping.store(true, Ordering::SeqCst);
        drop(progress);
        self.tell_all();
    }

    fn tell_all(&self) {
        self.work.notify_all();
        self.done.notify_all();
        self.room.notify_all();
        self.ended.notify_all();
        // Who waits for events looks whether it is to stop.
        self.consumers.source.segments().wake();
    }

    /// Counts a thread that is about to begin.
    pub(super) fn begin_thread(&self) {
        self.board.lock().thread_count += 1;
    }

    /// Uncounts a thread that could not be begun.
    pub(super) fn unbegin_thread(&self) {
        drop(Ending(self));
    }

    /// What is done now.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Progress) -> T) -> T {
        look(&self.board.lock())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.board.lock().thread_count == 0
    }

    /// Waits until all threads have ended, or until `deadline`; says whether they have.
    pub(super) fn wait_for_end(&self, deadline: Option<Instant>) -> bool {
        let mut progress = self.board.lock();
        while progress.thread_count > 0 {
            match deadline {
                None => self.ended.wait(&mut progress),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let _ = self.ended.wait_for(&mut progress, left);
                }
            }
        }
        true
    }

    /// Waits until all threads have ended but those whose handlers nobody waits for.
    pub(super) fn wait_for_all_but_handlers(&self) {
        let mut progress = self.board.lock();
        while progress.thread_count > progress.board.running().count() {
            self.ended.wait(&mut progress);
        }
    }

    /// Gives up waiting for handlers that run: what they do is not committed. Says which they are.
    pub(super) fn abandon(&self) -> Vec<Position> {
        let mut progress = self.board.lock();
        progress.is_abandoned = true;
        let running = progress.board.running().collect();
        drop(progress);
        self.tell_all();
        running
    }

    /// Why it has ended, if not because it was told to. Says it once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.board.lock().failure.take()
    }

    /// Handles events, until it is to stop.
    pub(super) fn run_worker(&self) {
        let _ending = Ending(self);
        self.work();
    }

    /// Does what `role` does, until it is to stop. Meanwhile `consumer` keeps the store open: to the last
    /// commit, and no longer, for whoever is told of the end may want to open it again.
    pub(super) fn run(&self, role: Role, consumer: Arc<Consumer>) {
        let _ending = Ending(self);
        let done = match role {
            Role::Reader => self.read(&consumer),
            Role::Committer => self.commit(),
        };
        match done {
            // The store was closed: what is done by then is committed, if it can be.
            Ok(()) | Err(Error::Closed) => self.stop(),
            Err(error) => self.fail(error),
        }
        drop(consumer);
    }

    fn read(&self, consumer: &Consumer) -> Result<()> {
        let place = consumer.place();
        // A crash may have come between what was put aside and the place.
        let parked = self.entry.look().parked.entries().map(|entry| entry.position).collect();
        self.read_pending(consumer, &place.pending, &parked)?;
        let mut feed = consumer.feed.anew(place.end);
        while let Some(room) = self.wait_for_room() {
            let Read { events, is_all } = feed.read(room, LOOKED_AT_COUNT_MAX)?;
            let end = feed.next_position();
            let events = events.into_iter().filter(|event| !parked.contains(&event.position()));
            let jobs = events.map(|event| self.job(event)).collect::<Result<Vec<_>>>()?;
            self.hand_on(jobs, end);
            if is_all {
                self.consumers.source.wait_for_unless(end, || self.is_stopping())?;
            }
        }
        Ok(())
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

    fn failed(&self, position: Position, attempt: u32, source: HandlerError) -> Error {
        Error::HandlerFailed { consumer: self.name().to_owned(), position, attempt, source }
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

    /// Handles one event after the other.
    fn work(&self) {
        let mut finished = None;
        while let Some(job) = self.next_job(finished.take()) {
            let (position, attempt) = (job.event.position(), job.attempt);
            // Also what an error says of itself is written by others, and so may the clock be.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.handle(job)));
            finished = Some((
                position,
                outcome.unwrap_or_else(|panic| {
                    self.fail(self.failed(position, attempt, said(&*panic)));
                    Outcome::Leave
                }),
            ));
        }
    }

    /// Takes note of what became of one event, and waits for the next.
    fn next_job(&self, finished: Option<(Position, Outcome)>) -> Option<Job> {
        let mut progress = self.board.lock();
        if let Some((position, outcome)) = finished {
            let had_finished = progress.board.has_finished();
            progress.board.finish(position, outcome);
            if !had_finished || progress.board.is_commit_due() || self.is_stopping() {
                self.done.notify_one();
            }
        }
        while !self.is_stopping() {
            match progress.board.next(Instant::now()) {
                Next::Handle(job) => {
                    if progress.board.has_more() {
                        self.work.notify_one();
                    }
                    return Some(job);
                }
                Next::Wait => self.work.wait(&mut progress),
                Next::WaitUntil(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    let _ = self.work.wait_for(&mut progress, left);
                }
            }
        }
        None
    }

    fn handle(&self, job: Job) -> Outcome {
        let position = job.event.position();
        let attempt = job.attempt;
        let delivery = Delivery::new(job.event, attempt, position < self.replay_end);
        span!(DEBUG, "handle", consumer = self.name(), position = position.get(), attempt);
        let handled = catch_unwind(AssertUnwindSafe(|| (self.handler)(&delivery)));
        let error = match handled {
            Ok(Ok(())) => {
                self.handled_count.fetch_add(1, Ordering::Relaxed);
                return Outcome::Done;
            }
            Ok(Err(error)) => error,
            Err(panic) => said(&*panic),
        };
        self.failed_count.fetch_add(1, Ordering::Relaxed);
        tell!(
            WARN,
            consumer = self.name(),
            position = position.get(),
            attempt,
            error = %error,
            "a handler failed"
        );
        if attempt <= self.workers.retry_count {
            let pause = self.workers.pause_after(attempt).min(PAUSE_MAX);
            return Outcome::RetryAt(Instant::now() + pause);
        }
        let holds = match self.workers.on_failure {
            OnFailure::Park => false,
            OnFailure::HoldBack => true,
            OnFailure::Stop => {
                self.fail(self.failed(position, attempt, error));
                return Outcome::Leave;
            }
        };
        Outcome::Park { at: self.consumers.now(), reason: error.to_string(), holds }
    }

    /// Commits what is done, over and over, and a last time when all is done that was begun.
    fn commit(&self) -> Result<()> {
        loop {
            let is_last = self.wait_for_commit();
            let mut progress = self.board.lock();
            if progress.board.is_ahead() {
                let (place, parked) = progress.board.begin_commit();
                drop(progress);
                // If the store was closed, what is done is given again when it is next opened.
                let with = self.consumers.with()?;
                self.entry.advance(self.owner, place.clone(), &parked, &with)?;
                self.board.lock().board.end_commit(place);
                self.room.notify_one();
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to commit; says whether that is all there will be.
    fn wait_for_commit(&self) -> bool {
        let mut progress = self.board.lock();
        // When there was something to commit first.
        let mut since = None;
        loop {
            if self.is_stopping() && (progress.is_abandoned || !progress.board.is_running()) {
                return true;
            }
            if progress.board.is_commit_due() {
                return false;
            }
            if !progress.board.is_ahead() {
                self.done.wait(&mut progress);
                since = None;
                continue;
            }
            let is_done = progress.board.has_finished();
            let delay = if is_done { COMMIT_DELAY } else { PASSED_COMMIT_INTERVAL };
            let deadline = *since.get_or_insert_with(Instant::now) + delay;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let _ = self.done.wait_for(&mut progress, left);
        }
    }
}

/// What a handler has panicked with.
fn said(panic: &(dyn Any + Send)) -> HandlerError {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.as_deref().unwrap_or("without a text")).into()
}
