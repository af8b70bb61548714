//! Appending from asynchronous code.
//!
//! Owns the queue of batches that were handed over, and the thread that appends them, which is there
//! while there are some. Batches that wait are written, and synced, as one group.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{Batch, Receipt};
use crate::log::Written;
use crate::store::{Inner, Store};
use crate::sync::{Condvar, Mutex};

/// How long the thread stays when there is nothing to append.
const IDLE_TIME: Duration = Duration::from_millis(100);

/// What becomes of a batch: an outcome, or a panic of what it has called.
type Outcome = Result<Result<Receipt>, Box<dyn Any + Send>>;

/// A batch that was handed over. From [`Store::append_async`]: a future that tells what became of it.
#[must_use = "without it, nobody knows whether the batch was appended"]
pub struct Appending {
    cell: Arc<Cell>,
}

/// Where the outcome of one append is put.
#[derive(Default)]
struct Cell(Mutex<Told>);

#[derive(Default)]
struct Told {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Cell {
    /// Tells the outcome, unless one was told.
    fn tell(&self, outcome: Outcome) {
        let mut told = self.0.lock();
        told.outcome.get_or_insert(outcome);
        let waker = told.waker.take();
        drop(told);
        if let Some(waker) = waker {
            // A task that panics when it is woken harms no other.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

/// A batch that waits to be appended, and keeps its store open meanwhile.
struct Job {
    inner: Arc<Inner>,
    batch: Batch,
    cell: Arc<Cell>,
}

/// What was handed over.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Told when a batch is handed over.
    added: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    has_thread: bool,
}

impl Store {
    /// Appends a batch without blocking the thread that calls, and returns a future of the receipt.
    ///
    /// The batch is handed over when this is called, before the future is first polled: from then on
    /// it is appended as by [`Store::append_batch`], whatever becomes of the future. So dropping the
    /// future, at any point, changes nothing of what is or will be on disk; whoever drops it goes
    /// without the receipt, and nothing else. Batches are appended in the order in which they were
    /// handed over, and those that wait share a sync. How many may wait is for the caller to bound: their
    /// events are kept in memory until then. They keep the store open.
    ///
    /// It needs no runtime, and works in any: a thread of the store's own does it, that goes away when
    /// there is nothing to do.
    ///
    /// # Errors
    ///
    /// The future fails with what [`Store::append_batch`] fails with; with [`Error::Closed`] if the store
    /// was closed before it came to the batch. If the clock of the store panics, so does the future.
    pub fn append_async(&self, batch: Batch) -> Appending {
        let cell = Arc::new(Cell::default());
        let job = Job { inner: Arc::clone(&self.inner), batch, cell: Arc::clone(&cell) };
        if self.inner.place.may_have_threads() {
            self.hand_over(job);
        } else {
            append_all([job].into());
        }
        Appending { cell }
    }

    fn hand_over(&self, job: Job) {
        let mut waiting = self.inner.queue.waiting.lock();
        waiting.jobs.push_back(job);
        if waiting.has_thread {
            self.inner.queue.added.notify_one();
            return;
        }
        waiting.has_thread = true;
        drop(waiting);
        // The thread itself does not keep the store open.
        let queue = Arc::clone(&self.inner.queue);
        let begun = thread::Builder::new().name("annals-append".to_owned()).spawn(move || {
            let leaving = Leaving(&queue);
            while append_waiting(leaving.0) {}
        });
        if begun.is_err() {
            // Blocking is better than never.
            while append_waiting(&self.inner.queue) {}
        }
    }
}

/// Says that the thread is gone, whatever has ended it.
struct Leaving<'a>(&'a Queue);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.waiting.lock().has_thread = false;
        }
    }
}

/// Appends what waits; says whether there may be more.
fn append_waiting(queue: &Queue) -> bool {
    let mut waiting = queue.waiting.lock();
    if waiting.jobs.is_empty() {
        let _ = queue.added.wait_for(&mut waiting, IDLE_TIME);
    }
    let jobs = std::mem::take(&mut waiting.jobs);
    if jobs.is_empty() {
        waiting.has_thread = false;
        return false;
    }
    drop(waiting);
    append_all(jobs);
    true
}

/// Appends batches as one group, as far as they fit, and tells each what became of it.
fn append_all(jobs: VecDeque<Job>) {
    let placed: Vec<_> = jobs.into_iter().map(place).collect();
    let outcomes: Vec<_> = placed.into_iter().map(settle).collect();
    // Nothing keeps the store open any more: whoever is told may open it again.
    for (cell, outcome) in outcomes {
        cell.tell(outcome);
    }
}

/// A batch that was given its place, or why it was not.
type Placed = Result<Result<(Receipt, Written)>, Box<dyn Any + Send>>;

fn place(Job { inner, batch, cell }: Job) -> (Arc<Inner>, Arc<Cell>, Placed) {
    let placed = catch_unwind(AssertUnwindSafe(|| inner.append_later(&batch)));
    (inner, cell, placed)
}

fn settle((inner, cell, placed): (Arc<Inner>, Arc<Cell>, Placed)) -> (Arc<Cell>, Outcome) {
    let outcome = placed.map(|placed| {
        let (receipt, written) = placed?;
        let settled = catch_unwind(AssertUnwindSafe(|| inner.settle(&written)));
        let unknown = |_| Error::OutcomeUnknown { source: "its thread panicked".into() };
        settled.map_err(unknown)?.map(|()| receipt)
    });
    (cell, outcome)
}

impl Inner {
    /// Gives a batch its place; it is written, at the latest, when it is settled.
    fn append_later(&self, batch: &Batch) -> Result<(Receipt, Written)> {
        let durability = batch.durability.unwrap_or(self.options.durability);
        let len = self.check(batch, None)?;
        self.source.index();
        self.log.append_later(len, durability, |assign| self.assign(batch, None, assign))
    }

    fn settle(&self, written: &Written) -> Result<()> {
        self.log.settle(written)?;
        self.maintenance.after_append();
        self.renewal.after_append();
        Ok(())
    }
}

impl Future for Appending {
    type Output = Result<Receipt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut told = self.cell.0.lock();
        match told.outcome.take() {
            Some(Ok(outcome)) => Poll::Ready(outcome),
            Some(Err(panic)) => {
                drop(told);
                resume_unwind(panic)
            }
            None => {
                told.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Appending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_told = self.cell.0.lock().outcome.is_some();
        f.debug_struct("Appending").field("is_told", &is_told).finish_non_exhaustive()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.waiting.lock().jobs.len();
        f.debug_struct("Queue").field("waiting_count", &count).finish_non_exhaustive()
    }
}
