//! Calls made on another thread: beside one's own, or because they may never return, so that the thread
//! can be left behind.
//!
//! Knows nothing of what is called.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that makes one call after the other for those who can wait only so long.
///
/// It ends when the worker is dropped and its last call has returned, if that returns.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let (jobs, taken) = mpsc::channel::<Job>();
        let work = move || {
            for job in taken {
                // Whoever waits for one that panics sees that there is no answer.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { jobs })
    }

    /// What `call` returns, or `None` if it has not returned after `wait_max`, or has panicked.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        wait_max: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.begin(call)?.wait(wait_max)
    }

    /// Has `call` made after those that were begun before. `None` if there is no thread any more.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Begun<T>> {
        let (reply, answer) = mpsc::channel();
        let job = Box::new(move || {
            // Whoever asked may have gone.
            let _ = reply.send(call());
        });
        self.jobs.send(job).ok()?;
        Some(Begun { answer })
    }
}

/// A call that was begun.
#[derive(Debug)]
pub(crate) struct Begun<T> {
    answer: mpsc::Receiver<T>,
}

impl<T> Begun<T> {
    /// What it returns, or `None` if it panics.
    pub(crate) fn wait_for_ever(self) -> Option<T> {
        self.answer.recv().ok()
    }

    /// As [`Worker::run`].
    pub(crate) fn wait(self, wait_max: Duration) -> Option<T> {
        self.answer.recv_timeout(wait_max).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_call_that_returns_is_answered() {
        let worker = Worker::start("test").unwrap();
        for n in 0..100 {
            assert_eq!(worker.run(LONG, move || n + 1), Some(n + 1));
        }
    }

    #[test]
    fn a_call_that_does_not_return_is_left_behind() {
        let worker = Worker::start("test").unwrap();
        let (release, held) = mpsc::channel::<()>();
        assert_eq!(worker.run(SHORT, move || held.recv().is_ok()), None);
        // Those behind it are not answered either, until it returns.
        assert_eq!(worker.run(SHORT, || 1), None);
        release.send(()).unwrap();
        assert_eq!(worker.run(LONG, || 2), Some(2));
    }

    #[test]
    fn a_call_that_panics_is_no_answer() {
        let worker = Worker::start("test").unwrap();
        assert_eq!(worker.run(LONG, || -> u8 { panic!("as sled does") }), None);
        assert_eq!(worker.run(LONG, || 1), Some(1), "those behind it are answered");
    }
}
