//! Handling: what a worker does.
//!
//! Owns what becomes of an event whose handler fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::consumer::Delivery;
use crate::consumer::workers::OnFailure;
use crate::consumer::workers::board::{Job, Next, Outcome};
use crate::consumer::workers::shared::{Shared, said};
use crate::sync::Ordering;
use crate::trace::{span, tell};
use crate::types::Position;

/// No pause before a handler is tried again is longer: a year.
const PAUSE_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Shared {
    /// Handles one event after the other.
    pub(super) fn work(&self) {
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
}
