//! What the threads of a group of workers share.
//!
//! Owns how they wait for each other, and how they end. What each does is in `reading`, `handling` and
//! `committing`.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use crate::consumer::entry::Entry;
use crate::consumer::workers::board::Board;
use crate::consumer::workers::{Handler, Workers};
use crate::consumer::{Consumer, Consumers, HandlerError};
use crate::error::Error;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};
use crate::trace::tell;
use crate::types::Position;

/// What the threads of a group share.
pub(super) struct Shared {
    pub(super) consumers: Arc<Consumers>,
    pub(super) entry: Arc<Entry>,
    pub(super) owner: u64,
    pub(super) workers: Workers,
    pub(super) handler: Arc<Handler>,
    pub(super) replay_end: Position,
    pub(super) board: Mutex<Progress>,
    /// Told when there may be something to handle.
    pub(super) work: Condvar,
    /// Told when there may be something to commit.
    pub(super) done: Condvar,
    /// Told when there may be room for more.
    pub(super) room: Condvar,
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
    pub(super) is_abandoned: bool,
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
    pub(super) fn fail(&self, error: Error) {
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
            Role::Reader => self.read(&consumer).or_else(|error| {
                // What is sound before it is not held up by what is not, however often it is run.
                self.wait_until_handled();
                self.consumers.source.check_open().and(Err(error))
            }),
            Role::Committer => self.commit(),
        };
        match done {
            // The store was closed: what is done by then is committed, if it can be.
            Ok(()) | Err(Error::Closed) => self.stop(),
            Err(error) => self.fail(error),
        }
        drop(consumer);
    }

    /// Says that a handler, or what tells keys, has failed on an event.
    pub(super) fn failed(&self, position: Position, attempt: u32, source: HandlerError) -> Error {
        Error::HandlerFailed { consumer: self.name().to_owned(), position, attempt, source }
    }
}

/// What the code of others has panicked with.
pub(super) fn said(panic: &(dyn Any + Send)) -> HandlerError {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.as_deref().unwrap_or("without a text")).into()
}
