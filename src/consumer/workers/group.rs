//! Workers that run, as who has started them sees them.

use std::fmt;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::consumer::Consumer;
use crate::consumer::workers::shared::{Role, Shared};
use crate::consumer::workers::{Handler, Workers};
use crate::error::{Error, Result};
use crate::sync::Ordering;
use crate::types::Position;

/// How long it is waited for handlers that run when a group is dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// Workers that handle the events of a consumer. From [`Consumer::run`](crate::Consumer::run).
///
/// They keep their store open. If it is closed they end, and what is not committed by then is given
/// again: stop them first. Dropping a group stops it as [`WorkerGroup::stop`] does, waits for 10 s
/// at most, and cannot report what goes wrong.
#[must_use = "dropping it stops the workers"]
pub struct WorkerGroup {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    is_done: bool,
}

/// How a group of workers does. From [`WorkerGroup::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Events that were handled.
    pub handled_count: u64,
    /// Attempts that have failed.
    pub failed_count: u64,
    /// Events that were read and are not committed.
    pub in_flight_count: usize,
    /// Before this, every event is committed.
    pub committed: Position,
}

impl WorkerGroup {
    pub(crate) fn start(
        consumer: Consumer,
        workers: Workers,
        handler: Arc<Handler>,
    ) -> Result<Self> {
        let workers = workers.checked()?;
        consumer.entry.check(consumer.owner)?;
        let count = workers.count;
        let shared = Arc::new(Shared::new(&consumer, workers, handler));
        // Dropped if a thread cannot be begun: those that were end then.
        let mut group = Self { shared, threads: Vec::new(), is_done: false };
        let consumer = Arc::new(consumer);
        let committing = Arc::clone(&consumer);
        group.begin("annals-commit", |shared| shared.run(Role::Committer, committing))?;
        for _ in 0..count {
            group.begin("annals-worker", Shared::run_worker)?;
        }
        group.begin("annals-reader", |shared| shared.run(Role::Reader, consumer))?;
        Ok(group)
    }

    fn begin(&mut self, name: &str, work: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        shared.begin_thread();
        let begun = Builder::new().name(name.to_owned()).spawn(move || work(&shared));
        let thread = begun.map_err(|source| {
            self.shared.unbegin_thread();
            Error::Io { operation: "start a thread for", path: self.shared.name().into(), source }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// The name of the consumer.
    #[must_use]
    pub fn consumer(&self) -> &str {
        self.shared.name()
    }

    /// Whether the workers run. They do not any more once a handler has failed for good, or the store
    /// was closed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.shared.has_ended()
    }

    /// How they do.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        self.shared.look(|progress| WorkerStats {
            handled_count: self.shared.handled_count.load(Ordering::Relaxed),
            failed_count: self.shared.failed_count.load(Ordering::Relaxed),
            in_flight_count: progress.board.in_flight_count(),
            committed: progress.board.committed(),
        })
    }

    /// Stops the workers: handlers that run are waited for, for `timeout` at most, and what is done is
    /// committed. What was read and not begun is given when the consumer next runs.
    ///
    /// # Errors
    ///
    /// Once they have stopped: [`Error::HandlersStillRunning`] if handlers have not returned by then,
    /// which goes on in threads that nobody waits for; and those of [`WorkerGroup::wait`].
    pub fn stop(mut self, timeout: Duration) -> Result<()> {
        self.end(timeout)
    }

    /// Waits until they end by themselves.
    ///
    /// # Errors
    ///
    /// [`Error::HandlerFailed`] if that is why, with [`OnFailure::Stop`](crate::OnFailure::Stop);
    /// [`Error::TakenOver`]; what committing has failed with; what reading has failed with, once all that
    /// was read before is handled. If the store was closed, that is no error.
    pub fn wait(mut self) -> Result<()> {
        self.is_done = true;
        self.join();
        self.shared.take_failure().map_or(Ok(()), Err)
    }

    fn end(&mut self, timeout: Duration) -> Result<()> {
        self.is_done = true;
        self.shared.stop();
        if !self.shared.wait_for_end(Instant::now().checked_add(timeout)) {
            let positions = self.shared.abandon();
            // The commit of what is done.
            self.shared.wait_for_all_but_handlers();
            if let Some(error) = self.shared.take_failure() {
                return Err(error);
            }
            let consumer = self.consumer().to_owned();
            return Err(Error::HandlersStillRunning { consumer, positions });
        }
        self.join();
        self.shared.take_failure().map_or(Ok(()), Err)
    }

    /// Waits until the threads are gone, and with them all that they and the handler keep.
    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // What a handler panics with was caught.
            let _ = thread.join();
        }
    }
}

impl Drop for WorkerGroup {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = self.end(DROP_TIMEOUT);
        }
    }
}

impl fmt::Debug for WorkerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerGroup")
            .field("consumer", &self.consumer())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
